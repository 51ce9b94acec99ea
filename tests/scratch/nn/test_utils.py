"""Weight norm, spectral norm, clipping, parameters as a vector: against torch.nn.utils."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.utils as torch_utils
from torch import Tensor
from torch.nn.utils import parametrizations as torch_parametrizations
from torch.nn.utils import parametrize as torch_parametrize

from rungbook.scratch.nn import utils
from rungbook.scratch.nn.utils import parametrizations, parametrize

covers = ["I09"]

LAYERS: dict[str, tuple[Callable[[], torch.nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: torch.nn.Linear(5, 4), (3, 5)),
    "conv": (lambda: torch.nn.Conv2d(2, 3, 2), (1, 2, 4, 4)),
    "transposed": (lambda: torch.nn.ConvTranspose2d(2, 3, 2), (1, 2, 4, 4)),
}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("weight_norm", {}),
    ("weight_norm", {"dim": None}),
    ("weight_norm", {"dim": 1}),
    ("weight_norm", {"name": "bias"}),
    ("spectral_norm", {}),
    ("spectral_norm", {"n_power_iterations": 3, "dim": 1, "eps": 1e-6}),
    ("spectral_norm", {"name": "bias"}),
]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("name", "options"), CALLS)
def test_as_torch(name: str, options: dict[str, Any], layer: str) -> None:
    """Same draws, names, values and gradients, through two steps of the power iteration and in evaluation."""
    make, shape = LAYERS[layer]
    if layer == "transposed" and options == {"name": "bias"} and name == "spectral_norm":
        options = {"name": "bias", "dim": 0}  # the usual dim of such a layer is one that a bias has not
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for module in (parametrizations, torch_parametrizations):
        torch.manual_seed(0)
        model = getattr(module, name)(make().double(), **options)
        values = [model(x), model(x)]
        gradients = torch.autograd.grad(sum((y.square().sum() for y in values), torch.zeros(())), list(model.parameters()))
        model.eval()
        found.append((repr(model), list(model.state_dict()), [*values, *gradients, model(x), *model.state_dict().values()]))
    assert found[0][:2] == found[1][:2]
    for ours, theirs in zip(found[0][2], found[1][2], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_checkpoints_go_both_ways(name: str) -> None:
    ours, theirs = getattr(parametrizations, name)(torch.nn.Linear(5, 4)), getattr(torch_parametrizations, name)(torch.nn.Linear(5, 4))
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours.eval().weight, theirs.eval().weight)
    theirs.load_state_dict(getattr(parametrizations, name)(torch.nn.Linear(5, 4)).state_dict())


def test_checkpoint_of_the_former_weight_norm() -> None:
    with pytest.warns(FutureWarning):
        former = torch_utils.weight_norm(torch.nn.Linear(5, 4))
    ours = parametrizations.weight_norm(torch.nn.Linear(5, 4))
    ours.load_state_dict(former.state_dict())
    x = torch.randn(2, 5)
    torch.testing.assert_close(ours(x), former(x))


def test_largest_singular_value_is_one() -> None:
    layer = parametrizations.spectral_norm(torch.nn.Linear(6, 8), n_power_iterations=50)
    assert float(torch.linalg.svdvals(layer.weight.detach())[0]) == pytest.approx(1, abs=1e-4)


class Doubled(torch.nn.Module):
    """A parametrization with a way back."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x

    def right_inverse(self, y: Tensor) -> Tensor:
        return y / 2


def test_register_assign_remove() -> None:
    layer = torch.nn.Linear(3, 2)
    before, parameter = layer.weight.detach().clone(), layer.weight
    parametrize.register_parametrization(layer, "weight", Doubled())
    parametrize.register_parametrization(layer, "weight", Doubled())
    assert torch_parametrize.is_parametrized(layer, "weight")
    assert parametrize.is_parametrized(layer)
    torch.testing.assert_close(layer.weight, 2 * before)  # the second has no start of its own
    layer.weight = before
    torch.testing.assert_close(layer.weight, before)
    torch.testing.assert_close(layer.parametrizations.weight.original, before / 4)
    twin = copy.deepcopy(layer)
    torch.testing.assert_close(twin.weight, layer.weight)
    with pytest.raises(RuntimeError, match="state_dict"):
        pickle.dumps(layer)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is torch.nn.Linear
    assert layer.weight is parameter
    torch.testing.assert_close(layer.weight.detach(), before)
    assert parametrize.is_parametrized(twin)


def test_remove_weight_norm() -> None:
    layer = parametrizations.weight_norm(torch.nn.Linear(3, 2))
    value = layer.weight.detach().clone()
    with pytest.raises(ValueError, match="2 tensors"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    parametrize.remove_parametrizations(layer, "weight")
    torch.testing.assert_close(layer.weight.detach(), value)
    assert sorted(layer.state_dict()) == ["bias", "weight"]


class Cut(torch.nn.Module):
    """A parametrization that changes the shape."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:1]


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3\) came out"):
        parametrize.register_parametrization(torch.nn.Linear(3, 2), "weight", Cut())
    with pytest.raises(ValueError, match="'wait'"):
        parametrize.register_parametrization(torch.nn.Linear(3, 2), "wait", Cut())
    with pytest.raises(ValueError, match="no parametrization"):
        parametrize.remove_parametrizations(torch.nn.Linear(3, 2), "weight")
    with pytest.raises(ValueError, match="at least 1"):
        parametrizations.spectral_norm(torch.nn.Linear(3, 2), n_power_iterations=0)
    with pytest.raises(IndexError, match="dim is 2"):
        parametrizations.spectral_norm(torch.nn.Linear(3, 2), dim=2)


def with_gradients() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.zeros(shape, requires_grad=True) for shape in ((3, 4), (5,), ())]
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=generator)
    return [*parameters, torch.zeros(2, requires_grad=True)]  # the last has none


@pytest.mark.parametrize("max_norm", [0.1, 100.0])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf"), 0.5])
def test_clip_norm(norm_type: float, max_norm: float) -> None:
    ours, theirs = with_gradients(), with_gradients()
    total = utils.clip_grad_norm_(iter(ours), max_norm, norm_type)
    torch.testing.assert_close(total, torch_utils.clip_grad_norm_(theirs, max_norm, norm_type))
    torch.testing.assert_close([p.grad for p in ours[:3]], [p.grad for p in theirs[:3]])
    assert ours[3].grad is None


def test_clip_value_and_failures() -> None:
    ours, theirs = with_gradients(), with_gradients()
    utils.clip_grad_value_(ours, 0.3)
    torch_utils.clip_grad_value_(theirs, 0.3)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(ours[:3], theirs[:3], strict=True))
    ours[0].grad[0, 0] = float("nan")
    with pytest.raises(RuntimeError, match="nan"):
        utils.clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)
    assert utils.clip_grad_norm_([], 1.0) == torch_utils.clip_grad_norm_([], 1.0)


def test_vector_and_back() -> None:
    layer = torch.nn.Linear(3, 2)
    vector = utils.parameters_to_vector(layer.parameters())
    assert torch.equal(vector, torch_utils.parameters_to_vector(layer.parameters()))
    target = torch.arange(8.0)
    utils.vector_to_parameters(target, layer.parameters())
    assert torch.equal(layer.weight.detach(), target[:6].view(2, 3))
    assert torch.equal(layer.bias.detach(), target[6:])
    assert layer.weight.requires_grad
    with pytest.raises(TypeError, match="list"):
        utils.vector_to_parameters([1.0], layer.parameters())  # type: ignore[arg-type]
