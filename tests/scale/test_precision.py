"""Half precision with a loss scale is torch's: the same scales, the same steps left out, the same weights as GradScaler's.

Controls: without a scale small gradients are 0, without masters small updates are lost, and a training without either stands still.
"""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kit import Stop, cnn, equal, feed, images, interrupted, learner, mlp, rows, weights
from torch import Tensor, nn

from rungbook.errors import NotFinite, UsageError
from rungbook.learner.callback import Callback
from rungbook.learner.callbacks import EMA, SAM
from rungbook.learner.casting import Casting
from rungbook.learner.learner import Learner
from rungbook.scale.precision import PRECISIONS, Float16, HalfByHand, LossScale, make_precision, static_scale

covers = ["P07", "F13"]

SGD = partial(torch.optim.SGD, momentum=0.9, foreach=False)
STEPS = 12
OVERFLOWS = (2, 3, 8)
"""Steps at which a gradient becomes infinite on its way back."""
OPTIONS = {"initial": 2.0**10, "interval": 3}


class Spike(nn.Module):
    """Passes on what it gets; the gradient of some of its calls in training is infinite."""

    def __init__(self, at: tuple[int, ...]) -> None:
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            if self.calls in self.at:
                x.register_hook(lambda g: g * math.inf)
            self.calls += 1
        return x * 1


def spiked(at: tuple[int, ...] = OVERFLOWS) -> nn.Module:
    """Convolution, batch norm, a spike, outputs."""
    torch.manual_seed(0)
    start = [nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*start, nn.Linear(64, 8), Spike(at), nn.ReLU(), nn.Linear(8, 2))


def batches() -> list[tuple[Tensor, Tensor]]:
    return list(feed(*images(8 * STEPS), batch_size=8).batches())


class Scales(Callback):
    """The scale after each step, and how many steps were left out by then."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []

    def after_step(self, learner: Learner) -> None:
        casting: Any = learner.casting
        self.seen.append((float(casting.scale.value), int(casting.scale.skipped)))


def by_learner(casting: Casting, optimizer: Any = SGD, at: tuple[int, ...] = OVERFLOWS) -> tuple[list[tuple[float, int]], nn.Module]:
    scales = Scales()
    ours = learner(spiked(at), (batches(), None), optimizer=optimizer, lr=0.05, metrics=[], callbacks=[scales], precision=casting)
    ours.fit(1)
    return scales.seen, ours.model


def by_autocast(at: tuple[int, ...] = OVERFLOWS, **options: Any) -> tuple[list[tuple[float, int]], nn.Module]:
    """Torch's recipe: autocast and GradScaler."""
    model, seen, skipped = spiked(at), [], 0
    optimizer = SGD(model.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=options["initial"], growth_interval=options["interval"])
    for x, y in batches():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            loss = F.cross_entropy(model(x), y)
        before = scaler.get_scale()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        skipped += scaler.get_scale() < before
        seen.append((scaler.get_scale(), skipped))
    return seen, model


def by_copies(at: tuple[int, ...] = OVERFLOWS, **options: Any) -> tuple[list[tuple[float, int]], nn.Module]:
    """A half-precision model beside a float32 one, batch norm in float32, as fastai's course of 2019 has it; GradScaler for the scale."""
    master, seen, skipped = spiked(at), [], 0
    half = copy.deepcopy(master).half()
    half[1].float()
    optimizer = SGD(master.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=options["initial"], growth_interval=options["interval"])
    for x, y in batches():
        half.zero_grad()
        z = half[1](half[0](x.half()).float()).half()
        loss = F.cross_entropy(half[2:](z).float(), y)
        before = scaler.get_scale()
        scaler.scale(loss).backward()
        for m, h in zip(master.parameters(), half.parameters(), strict=True):
            m.grad = h.grad.float()
        scaler.step(optimizer)
        scaler.update()
        with torch.no_grad():
            for m, h in zip(master.parameters(), half.parameters(), strict=True):
                h.copy_(m)
        skipped += scaler.get_scale() < before
        seen.append((scaler.get_scale(), skipped))
    return seen, master


def parameters(model: nn.Module) -> list[Tensor]:
    return [p.detach() for p in model.parameters()]


@pytest.mark.parametrize("optimizer", [SGD, partial(torch.optim.SGD, momentum=0.9)], ids=["by Python", "fused"])
@pytest.mark.parametrize(("make", "reference"), [(Float16, by_autocast), (HalfByHand, by_copies)])
def test_scales_skipped_steps_and_weights_are_those_of_gradscaler(make: Any, reference: Any, optimizer: Any) -> None:
    found, model = by_learner(make(LossScale(**OPTIONS)), optimizer)
    expected, theirs = reference(**OPTIONS)
    assert found == expected
    assert found[-1][1] == len(OVERFLOWS)
    assert len({scale for scale, _ in found}) >= 3, "it falls and grows"
    exact = {"rtol": 0, "atol": 0} if optimizer is SGD else {"rtol": 1e-4, "atol": 1e-6}
    for a, b in zip(parameters(model), parameters(theirs), strict=True):
        torch.testing.assert_close(a, b, **exact)


