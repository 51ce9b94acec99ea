"""What a model is judged by, counted batch by batch on the device where the batches are.

`update` only launches work and never waits for the device; `compute` waits once. Metrics made of whole-number counts say so (`exact`):
for them it makes no difference, to the last bit, whether batches are counted one at a time or several at once.
Classification metrics take logits with the classes in dimension 1, as `F.cross_entropy` does, and leave out targets of -100.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from rungbook.errors import DataError, UsageError, did_you_mean

IGNORED = -100
"""The target that counts for nothing: padding of texts, unlabelled pixels (`F.cross_entropy`'s default)."""


class Metric:
    """Base of all metrics: `reset`, `update` with batches, `compute`.

    A metric keeps its accumulators in `self.sums`, named tensors and whole numbers which `reset` empties and `state_dict` saves.
    """

    name = "metric"
    higher_is_better = True
    exact = False
    """Whether the accumulators are whole-number counts, so that several batches may be given as one."""
    of_classes = False
    """Whether it takes class numbers: of targets that are probabilities it is given the likeliest class (by the Learner)."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget every batch."""
        self.sums: dict[str, Any] = {}

    def update(self, output: Tensor, target: Tensor) -> None:
        """Count a batch in: what the model gave and what was right, first dimension samples."""
        raise NotImplementedError

    def compute(self) -> float | Tensor:
        """The metric over all batches since `reset`; nan if there was none."""
        raise NotImplementedError

    def add(self, name: str, value: Tensor | int) -> None:
        """Add to an accumulator; a new one starts at `value`."""
        old = self.sums.get(name)
        if isinstance(old, Tensor) and isinstance(value, Tensor) and old.device != value.device:
            old = old.to(value.device)  # loaded from a checkpoint
        self.sums[name] = value if old is None else old + value

    def get(self, name: str) -> float:
        """An accumulator as a number; 0 if nothing was counted."""
        value = self.sums.get(name, 0)
        return value.item() if isinstance(value, Tensor) else value

    def state_dict(self) -> dict[str, Tensor | int]:
        """The accumulators, copied."""
        return {k: v.clone() if isinstance(v, Tensor) else v for k, v in self.sums.items()}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Go on from what `state_dict` gave."""
        self.sums = {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}

    def fresh(self) -> Self:
        """One like it that has seen no batch; counting into one does not change the other."""
        seen = vars(self).get("sums")
        new = copy.deepcopy(self, {} if seen is None else {id(seen): {}})
        new.reset()
        return new

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _predicted(output: Tensor, target: Tensor) -> Tensor:
    """The class with the highest logit, in the shape of `target`, which is checked."""
    if target.is_floating_point():
        raise DataError("E103", f"Classes must be whole numbers, the targets are {target.dtype}.", "Use y.long().")
    predicted = output.argmax(1)
    if predicted.shape != target.shape:
        needed = (len(output), *output.shape[2:])
        raise DataError(
            "E108",
            f"For logits of shape {tuple(output.shape)} the targets must have shape {needed}, they have {tuple(target.shape)}.",
            "Logits are (samples, classes, ...), targets (samples, ...) with class numbers.",
        )
    return predicted


class Accuracy(Metric):
    """Share of targets whose class has the highest logit."""

    name = "accuracy"
    exact = of_classes = True

    def update(self, output: Tensor, target: Tensor) -> None:
        self.add("right", (_predicted(output, target) == target).sum())  # no class is IGNORED
        self.add("seen", target.numel())
        self.add("ignored", (target == IGNORED).sum())

    def compute(self) -> float:
        return _share(self.get("right"), self.get("seen") - self.get("ignored"))


class TopK(Metric):
    """Share of targets whose class is among the `k` highest logits.

    Args:
        k: how many guesses count; more than there are classes means all of them.
    """

    exact = of_classes = True

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise UsageError("E202", f"k is {k}, it must be 1 or more.", "Try top_5.")
        self.k, self.name = k, f"top_{k}"
        super().__init__()

    def update(self, output: Tensor, target: Tensor) -> None:
        _predicted(output, target)
        best = output.topk(min(self.k, output.shape[1]), dim=1).indices  # (B, k, ...)
        self.add("right", (best == target.unsqueeze(1)).sum())
        self.add("seen", target.numel())
        self.add("ignored", (target == IGNORED).sum())

    def compute(self) -> float:
        return _share(self.get("right"), self.get("seen") - self.get("ignored"))

    def __repr__(self) -> str:
        return f"TopK({self.k})"


class ConfusionMatrix(Metric):
    """Counts of (true class, predicted class), int64 (classes, classes); (0, 0) before the first batch."""

    name = "confusion_matrix"
    exact = of_classes = True

    def update(self, output: Tensor, target: Tensor) -> None:
        K = output.shape[1]
        cell = torch.where(target == IGNORED, K * K, target * K + _predicted(output, target)).reshape(-1)
        # bincount would wait for the device; scatter_add_ on integers gives the same whatever the order
        counts = torch.zeros(K * K + 1, dtype=torch.int64, device=cell.device).scatter_add_(0, cell, torch.ones_like(cell))
        self.add("counts", counts[:-1].reshape(K, K))

    @property
    def counts(self) -> Tensor:
        """The counts so far, on the host."""
        return self.sums["counts"].cpu() if "counts" in self.sums else torch.zeros(0, 0, dtype=torch.int64)

    def compute(self) -> float | Tensor:
        return self.counts


class BalancedAccuracy(ConfusionMatrix):
    """Mean over the classes that occur of the share of their samples that was found."""

    name = "balanced_accuracy"

    def compute(self) -> float:
        true = self.counts.sum(1)
        there = true > 0
        return (self.counts.diagonal()[there].double() / true[there]).mean().item() if there.any() else math.nan


class F1(ConfusionMatrix):
    """Mean over the classes that occur or were predicted of 2 hits / (occurrences + predictions)."""

    name = "f1"

    def compute(self) -> float:
        either = self.counts.sum(1) + self.counts.sum(0)
        there = either > 0
        return (2 * self.counts.diagonal()[there].double() / either[there]).mean().item() if there.any() else math.nan


class LogLoss(Metric):
    """Mean negative log-probability of the right class, in nats, from logits."""

    name = "log_loss"
    higher_is_better = False
    of_classes = True

    def update(self, output: Tensor, target: Tensor) -> None:
        output = output.detach()
        losses = F.cross_entropy(
            output if output.dtype == torch.float64 else output.float(), target, reduction="none", ignore_index=IGNORED
        )
        self.add("sum", losses.sum(dtype=_wide(losses)))
        self.add("seen", target.numel())
        self.add("ignored", (target == IGNORED).sum())

    def compute(self) -> float:
        return _share(self.get("sum"), self.get("seen") - self.get("ignored"))


class Perplexity(LogLoss):
    """e to the power of the log loss: how many equally likely choices the model is in doubt between."""

    name = "perplexity"

    def compute(self) -> float:
        mean = super().compute()
        return math.exp(mean) if mean < 709 else mean if math.isnan(mean) else math.inf  # e^710 is beyond float64


def _wide(x: Tensor) -> torch.dtype:
    """The widest type the device can add up in: Apple's has no float64."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def _columns(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both as (samples, columns) in the widest type: 2-D ones keep their columns, all else is one column."""
    if output.shape != target.shape:
        raise DataError(
            "E108",
            f"Predictions have shape {tuple(output.shape)}, targets {tuple(target.shape)}: they would be broadcast.",
            "Try target.unsqueeze(1)." if target.ndim < output.ndim else "Try target.reshape(output.shape).",
        )
    shape = output.shape if output.ndim == 2 else (-1, 1)
    return output.detach().reshape(shape).to(_wide(output)), target.reshape(shape).to(_wide(target))


class MeanSquaredError(Metric):
    """Mean of (prediction - target)^2."""

    name = "mean_squared_error"
    higher_is_better = False

    def errors(self, output: Tensor, target: Tensor) -> Tensor:
        """What is averaged, from (samples, columns) to the same shape."""
        return (output - target).square()

    def update(self, output: Tensor, target: Tensor) -> None:
        output, target = _columns(output, target)
        if len(target):
            self.add("sum", self.errors(output, target).sum(0))
            self.add("seen", len(target))

    def means(self) -> Tensor:
        """Mean over the samples for each column; one nan before the first batch."""
        return self.sums["sum"] / self.sums["seen"] if "sum" in self.sums else torch.tensor([math.nan])

    def compute(self) -> float:
        return self.means().mean().item()


class RootMeanSquaredError(MeanSquaredError):
    """Root of the mean squared error, for several columns the mean of their roots."""

    name = "root_mean_squared_error"

    def compute(self) -> float:
        return self.means().sqrt().mean().item()


class MeanAbsoluteError(MeanSquaredError):
    """Mean of |prediction - target|."""

    name = "mean_absolute_error"

    def errors(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).abs()


class RootMeanSquaredLogError(RootMeanSquaredError):
    """Root mean squared difference of log(1 + value); a negative prediction counts as 0, a target below -1 gives nan."""

    name = "root_mean_squared_log_error"

    def errors(self, output: Tensor, target: Tensor) -> Tensor:
        return (output.clamp(min=0).log1p() - target.log1p()).square()


class R2(Metric):
    """1 - squared error / squared distance of the targets from their mean; for several columns the mean over them.

    Batches are merged by the formula of Chan, Golub and LeVeque (1983, "Algorithms for computing the sample variance"), which keeps its
    digits where sum of squares minus square of sum loses them. Targets that are all equal give 1 if met exactly, else 0; fewer than two
    samples nan.
    """

    name = "r2"

    def update(self, output: Tensor, target: Tensor) -> None:
        output, target = _columns(output, target)
        n, seen = len(target), int(self.sums.get("seen", 0))
        if not n:
            return
        mean = target.mean(0)
        spread = (target - mean).square().sum(0)
        if seen:
            step = mean - self.sums["mean"].to(mean.device)
            spread = spread + step.square() * (seen * n / (seen + n))
            mean = self.sums["mean"].to(mean.device) + step * (n / (seen + n))
        self.sums["mean"] = mean
        self.add("spread", spread)
        self.add("error", (output - target).square().sum(0))
        self.add("seen", n)

    def compute(self) -> float:
        if self.sums.get("seen", 0) < 2:
            return math.nan
        error, spread = self.sums["error"], self.sums["spread"]
        constant = torch.where(error == 0, 1.0, 0.0).to(error.dtype)
        return torch.where(spread > 0, 1 - error / spread.clamp(min=torch.finfo(spread.dtype).tiny), constant).mean().item()


class FunctionMetric(Metric):
    """A plain function as a metric: the mean of its values over the batches, weighted by their sizes.

    Args:
        function: `(output, target) -> number`. Its attribute `higher_is_better` is taken over, True if it has none.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Any]) -> None:
        self.function = function
        inner = getattr(function, "func", function)  # of a functools.partial
        self.name = str(getattr(inner, "__name__", type(inner).__name__)).strip("<>")
        self.higher_is_better = bool(getattr(function, "higher_is_better", True))
        super().__init__()

    def update(self, output: Tensor, target: Tensor) -> None:
        value = self.function(output, target)
        value = value.detach() if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float64)
        if value.numel() != 1:
            raise UsageError("E202", f"Metric {self.name} gave shape {tuple(value.shape)}, one number is needed.", "Return its .mean().")
        self.add("sum", value.reshape(()).to(_wide(value)) * len(target))
        self.add("seen", len(target))

    def compute(self) -> float:
        return _share(self.get("sum"), self.get("seen"))

    def __repr__(self) -> str:
        return f"FunctionMetric({self.name})"


class OnScale(Metric):
    """A metric in the user's units: model outputs and targets are decoded before it sees them.

    Args:
        metric: what judges the decoded values.
        decode: from the model's scale to the user's, for outputs (`NumberTarget.decode`).
        values: the same for targets (`NumberTarget.values`); `decode` if None.
    """

    def __init__(self, metric: Metric, decode: Callable[[Tensor], Tensor], values: Callable[[Tensor], Tensor] | None = None) -> None:
        self.metric, self.decode, self.values = metric, decode, values or decode
        self.name, self.higher_is_better, self.exact = metric.name, metric.higher_is_better, metric.exact

    def reset(self) -> None:
        self.metric.reset()

    def update(self, output: Tensor, target: Tensor) -> None:
        self.metric.update(self.decode(output.detach()), self.values(target))

    def compute(self) -> float | Tensor:
        return self.metric.compute()

    def fresh(self) -> Self:
        return type(self)(self.metric.fresh(), self.decode, self.values)

    def state_dict(self) -> dict[str, Tensor | int]:
        return self.metric.state_dict()

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        self.metric.load_state_dict(state)

    def __repr__(self) -> str:
        return f"OnScale({self.metric!r})"


METRICS: dict[str, Callable[[], Metric]] = {
    "accuracy": Accuracy,
    "balanced_accuracy": BalancedAccuracy,
    "confusion_matrix": ConfusionMatrix,
    "f1": F1,
    "log_loss": LogLoss,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_squared_error": MeanSquaredError,
    "perplexity": Perplexity,
    "r2": R2,
    "root_mean_squared_error": RootMeanSquaredError,
    "root_mean_squared_log_error": RootMeanSquaredLogError,
    "top_5": TopK,
}
"""Metrics by name; `top_` takes any number."""


def make_metric(what: str | Metric | type[Metric] | Callable[[Tensor, Tensor], Any]) -> Metric:
    """A metric by its name in `METRICS`, from its class, from a function `(output, target) -> number`, or as it is.

    Raises:
        UsageError: E201 for an unknown name, E202 for anything else.
    """
    if isinstance(what, Metric):
        return what
    if isinstance(what, str):
        if found := re.fullmatch(r"top_(\d{1,9})", what):
            return TopK(int(found[1]))
        if what not in METRICS:
            raise UsageError("E201", f"There is no metric {what!r}.", did_you_mean(what, METRICS))
        return METRICS[what]()
    if isinstance(what, type) and issubclass(what, Metric):
        return what()
    if callable(what):
        return FunctionMetric(what)
    raise UsageError("E202", f"A metric is a name, a Metric or a function, not {type(what).__name__}.", 'Try metrics=["accuracy"].')
