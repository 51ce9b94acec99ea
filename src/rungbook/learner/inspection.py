"""Looking at a learner: learning rate finder, summary, worst samples, pictures. None of it leaves a trace in the learner.

The functions here are the Learner's methods; they stand apart so that the loop stays one screen.
"""

from __future__ import annotations

import copy
import inspect
import math
import shlex
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rungbook.errors import DataError, EnvironmentProblem, NotFinite, UsageError
from rungbook.learner.diagnose import diagnose
from rungbook.learner.loading import own_generators, peek
from rungbook.learner.optimizing import bare_step, load_optimizer
from rungbook.learner.pack import clone
from rungbook.learner.random_state import keep_random_state, seed_all
from rungbook.learner.tally import likeliest

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


@dataclass(frozen=True)
class LearningRates:
    """Result of `find_lr`: the suggestion and the curve it was read from."""

    suggestion: float
    lrs: list[float]
    losses: list[float]


@contextmanager
def untouched(learner: Learner) -> Iterator[None]:
    """Weights, buffers, optimiser, gradients, random numbers and modes are afterwards bit for bit what they were."""
    modules = list(learner.model.modules())
    modes = [m.training for m in modules]
    # by their place, not through state_dict: buffers may be left out of that, and modules may put new tensors in place of old ones
    stores = [store for m in modules for store in (m._parameters, m._buffers)]
    kept = [(store, name, t, t.detach().clone()) for store in stores for name, t in store.items() if t is not None]
    optimizer, casting = clone(learner.optimizer.state_dict()), clone(learner.casting.state_dict())
    grads = [p.grad for p in learner.params]
    with keep_random_state(*own_generators(learner.train_feed)):
        try:
            yield
        finally:
            for store, name, tensor, value in kept:
                if 0 not in tensor.stride():  # an expanded buffer is a constant, and cannot be written to
                    tensor.data.copy_(value)
                store[name] = tensor  # type: ignore[assignment]
            load_optimizer(learner.optimizer, optimizer)
            learner.casting.load_state_dict(casting)
            for p, grad in zip(learner.params, grads, strict=True):
                p.grad = grad
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode


def find_lr(self: Learner, low: float = 1e-6, high: float = 10.0, steps: int = 100) -> LearningRates:
    """Learning rate at which the loss falls fastest (Smith 2017, section 3.3).

    The rate grows by a constant factor each step from `low` to `high`, over at most `steps` batches; the run ends when the running mean
    of the loss has risen from its best by three times that. The suggestion is the rate at the steepest descent over log(rate) of the
    loss smoothed in both directions: a running mean in one lags, and with 100 steps suggests a rate several times too large.

    Args:
        low, high: the range searched.
        steps: batches used at most.

    Raises:
        DataError, UsageError: model, loss and data do not fit each other, as in `fit`.
        NotFinite: E501, the loss is not finite even at the smallest rates.
    """
    if steps < 1 or not 0 < low < high:
        raise UsageError("E202", f"low={low:g}, high={high:g}, steps={steps}: rates rise from above 0, over 1 step or more.", "find_lr()")
    lrs: list[float] = []
    losses: list[float] = []
    average, best = 0.0, math.inf
    with untouched(self), closing(_cycle(self, steps)) as batches:
        diagnose(self)
        seed_all(self.seed)
        if not self.model.training:
            self.model.train()
        for i, (x, y) in enumerate(batches):
            lr = low * (high / low) ** (i / max(1, steps - 1))
            for group in self.optimizer.param_groups:
                group["lr"] = lr * group.get("lr_scale", 1.0)
            with self._recorded():
                output = self.forward(*x) if type(x) is tuple else self.forward(x)
                loss = self.loss(output, y)
            self.optimizer.zero_grad()
            self._differentiate(loss)
            self.clip_gradients()
            losses.append(loss.item())
            average = 0.9 * average + 0.1 * losses[-1]
            value = average / (1 - 0.9 ** (i + 1))  # unbiased: the average starts at 0
            if not math.isfinite(value) or (i > 5 and value - best > 3 * abs(best) + 1e-12):
                break
            best = min(best, value)
            lrs.append(lr)
            overflowed = self.casting.end_step()
            if overflowed is None or not overflowed:
                bare_step(self.optimizer)()
    if not lrs:
        raise NotFinite("E501", f"The loss of the first batch is {value:g}.", "Look for NaN in the inputs and the targets.")
    smooth = _smooth(_smooth(losses[: len(lrs)])[::-1])[::-1]
    return LearningRates(_steepest(lrs, smooth), lrs, smooth)