def test_a_scale_that_is_too_large_is_left_by_the_same_steps() -> None:
    options = {"initial": 2.0**24, "interval": 100}
    found, _ = by_learner(Float16(LossScale(**options)), at=())
    assert found == by_autocast((), **options)[0]
    assert 0 < found[-1][1] < STEPS
    found, _ = by_learner(HalfByHand(LossScale(**options)), at=())
    assert found == by_copies((), **options)[0]


def test_all_precisions_agree_within_that_of_half() -> None:
    ends = []
    for precision in ("fp32", "fp16", "fp16_by_hand"):
        ours = learner(spiked(()), (batches(), None), optimizer=SGD, lr=0.05, metrics=[], precision=make_precision(precision))
        ends.append(parameters(ours.fit(1).model))
    start = together(parameters(spiked(())))
    way = together(ends[0]) - start
    for other in ends[1:]:
        apart = together(other) - together(ends[0])
        assert 0 < apart.norm() < 0.05 * way.norm(), "of the way that was gone"


def together(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.flatten() for t in tensors])


class Small(nn.CrossEntropyLoss):
    """Cross-entropy times a small number."""

    def __init__(self, shrink: float) -> None:
        super().__init__()
        self.shrink = shrink

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input, target) * self.shrink


@pytest.mark.parametrize("make", [Float16, HalfByHand])
def test_small_gradients_are_lost_without_a_scale(make: Any) -> None:
    """At a loss of 1e-7 times the usual one."""

    def taken(scale: LossScale) -> list[Tensor]:
        model = spiked(())
        casting = make(scale)
        ours = learner(model, (batches()[:1], None), loss=Small(1e-7), metrics=[], precision=casting)
        x, y = batches()[0]
        with casting.cast(ours.device):
            casting.differentiate(ours.loss(ours.forward(x), y), 1, ours.params)
        return [p.grad for p in ours.params]

    lost, kept = taken(static_scale(1.0)), taken(LossScale(2.0**20))
    share = lambda gradients: sum(int((g == 0).sum()) for g in gradients) / sum(g.numel() for g in gradients)
    assert share([lost[0], *lost[3:4]]) == 1.0, "of the first and the middle weights nothing is left"
    assert share(kept) < 0.5
    model = spiked(())
    x, y = batches()[0]
    (Small(1e-7)(model(x), y)).backward()
    for g, p in zip(kept, model.parameters(), strict=True):
        torch.testing.assert_close(g, p.grad, rtol=5e-2, atol=5e-2 * float(p.grad.abs().max()))


def test_small_updates_are_lost_without_masters() -> None:
    """1 + 1e-4 is 1 in float16; after 100 such steps the master is 1.01, and so is its copy."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    data = [(torch.ones(1, 1), torch.zeros(1, 1))] * 100
    ours = learner(model, (data, None), loss=lambda o, t: -(o - t).mean(), lr=1e-4, metrics=[], precision=HalfByHand(static_scale(512)))
    ours.fit(1)
    assert model.weight.item() == pytest.approx(1.01, rel=1e-5)
    w = torch.ones(1, dtype=torch.float16)
    for _ in range(100):
        w += torch.tensor(1e-4, dtype=torch.float16)
    assert w.item() == 1.0, "the control"


class Types(nn.Module):
    """Notes the types of what passes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add(x.dtype)
        return x


def test_batch_norm_is_float32_and_the_rest_half() -> None:
    torch.manual_seed(0)
    inside: list[tuple[torch.dtype, torch.dtype]] = []

    class Norm(nn.BatchNorm1d):
        def forward(self, input: Tensor) -> Tensor:
            inside.append((input.dtype, self.weight.dtype))
            return super().forward(input)

    model = nn.Sequential(nn.Linear(6, 8), Types(), Norm(8), Types(), nn.Linear(8, 2))
    ours = learner(model, (feed(*rows()), feed(*rows(24, seed=1), shuffle=False)), precision=HalfByHand())
    ours.fit(1)
    inside.clear(), model[1].seen.clear(), model[3].seen.clear()
    assert ours.predict().dtype == torch.float32
    ours.forward(rows()[0])
    assert set(inside) == {(torch.float32, torch.float32)}
    assert model[1].seen == model[3].seen == {torch.float16}
    assert all(p.dtype == torch.float32 and type(p) is nn.Parameter for p in model.parameters()), "masters are back in place"
    assert not model[2]._forward_hooks
    assert model[2].running_mean.dtype == torch.float32


def test_tied_weights_have_one_copy() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 2))
    model[2].weight = model[0].weight
    untied = copy.deepcopy(model)
    for one, precision in ((model, make_precision("fp16_by_hand")), (untied, "fp32")):
        learner(one, (feed(*rows()), None), lr=0.1, precision=precision).fit(1)
    assert model[0].weight is model[2].weight
    torch.testing.assert_close(model[0].weight, untied[0].weight, rtol=1e-2, atol=1e-3)


