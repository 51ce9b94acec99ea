"""What is held does not move, running statistics included, whoever switches modes; and a resumed training lets go at the same step."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from kit import At, Stop, cnn, feed, images, interrupted, learner
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.callbacks import EMA, KeepBest
from rungbook.learner.learner import Learner
from rungbook.learner.pack import clone, digest
from rungbook.models.registry import MODELS, create_model
from rungbook.transfer.freezing import Freeze, freeze, unfreeze
from rungbook.transfer.rates import LayerRates

SMALL = {**MODELS["resnet18"].small, "in_channels": 1, "num_classes": 2}


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return create_model("resnet18", **SMALL)


def made(model: nn.Module, callbacks: list, **options: object) -> Learner:
    data = (feed(*images(48, side=32)), feed(*images(16, side=32, seed=1), shuffle=False))
    return learner(model, data, callbacks=callbacks, lr=0.05, **options)


def moved(before: dict[str, Tensor], model: nn.Module) -> set[str]:
    return {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}


def is_norm(name: str) -> bool:
    return ".bn" in f".{name}" or "downsample.1" in name


@pytest.mark.parametrize("what", ["body", "all_but_norm", "norm"])
def test_what_is_held_stays_and_all_else_moves(what: str) -> None:
    model = net()
    before = clone(model.state_dict())
    made(model, [Freeze(model, what)]).fit(2)
    names = set(before)
    expected = {
        "body": {"fc.weight", "fc.bias"},
        "all_but_norm": {"fc.weight", "fc.bias"} | {k for k in names if is_norm(k)},
        "norm": {k for k in names if not is_norm(k)},
    }[what]
    assert moved(before, model) == expected


def test_gradients_alone_do_not_hold_running_statistics() -> None:
    model = net()
    before = clone(model.state_dict())
    for name, p in model.named_parameters():
        p.requires_grad_(name.startswith("fc"))
    made(model, []).fit(1)  # the control: the naive way
    drifted = moved(before, model) - {"fc.weight", "fc.bias"}
    assert len(drifted) == 3 * sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())


def test_somebody_switching_modes_does_not_thaw() -> None:
    for keep in (True, False):
        model = net()
        freeze(model, "body")
        before = clone(model.state_dict())
        callbacks = [Freeze(model, "body")] if keep else []
        one = made(model, callbacks)
        model.train()  # as loops of others do
        one.fit(1)
        one.validate()
        one.predict()
        model.eval()
        one.fit(1)
        assert (moved(before, model) == {"fc.weight", "fc.bias"}) is keep


def test_it_is_let_go_from_the_head_down() -> None:
    model = net()
    seen: list[set[str]] = []
    kept: list[dict[str, Tensor]] = [clone(model.state_dict())]

    def look(learner: Learner) -> None:
        seen.append(moved(kept[-1], model))
        kept.append(clone(model.state_dict()))

    class Epochs(At):
        def after_epoch(self, learner: Learner) -> None:
            look(learner)

    made(model, [Freeze(model, "body", unfreeze=(1, 2)), Epochs("none", look)]).fit(3)
    first, second, third = seen
    assert first == {"fc.weight", "fc.bias"}
    tops = {k.partition(".")[0] for k in second}
    assert tops == {"fc", "layer2", "layer3", "layer4"}
    assert third == set(model.state_dict())


def test_the_optimiser_is_not_given_what_never_learns() -> None:
    model = net()
    assert len(made(model, [Freeze(model, "body")]).params) == 2
    model = net()
    assert len(made(model, [Freeze(model, "body", unfreeze=(1,))]).params) == len(list(model.parameters()))


def test_the_rate_finder_meets_the_model_as_held() -> None:
    model = net()
    holding = Freeze(model, "body", unfreeze=(1,))
    one = made(model, [holding])
    holding.hold(0)
    state = digest(one.state_dict())
    one.find_lr(steps=5)
    assert digest(one.state_dict()) == state
    assert not model.layer1[0].bn1.training


def test_what_never_learned_is_not_taught() -> None:
    model = create_model("fast_cifar", **MODELS["fast_cifar"].small)
    Freeze(model, "body", unfreeze=(1,)).hold(5)
    assert not model.whiten.weight.requires_grad
    assert model.groups[0].conv1.weight.requires_grad if hasattr(model.groups[0], "conv1") else True


def everything(seed: int = 0) -> Learner:
    """Held in stages, rates by depth, an average, the best kept, a schedule that moves momentum."""
    model = net(seed)
    make = partial(torch.optim.SGD, momentum=0.9, weight_decay=1e-3)
    callbacks = [Freeze(model, "body", unfreeze=(1, 2)), EMA(0.9), KeepBest()]
    return made(model, callbacks, optimizer=LayerRates(make, model, decay=0.5, head=2.0), accumulate=2)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_an_interrupted_training_continues_bit_for_bit(step: int) -> None:
    whole = everything()
    whole.fit(3, "one_cycle")
    first = everything()
    first.callbacks.append(Stop(step))
    state = clone(interrupted(first, 3, "one_cycle"))
    second = everything(seed=1)
    second.model.train()
    second.fit(3, "one_cycle", state=state)
    assert digest(second.model.state_dict()) == digest(whole.model.state_dict())
    assert digest(second.optimizer.state_dict()) == digest(whole.optimizer.state_dict())
    assert second.history == whole.history


def test_a_continued_training_that_forgets_to_hold_ends_elsewhere() -> None:
    whole, first, second = everything(), everything(), everything(seed=1)
    whole.fit(3, "one_cycle")
    first.callbacks.append(Stop(1))
    state = clone(interrupted(first, 3, "one_cycle"))
    second.callbacks = second.callbacks[1:]
    second.fit(3, "one_cycle", state=state)
    assert digest(second.model.state_dict()) != digest(whole.model.state_dict())


def test_in_a_loop_of_ones_own() -> None:
    model = freeze(net(), "norm")
    assert not model.bn1.training
    assert not model.bn1.weight.requires_grad
    assert model.conv1.weight.requires_grad
    unfreeze(model)
    assert model.bn1.training
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("what", "epochs", "code"),
    [("bodies", (), "E201"), ("body", (0,), "E202"), ("body", (2, 1), "E202"), ("body", (1, 1), "E202"), ("body", range(1, 30), "E202")],
)
def test_what_cannot_be_held(what: str, epochs: tuple[int, ...], code: str) -> None:
    with pytest.raises(UsageError) as refused:
        Freeze(net(), what, unfreeze=tuple(epochs))
    assert refused.value.code == code


def test_models_of_others_can_be_held() -> None:
    model = cnn()
    Freeze(model, "body")
    assert [p.requires_grad for p in model.parameters()] == [False, False, False, True, True]
    assert not model[1].training
