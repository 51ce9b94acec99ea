"""LSUV: every layer's output has unit variance afterwards, in any model, and nothing else has changed."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from kit import cnn, equal, images
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.hooks import Hooks
from rungbook.learner.lsuv import lsuv
from rungbook.models.registry import MODELS, create_model
from rungbook.scratch.swap import swap

covers = ["I04"]


def deep(layers: int = 30, width: int = 48) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*[layer for _ in range(layers) for layer in (nn.Linear(width, width), nn.ReLU())])


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def deviations(model: nn.Module, x: Tensor, layers: Any) -> list[float]:
    with torch.no_grad(), Hooks(model, lambda _, __, out: out.std().item(), layers=layers) as hooks:
        model(x)
    return [h.found[0] for _, h in hooks.items()]


@pytest.mark.parametrize("orthonormal", [True, False])
@pytest.mark.parametrize("mean", [True, False])
def test_every_layer_has_unit_deviation(orthonormal: bool, mean: bool) -> None:
    model, x = deep(), noise(64, 48)
    before = deviations(model, x, nn.Linear)
    report = lsuv(model, x, orthonormal=orthonormal, mean=mean)
    after = deviations(model, x, nn.Linear)
    assert max(abs(s - 1) for s in after) <= 0.021
    assert before[-1] < 0.1, "control: torch's default lets the signal fade"
    assert report.changed == [str(2 * i) for i in range(30)]
    assert [row.after[1] for row in report.rows] == pytest.approx(after, abs=1e-4)
    if mean:
        assert max(abs(row.after[0]) for row in report.rows) <= 0.02
        assert max(abs(row.before[0]) for row in report.rows) > 0.1, "control"


def test_the_start_is_orthonormal_and_of_the_seed() -> None:
    model, x = deep(3), noise(64, 48)
    lsuv(model, x, seed=3)
    weight = model[2].weight.detach().double()
    square = weight @ weight.T
    assert torch.allclose(square / square[0, 0], torch.eye(48, dtype=torch.float64), atol=1e-4)
    again, other = deep(3), deep(3)
    lsuv(again, x, seed=3)
    lsuv(other, x, seed=4)
    assert equal(list(model.parameters()), list(again.parameters()))
    assert not torch.equal(model[0].weight, other[0].weight)


def test_nothing_but_weights_changes() -> None:
    model, (x, _) = cnn(), images()
    model.train()
    model[1].eval()  # a mixture of modes, as in fine-tuning
    model[1].running_mean.fill_(0.3)
    buffers = copy.deepcopy(dict(model.named_buffers()))
    objects = [id(t) for t in (*model.parameters(), *model.buffers())]
    state, weight = torch.get_rng_state(), model[0].weight.clone()
    kept = x.clone()
    lsuv(model, x)
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in model] == [True, False, *[True] * 5]
    assert all(torch.equal(b, buffers[name]) for name, b in model.named_buffers())
    assert [id(t) for t in (*model.parameters(), *model.buffers())] == objects
    assert not any(m._forward_hooks for m in model.modules())
    assert not any(p.grad is not None or not p.requires_grad for p in model.parameters())
    assert torch.equal(x, kept)
    assert not torch.equal(model[0].weight, weight)


def test_dropout_is_off_and_batch_norm_uses_the_batch() -> None:
    torch.manual_seed(0)
    x = 100 + 10 * noise(64, 8)
    model = nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.9), nn.Linear(8, 8))
    report = lsuv(model, x)
    assert report.rows[0].before[1] == pytest.approx(1.0, abs=0.1), "rows of deviation 1, not of 100, and none dropped"


def test_after_an_error_the_weights_are_as_before() -> None:
    model, x = deep(3), noise(64, 48)
    model.append(nn.Linear(7, 7))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        lsuv(model, x)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())
    assert all(m.training for m in model.modules())


class Odd(nn.Module):
    """A layer called twice, tied weights, a zero start, a frozen layer, one that is never called, an embedding and an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 6)
        self.lstm = nn.LSTM(6, 6, batch_first=True)
        self.twice = nn.Linear(6, 6)
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.twice.weight
        self.zero = nn.Linear(6, 6)
        nn.init.zeros_(self.zero.weight)
        nn.init.zeros_(self.zero.bias)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.never = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.lstm(self.embed(tokens))[0]
        x = self.twice(self.twice(x))
        x = self.frozen(self.tied(x) + self.zero(x))
        return self.head(x)


