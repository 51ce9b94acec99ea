"""The tape's promises: what it answers, what it refuses and in which words, what it holds."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from rungbook.scratch.autograd.faults import MissingRule, OverwrittenTensor, TapeError, UnreachedTensor
from rungbook.scratch.autograd.rules import RULES
from rungbook.scratch.autograd.tape import Tape

covers = ["F02"]

aten = torch.ops.aten


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()


def test_the_first_example_of_autograd() -> None:
    x = torch.ones(2, 2)
    with Tape() as tape:
        tape.watch(x)
        z = (3 * (x + 2) ** 2).mean()
    g = tape.gradient(z, x)
    assert torch.equal(g, torch.full((2, 2), 4.5))
    assert g.sum() == 18


def test_answers_have_the_form_of_the_question() -> None:
    x, y, model = numbers(3), numbers(3, seed=1), network()
    tape = Tape(persistent=True)
    tape.watch(x, model, second=y)
    with tape:
        hidden = x * y
        loss = model(hidden).square().sum()
    one, two = tape.gradient(loss, [x, y])
    assert torch.equal(tape.gradient(loss, x), one)
    assert torch.equal(tape.gradient(loss, {"a": x, "b": y})["b"], two)
    assert list(tape.gradient(loss, model)) == [name for name, _ in model.named_parameters()]
    assert set(tape.gradient(loss)) == {*dict(model.named_parameters()), "second", "watched tensor 0 of shape (3,)"}
    assert torch.allclose(tape.gradient(loss, hidden) * y, one, atol=0, rtol=1e-15)


def test_output_gradient() -> None:
    x, weight = numbers(4), numbers(4, seed=1)
    with Tape(persistent=True) as tape:
        tape.watch(x)
        y = x.exp()
    assert torch.allclose(tape.gradient(y, x, weight), weight * x.exp())
    with pytest.raises(TapeError, match=r"shape \(4,\): give an output_gradient"):
        tape.gradient(y, x)
    with pytest.raises(TapeError, match=r"output_gradient has shape \(2,\), output has \(4,\)"):
        tape.gradient(y, x, weight[:2])


def test_backward_adds_to_grad_as_torch_does() -> None:
    ours, theirs = network(), network()
    tape, x = Tape(), numbers(6, 3)
    tape.watch(ours)
    for part in x.split(2):
        with tape:
            loss = ours(part).square().mean()
        tape.backward(loss, torch.tensor(0.5, dtype=torch.float64))
        (theirs(part).square().mean() * 0.5).backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert p.grad is not None
        assert torch.allclose(p.grad, q.grad, atol=1e-15)
        assert p.grad.stride() == q.grad.stride()
    kept = [p.grad for p in ours.parameters()]
    with tape:
        loss = ours(x).sum()
    tape.backward(loss)
    assert all(p.grad is g for p, g in zip(ours.parameters(), kept, strict=True)), "added in place"


def test_grads_share_no_memory() -> None:
    """An addition hands the same gradient to both of its terms, and a sum an expanded one."""
    a, b = numbers(3).requires_grad_(), numbers(3, seed=1).requires_grad_()
    tape = Tape()
    tape.watch(a, b)
    with tape:
        loss = (a + b).sum()
    tape.backward(loss)
    a.grad.add_(1)
    assert b.grad.tolist() == [1, 1, 1]


def test_several_passes_in_one_recording() -> None:
    model, x = network(), numbers(4, 3)
    with Tape() as tape:
        tape.watch(model)
        loss = sum((model(part).square().sum() for part in x.split(2)), torch.zeros((), dtype=torch.float64))
    found = tape.gradient(loss, model)
    wanted = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    assert all(torch.allclose(g, w) for g, w in zip(found.values(), wanted, strict=True))


def test_a_recording_is_used_once() -> None:
    x = numbers(3)
    tape = Tape()
    tape.watch(x)
    with tape:
        y = x.square().sum()
    assert len(tape) == 2
    tape.gradient(y, x)
    assert len(tape) == 0
    with pytest.raises(TapeError, match=r"used and dropped by an earlier gradient.*persistent=True"):
        tape.gradient(y, x)
    with tape:
        y = x.square().sum()
    assert torch.allclose(tape.gradient(y, x), 2 * x)


def test_what_is_used_is_let_go() -> None:
    x, seen = numbers(3), []

    def noted(g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        gc.collect()
        seen.append(later() is None)
        return g * y

    tape = Tape(rules={aten.exp.default: (noted,)})
    tape.watch(x)
    with tape:
        y = x.exp().sin()
        later = weakref.ref(y)
        loss = y.sum()
        del y
    last = weakref.ref(loss)
    assert later() is not None
    tape.gradient(loss, x)
    assert seen == [True], "what lies behind is dropped on the way, not at the end"
    del loss
    assert last() is None

    tape = Tape(persistent=True)
    tape.watch(x)
    with tape:
        y = x.exp()
        kept = weakref.ref(y)
        loss = y.sum()
        del y
    tape.gradient(loss, x)
    assert kept() is not None
    with tape:
        pass
    assert kept() is None, "a new recording drops the last"


def test_a_tape_leaves_no_cycle() -> None:
    gc.disable()
    try:
        tape = Tape()
        x = numbers(3)
        tape.watch(x)
        with tape:
            loss = x.exp().sum()
        gone = weakref.ref(x)
        del x
        tape.gradient(loss)
        del tape, loss
        assert gone() is None
    finally:
        gc.enable()


def test_watched_within_a_block_for_that_block() -> None:
    """A loop that watches new inputs at each step keeps none of them."""
    model, seen = network(), []
    tape = Tape()
    tape.watch(model)
    for _ in range(3):
        with tape:
            x = numbers(3)
            seen.append(weakref.ref(x))
            tape.watch(x)
            loss = model(x).sum()
        tape.backward(loss)
        assert x.grad is not None
    assert [ref() is None for ref in seen] == [True, True, False]


def test_equal_names_stay_apart() -> None:
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    with Tape() as tape:
        tape.watch(one, two)
        loss = two(one(torch.ones(2))).sum()
    tape.backward(loss)
    wanted = torch.autograd.grad(two(one(torch.ones(2))).sum(), [one.weight, two.weight])
    assert torch.allclose(one.weight.grad, wanted[0])
    assert torch.allclose(two.weight.grad, wanted[1])


def test_nested_entry_records_once() -> None:
    x = numbers(3)
    tape = Tape()
    tape.watch(x)
    with tape:
        y = x.exp()
        with tape:
            z = y.sin()
        loss = z.sum()
    assert len(tape) == 3
    assert torch.allclose(tape.gradient(loss, x), x.exp().cos() * x.exp())
    assert torch.is_grad_enabled()


def test_an_error_inside_leaves_everything_as_it_was() -> None:
    tape = Tape()
    with pytest.raises(ZeroDivisionError), tape:
        raise ZeroDivisionError
    assert torch.is_grad_enabled()
    x = numbers(2)
    tape.watch(x)
    x.exp()
    assert len(tape) == 0


# -- refusals


def test_missing_rule_names_operation_and_line() -> None:
    x = numbers(3, 3)
    with Tape() as tape:
        tape.watch(x)
        y = torch.linalg.det(x)
        fine = x.sum()
    with pytest.raises(MissingRule, match=r"aten\._linalg_det\.default at .*test_tape\.py:\d+ has no gradient rule"):
        tape.gradient(y, x)
    with Tape() as tape:
        tape.watch(x)
        torch.linalg.det(x)
        fine = x.sum()
    assert torch.equal(tape.gradient(fine, x), torch.ones(3, 3, dtype=torch.float64)), "what the result does not depend on does not matter"


def test_fused_kernels_ask_for_twins() -> None:
    lstm, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    with Tape() as tape:
        tape.watch(lstm)
        loss = lstm(x)[0].sum()
    with pytest.raises(MissingRule, match=r"mkldnn_rnn_layer.*fused kernel: swap the model"):
        tape.backward(loss)


def test_complex_numbers_are_refused() -> None:
    x = numbers(4)
    with Tape() as tape:
        tape.watch(x)
        torch.fft.fft(x.detach())
        with pytest.raises(MissingRule, match="complex numbers"):
            torch.fft.fft(x)


def test_unreached_parameter_is_named() -> None:
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2)})
    tape = Tape()
    tape.watch(model)
    with tape:
        loss = model["used"](torch.ones(2)).sum()
    with pytest.raises(UnreachedTensor, match=r"does not depend on idle\.weight"):
        tape.backward(loss)
    with tape:
        loss = model["used"](torch.ones(2)).sum()
    tape.backward(loss, allow_unused=True)
    assert model["idle"].weight.grad is None
    assert model["used"].weight.grad is not None


def test_detached_output_and_unwatched_target() -> None:
    x, other = numbers(2), numbers(2, seed=1)
    tape = Tape(persistent=True)
    tape.watch(input=x)
    with tape:
        y = x.detach().sum()
        z = (x * other).sum()
    with pytest.raises(UnreachedTensor, match=r"does not depend on input: .*or is detached"):
        tape.gradient(y, x)
    with pytest.raises(UnreachedTensor, match=r"target of shape .* is not on the tape: watch it"):
        tape.gradient(z, other)
    with pytest.raises(UnreachedTensor):
        tape.gradient(other.sum(), x)


@pytest.mark.parametrize("thing", [torch.arange(3), torch.zeros(2, dtype=torch.complex64), 1.0])
def test_watch_takes_floating_point(thing: Any) -> None:
    with pytest.raises(TypeError, match="floating point"):
        Tape().watch(thing)


def test_hooks_and_parallel_modules_are_refused() -> None:
    model = nn.Linear(2, 2)
    handle = model.weight.register_hook(lambda g: g)
    with pytest.raises(TapeError, match="weight has hooks"):
        Tape().watch(model)
    handle.remove()
    handle = model.weight.register_post_accumulate_grad_hook(lambda p: None)
    with pytest.raises(TapeError, match="weight has hooks"):
        Tape().watch(model)
    handle.remove()
    handle = model.register_full_backward_hook(lambda m, a, b: None)
    with pytest.raises(TapeError, match="backward hooks"):
        Tape().watch(nn.Sequential(model))
    handle.remove()
    Tape().watch(model)

    class Parallel(nn.parallel.DistributedDataParallel):
        def __init__(self) -> None:  # without the processes that it would want
            nn.Module.__init__(self)
            self.module = model

    with pytest.raises(TapeError, match="DistributedDataParallel"):
        Tape().watch(Parallel())


def test_lazy_parameters_are_refused_until_they_have_a_shape() -> None:
    with pytest.raises(TapeError, match=r"0\.weight has no shape yet"):
        Tape().watch(nn.Sequential(nn.LazyLinear(3)))


def test_a_custom_backward_is_not_seen() -> None:
    """What the module's docstring says of autograd.Function; a straight-through estimator is written with detach instead."""

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.round()

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g

    x = numbers(3)
    with Tape(persistent=True) as tape:
        tape.watch(x)
        by_function = Rounded.apply(x).sum()
        by_detach = (x + (x.round() - x).detach()).sum()
    assert tape.gradient(by_function, x).tolist() == [0, 0, 0]
    assert tape.gradient(by_detach, x).tolist() == [1, 1, 1]


