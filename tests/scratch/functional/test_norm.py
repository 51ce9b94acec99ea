"""The norms' backward passes written out against their plain forms, and what torch's samples do not reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as torch_functional
from torch import Tensor

from rungbook.scratch import functional as F
from rungbook.scratch import nn
from rungbook.scratch.functional.norm_rows import normalize_channels, normalize_rows, plain_channels, plain_rows


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def leaves(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if t is None else t.clone().requires_grad_() for t in tensors]


FORMS: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[int, ...], int]] = {
    "rows": (normalize_rows, plain_rows, (6, 5), 5),
    "channels": (lambda *a: normalize_channels(*a)[0], lambda *a: plain_channels(*a)[0], (4, 5, 3, 2), 5),
    "channels of vectors": (lambda *a: normalize_channels(*a)[0], lambda *a: plain_channels(*a)[0], (7, 5), 5),
}


@pytest.mark.parametrize("affine", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("form", FORMS)
def test_closed_form_is_the_plain_form(form: str, affine: tuple[bool, bool]) -> None:
    closed, plain, shape, size = FORMS[form]
    inputs = [randn(*shape), *(randn(size, seed=i + 1) if wanted else None for i, wanted in enumerate(affine))]
    found = []
    for function in (closed, plain):
        own = leaves(*inputs)
        y = function(*own, 0.1)
        found.append((y, torch.autograd.grad(y, [t for t in own if t is not None], randn(*shape, seed=5)), y.grad_fn))
    assert "Closed" in repr(found[0][2])
    assert "Closed" not in repr(found[1][2])
    torch.testing.assert_close(found[0][:2], found[1][:2], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_second_derivatives_of_the_closed_form(form: str) -> None:
    closed, _, shape, size = FORMS[form]
    inputs = leaves(randn(*shape), randn(size, seed=1), randn(size, seed=2))
    assert torch.autograd.gradgradcheck(lambda *a: closed(*a, 0.1), inputs)


def test_some_gradients_only() -> None:
    x, w, b = randn(6, 5), randn(5, seed=1).requires_grad_(), randn(5, seed=2)
    for closed, plain in ((normalize_rows, plain_rows), (lambda *a: normalize_channels(*a)[0], lambda *a: plain_channels(*a)[0])):
        pair = [torch.autograd.grad(f(x, w, b, 1e-5).square().sum(), w)[0] for f in (closed, plain)]
        torch.testing.assert_close(*pair, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layer", [nn.LayerNorm(4), nn.GroupNorm(1, 3, affine=False), nn.InstanceNorm2d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False)]
)
def test_result_may_be_written_over(layer: torch.nn.Module) -> None:
    gradients = []
    for inplace in (False, True):
        x = randn(2, 3, 4, 4, dtype=torch.float32).requires_grad_()
        gradients.append(torch.autograd.grad(F.relu(layer(x), inplace).square().sum(), x)[0])
    torch.testing.assert_close(*gradients)


def test_variance_far_from_zero() -> None:
    x = randn(3, 8) + 1e8
    naive = (x - x.mean(1, keepdim=True)) / ((x * x).mean(1, keepdim=True) - x.mean(1, keepdim=True) ** 2 + 1e-5).sqrt()
    expected = torch_functional.layer_norm(x - 1e8, (8,))
    assert not torch.allclose(naive, expected, atol=1e-2)  # the mean of squares less the square of the mean has no digits left
    for wanted in (False, True):
        torch.testing.assert_close(F.layer_norm(x.requires_grad_(wanted), (8,)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m.layer_norm(x, (64,)),
        lambda m, x: m.rms_norm(x, (64,)),
        lambda m, x: m.group_norm(x, 4),
        lambda m, x: m.batch_norm(x, None, None, training=True),
        lambda m, x: m.instance_norm(x),
    ],
)
def test_half_precision_is_averaged_in_more(call: Callable[[Any, Tensor], Tensor]) -> None:
    x = (randn(4, 8, 64) + 5).bfloat16()
    ours, exact = call(F, x), call(torch_functional, x.double())
    assert ours.dtype == torch.bfloat16
    # a bfloat16 has 8 bits: half a unit in the last place at 4 is 1/64
    torch.testing.assert_close(ours.double(), exact, rtol=2**-8, atol=2**-8)


def test_mixed_precision_under_autocast() -> None:
    layers = [torch.nn.Sequential(m.Linear(8, 8), m.LayerNorm(8), m.BatchNorm1d(8)) for m in (nn, torch.nn)]  # type: ignore[attr-defined]
    layers[0].load_state_dict(layers[1].state_dict())
    x, weights, found = randn(16, 8, dtype=torch.float32), randn(16, 8, seed=9, dtype=torch.float32), []
    for layer in layers:
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        found.append([y.float(), *torch.autograd.grad((y.float() * weights).sum(), list(layer.parameters()))])
    largest = max(float(t.detach().abs().max()) for t in found[1])  # some gradients are 0 but for rounding
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02 * largest)


def test_layout_is_kept() -> None:
    x = randn(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    y = F.batch_norm(x, None, None, training=True)
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own, on first use of forward mode
@pytest.mark.parametrize("layer", [nn.LayerNorm(4), nn.BatchNorm2d(3, track_running_stats=False), nn.GroupNorm(3, 3)])
def test_function_transforms(layer: torch.nn.Module) -> None:
    """A closed form would raise under forward-mode derivatives; the plain one stands in."""
    layer.double()
    x, v, g = randn(2, 3, 4, 4), randn(2, 3, 4, 4, seed=1), randn(2, 3, 4, 4, seed=2)
    _, tangent = torch.func.jvp(layer, (x,), (v,))
    _, pull = torch.func.vjp(layer, x)
    torch.testing.assert_close((tangent * g).sum(), (pull(g)[0] * v).sum())
    each = torch.func.vmap(layer)(torch.stack([x, v]))
    torch.testing.assert_close(each[1], layer(v))


@pytest.mark.parametrize("layer", [nn.LayerNorm(4), nn.RMSNorm(4), nn.BatchNorm2d(3), nn.GroupNorm(3, 3), nn.InstanceNorm2d(3)])
def test_compiles_whole(layer: torch.nn.Module) -> None:
    x = randn(2, 3, 4, 4, dtype=torch.float32).requires_grad_()
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x), rtol=1e-4, atol=1e-5)


def test_cumulative_average_is_the_mean_of_all_batches() -> None:
    layer, batches = nn.BatchNorm1d(3, momentum=None).double(), randn(5, 8, 3)
    for x in batches:
        layer(x)
    torch.testing.assert_close(layer.running_mean, batches.mean((0, 1)))
    torch.testing.assert_close(layer.running_var, batches.var(1).mean(0))
    assert int(layer.num_batches_tracked) == 5


def test_checkpoint_from_before_the_count_of_batches() -> None:
    for cls in (torch.nn.BatchNorm1d, nn.BatchNorm1d):
        state = cls(3).state_dict()
        del state["num_batches_tracked"]
        del state._metadata[""]["version"]  # type: ignore[attr-defined]
        layer = cls(3)
        layer(torch.randn(4, 3))
        layer.load_state_dict(state)
        assert int(layer.num_batches_tracked) == 1


def test_running_statistics_that_are_not_used_are_refused() -> None:
    state = torch.nn.InstanceNorm1d(3, track_running_stats=True).state_dict()
    del state._metadata[""]["version"]  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="track_running_stats=True"):
        nn.InstanceNorm1d(3).load_state_dict(state)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: F.batch_norm(torch.zeros(1, 3), None, None, training=True), ValueError, r"\(1, 3\) has one value"),
        (lambda: F.batch_norm(torch.zeros(2, 3), None, None), RuntimeError, "running_mean and running_var"),
        (lambda: F.batch_norm(torch.zeros(2, 3), torch.zeros(4), torch.ones(4)), RuntimeError, "running_mean has 4 entries"),
        (lambda: F.instance_norm(torch.zeros(2, 3, 1)), ValueError, "one position"),
        (lambda: F.layer_norm(torch.zeros(2, 3), (4,)), RuntimeError, r"\(2, 3\) does not end in normalized_shape \(4,\)"),
        (lambda: F.layer_norm(torch.zeros(2, 3), (3,), torch.zeros(2)), RuntimeError, r"weight \(2,\)"),
        (lambda: F.group_norm(torch.zeros(2, 3), 2), RuntimeError, r"num_groups \(2\) must divide the 3 channels"),
        (lambda: nn.BatchNorm2d(3)(torch.zeros(2, 3)), ValueError, "4 are needed"),
    ],
)
def test_refusals_name_what_was_found(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


NORMS: dict[str, Callable[..., Tensor]] = {
    "layer_norm": lambda f, x, p: f.layer_norm(x, (4,), p, p),
    "group_norm": lambda f, x, p: f.group_norm(x, 2, p, p),
    "batch_norm": lambda f, x, p: f.batch_norm(x, None, None, p, p, True),
    "instance_norm": lambda f, x, p: f.instance_norm(x[:, :, None].expand(-1, -1, 3), None, None, p, p),
}


@pytest.mark.parametrize("name", NORMS)
def test_types_that_do_not_fit_raise_as_torch_does(name: str) -> None:
    """Numbers in double precision through a layer in single precision: a sum of both would pass unnoticed."""
    for x, p, error in (
        (torch.randn(3, 4, dtype=torch.float64), torch.ones(4), RuntimeError),
        (torch.ones(3, 4, dtype=torch.int64), torch.ones(4), NotImplementedError),
    ):
        with pytest.raises(RuntimeError):  # torch's is a NotImplementedError for some of them
            NORMS[name](torch_functional, x, p)
        with pytest.raises(error) as raised:
            NORMS[name](F, x, p)
        assert str(raised.value).startswith(f"{name}: ")
    assert NORMS[name](F, torch.randn(3, 4), torch.ones(4)).dtype == torch.float32
