"""The promises every callback makes, tested: `check_callback(lambda: MyCallback())` raises and says which one is broken.

A small network (batch norm, dropout, Adam, a schedule) is trained for one and for two epochs, until an exception, until a stop, and on
from there, each time with and without the callback; what it leaves behind is compared bit for bit. In the manner of scikit-learn's
`check_estimator`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from rungbook.learner.callback import EVENTS, Callback
from rungbook.learner.learner import Interrupted, Learner
from rungbook.learner.pack import digest, pack, unpack
from rungbook.learner.random_state import get_random_state, keep_random_state

MakeCallback = Callable[[], Callback]
MakeLearner = Callable[[Sequence[Callback]], Learner]


class ContractBroken(AssertionError):
    """A callback does not keep a promise; the message names it, what happened, and what to do."""


class Planned(Exception):
    """The exception that the check raises in the middle of training."""


def check_callback(make_callback: MakeCallback, make_learner: MakeLearner | None = None) -> None:
    """Check that a callback works at every moment, carries its state, and does not change training unless it says so.

    Args:
        make_callback: gives a new callback each time it is called.
        make_learner: gives a new Learner with these callbacks, always with the same weights and data, at least two steps an epoch;
            a small network by default.

    Raises:
        ContractBroken: naming the callback, the situation and the difference.
    """
    check = _Check(make_callback, make_learner or _small_learner)
    check.made_anew()
    check.survives_all_ways_to_end()
    check.changes_only_what_it_says()
    check.continues_exactly()


@dataclass
class _Run:
    """What can be seen of one training from outside."""

    end: str
    events: str
    trace: list[tuple[str, dict[str, str]]]
    state: dict[str, Any]
    callback_state: Any = None
    steps_per_epoch: int = 0


class _Spy(Callback):
    """Runs after every other callback and notes each event, and at some of them everything that training depends on."""

    order = 1 << 30

    def __init__(self, *, traced: bool, stop_at: int | None = None) -> None:
        self.traced, self.stop_at = traced, stop_at
        self.events: list[str] = []
        self.trace: list[tuple[str, dict[str, str]]] = []

    def note(self, event: str, learner: Learner) -> None:
        """One event; steps and epochs with a digest of all that matters."""
        self.events.append(event)
        if self.traced and event in ("after_step", "after_epoch", "after_fit"):
            self.trace.append((f"after step {learner.step}, in {event}", _digests(learner)))
        if event == "after_step" and learner.step == self.stop_at:
            learner.request_stop()


def _listen(event: str) -> Any:
    def listen(self: _Spy, learner: Learner) -> None:
        self.note(event, learner)

    return listen


for _event in EVENTS:
    setattr(_Spy, _event, _listen(_event))


class _Failure(Callback):
    """Raises in the middle of a step."""

    order = -(1 << 30)

    def __init__(self, at: int) -> None:
        self.at = at

    def after_loss(self, learner: Learner) -> None:
        """Raise `Planned` at the step."""
        if learner.step == self.at:
            raise Planned


def _digests(learner: Learner) -> dict[str, str]:
    model, random = learner.model, get_random_state()
    optimizer = learner.optimizer.state_dict()
    return {
        "the weights": digest(model.state_dict()),
        "the optimizer's state": digest(optimizer["state"]),
        "the optimizer's settings": digest([{k: v for k, v in g.items() if k != "params"} for g in optimizer["param_groups"]]),
        "the random numbers": digest([random["torch"], repr(random["python"]), random["numpy"][1], random["numpy"][2:]]),
        "the modes of the model's parts": digest([m.training for m in model.modules()]),
        "which weights are trained": digest([p.requires_grad for p in model.parameters()]),
    }


_LETTERS = dict(zip(EVENTS, "AEBLGSRVWXTIF", strict=True))
"""A fit begins, E epoch, B batch, L loss, G gradient, S step, R report, V W validation, X epoch over, T fit over, I stop, F failure."""
_STEP = "((BL)*BL+GSR?)"  # SAM looks at a batch twice
_ORDER = {
    "finished": f"A(E{_STEP}*R(VW)?X)*T",
    "interrupted": f"A(E{_STEP}*R(VW)?X)*E{_STEP}*I",
    "failed": f"A(E{_STEP}*R(VW)?X)*E{_STEP}*(BL)*BF",
}
"""The order of events, for a training that ends as planned, by a stop, by an exception after a forward pass."""


@dataclass
class _Check:
    make_callback: MakeCallback
    make_learner: MakeLearner
    name: str = "the callback"
    changes: bool = False
    current: str = field(default="", init=False)

    def broken(self, what: str) -> ContractBroken:
        return ContractBroken(f"{self.name}: {what}")

    def made_anew(self) -> None:
        """`make_callback` gives callbacks, and not the same one twice."""
        one, two = self.make_callback(), self.make_callback()
        if not isinstance(one, Callback):
            raise self.broken(f"make_callback gave {type(one).__name__}, which is no Callback. Subclass rungbook.Callback.")
        self.name, self.changes = type(one).__name__, one.changes_training
        if one is two:
            raise self.broken("make_callback gave the same object twice. Let it make a new one: check_callback(lambda: MyCallback()).")

    def train(
        self, epochs: int, *, bare: bool = False, traced: bool = False, stop: int | None = None, fail: int | None = None, state: Any = None
    ) -> _Run:
        """One training, with the callback unless `bare`."""
        spy = _Spy(traced=traced, stop_at=stop)
        callback = None if bare else self.make_callback()
        with keep_random_state():
            learner = self.make_learner([*([] if callback is None else [callback]), spy, *([] if fail is None else [_Failure(fail)])])
            if callback is not None:
                self.watch(callback)
            learner.report_every = 2
            end = "finished"
            try:
                learner.fit(epochs, "one_cycle", state=state)
            except Interrupted:
                end = "interrupted"
            except Planned:
                end = "failed"
            except Exception as error:
                where = f"in {self.current}" if self.current else "in fit"
                raise self.broken(f"{type(error).__name__} {where}: {error}") from error
            full = learner.state_dict()
            try:
                plain, tensors = pack(full)
                full = unpack(json.loads(json.dumps(plain)), {k: t.clone() for k, t in tensors.items()})
            except TypeError as error:
                raise self.broken(f"state_dict holds what cannot be saved: {error}.") from error
        mine = None if callback is None else callback.state_dict()
        return _Run(end, "".join(_LETTERS[e] for e in spy.events), spy.trace, full, mine, learner.plan.steps_per_epoch)

    def watch(self, callback: Callback) -> None:
        """Remember which of the callback's methods is at work, to name it if it raises."""
        for event in EVENTS:
            method = getattr(callback, event)

            def call(learner: Learner, event: str = event, method: Any = method) -> None:
                self.current = event
                method(learner)
                self.current = ""

            setattr(callback, event, call)

    def survives_all_ways_to_end(self) -> None:
        """One epoch, two epochs, an exception and a stop: events come in order and the right end is reached."""
        steps = self.train(1, bare=True).steps_per_epoch
        for what, planned, options in (
            ("one epoch", "finished", {"epochs": 1}),
            ("two epochs", "finished", {"epochs": 2}),
            ("an exception in the second step", "failed", {"epochs": 2, "fail": 1}),
            ("an exception in the second epoch", "failed", {"epochs": 2, "fail": steps}),
            ("a stop after the first step", "interrupted", {"epochs": 2, "stop": 1}),
            ("a stop at the end of an epoch", "interrupted", {"epochs": 2, "stop": steps}),
        ):
            run = self.train(**options)  # type: ignore[arg-type]
            if run.end != planned and not self.changes:
                raise self.broken(f"a training with {what} was {run.end} instead of {planned}. Let exceptions pass, and stop nothing.")
            if not re.fullmatch(_ORDER[run.end], run.events):
                raise self.broken(f"in a training with {what} the events came in the order {run.events}.")

    def changes_only_what_it_says(self) -> None:
        """Bit for bit the same training with and without, or with `changes_training` at least the same twice."""
        run = self.train(2, traced=True)
        other = self.train(2, traced=True, bare=not self.changes)
        for (where, mine), (_, theirs) in zip(run.trace, other.trace, strict=False):
            for what, value in mine.items():
                if value == theirs[what]:
                    continue
                if self.changes:
                    raise self.broken(
                        f"{where}: {what} differ between two trainings alike. Draw random numbers from the learner's seed only."
                    )
                remedy = "Undo the change, draw from a generator of its own, or declare changes_training = True."
                raise self.broken(f"{where}: {what} differ from a training without it. {remedy}")
        if len(run.trace) != len(other.trace):
            raise self.broken(f"training had {len(run.trace)} moments instead of {len(other.trace)}. Declare changes_training = True.")
        for mine, theirs in zip(run.state["history"], other.state["history"], strict=True):
            if changed := [k for k, v in theirs.items() if digest(mine.get(k)) != digest(v)]:
                raise self.broken(f"it changed {', '.join(changed)} in a row of the history. Declare changes_training = True.")

    def continues_exactly(self) -> None:
        """Stopped at any of several steps and continued by a new learner and a new callback, all ends as if never stopped."""
        whole = self.train(2)
        steps = whole.steps_per_epoch
        for step in sorted({1, steps, steps + 1}):
            begun = self.train(2, stop=step)
            if begun.end != "interrupted":
                continue  # it ended by itself before
            done = self.train(2, state=begun.state)
            parts = {"model": "the weights", "optimizer": "the optimizer's state", "history": "the history"}
            wrong = [what for key, what in parts.items() if digest(done.state[key]) != digest(whole.state[key])]
            if digest(done.callback_state) != digest(whole.callback_state):
                wrong.append("its own state")
            if wrong:
                differ = f"stopped after step {step} and continued, {' and '.join(wrong)} differ from a training never stopped"
                raise self.broken(f"{differ}. Save in state_dict all that it remembers.")


class _Rows:
    """A feed of a few rows in a new order each epoch, the last batch smaller."""

    def __init__(self, n: int, *, shuffle: bool) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(n, 4, generator=generator)
        self.y = (self.x.sum(1) > 0).long()
        self.shuffle = shuffle

    def __len__(self) -> int:
        return -(-len(self.y) // 8)

    def batches(self, epoch: int = 0, start: int = 0, device: torch.device | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(self.y)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(epoch)) if self.shuffle else torch.arange(n)
        for i in order.split(8)[start:]:
            yield self.x[i].to(device), self.y[i].to(device)


def _small_learner(callbacks: Sequence[Callback]) -> Learner:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 2))
    feeds = (_Rows(37, shuffle=True), _Rows(16, shuffle=False))
    return Learner(model, feeds, optimizer=torch.optim.Adam, lr=0.01, callbacks=callbacks, device="cpu")