def test_frozen_parameters_are_not_watched() -> None:
    model = network()
    model[0].requires_grad_(False)
    with Tape() as tape:
        tape.watch(model)
        loss = model(numbers(2, 3)).sum()
    tape.backward(loss)
    assert [p.grad is None for p in model.parameters()] == [True, True, False, False]


def test_a_rule_of_ones_own() -> None:
    """ReLU with another slope backwards, by exchanging one line of the table."""
    x = torch.tensor([-1.0, 2.0], dtype=torch.float64)
    leaky = {aten.relu.default: (lambda g, y, x: torch.where(x > 0, g, 0.1 * g),)}
    for rules, wanted in ((None, [0, 1]), (leaky, [0.1, 1])):
        with Tape(rules=rules) as tape:
            tape.watch(x)
            loss = torch.relu(x).sum()
        assert tape.gradient(loss, x).tolist() == wanted
    assert RULES[aten.relu.default] is not leaky[aten.relu.default]


def test_error_in_a_rule_names_the_operation() -> None:
    x = numbers(2)
    with Tape(rules={aten.exp.default: (lambda g, y, x: g @ g.reshape(7),)}) as tape:
        tape.watch(x)
        loss = x.exp().sum()
    with pytest.raises(RuntimeError) as refused:
        tape.gradient(loss, x)
    assert refused.value.__notes__ == ["while taking the gradient of aten.exp.default"]