class TwoBiases(nn.Module):
    """Two weights whose gradients autograd gives as one tensor, and one whose gradient it gives turned."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(6, 2, bias=False)
        self.a, self.b = nn.Parameter(torch.zeros(16, 2)), nn.Parameter(torch.zeros(16, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + (self.a + self.b)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_gradients_are_of_their_own_and_in_order(precision: str) -> None:
    ends = []
    for named in (precision, "fp32"):
        data = (feed(*rows(48)), None)
        ours = learner(TwoBiases(), data, optimizer=torch.optim.Adam, lr=0.1, precision=make_precision(named)).fit(1)
        assert ours.model.a.equal(ours.model.b)
        ends.append(together(parameters(ours.model)))
    torch.testing.assert_close(ends[0], ends[1], rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_filters_that_lie_pixel_by_pixel(precision: str) -> None:
    ends = []
    for channels_last in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(96, 2))
        options = {"optimizer": torch.optim.Adam, "lr": 0.01, "precision": make_precision(precision), "channels_last": channels_last}
        ends.append(together(parameters(learner(model, (feed(*images()), None), **options).fit(1).model)))
    torch.testing.assert_close(ends[0], ends[1], rtol=2e-2, atol=5e-3)


def test_bfloat16_by_hand_needs_no_scale() -> None:
    casting = HalfByHand(static_scale(1.0), torch.bfloat16)
    ours = learner(cnn(), (feed(*images()), feed(*images(24, seed=1), shuffle=False)), lr=0.1, precision=casting)
    ours.fit(12)
    assert ours.history[-1]["train_loss"] < 0.7 * ours.history[0]["train_loss"]
    assert int(casting.scale.skipped) == 0


def test_accumulated_batches_are_one_batch() -> None:
    """Within half precision; a batch's size is no part of what is scaled, so nothing overflows that would not in one."""
    ends = []
    for size, accumulate in ((32, 1), (8, 4)):
        data = (feed(*rows(64), batch_size=size), None)
        casting = HalfByHand(static_scale(2.0**12))
        ours = learner(mlp(), data, lr=0.1, precision=casting, accumulate=accumulate, clip=0.5).fit(2)
        assert int(casting.scale.skipped) == 0
        ends.append(parameters(ours.model))
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", PRECISIONS)
def test_continues_exactly(name: str) -> None:
    def make(*more: Callback) -> Learner:
        data = (feed(*images(40), batch_size=8), feed(*images(16, seed=1), shuffle=False))
        casting = PRECISIONS[name]()
        casting.scale = LossScale(2.0**26, interval=2)  # type: ignore[attr-defined]
        chosen: list[Callback] = [EMA(0.9), SAM(0.05)]
        return learner(cnn(), data, optimizer=torch.optim.Adam, lr=0.01, callbacks=[*chosen, *more], precision=casting)

    whole = make().fit(2, "one_cycle")
    scale: Any = whole.casting
    assert int(scale.scale.skipped) > 1
    for step in (1, 5, 7):
        done = make().fit(2, "one_cycle", state=interrupted(make(Stop(step)), 2, "one_cycle"))
        assert equal(weights(whole.model), weights(done.model)), step
        other: Any = done.casting
        assert other.scale.state_dict() == scale.scale.state_dict()


def test_looking_for_a_rate_leaves_no_trace() -> None:
    casting = Float16(LossScale(2.0**30))
    ours = learner(spiked(()), (batches(), None), precision=casting)
    before = weights(ours.model)
    assert ours.find_lr(steps=10).losses
    assert equal(before, weights(ours.model))
    assert float(casting.scale.value) == 2.0**30


def test_gradients_that_no_scale_helps_end_the_fit() -> None:
    ours = learner(spiked(tuple(range(100))), (batches() * 5, None), precision=Float16(LossScale(2.0**10)))
    with pytest.raises(NotFinite, match=r"E501.*in \d+ steps in a row"):
        ours.fit(1)
    with pytest.raises(NotFinite):
        learner(spiked(()), ([(torch.full((8, 1, 8, 8), math.nan), torch.zeros(8).long())] * 3, None), precision=Float16()).fit(1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: learner(precision="fp16"), "E202.*made outside"),
        (lambda: learner(precision="fp17"), "E202.*fp32 or bf16"),
        (lambda: learner(precision=HalfByHand(), compile=True), "E202.*compile calls the model"),
        (lambda: learner(precision=Float16(), tape=object()), "E202.*tape"),
        (lambda: LossScale(0), "E202.*initial=0"),
        (lambda: LossScale(backoff=2.0), "E202.*falls by 1 or less"),
        (lambda: LossScale(growth=0.5), "E202.*grows by 1 or more"),
    ],
)
def test_what_cannot_be_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        wrong()


def test_a_constant_scale_stays() -> None:
    found, _ = by_learner(HalfByHand(static_scale(512)))
    assert {scale for scale, _ in found} == {512.0}
    assert found[-1][1] == len(OVERFLOWS)