def _smooth(values: list[float], keep: float = 0.8) -> list[float]:
    """Running mean with weights that fall by `keep` a step back."""
    total, weight, found = 0.0, 0.0, []
    for value in values:
        total, weight = keep * total + value, keep * weight + 1
        found.append(total / weight)
    return found


def _cycle(learner: Learner, steps: int) -> Generator[Any, None, None]:
    done, epoch = 0, 0
    while done < steps:
        for batch in learner.train_feed.batches(epoch, 0, learner.device):
            yield batch
            done += 1
            if done == steps:
                return
        epoch += 1


def _first_batch(learner: Learner) -> Any:
    batch = peek(learner.train_feed, learner.device)
    if batch is None:
        raise DataError("E113", "The train split has no samples.", "Give data with rows in it.")
    return batch


def _steepest(lrs: list[float], losses: list[float]) -> float:
    """Rate of the steepest slope before the minimum, by central differences over five points."""
    end = min(range(len(losses)), key=losses.__getitem__) + 1
    slopes = {i: losses[i + 2] - losses[i - 2] for i in range(2, max(3, end - 2)) if i + 2 < len(losses)}
    return lrs[min(slopes, key=lambda i: slopes[i])] if slopes else lrs[0]


@dataclass(frozen=True)
class LayerRow:
    """One line of `summary`: a leaf module, its output shape for one batch, parameters and FLOPs (two a multiply-add, forward)."""

    name: str
    layer: str
    output: tuple[int, ...]
    parameters: int
    trainable: int
    flops: int


@dataclass(frozen=True)
class Summary:
    """The model layer by layer, for one sample."""

    rows: list[LayerRow]
    parameters: int
    trainable: int
    flops: int

    def __str__(self) -> str:
        width = max([20, *(len(r.name) + len(r.layer) + 2 for r in self.rows)])
        lines = [f"{'layer':<{width}}  {'output':<20}  {'parameters':>11}  {'FLOPs':>13}"]
        for r in self.rows:
            shape = "x".join(map(str, r.output))
            lines.append(f"{r.name + ': ' + r.layer:<{width}}  {shape:<20}  {r.parameters:>11,}  {r.flops:>13,}")
        frozen = f" ({self.trainable:,} trainable)" if self.trainable != self.parameters else ""
        return "\n".join([*lines, f"{self.parameters:,} parameters{frozen}, {self.flops:,} FLOPs a sample"])


def summary(self: Learner) -> Summary:
    """Layer, output shape, parameters and FLOPs for one sample of the train split, as the model sees it."""
    from torch.utils.flop_counter import FlopCounterMode

    x, _ = _first_batch(self)
    one = tuple(t[:1] for t in x) if type(x) is tuple else (x[:1],)
    rows: list[LayerRow] = []
    handles = []
    counter = FlopCounterMode(display=False)

    def measure(name: str, module: nn.Module) -> None:
        before = 0

        def enter(*_: Any) -> None:
            nonlocal before
            before = counter.get_total_flops()

        def leave(_: nn.Module, __: Any, output: Any) -> None:
            shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
            own = list(module.parameters())
            trainable = sum(p.numel() for p in own if p.requires_grad)
            rows.append(LayerRow(name, str(module), shape, sum(p.numel() for p in own), trainable, counter.get_total_flops() - before))

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave))

    for name, module in self.model.named_modules():
        if not list(module.children()):
            measure(name or type(module).__name__, module)
    try:
        with self.evaluating(), torch.no_grad(), counter:
            self.model(*one)
    finally:
        for handle in handles:
            handle.remove()
    every = list(self.model.parameters())
    return Summary(rows, sum(p.numel() for p in every), sum(p.numel() for p in every if p.requires_grad), counter.get_total_flops())


@dataclass(frozen=True)
class Sample:
    """One sample judged: its number in the split, name, loss, target and the model's output."""

    index: int
    name: str
    loss: float
    target: Any
    output: Tensor