def test_odd_parts_are_left_and_told() -> None:
    torch.manual_seed(0)
    model = Odd()
    frozen, never = model.frozen.weight.clone(), model.never.weight.clone()
    report = lsuv(model, torch.arange(40).reshape(4, 10) % 10, orthonormal=False)
    notes = {row.name: row.note for row in report.rows}
    assert report.changed == ["twice", "head"]
    assert notes["tied"] == "it shares its weight with twice"
    assert notes["zero"] == "its output does not vary"
    assert notes["frozen"] == "it is frozen"
    assert notes["never"] == "it was not called"
    assert notes["embed"] == notes["lstm"] == "it is not one linear map"
    assert not model.zero.weight.any()
    assert torch.equal(model.frozen.weight, frozen)
    assert torch.equal(model.never.weight, never)
    text = str(report)
    assert "it is frozen" in text
    assert len(text.splitlines()) == 1 + len(report.rows)
    assert next(r.after[1] for r in report.rows if r.name == "twice") == pytest.approx(1, abs=0.02), "at its first call"


def test_what_is_not_finite_is_left() -> None:
    model = deep(2)
    with torch.no_grad():
        model[0].bias[0] = math.nan
    before = model[0].weight.clone()
    report = lsuv(model, noise(8, 48), orthonormal=False)
    assert report.rows[0].note == "its output is not finite"
    assert torch.equal(model[0].weight, before)


def test_computed_weights() -> None:
    torch.manual_seed(0)
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
    spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))
    x = noise(64, 8)
    assert lsuv(normed, x).changed == ["ParametrizedLinear"]
    assert normed(x).std().item() == pytest.approx(1, abs=0.02)
    before = [t.clone() for t in spectral.state_dict().values()]
    assert "deviation" in lsuv(spectral, x).rows[0].note, "it undoes every scale"
    assert equal(before, list(spectral.state_dict().values()))


def test_blocks_are_measured_where_they_end() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Sequential(nn.Linear(32, 32), nn.LeakyReLU(0.1)) for _ in range(6)])
    x = noise(64, 32)
    report = lsuv(model, x, layers="?", orthonormal=False)
    assert report.changed == list("012345")
    assert max(abs(s - 1) for s in deviations(model, x, "?")) <= 0.021
    moved = lsuv(model, x, layers="?", mean=True)  # behind a ReLU no bias makes the mean 0 ...
    assert all("mean" in row.note for row in moved.rows)
    assert all(row.after[1] == pytest.approx(1, abs=0.021) for row in moved.rows), "... so only the deviation is set"
    with pytest.raises(UsageError, match="2 layers with weights"):
        lsuv(nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))), noise(4, 2), layers="0")


def test_refusals() -> None:
    with pytest.raises(UsageError, match="E201"):
        lsuv(deep(1), noise(4, 48), layers="conv1")
    with pytest.raises(UsageError, match="tolerance=0"):
        lsuv(deep(1), noise(4, 48), tolerance=0)
    with pytest.raises(UsageError, match="no shape yet"):
        lsuv(nn.Sequential(nn.LazyLinear(3)), noise(4, 48))


@pytest.mark.parametrize(
    "name", ["resnet18", "cifar_resnet20", "vit_ti_16", "mixer_s_16", "convnext_tiny", "googlenet", "tabular_mlp", "bag"]
)
def test_any_model_of_the_registry(name: str) -> None:
    torch.manual_seed(0)
    small = MODELS[name].small
    model = create_model(name, **small)
    if name == "bag":
        x: Any = torch.randint(1, 50, (16, 7))
    elif name == "tabular_mlp":
        x = torch.randn(32, 3), torch.stack([torch.arange(32) % k for k in (4, 5)], 1)
    else:
        x = torch.randn(16, small["in_channels"], *small["image_size"])
    before = copy.deepcopy(model.state_dict())
    report = lsuv(model, x)
    assert report.changed
    assert all(row.after[1] == pytest.approx(1, abs=0.021) for row in report.rows if not row.note)
    assert all(torch.equal(before[k], b) for k, b in model.named_buffers() if k in before)


def test_layers_by_hand_are_scaled_alike() -> None:
    theirs, ours = cnn(), swap(cnn())
    x, _ = images()
    lsuv(theirs, x)
    lsuv(ours, x)
    for a, b in zip(theirs.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(a, b)
