"""Hooks: what they find, that none stays behind, layers chosen by name and replaced, what a tape does with them."""

from __future__ import annotations

import pytest
import torch
from kit import cnn, images, mlp, rows
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.hooks import Hook, Hooks, choose_layers, replace_layers
from rungbook.scratch.autograd.faults import TapeError
from rungbook.scratch.autograd.tape import Tape
from rungbook.scratch.nn import RunningBatchNorm
from rungbook.scratch.swap import swap

covers = ["I13"]


def hooks_left(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


def deviation(_: nn.Module, __: object, output: Tensor) -> float:
    return output.std().item()


def test_a_hook_keeps_what_its_function_returns() -> None:
    model, (x, _) = mlp(), rows()
    with Hook(model[0], deviation) as hook:
        plain = [model(x), model(x[:7])]
    assert hook.found == [pytest.approx(model[0](x).std().item()), pytest.approx(model[0](x[:7]).std().item())]
    assert torch.equal(plain[0], model(x)), "outputs are never replaced"
    model(x)
    assert len(hook.found) == 2, "removed"
    with Hook(model[0], lambda *_: None) as hook:
        model(x)
    assert hook.found == []


def test_hooks_of_several_layers_by_name() -> None:
    model, (x, _) = cnn(), images()
    with Hooks(model, deviation) as hooks:
        model(x)
    assert list(hooks) == ["0", "1", "2", "3", "6"], "flatten and dropout compute nothing of their own"
    assert len(hooks) == 5
    assert all(len(hook.found) == 1 for _, hook in hooks.items())
    with Hooks(model, deviation, layers=["6", nn.Conv2d]) as hooks:
        model(x)
    assert list(hooks) == ["0", "6"]
    assert hooks["0"].found


def test_no_hook_stays_after_an_exception() -> None:
    model, (x, _) = mlp(), rows()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), Hooks(model, deviation):
        model(x[:, :3])
    assert hooks_left(model) == 0
    kept = model[0].register_forward_hook(deviation)  # control: torch's own stays
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        model(x[:, :3])
    assert hooks_left(model) == 1
    kept.remove()
    with pytest.raises(ZeroDivisionError), Hooks(model, lambda *_: 1 / 0, backward=True):
        model(x).sum().backward()
    assert hooks_left(model) == 0


def test_backward_hooks_see_gradients_and_need_autograd() -> None:
    model, (x, y) = mlp(), rows()
    with Hooks(model, lambda _, __, gradients: gradients[0], layers="2", backward=True) as hooks:
        nn.functional.cross_entropy(model(x), y).backward()
        with torch.no_grad(), pytest.raises(RuntimeError, match="without torch's autograd"):
            model(x)
        model.eval()
        with torch.no_grad():
            model(x)  # being judged is no training
    (gradient,) = hooks["2"].found
    expected = (model(x).softmax(1) - nn.functional.one_hot(y, 2)) / len(x)
    torch.testing.assert_close(gradient, expected)


def test_under_a_tape_forward_hooks_work_and_backward_hooks_are_refused() -> None:
    model, (x, y) = swap(mlp()), rows()
    with Hooks(model, deviation, layers="?") as hooks, Tape() as tape:
        tape.watch(model)
        loss = nn.functional.cross_entropy(model(x), y)
    tape.backward(loss)
    assert [len(h.found) for _, h in hooks.items()] == [1, 1, 1]
    with Hooks(model, deviation, backward=True), pytest.raises(TapeError, match="backward hooks"):
        Tape().watch(model)
    with Tape() as tape:
        tape.watch(model)
        with Hooks(model, deviation, backward=True), pytest.raises(RuntimeError, match="under a Tape"):
            model(x)


def test_layers_are_chosen_by_name_class_and_themselves() -> None:
    model = cnn()
    assert list(choose_layers(model, "?")) == [str(i) for i in range(7)]
    assert list(choose_layers(model, model[2])) == ["2"]
    assert list(choose_layers(model, [nn.Linear, "0"])) == ["0", "6"], "in the model's order"
    assert list(choose_layers(nn.Linear(2, 3))) == ["Linear"]
    with pytest.raises(UsageError, match="E201") as refused:
        choose_layers(nn.Sequential(nn.Sequential(nn.Linear(2, 2))), "0.1")
    assert "0.0" in refused.value.fix
    with pytest.raises(UsageError, match="no LSTM") as refused:
        choose_layers(model, nn.LSTM)
    assert "BatchNorm2d" in refused.value.fix


def test_layers_are_replaced_everywhere_they_stand() -> None:
    shared = nn.BatchNorm2d(4)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), shared, nn.Sequential(nn.ReLU(), shared), nn.BatchNorm2d(4)).double().eval()
    assert replace_layers(model, nn.BatchNorm2d, lambda old: RunningBatchNorm(old.num_features)) == 2
    assert model[1] is model[2][1] is not model[3]
    assert isinstance(model[3], RunningBatchNorm)
    assert not model[1].training
    assert model[1].weight.dtype == torch.float64
    model(torch.randn(2, 1, 6, 6, dtype=torch.float64))
    with pytest.raises(UsageError, match="no BatchNorm2d"):
        replace_layers(model, nn.BatchNorm2d, lambda old: nn.Identity())
    with pytest.raises(UsageError, match="whole model"):
        replace_layers(model, nn.Sequential, lambda old: nn.Identity())
