"""The training loop: model, loss, optimiser and data, put together and kept apart.

The loop proper is `_train_epoch`; everything else prepares it or looks at its result. No step waits for the device: losses and metrics
are counted at reports, every `report_every` steps. Fused optimisers and index-select feeding are the default.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.errors import NotFinite, UsageError
from rungbook.learner import inspection
from rungbook.learner.callback import Callback, listeners, named
from rungbook.learner.casting import Casting, make_casting
from rungbook.learner.counting import is_cross_entropy, target_counter
from rungbook.learner.diagnose import diagnose
from rungbook.learner.finite import Bad, FiniteGuard
from rungbook.learner.loading import IterableFeed, as_feed, own_generators, replayed
from rungbook.learner.memory import Memory, make_forward
from rungbook.learner.metrics import Metric, make_metric
from rungbook.learner.optimizing import load_optimizer, make_optimizer, set_momentum
from rungbook.learner.random_state import get_random_state, keep_random_state, seed_all, set_random_state
from rungbook.learner.schedule import Schedule, make_schedule
from rungbook.learner.tally import Tally
from rungbook.learner.tta import Versions, tta

if TYPE_CHECKING:
    from rungbook.learner.callbacks.activations import ActivationStats
    from rungbook.learner.hooks import Which

REPORT_SECONDS = 2.0
"""Slow steps report at least this often, so that a progress bar moves and a checkpoint is never far."""


class Interrupted(Exception):
    """`fit` stopped because `request_stop` was called; the state is complete and can be saved."""


@dataclass
class Plan:
    """How far a fit goes: `epochs` of `batches` each, an optimiser step every `accumulate` of them."""

    epochs: int
    batches: int
    accumulate: int
    schedule: Schedule

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in an epoch."""
        return -(-self.batches // self.accumulate)

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.epochs * self.steps_per_epoch


class Learner:
    """A model with its data, loss and optimiser.

    Args:
        model: maps a batch of inputs to outputs; several input tensors are passed as several arguments.
        data: a `rungbook.Data`, or a pair (train, valid) of feeds, DataLoaders or iterables of (x, y).
        loss: (output, target) -> scalar, the mean over the batch. A `count(target)` attribute may say over how many.
        optimizer: called as `optimizer(parameters, lr=lr)`: a class, or `partial(SGD, momentum=0.9)`.
        lr: base learning rate; schedules multiply it.
        metrics: names of `METRICS`, functions (output, target) -> value, or Metric objects.
        callbacks: see `Callback`.
        seed: of dropout and all else drawn while training (the order of samples belongs to the data).
        device: "cpu", "cuda", ...; the fastest there is if None.
        precision: "fp32", "bf16" for autocast to bfloat16, or what `make_precision("fp16")` of `rungbook.scale` gives.
        compile: run the model through `torch.compile`.
        channels_last: keep pictures and convolutions pixel by pixel in memory.
        activation_checkpointing: compute the activations of each block again on the way back instead of keeping them.
        accumulate: batches whose gradients are gathered, weighted by their size, for one step.
        clip: largest norm of the gradient, or None.
        tape: where gradients come from in place of torch's autograd: a `rungbook.Tape`.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
        optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.SGD,
        lr: float = 0.1,
        metrics: Sequence[str | Metric | Callable[[Tensor, Tensor], Any]] = ("accuracy",),
        callbacks: Sequence[Callback] = (),
        seed: int = 0,
        device: str | torch.device | None = None,
        precision: str | Casting = "fp32",
        compile: bool = False,
        accumulate: int = 1,
        clip: float | None = None,
        tape: Any = None,
        channels_last: bool = False,
        activation_checkpointing: bool = False,
    ) -> None:
        if accumulate < 1:
            raise UsageError("E202", f"accumulate is {accumulate}, it must be 1 or more.")
        _check_arguments(data, optimizer, loss, clip)
        metrics = [metrics] if isinstance(metrics, str | Metric) or callable(metrics) else metrics
        callbacks = [callbacks] if isinstance(callbacks, Callback) else callbacks
        self.device = best_device() if device is None else torch.device(device)
        self.data = data
        train, valid = (data.train, data.valid) if hasattr(data, "train") else data
        self.train_feed, self.valid_feed = as_feed(train, self.device), None if valid is None else as_feed(valid, self.device)
        self.model = model.to(self.device)
        self.memory = Memory(compile, channels_last, activation_checkpointing)
        self.casting = make_casting(precision, self.memory, tape)
        self.forward = self.casting.forward(make_forward(self.model, self.memory, tape), self.model)
        self.loss = loss.to(self.device) if isinstance(loss, nn.Module) else loss
        self.lr, self.seed, self.accumulate, self.clip, self.tape = lr, seed, accumulate, clip, tape
        self.precision = self.casting.name
        self.make_optimizer = optimizer
        self.params = [p for p in self.model.parameters() if p.requires_grad]
        if tape is not None:
            tape.watch(self.model)
        self.optimizer = make_optimizer(optimizer, self.model, self.params, lr)
        self.metrics = list(metrics)
        self.tally = Tally([make_metric(m) for m in self.metrics], soft=is_cross_entropy(self.loss))
        self.callbacks = list(callbacks)
        self.history: list[dict[str, Any]] = []
        self.row: dict[str, Any] = {}
        self.epoch = self.batch = self.step = 0
        self.epochs_before = 0
        self.report_every = 50
        self.stop = False
        self._stop_requested = False
        self._held: dict[str, Any] | None = None
        self._epoch_random: dict[str, Any] | None = None

    # ---------------------------------------------------------------- training

    def fit(self, epochs: int, schedule: Any = None, *, state: dict[str, Any] | None = None) -> Learner:
        """Train for `epochs` passes over the train split, judging on valid after each.

        Args:
            epochs: passes over the data.
            schedule: name or callable of `rungbook.learner.schedule`: share of the fit done -> factor of `lr`.
            state: what `state_dict` gave in an earlier fit of the same plan, which is then continued bit for bit.

        Raises:
            NotFinite: a loss, gradient or weight stopped being finite; no update was made from it.
            Interrupted: `request_stop` was called.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 0:
            raise UsageError("E202", f"epochs is {epochs!r}; it must be a whole number, 0 or more.", "learner.fit(5)")
        self.plan = Plan(epochs, len(self.train_feed), self.accumulate, make_schedule(schedule))
        self.epoch = self.batch = self.step = 0
        self.stop = self._stop_requested = False
        self._held = self._epoch_random = None
        self._listeners = listeners(self.callbacks)
        self._has_schedule = schedule is not None
        if not self.model.training:  # one in training mode keeps the modes of its parts: some may have been frozen on purpose
            self.model.train()
        with keep_random_state():
            seed_all(self.seed + self.epochs_before)
            all_count = diagnose(self) and not self._listeners["before_batch"]
            self._count = target_counter(self.loss, all_count=all_count)
            self._guard = FiniteGuard(self.model, self.optimizer, self.device, self.report_every)
            self._base = self._rates()
            try:
                self._run(state)
            except Interrupted:
                self._held = {"random": self._random(), "rates": self._rates()}
                self._call("on_interrupt")
                raise
            except BaseException:
                self._call("on_failure")
                raise
            finally:
                self._guard.release()
                for group, base in zip(self.optimizer.param_groups, self._base, strict=True):
                    group.update(base)
        self.epochs_before += self.epoch
        return self

    def _run(self, state: dict[str, Any] | None) -> None:
        self._call("before_fit")
        self.tally.reset()
        if state is not None:
            self.load_state_dict(state)
        self._guard.watch()
        self._kept_step = self.step
        while self.epoch < self.plan.epochs and not self.stop:
            with closing(self._batches()) as batches:  # worker processes end with the epoch, however it ends
                self._train_epoch(batches)
            self._end_epoch()
        self._call("after_fit")

    def _rates(self) -> list[dict[str, Any]]:
        """What a schedule changes in the optimiser, group by group."""
        return [{k: g[k] for k in ("lr", "momentum", "betas") if k in g} for g in self.optimizer.param_groups]

    def _random(self) -> dict[str, Any]:
        return get_random_state(*own_generators(self.train_feed))

    def _batches(self) -> Generator[tuple[Any, Tensor], None, None]:
        """The epoch's batches from where it stands; a loader that draws its order gets the random numbers it had when the epoch began."""
        if self.batch == 0 and isinstance(self.train_feed, IterableFeed):
            self._epoch_random = self._random()
        yield from replayed(self.train_feed, self.epochs_before + self.epoch, self.batch, self.device, self._epoch_random)

    def _train_epoch(self, batches: Iterable[tuple[Any, Tensor]]) -> None:
        on, tally, guard, params = self._listeners, self.tally, self._guard, self.params
        self._call("before_epoch")
        self._last_report = time.monotonic()
        losses: list[Tensor] = []
        self._window_count: float | Tensor = 0
        for p in params:  # left over by a fit that failed between backward and step
            p.grad = None
        for x, y in batches:
            self.x, self.y = x, y
            for f in on["before_batch"]:
                f(self)
            count = self.run_batch()
            losses.append(self.batch_loss.detach())
            tally.add(self.batch_loss, self.output, self.y, count)
            self.batch += 1
            if self.accumulate == 1 or self.batch % self.accumulate == 0 or self.batch == self.plan.batches:
                self._before_step()
                for f in on["after_backward"]:
                    f(self)
                overflowed = self.casting.end_step()
                guard.look(losses if overflowed is not None else [p.grad for p in params if p.grad is not None] + losses)
                guard.step(overflowed)
                for p in params:
                    p.grad = None
                losses = []
                self.step += 1
                for f in on["after_step"]:
                    f(self)
                stop = self._stop_requested
                if stop or self.step % guard.window == 0 or time.monotonic() - self._last_report > REPORT_SECONDS:
                    self._report()
                if stop:
                    raise Interrupted
        self._report()

    def run_batch(self) -> float | Tensor:
        """Forward pass, loss and gradients of the batch in `x` and `y`; gives how many targets the loss is the mean over."""
        with self._recorded():
            self.output = self.forward(*self.x) if type(self.x) is tuple else self.forward(self.x)
            self.batch_loss = self.loss(self.output, self.y)
        for f in self._listeners["after_loss"]:
            f(self)
        return self._backward()

    def _backward(self) -> float | Tensor:
        """Gradients of the batch; gathered ones are weighted by how many targets each batch's mean was over."""
        count = self._count(self.y)
        if self.accumulate == 1:
            self._differentiate(self.batch_loss)
        else:
            self._differentiate(self.batch_loss, count)
            self._window_count = self._window_count + count
        return count

    def _before_step(self) -> None:
        """Finish the gradient and set the learning rate of this step."""
        if self.accumulate > 1:
            gradients = [p.grad for p in self.params if p.grad is not None]
            torch._foreach_div_(gradients, float(self._window_count))
            self._window_count = 0
        self.clip_gradients()
        if self._has_schedule:
            position = self.step / self.plan.steps
            factor, momentum = self.plan.schedule(position), self.plan.schedule.momentum(position)
            for group, base in zip(self.optimizer.param_groups, self._base, strict=True):
                group["lr"] = base["lr"] * factor
                if momentum is not None:
                    set_momentum(group, momentum)

    def clip_gradients(self) -> None:
        """Shorten the gradient to the norm `clip`."""
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.params, self.clip)

    def _report(self) -> None:
        """Bring losses and metrics to the host, notice a number that is not finite, tell whoever listens."""
        self._last_report = time.monotonic()
        self.tally.flush()
        bad = self._guard.first_bad()
        if bad is not None:
            self._not_finite(bad)
        self.casting.check()
        self._guard.keep()
        self._kept_step = self.step
        self._call("after_report")

    def _not_finite(self, bad: Bad) -> None:
        back = self._guard.restore()
        step = self.step - (bad.ago or 0)
        kept = self._kept_step if back == "weights" else step - 1
        if bad.ago is None:
            what = f"A weight stopped being finite between step {self._kept_step} and step {step} of {self.plan.steps}"
        else:
            what = f"Loss, gradient or weights stopped being finite at step {step} of {self.plan.steps}"
        raise NotFinite(
            "E501",
            f"{what}; no update was made from then on, the weights of step {kept} are "
            + ("put back" if back == "weights" else "kept")
            + (f", running averages those of step {self._kept_step}." if back == "buffers" else "."),
            f"Try a smaller learning rate (lr={self.lr / 10:g}), clip=1.0, or look for NaN in the inputs.",
        )

    def _end_epoch(self) -> None:
        group = self.optimizer.param_groups[0]
        rate = group["lr"] / group.get("lr_scale", 1.0)
        self.row = {"epoch": self.epoch + 1, "step": self.step, "lr": rate, **self.tally.result("train_")}
        if self.valid_feed is not None:
            self._call("before_validate")
            self.row.update({f"valid_{k}": v for k, v in self.validate().items()})
            self._call("after_validate")
        self.history.append(self.row)
        self.epoch, self.batch = self.epoch + 1, 0
        self.tally.reset()
        self._call("after_epoch")

    def request_stop(self) -> None:
        """Ask for a stop after the current step: `fit` then raises Interrupted. Safe to call from a signal handler."""
        self._stop_requested = True

    def _call(self, event: str) -> None:
        for f in self._listeners[event]:
            f(self)

    def _cast(self) -> Any:
        return self.casting.cast(self.device)

    def _recorded(self) -> Any:
        """Where forward pass and loss are computed for training: what happens there can be differentiated."""
        return self._cast() if self.tape is None else _both(self.tape, self._cast())

    def _differentiate(self, loss: Tensor, weight: float | Tensor = 1) -> None:
        """Add the gradients of `weight * loss` to those of the parameters."""
        if self.tape is not None:
            self.tape.backward(loss, torch.as_tensor(weight, dtype=loss.dtype, device=loss.device))
        else:
            self.casting.differentiate(loss, weight, self.params)

    # ---------------------------------------------------------------- continuing

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue bit for bit: weights, optimiser, random numbers, position, tallies, callbacks.

        To be taken between two steps: in `after_step` and later events, or once `fit` raised Interrupted. Its tensors are the live ones,
        as in torch: save or copy them before training goes on.
        """
        optimizer = self.optimizer.state_dict()
        if self._held is not None:  # `fit` is over, and what it changed for its own time is put back already
            for group, rates in zip(optimizer["param_groups"], self._held["rates"], strict=True):
                group.update(rates)
        return {
            "model": self.model.state_dict(),
            "optimizer": optimizer,
            "random": self._random() if self._held is None else self._held["random"],
            "epoch_random": self._epoch_random,
            "position": {k: getattr(self, k) for k in ("epoch", "batch", "step", "epochs_before", "stop")},
            "tally": self.tally.state_dict(),
            "history": list(self.history),
            "callbacks": {name: c.state_dict() for name, c in named(self.callbacks).items()},
            **({"precision": casting} if (casting := self.casting.state_dict()) else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave; pass it to `fit(..., state=...)` to continue a fit."""
        self.model.load_state_dict(state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.casting.load_state_dict(state.get("precision", {}))
        for key, value in state["position"].items():
            setattr(self, key, value)
        self.tally.load_state_dict(state["tally"])
        self.history = list(state["history"])
        for name, callback in named(self.callbacks).items():
            if name in state["callbacks"]:  # one that was not there then starts fresh
                callback.load_state_dict(state["callbacks"][name])
        self._held, self._epoch_random = None, state["epoch_random"]
        set_random_state(state["random"], *own_generators(self.train_feed))

    # ---------------------------------------------------------------- looking, without a trace

    def validate(self, feed: Any = None, metrics: Sequence[Any] | None = None, *, tta: Versions | None = None) -> dict[str, Any]:
        """Mean loss and metrics over `feed` (default: valid), in evaluation mode, of each image or its versions; leaves no trace."""
        tally = Tally([make_metric(m).fresh() for m in (self.metrics if metrics is None else metrics)], soft=self.tally.soft)
        count = target_counter(self.loss)
        with closing(self._outputs(self._feed(feed), tta)) as outputs:
            for _, y, output in outputs:
                tally.add(self.loss(output, y), output, y, count(y))
            return tally.result()

    def predict(self, x: Any = None, *, tta: Versions | None = None) -> Tensor:
        """Outputs, on the CPU, for a tensor or tuple of tensors ready for the model, or for a feed (default: valid).

        Args:
            x: what is judged.
            tta: versions of each image that are judged instead of itself alone: "flip", "crop" or "flip_crop" (see `tta.py`).
        """
        if isinstance(x, Tensor | tuple) and not hasattr(x, "batches"):
            first = x[0] if isinstance(x, tuple) else x
            x = [(x, first)]
        with closing(self._outputs(self._feed(x), tta)) as outputs:
            return torch.cat([output.float().cpu() for _, _, output in outputs])

    def _feed(self, feed: Any) -> Any:
        """The feed to judge on: in stored order and without augmentation, also if it is the one for training."""
        feed = self.valid_feed if feed is None else feed
        if feed is None:
            raise UsageError("E202", "There is no valid split to judge on.", "Give data with one (valid=0.1), or pass a feed.")
        feed = as_feed(feed, self.device)
        if getattr(feed, "shuffle", False) or getattr(feed, "augment", None) is not None:
            feed = copy.copy(feed)
            feed.shuffle, feed.augment = False, None
        return feed

    def _outputs(self, feed: Any, versions: Versions | None = None) -> Generator[tuple[Any, Tensor, Tensor], None, None]:
        """Inputs, targets and outputs of each batch; to be closed, or the model stays in evaluation mode and gradients stay off."""
        forward = self.forward if versions is None else tta(self.forward, versions, classes=self.tally.soft)
        with self.evaluating(), torch.no_grad():
            for x, y in feed.batches(device=self.device):
                x = tuple(t.to(self.device) for t in x) if type(x) is tuple else x.to(self.device)
                with self._cast():
                    output = forward(*x) if type(x) is tuple else forward(x)
                yield x, y.to(self.device), output if self.precision == "fp32" else output.float()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode inside; afterwards each module's own mode and the random numbers are as before."""
        modes = [(m, m.training) for m in self.model.modules()]
        with keep_random_state():
            self.model.eval()
            try:
                yield
            finally:
                for module, mode in modes:
                    module.training = mode

    def watch(self, layers: Which = None, **options: Any) -> ActivationStats:
        """Record what layers put out in every later fit; gives the `ActivationStats` that does, whose arguments these are."""
        from rungbook.learner.callbacks.activations import ActivationStats

        stats = ActivationStats(layers, **options)
        self.callbacks.append(stats)
        return stats

    find_lr = inspection.find_lr
    summary = inspection.summary
    top_losses = inspection.top_losses
    show_batch = inspection.show_batch
    show_results = inspection.show_results
    save = inspection.save


@contextmanager
def _both(one: Any, other: Any) -> Iterator[None]:
    with one, other:
        yield


def _check_arguments(data: Any, optimizer: Any, loss: Any, clip: float | None) -> None:
    """Say what a Learner needs where it was given something near it. Raises UsageError E202."""
    if not hasattr(data, "train") and not (isinstance(data, tuple | list) and len(data) == 2):
        raise UsageError(
            "E202", f"data is a {type(data).__name__}; it must be a Data or a pair (train, valid).", "Learner(model, (loader, None))"
        )
    if isinstance(optimizer, torch.optim.Optimizer) or not callable(optimizer):
        fix = "optimizer=torch.optim.Adam, or partial(torch.optim.SGD, momentum=0.9)"
        raise UsageError("E202", "optimizer must be a class or function that makes one from (parameters, lr=...).", fix)
    if not callable(loss):
        raise UsageError("E202", f"loss is {loss!r}; it must be a function (output, target) -> loss.", "loss=F.cross_entropy")
    if clip is not None and not clip > 0:
        raise UsageError("E202", f"clip is {clip}; it must be above 0, or None.", "clip=1.0")


def best_device() -> torch.device:
    """The accelerator torch sees, else the CPU."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator if accelerator is not None else torch.device("cpu")
