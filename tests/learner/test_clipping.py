"""Clipping by value is torch's, by unit the paper's formula; what is small enough stays as it is."""

from __future__ import annotations

import pytest
import torch
from kit import At, equal, feed, learner, mlp, rows, weights
from torch import Tensor, nn

from rungbook.learner.callback import Callback
from rungbook.learner.callbacks import ClipAdaptive, ClipValue
from rungbook.learner.callbacks.clipping import unit_norms

covers = ["O14"]

DOUBLE = torch.float64


def gradients(*clip: Callback) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients of the first step, and the weights they are of."""
    found: list[Tensor] = []
    look = At("after_backward", lambda le: found.extend(p.grad.clone() for p in le.params), 0)
    look.order = 100  # type: ignore[misc]
    ours = learner(mlp(dtype=DOUBLE), (feed(*rows(dtype=DOUBLE)), None), lr=0.0, callbacks=[*clip, look])
    ours.fit(1)
    return found[:4], [p.detach() for p in ours.params]


def test_by_value() -> None:
    free, _ = gradients()
    bound = float(torch.cat([g.flatten() for g in free]).abs().median())
    clipped, _ = gradients(ClipValue(bound))
    assert equal(clipped, [g.clamp(-bound, bound) for g in free])
    assert not equal(clipped, free)
    assert equal(gradients(ClipValue(1e6))[0], free)


def row_by_row(g: Tensor, w: Tensor, share: float, eps: float) -> Tensor:
    """Equation 3 of Brock et al. (2021), one unit at a time."""
    out = g.clone()
    for i in range(len(g)) if g.ndim > 1 else [slice(None)]:
        length, size = float(g[i].norm()), max(float(w[i].norm()), eps)
        if length / size > share:
            out[i] = share * size / length * g[i]
    return out


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_by_unit(share: float) -> None:
    free, params = gradients()
    clipped, _ = gradients(ClipAdaptive(share))
    expected = [row_by_row(g, w, share, 1e-3) for g, w in zip(free, params, strict=True)]
    for a, b in zip(clipped[:2], expected[:2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)
    assert equal(clipped[2:], free[2:]), "the layer of the outputs is left out"
    assert not torch.allclose(clipped[0], free[0])
    assert equal(gradients(ClipAdaptive(1e6))[0], free)


def test_weights_of_zero_can_leave_zero() -> None:
    model = mlp(dtype=DOUBLE)
    nn.init.zeros_(model[0].bias)
    ours = learner(model, (feed(*rows(dtype=DOUBLE)), None), lr=0.1, callbacks=[ClipAdaptive(0.01)])
    before = weights(model)
    ours.fit(1)
    assert (model[0].bias != 0).any()
    assert all(w.isfinite().all() for w in weights(model))
    assert not equal(before, weights(model))


def test_norms_of_units() -> None:
    filters = torch.arange(24.0).reshape(2, 3, 2, 2)
    torch.testing.assert_close(unit_norms(filters).flatten(), filters.reshape(2, -1).norm(dim=1))
    assert unit_norms(torch.tensor([3.0, 4.0])).tolist() == [5.0]


@pytest.mark.parametrize("make", [lambda: ClipValue(0), lambda: ClipAdaptive(0), lambda: ClipAdaptive(0.1, eps=0)])
def test_bad_bounds_are_named(make: object) -> None:
    with pytest.raises(ValueError, match="above 0"):
        make()  # type: ignore[operator]