def top_losses(self: Learner, n: int = 9, feed: Any = None) -> list[Sample]:
    """The `n` samples of `feed` (default: valid) with the largest loss, worst first."""
    feed = self._feed(feed)
    losses, outputs, targets = [], [], []
    with closing(self._outputs(feed)) as judged:
        for _, y, output in judged:
            losses.append(sample_losses(self.loss, output, y).cpu())
            outputs.append(output.cpu())
            targets.append(y.cpu())
    loss, output, target = torch.cat(losses), torch.cat(outputs), torch.cat(targets)
    source = getattr(feed, "source", None)
    worst = loss.argsort(descending=True, stable=True)[:n].tolist()
    return [Sample(i, source.name(i) if source else f"sample {i}", float(loss[i]), target[i].tolist(), output[i]) for i in worst]


def sample_losses(loss: Any, output: Tensor, target: Tensor) -> Tensor:
    """The loss of each sample, (n,): without reduction where the loss knows how, else one by one."""
    if isinstance(loss, nn.Module) and hasattr(loss, "reduction"):
        loss = copy.copy(loss)
        loss.reduction = "none"
        values = loss(output, target)
    elif callable(loss) and not isinstance(loss, nn.Module) and "reduction" in _parameters(loss):
        values = loss(output, target, reduction="none")
    else:
        values = torch.stack([loss(output[i : i + 1], target[i : i + 1]) for i in range(len(target))])
    return values.detach().reshape(len(target), -1).float().mean(1)


def _parameters(function: Any) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return set()


def show_batch(self: Learner, n: int = 16) -> Any:
    """Picture of the first `n` training samples as the model sees them (images only), a `rungbook.plot` Picture."""
    from rungbook.plot.images import image_grid

    x, y = _first_batch(self)
    return image_grid(_images(x)[:n], [_class(self, v) for v in y[:n].tolist()])


def show_results(self: Learner, n: int = 16) -> Any:
    """Picture of `n` valid images with what the model says of them, a `rungbook.plot` Picture."""
    from rungbook.plot.images import image_grid

    with closing(self._outputs(self._feed(None))) as judged:
        x, y, output = next(judged)
    y = likeliest(y) if self.tally.soft else y
    if y.is_floating_point():
        pairs = zip(output[:n].flatten(1)[:, 0].tolist(), y[:n].flatten(1)[:, 0].tolist() if y.ndim > 1 else y[:n].tolist(), strict=True)
        titles = [f"{said:.3g} (is {true:.3g})" for said, true in pairs]
    else:
        said, true = output[:n].argmax(1).tolist(), y[:n].tolist()
        titles = [_class(self, a) if a == b else f"{_class(self, a)} (is {_class(self, b)})" for a, b in zip(said, true, strict=True)]
    return image_grid(_images(x)[:n], titles)


def _images(x: Any) -> Tensor:
    if not isinstance(x, Tensor) or x.ndim != 4:
        raise UsageError(
            "E202", "Only batches of images (n, channels, height, width) can be drawn.", "Look at the tensors: next(iter(data.train))."
        )
    return x.detach().float().cpu()


def _class(learner: Learner, i: Any) -> str:
    classes = getattr(learner.data, "classes", ())
    return classes[i] if classes and isinstance(i, int) else str(i)


def save(self: Learner, path: str | Path) -> Path:
    """Write the weights as safetensors, to a temporary name first; `path` gets the suffix if it has none.

    Raises:
        UsageError: E105 the folder does not exist, E202 the path is a folder.
        EnvironmentProblem: E401 disk full, E405 not writable.
    """
    from rungbook.learner.checkpoint import write_tensors

    path = Path(path)
    if path.is_dir() and (path.suffix or not path.name):
        raise UsageError("E202", f"{path} is a folder, the weights go to a file.", f"Try {path / 'weights.safetensors'}")
    path = path if path.suffix else path.with_suffix(".safetensors")
    if not path.parent.is_dir():
        make = f"Make it first: mkdir -p {shlex.quote(str(path.parent))}"
        raise UsageError("E105", f"There is no folder {path.parent} for {path.name}.", make)
    try:
        write_tensors(path, self.model.state_dict())
    except EnvironmentProblem as error:
        raise EnvironmentProblem(error.code, error.message, "Give a path in a folder that can be written and has room.") from error
    return path
