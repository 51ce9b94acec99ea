"""Our optimisers in the place of torch's: with its schedulers, scaler, hooks and compiler, under autograd, in low precision."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rungbook.scratch import optim

SIMPLE = ["ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "LAMB", "LARS", "Lion", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD"]


def bowl(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Callable[[], Tensor]]:
    """A parameter and the loss of it."""
    p = torch.linspace(-1, 2, max(1, int(torch.tensor(shape).prod())), dtype=dtype).reshape(shape).requires_grad_()
    return p, lambda: ((p - 0.5) ** 2).sum()


@pytest.mark.parametrize("name", [*SIMPLE, "Adafactor", "Muon", "LBFGS"])
def test_loss_falls_and_closures_are_answered(name: str) -> None:
    p, loss = bowl(4, 3)
    optimizer = getattr(optim, name)([p], **({} if name == "Muon" else {"lr": 0.01}))

    def closure() -> Tensor:
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    with torch.no_grad():
        first = optimizer.step(closure)
        for _ in range(20):
            last = optimizer.step(closure)
    assert last < first
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert name in repr(optimizer)


@pytest.mark.parametrize("name", SIMPLE)
def test_state_resumes_bit_for_bit(name: str) -> None:
    p, loss = bowl(4, 3)
    optimizer = getattr(optim, name)([p])
    for _ in range(3):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    q = p.detach().clone().requires_grad_()
    other = getattr(optim, name)([q])
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(3):
        for x, o in ((p, optimizer), (q, other)):
            x.grad = 2 * (x.detach() - 0.5)
            o.step()
    assert torch.equal(p, q)


@pytest.mark.parametrize("name", [*SIMPLE, "Adafactor", "Muon", "LBFGS"])
def test_copies_go_on_alike(name: str) -> None:
    p, _ = bowl(4, 3)
    optimizer = getattr(optim, name)([p])
    p.grad = p.detach() - 0.5
    optimizer.step(lambda: torch.zeros(()))
    other = copy.deepcopy(optimizer)
    (q,) = other.param_groups[0]["params"]
    assert q is not p
    q.grad = p.grad.clone()
    for o in (optimizer, other):
        o.step(lambda: torch.zeros(()))
    assert torch.equal(p, q)


def test_nothing_is_remembered_of_what_has_no_gradient() -> None:
    p, q = torch.ones(2).requires_grad_(), torch.ones(2).requires_grad_()
    p.grad = torch.ones(2)
    for optimizer in (optim.Adam([p, q]), optim.SGD([p, q], lr=0.1, momentum=0.9), optim.LAMB([p, q])):
        optimizer.step()
        assert list(optimizer.state) == [p]
    assert torch.equal(q, torch.ones(2))
    plain = optim.SGD([p], lr=0.1)
    plain.step()
    assert not plain.state


def test_groups_added_later_and_names() -> None:
    p, q = torch.zeros(2).requires_grad_(), torch.zeros(2).requires_grad_()
    optimizer = optim.SGD([("first", p)], lr=0.1)
    optimizer.add_param_group({"params": [("second", q)], "lr": 1.0})
    p.grad = q.grad = torch.ones(2)
    optimizer.step()
    assert p[0].item() == pytest.approx(-0.1)
    assert q[0].item() == -1.0
    assert [g["param_names"] for g in optimizer.param_groups] == [["first"], ["second"]]


def test_hooks_are_called() -> None:
    p, _ = bowl(2)
    p.grad = torch.ones(2)
    called = []
    optimizer = optim.Adam([p])
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    optimizer.step()
    assert called == ["before", "after"]


@pytest.mark.parametrize("fused", [None, True])
def test_torch_scaler_skips_a_step_with_infinities(fused: bool | None) -> None:
    p, _ = bowl(3)
    before = p.detach().clone()
    optimizer = optim.Adam([p], lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(p.sum() * float("inf")).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(p, before)
    optimizer.zero_grad()
    scaler.scale((p * torch.tensor([1.0, 2.0, 3.0])).sum()).backward()
    scaler.step(optimizer)
    torch.testing.assert_close(p.grad, torch.tensor([1.0, 2.0, 3.0]))  # the scale was taken out
    torch.testing.assert_close(p.detach(), before - 0.1)


@pytest.mark.parametrize("name", ["ASGD", "Adadelta", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop"])
def test_graphs_are_captured_on_accelerators_only(name: str) -> None:
    p, _ = bowl(2)
    p.grad = torch.ones(2)
    with pytest.raises(AssertionError, match="capturable"):
        getattr(optim, name)([p], capturable=True).step()


@pytest.mark.parametrize("name", [n for n in SIMPLE if n not in ("LAMB", "LARS", "Lion")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_stays_near_torch(name: str, dtype: torch.dtype) -> None:
    options: dict[str, Any] = {} if dtype != torch.float16 else {"lr": 0.01}
    found = []
    for module in (torch.optim, optim):
        p, _ = bowl(4, 3, dtype=dtype)
        optimizer = getattr(module, name)([p], **options)
        for _ in range(5):
            p.grad = (p.detach() - 0.5) * 0.5 + 0.1
            optimizer.step()
        found.append(p.detach())
    assert found[1].dtype == dtype
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(found[1], found[0], rtol=16 * eps, atol=16 * eps)


SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"weight_decay": 0.1}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {"weight_decay": 0.1}),
    ("Adamax", {}),
    ("NAdam", {}),
    ("RAdam", {"betas": (0.5, 0.7)}),
    ("Adagrad", {"lr_decay": 0.1}),
    ("Adadelta", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("ASGD", {}),
    ("Rprop", {}),
]


@pytest.mark.parametrize(("name", "options"), SETTINGS)
def test_autograd_passes_through_steps(name: str, options: dict[str, Any]) -> None:
    """Against differences: how the loss after four steps depends on what the parameter and the gradients were."""

    def end(start: Tensor, push: Tensor) -> Tensor:
        p = start.clone()
        optimizer = getattr(optim, name)([p], differentiable=True, **options)
        for i in range(4):
            p.grad = push * (1 + i) + 0.3 * start
            optimizer.step()
        return (p**2).sum()

    start = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    push = torch.tensor([1.0, -0.3, 0.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(end, [start, push], eps=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("SGD", ["lr", "weight_decay"]),
        ("Adam", ["lr", "beta1", "beta2", "weight_decay"]),
        ("AdamW", ["lr", "weight_decay"]),
        ("NAdam", ["lr"]),
        ("RAdam", ["lr"]),
        ("Adagrad", ["lr"]),
        ("RMSprop", ["lr"]),
        ("Adadelta", ["lr"]),
        ("Adamax", ["lr"]),
    ],
)
def test_autograd_reaches_hyperparameters(name: str, wanted: list[str]) -> None:
    """Against differences: how the loss after three steps depends on learning rate, decay and betas."""

    def end(values: Tensor) -> Tensor:
        given = dict(zip(wanted, values, strict=True))
        options: dict[str, Any] = {k: v for k, v in given.items() if not k.startswith("beta")}
        if "beta1" in given:
            options["betas"] = (given["beta1"], given["beta2"])
        p = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True).clone()
        optimizer = getattr(optim, name)([p], differentiable=True, **options)
        for i in range(3):
            p.grad = torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64) * (1 + i) + 0.1
            optimizer.step()
        return (p**3).sum()

    at = torch.tensor([{"lr": 0.1, "beta1": 0.8, "beta2": 0.9, "weight_decay": 0.2}[w] for w in wanted], dtype=torch.float64)
    assert torch.autograd.gradcheck(end, [at.requires_grad_()], eps=1e-6, atol=1e-6)


def test_unwritten_step_says_so() -> None:
    class Nothing(optim.optimizer.PerParameter):
        pass

    p, _ = bowl(1)
    p.grad = torch.ones(1)
    with pytest.raises(NotImplementedError, match="Nothing"):
        Nothing([p], {"lr": 0.1}).step()


@pytest.mark.parametrize("options", [{"fused": True, "foreach": True}, {"fused": True, "differentiable": True}])
def test_hints_exclude_each_other(options: dict[str, bool]) -> None:
    for cls in (optim.SGD, optim.Adam, optim.Adagrad):
        with pytest.raises(RuntimeError, match="fused"):
            cls([torch.zeros(1).requires_grad_()], **options)  # type: ignore[arg-type]


def test_state_of_another_optimiser_does_not_turn_off_decoupled_decay() -> None:
    p, _ = bowl(2)
    adamw = optim.AdamW([p])
    adamw.load_state_dict(optim.Adam([p]).state_dict())
    assert adamw.param_groups[0]["decoupled_weight_decay"]


def test_adagrad_shares_its_sums() -> None:
    p, _ = bowl(2)
    optimizer = optim.Adagrad([p])
    optimizer.share_memory()
    assert optimizer.state[p]["sum"].is_shared()


def test_adafactor_remembers_a_row_and_a_column() -> None:
    p, _ = bowl(40, 30)
    p.grad = torch.ones(40, 30)
    optimizer = optim.Adafactor([p])
    optimizer.step()
    assert sum(x.numel() for x in optimizer.state[p].values()) == 40 + 30 + 1
