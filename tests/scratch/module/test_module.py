"""Module behaves as torch.nn.Module: registration, walks, state dicts, hooks, conversions, containers, text, copies."""

from __future__ import annotations

import copy
from collections import OrderedDict
from types import ModuleType
from typing import Any

import pytest
import torch

import rungbook.scratch.module as ours

covers = ["M14"]

BOTH = pytest.mark.parametrize("nn", [torch.nn, ours], ids=["torch", "ours"])
"""What holds for both is a fact about torch, and ours has it too."""


def shared(nn: ModuleType) -> Any:
    """A module in which parts, parameters and buffers are used twice."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, 2)
            self.again = self.first
            self.tied = nn.Linear(2, 2)
            self.tied.weight = self.first.weight
            self.own = nn.Parameter(torch.zeros(2))
            self.register_parameter("absent", None)
            self.register_buffer("kept", torch.ones(2))
            self.register_buffer("unsaved", self.kept, persistent=False)
            self.register_buffer("count", torch.tensor(3))
            self.nothing: Any = None
            self.listed = nn.ModuleList([self.first, nn.Sequential(nn.ReLU())])

    return Net()


@BOTH
def test_what_is_assigned_is_found(nn: ModuleType) -> None:
    net = shared(nn)
    assert [n for n, _ in net.named_parameters()] == ["own", "first.weight", "first.bias", "tied.bias"]
    assert [n for n, _ in net.named_parameters(remove_duplicate=False)] == [
        *("own", "first.weight", "first.bias", "again.weight", "again.bias", "tied.weight", "tied.bias"),
        *("listed.0.weight", "listed.0.bias"),
    ]
    assert [n for n, _ in net.named_parameters(prefix="x", recurse=False)] == ["x.own"]
    assert [n for n, _ in net.named_buffers()] == ["kept", "count"]
    assert [n for n, _ in net.named_children()] == ["first", "tied", "listed"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "tied", "listed", "listed.1", "listed.1.0"]
    assert len(list(net.named_modules(remove_duplicate=False))) == 8
    assert list(net.state_dict()) == [
        *("own", "kept", "count", "first.weight", "first.bias", "again.weight", "again.bias", "tied.weight", "tied.bias"),
        *("listed.0.weight", "listed.0.bias"),
    ]
    assert {"own", "kept", "first"} <= set(dir(net))


@BOTH
def test_assigning_again(nn: ModuleType) -> None:
    net = shared(nn)
    net.own = None
    assert "own" not in dict(net.named_parameters())
    assert net.own is None
    net.own = nn.Parameter(torch.ones(2))
    assert net.state_dict()["own"].tolist() == [1, 1]
    net.kept = torch.zeros(2)
    assert dict(net.named_buffers())["kept"].tolist() == [0, 0]
    with pytest.raises(TypeError):
        net.own = torch.ones(2)
    with pytest.raises(TypeError):
        net.first = torch.ones(2)
    with pytest.raises(TypeError):
        net.kept = "text"
    net.first = nn.Parameter(torch.ones(1))  # what was a module is a parameter now
    assert "first" in dict(net.named_parameters())
    assert "first" not in dict(net.named_children())
    del net.first, net.kept, net.listed
    assert not hasattr(net, "first")
    assert not hasattr(net, "kept")
    net.late = 3
    del net.late
    with pytest.raises(AttributeError, match="late"):
        net.late  # noqa: B018
    with pytest.raises(AttributeError):
        del net.late


@BOTH
def test_names_that_cannot_be(nn: ModuleType) -> None:
    net = nn.Module()
    for register, value in (
        (net.register_parameter, None),
        (net.register_buffer, None),
        (net.add_module, nn.ReLU()),
    ):
        for name, error in (("", KeyError), ("a.b", KeyError), ("forward", KeyError), (3, TypeError)):
            with pytest.raises(error):
                register(name, value)
    for register in (net.register_parameter, net.register_buffer, net.add_module):
        with pytest.raises(TypeError):
            register("x", 3)

    class Early(nn.Module):
        def __init__(self) -> None:
            self.weight = nn.Parameter(torch.ones(1))

    with pytest.raises(AttributeError, match="before"):
        Early()
    with pytest.raises(NotImplementedError):
        net(1)


@BOTH
def test_paths(nn: ModuleType) -> None:
    net = shared(nn)
    assert net.get_submodule("") is net
    assert net.get_submodule("listed.1.0") is net.listed[1][0]
    assert net.get_parameter("tied.weight") is net.first.weight
    assert net.get_buffer("kept") is net.kept
    for get, path in (
        (net.get_submodule, "listed.7"),
        (net.get_parameter, "first.kept"),
        (net.get_parameter, "kept"),
        (net.get_buffer, "own"),
    ):
        with pytest.raises(AttributeError):
            get(path)


def test_paths_that_fail_are_told() -> None:
    with pytest.raises(AttributeError, match=r"listed has no part '7'; it has 0, 1"):
        shared(ours).get_submodule("listed.7.x")
    with pytest.raises(TypeError, match="own is a parameter of Net: assign a Parameter or None, not Tensor"):
        shared(ours).own = torch.ones(2)


@BOTH
def test_modes_and_gradients(nn: ModuleType) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 1)))
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert all(m.training for m in net.train().modules())
    with pytest.raises(ValueError, match="mode"):
        net.train("yes")
    net(torch.ones(1, 2)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all((p.grad == 0).all() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    assert not any(p.requires_grad for p in net.requires_grad_(False).parameters())
    seen: list[Any] = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "Dropout", "Linear", "Sequential", "Sequential"]


@BOTH
def test_conversions(nn: ModuleType) -> None:
    net = shared(nn)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    weight = net.first.weight
    net.first(torch.ones(2)).sum().backward()
    net.double()
    assert net.first.weight is weight is net.tied.weight
    assert weight.dtype == weight.grad.dtype == net.kept.dtype == torch.float64
    assert net.count.dtype == torch.int64
    optimizer.step()  # holds the very same parameters
    for convert, dtype in (("half", torch.float16), ("bfloat16", torch.bfloat16), ("float", torch.float32)):
        assert getattr(net, convert)().own.dtype == dtype
    assert net.to("cpu", torch.float64).own.dtype == torch.float64
    assert net.to(torch.ones(1)).own.dtype == torch.float32
    assert net.to(dtype=torch.float64).own.dtype == torch.float64
    assert net.to(device="meta").first.weight.is_meta
    with pytest.raises(TypeError, match="floating"):
        net.to(torch.int64)


def test_shared_buffers_stay_shared() -> None:
    net = shared(ours).double()
    assert net.kept is net.unsaved


@BOTH
def test_state_dicts(nn: ModuleType) -> None:
    net, other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = net.state_dict(prefix="model.")
    assert list(state) == ["model.0.weight", "model.0.bias", "model.1.weight", "model.1.bias"]
    assert not state["model.0.weight"].requires_grad
    assert state["model.0.weight"].data_ptr() == net[0].weight.data_ptr()
    assert net.state_dict(keep_vars=True)["0.weight"] is net[0].weight
    weight = other[0].weight
    result = other.load_state_dict(net.state_dict())
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert other[0].weight is weight
    assert torch.equal(weight, net[0].weight)
    partly = {"0.weight": torch.zeros(3, 2), "2.bias": torch.zeros(1)}
    result = other.load_state_dict(partly, strict=False)
    assert (result.missing_keys, result.unexpected_keys) == (["0.bias", "1.weight", "1.bias"], ["2.bias"])
    assert (weight == 0).all()
    with pytest.raises(RuntimeError):
        other.load_state_dict(partly)
    with pytest.raises(TypeError):
        other.load_state_dict([1])
    other.load_state_dict({k: v.double() for k, v in net.state_dict().items()}, assign=True)
    assert other[0].weight.dtype == torch.float64
    assert isinstance(other[0].weight, nn.Parameter)
    assert other[0].weight.requires_grad


def test_all_that_does_not_fit_is_told_and_nothing_has_changed() -> None:
    net = ours.Sequential(ours.Linear(2, 3), ours.Linear(3, 1))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    wrong = {"0.weight": torch.zeros(3, 2), "0.bias": torch.zeros(4), "1.weight": 3, "head.bias": torch.zeros(1)}
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(wrong)
    for words in (
        "fit Sequential",
        "0.bias: shape (4,) given, (3,) needed",
        "1.weight: int given",
        "missing: 1.bias",
        "unexpected: head.bias",
    ):
        assert words in str(caught.value)
    with pytest.raises(RuntimeError, match=r"0\.bias"):
        net.load_state_dict(wrong, strict=False)  # shapes must fit all the same
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    kept = theirs[0].weight.clone()
    with pytest.raises(RuntimeError):
        theirs.load_state_dict(wrong | {"1.weight": torch.zeros(1, 3)})
    assert not torch.equal(theirs[0].weight, kept)  # torch's is half loaded by now


@BOTH
def test_hooks_on_state_dicts(nn: ModuleType) -> None:
    net = nn.Sequential(nn.Linear(1, 1, bias=False))
    calls: list[str] = []
    net.register_state_dict_pre_hook(lambda module, prefix, keep_vars: calls.append(f"before {prefix}"))

    def rename(module: Any, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        state["renamed"] = state.pop("0.weight")

    net.register_state_dict_post_hook(rename)
    state = net.state_dict()
    assert (list(state), calls) == (["renamed"], ["before "])

    def back(module: Any, state: dict[str, Any], prefix: str, metadata: Any, strict: bool, *problems: list[str]) -> None:
        state["0.weight"] = state.pop("renamed") * 0 + 5

    net.register_load_state_dict_pre_hook(back)
    handle = net.register_load_state_dict_post_hook(lambda module, keys: calls.append(str(keys.missing_keys)))
    net.load_state_dict(state)
    assert net[0].weight.item() == 5
    assert calls == ["before ", "[]"]
    assert list(state) == ["renamed"]  # the hook worked on a copy
    handle.remove()
    net.load_state_dict(state)
    assert len(calls) == 2


@BOTH
def test_hooks_on_calls(nn: ModuleType) -> None:
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(2)
    x = torch.ones(1)
    first = layer.register_forward_pre_hook(lambda module, inputs: inputs[0] * 3)
    assert layer(x).item() == 6
    with layer.register_forward_hook(lambda module, inputs, output: output + inputs[0]):
        assert layer(x).item() == 9
    first.remove()
    first.remove()
    assert layer(x).item() == 2
    layer.register_forward_pre_hook(lambda module, inputs, options: (inputs, {"input": options["input"] * 10}), with_kwargs=True)
    layer.register_forward_hook(lambda module, inputs, options, output: output + options["input"], with_kwargs=True)
    assert layer(input=x).item() == 30


@BOTH
def test_hooks_on_gradients(nn: ModuleType) -> None:
    class Two(nn.Module):
        def forward(self, x: Any, y: Any, n: int) -> Any:
            return x * y, y * n

    seen: list[Any] = []
    module = Two()
    module.register_full_backward_pre_hook(lambda m, of_output: tuple(2 * g for g in of_output))
    handle = module.register_full_backward_hook(lambda m, of_input, of_output: seen.append((of_input, of_output)))
    x, y = torch.tensor(3.0, requires_grad=True), torch.tensor(5.0, requires_grad=True)
    a, b = module(x, y, 7)
    (a + b).backward()
    assert (x.grad.item(), y.grad.item()) == (10, 20)
    ((of_input, of_output),) = seen
    assert [g if g is None else g.item() for g in of_input] == [10, 20, None]
    assert [g.item() for g in of_output] == [2, 2]
    handle.remove()
    module.register_full_backward_hook(lambda m, of_input, of_output: (of_input[0] * 0, *of_input[1:]))
    x.grad = y.grad = None
    sum(module(x, y, 7)).backward()
    assert (x.grad.item(), y.grad.item()) == (0, 20)
    layer = nn.Linear(1, 1)
    of_layer: list[Any] = []
    layer.register_full_backward_hook(lambda m, of_input, of_output: of_layer.append((of_input, of_output[0].item())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *a, **k: None)  # torch tells that no input needs a gradient
        layer(torch.ones(1)).backward()
    assert of_layer == [((None,), 1)]


@BOTH
def test_sequential(nn: ModuleType) -> None:
    a, b, c = nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)
    net = nn.Sequential(a, b)
    assert net.append(c) is net
    assert (len(net), net[0], net[-1], list(net)) == (3, a, c, [a, b, c])
    assert [n for n, _ in net[1:].named_children()] == ["1", "2"]
    assert list(net[::2]) == [a, c]
    net.insert(1, nn.Sigmoid())
    assert [type(m).__name__ for m in net] == ["Linear", "Sigmoid", "ReLU", "Linear"]
    del net[1]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    net[1] = nn.Sigmoid()
    del net[:2]
    assert list(net) == [c]
    assert net.extend([a, b]) is net
    assert net.pop(0) is c
    assert list(net) == [a, b]
    assert list(net.state_dict()) == ["0.weight", "0.bias"]
    with pytest.raises(IndexError):
        net[2]
    with pytest.raises(TypeError):
        nn.Sequential(3)
    named = nn.Sequential(OrderedDict(one=a, two=b))
    assert (named.one, named[1]) == (a, b)
    named[0] = c
    assert named.one is c


@BOTH
def test_lists_and_dicts(nn: ModuleType) -> None:
    a, b, c = nn.Linear(1, 1), nn.Linear(1, 1), nn.ReLU()
    parts = nn.ModuleList([a]) + nn.ModuleList([b, c])
    assert list(parts) == [a, b, c]
    assert list(parts[1:].state_dict()) == ["0.weight", "0.bias"]
    parts.insert(0, c)
    assert list(parts.state_dict()) == ["1.weight", "1.bias", "2.weight", "2.bias"]
    assert parts.pop(-1) is c
    table = nn.ModuleDict({"a": a, "c": c})
    table["b"] = b
    table.update([("a", c)])
    assert (list(table), list(table.keys()), "b" in table, len(table), table["a"]) == (["a", "c", "b"], ["a", "c", "b"], True, 3, c)
    assert list(table.items()) == [("a", c), ("c", c), ("b", b)]
    assert list(table.values()) == [c, c, b]
    assert table.pop("b") is b
    del table["c"]
    assert list(table) == ["a"]
    table.clear()
    assert len(table) == 0
    numbers = nn.ParameterList([nn.Parameter(torch.ones(2)), torch.zeros(2, 3)])
    assert [n for n, _ in numbers.named_parameters()] == ["0", "1"]
    assert isinstance(numbers[-1], nn.Parameter)
    numbers.append(torch.ones(()))
    numbers[0] = nn.Parameter(torch.zeros(2))
    assert [tuple(p.shape) for p in numbers] == [(2,), (2, 3), ()]
    assert len(numbers[1:]) == 2
    for parts in (nn.ModuleList([a]), numbers):
        with pytest.raises(IndexError):
            parts[7]
    plain = nn.Module()
    plain.parts = [a]
    assert list(plain.parameters()) == []  # what a plain list hides


def test_a_parameter_list_holds_tensors() -> None:
    with pytest.raises(TypeError, match="str"):
        ours.ParameterList(["a"])


def test_text() -> None:
    def net(nn: ModuleType) -> Any:
        class Lines(nn.Module):
            def extra_repr(self) -> str:
                return "one\ntwo"

        return nn.Sequential(
            nn.ModuleList([nn.Linear(1, 2), nn.Linear(1, 2), nn.Sequential(nn.GELU()), nn.Linear(1, 2, bias=False)]),
            nn.ModuleDict({"pool": nn.MaxPool2d((2, 1)), "mean": nn.AvgPool2d(3, stride=1, padding=1)}),
            *(nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.Embedding(3, 4), nn.LayerNorm((2, 3)), nn.LayerNorm(3, bias=False)),
            *(nn.Dropout(), nn.Flatten(0), nn.Sigmoid(), nn.ReLU(), nn.Sequential(), nn.ModuleList(), Lines()),
            nn.ParameterList([torch.ones(1, 2), torch.ones(())]),
        )

    assert repr(net(ours)) == repr(net(torch.nn))
    for nn in (ours, torch.nn):
        assert repr(nn.Parameter(torch.ones(2))) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"


@BOTH
def test_copies(nn: ModuleType) -> None:
    net = shared(nn)
    twin = copy.deepcopy(net)
    assert twin.first.weight is twin.tied.weight
    assert twin.first.weight is not net.first.weight
    assert isinstance(twin.own, nn.Parameter)
    assert twin.kept is twin.unsaved
    assert list(twin.state_dict()) == list(net.state_dict())
    with torch.no_grad():
        twin.own += 1
    assert net.own.tolist() == [0, 0]
    twin.new = nn.Linear(1, 1)
    assert not hasattr(net, "new")


@BOTH
def test_parameters_are_tensors(nn: ModuleType) -> None:
    data = torch.ones(2)
    p = nn.Parameter(data)
    assert p.data_ptr() == data.data_ptr()
    assert p.requires_grad
    assert p.is_leaf
    assert type(p * 2) is torch.Tensor
    assert isinstance(p, torch.Tensor)
    assert not nn.Parameter(torch.arange(3), requires_grad=False).requires_grad
    assert nn.Parameter().shape == (0,)
    (p * p).sum().backward()
    assert p.grad.tolist() == [2, 2]
    torch.optim.SGD([p], lr=0.5).step()
    assert data.tolist() == [0, 0]


def test_torchs_parameters_count_too() -> None:
    net = ours.Module()
    net.weight = torch.nn.Parameter(torch.ones(1))
    assert [n for n, _ in net.named_parameters()] == ["weight"]


def test_modules_of_both_kinds_do_not_mix() -> None:
    with pytest.raises(TypeError, match="Linear"):
        ours.Sequential(torch.nn.Linear(1, 1))