# -- beyond first derivatives in float64


def test_hessian_vector_product() -> None:
    x, v = numbers(5), numbers(5, seed=1)
    f = lambda x: (x.tanh() * x.roll(1)).pow(2).sum() + x.cumprod(0).sum()
    outer = Tape()
    outer.watch(x)
    with outer:
        inner = Tape()
        inner.watch(x)
        with inner:
            y = f(x)
        dot = (inner.gradient(y, x) * v).sum()
    assert torch.allclose(outer.gradient(dot, x), torch.autograd.functional.hvp(f, x, v)[1], rtol=1e-12)


def test_gradient_penalty() -> None:
    """The critic's penalty of WGAN-GP: the gradient of a gradient's norm, with respect to the parameters."""
    from rungbook.scratch import nn as ours

    torch.manual_seed(0)
    critic = nn.Sequential(
        ours.Conv2d(1, 3, 3), ours.LeakyReLU(0.2), ours.LayerNorm([3, 4, 4]), ours.Flatten(), ours.Linear(48, 1)
    ).double()
    images = numbers(4, 1, 6, 6)
    outer = Tape()
    outer.watch(critic)
    with outer:
        inner = Tape()
        inner.watch(images)
        with inner:
            scores = critic(images).sum()
        slope = inner.gradient(scores, images).flatten(1).norm(dim=1)
        penalty = ((slope - 1) ** 2).mean()
    found = outer.gradient(penalty, critic, allow_unused=True)
    leaf = images.clone().requires_grad_()
    (g,) = torch.autograd.grad(critic(leaf).sum(), leaf, create_graph=True)
    wanted = torch.autograd.grad(((g.flatten(1).norm(dim=1) - 1) ** 2).mean(), list(critic.parameters()), allow_unused=True)
    for mine, theirs in zip(found.values(), wanted, strict=True):
        if mine is None or theirs is None:
            assert mine is theirs
        else:
            assert torch.allclose(mine, theirs, atol=1e-12)


