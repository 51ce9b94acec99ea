"""Layers and functions of ours in torch's place, in models of any kind."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.scratch import functional
from rungbook.scratch import nn as ours
from rungbook.scratch.mode import scratch
from rungbook.scratch.swap import swap, swap_report, unswap
from rungbook.scratch.twins import FUNCTIONS, TWINS


class Odd(nn.Linear):
    """Looks like a Linear and is none."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * 2


class Scaled(nn.Module):
    """Holds a parameter of its own beside a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.scale


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), Odd(3, 3), Scaled(), nn.Sequential(nn.Linear(3, 2)))


def test_outputs_gradients_and_the_very_same_parameters() -> None:
    a = model()
    b = copy.deepcopy(a)
    before = [id(p) for p in b.parameters()]
    assert swap(b) is b
    assert [id(p) for p in b.parameters()] == before
    assert type(b[0]) is ours.Linear
    assert list(a.state_dict()) == list(b.state_dict())
    x = torch.randn(5, 4)
    for m in (a, b):
        m(x).square().sum().backward()
    assert torch.equal(a(x), b(x))
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


def test_what_is_no_torch_layer_is_left_and_listed() -> None:
    m = swap(model())
    report = swap_report(m)
    assert report.swapped == {"0": "Linear", "1": "ReLU", "3.inner": "Linear", "4.0": "Linear"}
    assert report.left == {"2": "Odd", "3": "Scaled"}
    assert str(report) == "swapped: 3 Linear, 1 ReLU\nleft alone: 1 Odd, 1 Scaled"
    assert torch.equal(m[2](torch.ones(1, 3)), nn.Linear.forward(m[2], torch.ones(1, 3)) * 2), "it computes what it did"


def test_strict_refuses_and_changes_nothing() -> None:
    m = model()
    with pytest.raises(ValueError, match=r"2 parts have no twin:\n  2: Odd\n  3: Scaled"):
        swap(m, strict=True)
    assert not swap_report(m).swapped
    swap(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), strict=True)


def test_only_some() -> None:
    m = swap(model(), only={nn.ReLU})
    assert swap_report(m).swapped == {"1": "ReLU"}
    with pytest.raises(ValueError, match=r"class 'test_swap.Odd'|Odd"):
        swap(m, only={Odd})
    with pytest.raises(ValueError, match=r"did you mean torch.nn.Linear"):
        swap(m, only={type("Linaer", (nn.Module,), {})})


def test_the_root_tied_layers_hooks_modes_and_optimisers() -> None:
    root = swap(nn.Linear(2, 2))
    assert type(root) is ours.Linear
    shared = nn.Linear(3, 3)
    tied = nn.Sequential(shared, nn.ReLU(), shared).eval()
    tied[1].weight = shared.weight  # a parameter where torch has none stays where it is
    calls: list[str] = []
    tied[0].register_forward_hook(lambda *_: calls.append("hook"))
    optimizer = torch.optim.SGD(tied.parameters(), lr=1.0)
    swap(tied)
    assert tied[0] is tied[2]
    assert not tied.training
    assert not tied[0].training
    before = tied[0].weight.detach().clone()
    tied(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert calls == ["hook", "hook"]
    assert not torch.equal(before, tied[0].weight)


def test_parametrized_layers_keep_their_parametrization() -> None:
    m = nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))
    x = torch.randn(3, 4)
    wanted, keys = m(x), list(m.state_dict())
    swap(m)
    assert isinstance(m, ours.Linear)
    assert torch.equal(m(x), wanted)
    assert list(m.state_dict()) == keys
    nn.utils.parametrize.remove_parametrizations(m, "weight")
    assert torch.allclose(m(x), wanted)


def test_and_back() -> None:
    m = unswap(swap(model()))
    assert type(m[0]) is nn.Linear
    assert not swap_report(m).swapped


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_parametrized_layers_come_back(norm: Callable[[nn.Module], nn.Module]) -> None:
    m = norm(nn.Linear(4, 2)).eval()
    x = torch.randn(3, 4)
    wanted = m(x)
    unswap(swap(m))
    assert isinstance(m, nn.Linear)
    assert not swap_report(m).swapped
    assert torch.equal(m(x), wanted)
    nn.utils.parametrize.remove_parametrizations(m, "weight")
    assert type(m) is nn.Linear


def test_what_is_no_model_and_one_class_alone() -> None:
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module"):
        swap([nn.Linear(2, 2)])  # type: ignore[arg-type]
    assert swap_report(swap(model(), only=nn.ReLU)).swapped == {"1": "ReLU"}


def test_the_table_is_read_off_by_name() -> None:
    assert TWINS[nn.Linear] is ours.Linear
    assert all(theirs.__name__ == twin.__name__ for theirs, twin in TWINS.items())
    assert FUNCTIONS[F.relu] is functional.relu


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of our functions as they are called."""
    called: list[str] = []

    def counting(name: str, f: object) -> object:
        def count(*args: object, **kwargs: object) -> object:
            called.append(name)
            return f(*args, **kwargs)  # type: ignore[operator]

        return count

    for theirs, twin in list(FUNCTIONS.items()):
        monkeypatch.setitem(FUNCTIONS, theirs, counting(twin.__name__, twin))
    return called


def test_functions_of_every_spelling(counted: list[str]) -> None:
    x, w = torch.randn(2, 3), torch.randn(4, 3)
    with scratch():
        F.linear(x, w)
        F.relu(x)
        torch.relu(x)
        x.relu()
    assert counted == ["linear", "relu", "relu", "relu"]
    F.relu(x)
    assert len(counted) == 4, "outside it is torch's again"


def test_only_some_functions(counted: list[str]) -> None:
    x = torch.randn(2, 3)
    with scratch(only=[F.relu]):
        F.relu(x)
        F.linear(x, x)
    with scratch(only=F.relu):
        x.relu()
        F.relu(x)
    assert counted == ["relu", "relu"]
    with pytest.raises(ValueError, match="no twin for matmul"):
        scratch(only=[torch.matmul])
