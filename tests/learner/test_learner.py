"""The loop does what the loop one writes by hand does: same losses, same weights, whatever is switched on."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kit import At, Stop, cnn, equal, feed, images, interrupted, learner, mlp, rows, weights
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from rungbook.data import draws
from rungbook.errors import RungError, UsageError
from rungbook.learner.callback import EVENTS, Callback, listeners
from rungbook.learner.callbacks import EMA
from rungbook.learner.learner import Learner
from rungbook.learner.schedule import make_schedule

covers = ["O01", "O02", "O06"]

DOUBLE = torch.float64


def textbook(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    make: Callable[..., torch.optim.Optimizer],
    *,
    epochs: int,
    lr: float,
    clip: float | None = None,
    schedule: str | None = None,
    each_step: Callable[[], Any] = lambda: None,
) -> list[float]:
    """The loop of a first course, in the order of the feed; the mean loss of each epoch."""
    optimizer = make(model.parameters(), lr=lr)
    steps, step, history = epochs * -(-len(y) // 16), 0, []
    for epoch in range(epochs):
        total = 0.0
        for i in draws.permutation(0, epoch, len(y)).split(16):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[i]), y[i])
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if schedule is not None:
                optimizer.param_groups[0]["lr"] = lr * make_schedule(schedule)(step / steps)
            optimizer.step()
            each_step()
            step += 1
            total += loss.item() * len(i)
        history.append(total / len(y))
    return history


OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9, weight_decay=1e-3),
    "nesterov": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("clip", "schedule"), [(None, None), (0.3, None), (None, "cosine")], ids=["plain", "clip", "schedule"])
def test_equal_to_the_textbook_loop(name: str, clip: float | None, schedule: str | None) -> None:
    x, y = rows(83, dtype=DOUBLE)
    by_hand = mlp(dtype=DOUBLE)
    losses = textbook(by_hand, x, y, OPTIMIZERS[name], epochs=3, lr=0.05, clip=clip, schedule=schedule)
    ours = learner(mlp(dtype=DOUBLE), (feed(x, y), None), optimizer=OPTIMIZERS[name], lr=0.05, clip=clip)
    ours.fit(3, schedule)
    assert [r["train_loss"] for r in ours.history] == pytest.approx(losses, rel=1e-12)
    for a, b in zip(by_hand.parameters(), ours.params, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
    other = learner(mlp(dtype=DOUBLE), (feed(x, y, seed=1), None), optimizer=OPTIMIZERS[name], lr=0.05)
    other.fit(3, schedule)
    assert not equal(weights(other.model), weights(ours.model)), "control: another order gives other weights"


def test_batch_norm_and_dropout_follow_the_seed() -> None:
    x, y = images(50)
    by_hand = cnn()
    torch.manual_seed(7)
    losses = textbook(by_hand, x, y, torch.optim.SGD, epochs=2, lr=0.05)
    ours = learner(cnn(), (feed(x, y), None), lr=0.05, seed=7)
    ours.fit(2)
    assert [r["train_loss"] for r in ours.history] == pytest.approx(losses, rel=1e-6)
    torch.testing.assert_close(weights(by_hand), weights(ours.model), rtol=1e-6, atol=1e-7)


def test_accuracy_is_exact_and_of_the_epoch() -> None:
    x, y = rows(83)
    ours = learner(mlp(), (feed(x, y), feed(x, y, shuffle=False)), lr=0.0, metrics=["accuracy", "f1"])
    ours.fit(1)
    right = (mlp()(x).argmax(1) == y).sum().item() / 83
    assert ours.history[0]["train_accuracy"] == ours.history[0]["valid_accuracy"] == right


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_average_is_torchs(decay: float) -> None:
    x, y = rows(83, dtype=DOUBLE)
    model = mlp(dtype=DOUBLE)
    steps = 0

    def rule(average: Tensor, new: Tensor, n: Tensor) -> Tensor:
        d = min(decay, (1 + steps) / (10 + steps))
        return d * average + (1 - d) * new

    averaged = AveragedModel(model, avg_fn=rule, use_buffers=True)
    averaged.update_parameters(model)  # the first call only copies

    def each_step() -> None:
        nonlocal steps
        steps += 1
        averaged.update_parameters(model)

    textbook(model, x, y, torch.optim.Adam, epochs=3, lr=0.05, each_step=each_step)
    ours = learner(mlp(dtype=DOUBLE), (feed(x, y), None), optimizer=torch.optim.Adam, lr=0.05, callbacks=[EMA(decay)])
    ours.fit(3)
    torch.testing.assert_close(weights(averaged.module), weights(ours.model), rtol=1e-12, atol=1e-14)
    assert not equal(weights(ours.model), weights(model)), "control: the average is not the weights"


def test_the_average_is_what_is_judged_and_not_what_is_trained() -> None:
    x, y = rows(64)
    seen: dict[str, list[Tensor]] = {}

    class Look(Callback):
        order = 31  # after the average

        def before_validate(self, learner: Learner) -> None:
            seen["judged"] = weights(learner.model)

        def before_epoch(self, learner: Learner) -> None:
            seen["trained"] = weights(learner.model)

    ours = learner(mlp(), (feed(x, y), feed(x, y, shuffle=False)), callbacks=[EMA(0.9), Look()])
    ours.fit(2)
    plain = learner(mlp(), (feed(x, y), None))
    plain.fit(1)
    assert equal(seen["trained"], weights(plain.model)), "the second epoch went on from the weights"
    assert equal(seen["judged"], weights(ours.model))
    assert ours.history[-1]["valid_loss"] == ours.validate()["loss"]


def test_rates_and_momenta_at_every_step() -> None:
    used: list[tuple[float, float]] = []

    def look(learner: Learner) -> None:
        group = learner.optimizer.param_groups[0]
        used.append((group["lr"], group["betas"][0]))

    ours = learner(optimizer=torch.optim.Adam, lr=0.02, callbacks=[At("after_backward", look)])
    ours.fit(3, "one_cycle")
    plan = make_schedule("one_cycle")
    assert used == [(0.02 * plan(i / 15), plan.momentum(i / 15)) for i in range(15)]
    group = ours.optimizer.param_groups[0]
    assert (group["lr"], group["betas"]) == (0.02, (0.9, 0.999)), "what the optimiser was made with is back"
    assert ours.history[-1]["lr"] == used[-1][0]


def test_a_second_fit_sees_new_orders_and_draws() -> None:
    x, y = rows(40)
    seen: list[Tensor] = []
    ours = learner(mlp(), (feed(x, y, batch_size=40), None), lr=0.0, callbacks=[At("before_batch", lambda le: seen.append(le.x))])
    ours.fit(2).fit(2)
    once = learner(mlp(), (feed(x, y, batch_size=40), None), lr=0.0, callbacks=[At("before_batch", lambda le: seen.append(le.x))])
    once.fit(4)
    assert equal(seen[:4], seen[4:])
    assert len({t.numpy().tobytes() for t in seen}) == 4


def test_fused_where_there_is_such_a_form() -> None:
    def is_fused(make: Any, model: nn.Module | None = None) -> bool:
        return bool(learner(model, optimizer=make).optimizer.param_groups[0].get("fused"))

    assert is_fused(torch.optim.SGD)
    assert is_fused(partial(torch.optim.AdamW, weight_decay=0.1))
    assert not is_fused(torch.optim.RMSprop), "has no fused form"
    assert not is_fused(partial(torch.optim.Adam, fused=False)), "the caller said so"
    assert not is_fused(partial(torch.optim.Adam, foreach=True))
    assert not is_fused(lambda params, lr: torch.optim.Adam(params, lr=lr)), "a function makes what it makes"


def test_a_callable_may_make_groups() -> None:
    def make(params: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": params[:2], "lr": lr / 10}, {"params": params[2:]}], lr=lr)

    used: list[list[float]] = []
    look = At("after_backward", lambda le: used.append([g["lr"] for g in le.optimizer.param_groups]))
    learner(optimizer=make, lr=0.1, callbacks=[look]).fit(1, "linear")
    assert used[0] == pytest.approx([0.01, 0.1])
    assert used[-1] == pytest.approx([0.002, 0.02])


def test_sparse_gradients_and_complex_weights_train() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed = nn.EmbeddingBag(20, 2, sparse=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.embed(x)

    x = torch.randint(0, 20, (64, 3), generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 10).long()
    ours = learner(Words(), (feed(x, y), None), lr=1.0)
    ours.fit(5)
    assert ours.history[-1]["train_loss"] < ours.history[0]["train_loss"] - 0.05

    class Waves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(6, 2, dtype=torch.complex64) * (0.1 + 0.1j))

        def forward(self, x: Tensor) -> Tensor:
            return (x.to(torch.complex64) @ self.w).abs()

    for make in (torch.optim.SGD, torch.optim.Adam):
        ours = learner(Waves(), optimizer=make, lr=0.05)
        ours.fit(3)
        assert ours.history[-1]["train_loss"] < ours.history[0]["train_loss"]


def test_an_optimizer_that_needs_a_closure_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"E202 LBFGS needs a closure.*Adam"):
        learner(optimizer=torch.optim.LBFGS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": "fp8"}, 'precision is "fp8"'),
        ({"accumulate": 0}, "accumulate is 0"),
        ({"metrics": ["accuracy", "accuracy"]}, 'called "accuracy"'),
        ({"metrics": ["accurate"]}, "accurate"),
        ({"data": (3, None)}, "int cannot be iterated"),
    ],
)
def test_wrong_settings_are_named_at_once(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(RungError, match=message):
        learner(**wrong)


def test_bf16_stays_near_and_reports_in_fp32() -> None:
    plain, half = learner(lr=0.05), learner(lr=0.05, precision="bf16", metrics=["accuracy", "log_loss"])
    plain.fit(3)
    half.fit(3)
    assert half.history[-1]["train_loss"] == pytest.approx(plain.history[-1]["train_loss"], rel=0.05)
    assert half.predict().dtype == torch.float32
    assert not equal(weights(half.model), weights(plain.model)), "control: bf16 was on"
    assert all(p.dtype == torch.float32 for p in half.params)


def test_compiled_model_trains_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    x, y = rows(64)
    plain, compiled = (learner(mlp(), (feed(x, y), feed(x, y, shuffle=False)), compile=c) for c in (False, True))
    assert compiled.forward is not compiled.model
    plain.fit(2)
    compiled.fit(2)
    torch.testing.assert_close(weights(compiled.model), weights(plain.model))
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict()), "names without a compiler's prefix"


def test_gradients_left_by_a_failed_fit_do_not_count() -> None:
    def fail(learner: Learner) -> None:
        raise KeyError("in the middle of a step")

    failed = learner(callbacks=[At("after_backward", fail, 0)])
    with pytest.raises(KeyError):
        failed.fit(1)
    assert failed.params[0].grad is not None, "control: the gradient is there"
    failed.callbacks = []
    failed.fit(1)
    fresh = learner()
    fresh.fit(1)
    assert equal(weights(failed.model), weights(fresh.model))


def test_parts_frozen_on_purpose_stay_frozen() -> None:
    x, y = images(32)
    model = cnn()
    model[1].eval()
    model[5].eval()
    before = model[1].running_mean.clone()
    ours = learner(model, (feed(x, y), feed(x, y, shuffle=False)))
    ours.fit(2)
    assert not model[1].training
    assert not model[5].training
    assert model[0].training
    assert before.equal(model[1].running_mean)
    ours.model.eval()  # control: a model wholly in evaluation mode is one that was judged, and is trained
    ours.fit(1)
    assert model[1].training
    assert not before.equal(model[1].running_mean)


def test_an_exception_leaves_neither_evaluation_mode_nor_gradients_off() -> None:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            raise KeyError("where it is judged")
        return F.cross_entropy(output, target)

    ours = learner(loss=loss)
    for look in (ours.validate, ours.top_losses):
        with pytest.raises(KeyError) as held:  # the traceback holds the frames, and with them what they hold
            look()
        assert torch.is_grad_enabled()
        assert ours.model.training
        assert held is not None


class Counts(Callback):
    """Listens to one event."""

    def __init__(self) -> None:
        self.calls = 0

    def after_step(self, learner: Learner) -> None:
        self.calls += 1


def test_events_nobody_listens_to_are_not_called() -> None:
    one = Counts()
    heard = listeners([one, Callback()])
    assert {e for e, methods in heard.items() if methods} == {"after_step"}
    learner(callbacks=[one]).fit(2)
    assert one.calls == 10


def test_callbacks_run_in_their_order() -> None:
    called: list[int] = []

    class Early(Callback):
        order = -1

        def after_step(self, learner: Learner) -> None:
            called.append(self.order)

    class Late(Early):
        order = 5

    learner(callbacks=[Late(), Counts(), Early()]).fit(1)
    assert called == [-1, 5] * 5


@pytest.mark.parametrize("name", ["after_bacth", "on_epoch_end", "before_training"])
def test_a_misspelt_event_is_refused_when_the_callback_is_made(name: str) -> None:
    wrong = type("Wrong", (Callback,), {name: lambda self, learner: None})
    with pytest.raises(UsageError, match=rf"E205 Wrong\.{name} is not a moment of training"):
        wrong()
    type("Right", (Callback,), {e: lambda self, learner: None for e in EVENTS})()
    type("Private", (Callback,), {f"_{name}": lambda self, learner: None, "before_all": 3})()


def test_two_callbacks_of_one_class_keep_their_own_state() -> None:
    class Keeps(Callback):
        def __init__(self, value: int) -> None:
            self.value = value

        def state_dict(self) -> dict[str, Any]:
            return {"value": self.value}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.value = state["value"]

    state = learner(callbacks=[Keeps(1), Keeps(2)]).state_dict()
    one, two, new = Keeps(0), Keeps(0), Keeps(7)
    learner(callbacks=[one, two, new]).load_state_dict(state)
    assert (one.value, two.value, new.value) == (1, 2, 7)


def test_a_stop_asked_for_from_outside_comes_after_the_step() -> None:
    ours = learner(callbacks=[Stop(3)])
    interrupted(ours, 2)
    assert (ours.step, ours.batch, ours.epoch) == (3, 3, 0)


def test_slow_steps_report_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    from rungbook.learner import learner as module

    reports: list[int] = []

    class Reports(Callback):
        def after_report(self, learner: Learner) -> None:
            reports.append(learner.step)

    learner(callbacks=[Reports()]).fit(1)
    assert reports == [5], "control: five quick steps are reported together"
    monkeypatch.setattr(module, "REPORT_SECONDS", 0.02)
    learner(callbacks=[Reports(), At("before_batch", lambda le: time.sleep(0.03))]).fit(1)
    assert reports[1:] == [1, 2, 3, 4, 5, 5]


def test_data_for_training_is_judged_in_stored_order_and_as_it_is() -> None:
    x, y = rows(50)
    train = feed(x, y, augment=lambda x, samples, epoch, seed: x * 0)
    ours = learner(mlp(), (train, None))
    torch.testing.assert_close(ours.predict(train), mlp()(x).detach())
    assert ours.validate(train)["loss"] == pytest.approx(F.cross_entropy(mlp()(x), y).item(), rel=1e-6)
    assert train.shuffle, "the feed itself is as it was"
    assert train.augment is not None
    worst = ours.top_losses(3, train)
    losses = F.cross_entropy(mlp()(x), y, reduction="none")
    assert [s.index for s in worst] == losses.argsort(descending=True)[:3].tolist()


def test_predict_takes_tensors_and_feeds() -> None:
    x, y = rows(50)
    ours = learner(mlp(), (feed(x, y), None))
    expected = copy.deepcopy(ours.model).eval()(x).detach()
    assert ours.predict(x).equal(expected)
    torch.testing.assert_close(ours.predict([(x[:20], y[:20]), (x[20:], y[20:])]), expected)
    with pytest.raises(UsageError, match="no valid split"):
        ours.predict()