def test_third_derivative() -> None:
    x = torch.tensor(0.7, dtype=torch.float64)
    tapes = [Tape() for _ in range(3)]
    for tape in tapes:
        tape.watch(x)
    with tapes[0]:
        with tapes[1]:
            with tapes[2]:
                y = x.sin() * x
            first = tapes[2].gradient(y, x)
        second = tapes[1].gradient(first, x)
    third = tapes[0].gradient(second, x)
    assert third.item() == pytest.approx((-3 * x.sin() - x * x.cos()).item(), abs=1e-14)


def test_autocast() -> None:
    """In bfloat16, 8 bits of mantissa: gradients within 2 % of torch's own under the same autocast, and in each parameter's type."""
    model = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 4))
    x, y = torch.randn(8, 16), torch.randint(0, 4, (8,))
    tape = Tape()
    tape.watch(model)
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(2):  # the second finds weights that autocast has kept, unless they are dropped
            with tape:
                loss = F.cross_entropy(model(x), y)
            assert model[0](x).dtype == torch.bfloat16
            found = tape.gradient(loss, model)
        wanted = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    for mine, theirs in zip(found.values(), wanted, strict=True):
        assert mine.dtype == torch.float32
        assert (mine - theirs).norm() <= 0.02 * theirs.norm()


def test_make_fx_traces_a_whole_step() -> None:
    weight, x = numbers(3, 2), numbers(4, 3)

    def step(weight: Tensor, x: Tensor) -> Tensor:
        with Tape() as tape:
            tape.watch(weight)
            loss = (x @ weight).tanh().square().sum()
        return weight - 0.1 * tape.gradient(loss, weight)

    graph = make_fx(step)(weight, x)
    other = numbers(3, 2, seed=2)
    assert torch.equal(graph(other, x), step(other, x))
    assert not torch.equal(graph(other, x), graph(weight, x))


def test_checkpointing_changes_nothing() -> None:
    model, x = network(), numbers(2, 3)
    wanted = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    with Tape() as tape:
        tape.watch(model)
        loss = torch.utils.checkpoint.checkpoint(model, x, use_reentrant=False).sum()
    assert all(torch.allclose(a, b) for a, b in zip(tape.gradient(loss, model).values(), wanted, strict=True))


def test_writes_after_the_block_are_noticed() -> None:
    weight = numbers(3)
    with Tape() as tape:
        tape.watch(weight=weight)
        loss = weight.square().sum()
    weight.mul_(2)
    with pytest.raises(OverwrittenTensor, match="after the tape's block"):
        tape.gradient(loss, weight)
