"""Losses and metrics of an epoch, gathered without waiting for the device.

Each step only appends references; every so often all pending batches are counted at once. The sum of losses is taken batch by batch in
float64 and metrics that are not whole-number counts are updated batch by batch, so the figures do not depend on when that happens - a
run that was interrupted and continued writes the same numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rungbook.errors import UsageError
from rungbook.learner.metrics import Metric

PENDING_ELEMENTS = 1 << 18
"""Outputs held back before they are counted: 2^18 numbers are 1 MB of float32."""


class Tally:
    """Mean loss and metrics over the batches added since `reset`.

    Args:
        metrics: judged on (output, target) of each batch.
        soft: whether targets of numbers are probabilities of the classes in dimension 1, as cross-entropy takes them.

    Raises:
        UsageError: E202, two metrics have one name.
    """

    def __init__(self, metrics: list[Metric], *, soft: bool = False) -> None:
        names = ["loss", *(m.name for m in metrics)]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise UsageError("E202", f'Two columns would be called "{twice[0]}".', "Name the function or the metric otherwise.")
        self.metrics, self.soft = metrics, soft
        self._exact = [m for m in metrics if m.exact and (m.of_classes or not soft)]
        self._ordered = [m for m in metrics if m not in self._exact]
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.loss_sum, self.count, self.last_loss = 0.0, 0.0, float("nan")
        self._losses: list[Tensor] = []
        self._counts: list[float | Tensor] = []
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._elements = 0
        for metric in self.metrics:
            metric.reset()

    def add(self, loss: Tensor, output: Tensor, target: Tensor, count: float | Tensor) -> None:
        """One batch: its mean loss, the model's output, the targets, and how many targets the mean was over."""
        self._losses.append(loss.detach())
        self._counts.append(count)
        labels = likeliest(target) if self.soft else target
        if self._exact:
            self._outputs.append(output.detach())
            self._targets.append(labels)
            self._elements += output.numel()
            if self._elements > PENDING_ELEMENTS:
                self._count_exact()
        for metric in self._ordered:
            metric.update(output.detach(), labels if metric.of_classes else target)

    def flush(self) -> None:
        """Bring everything pending to the host; the only place that waits for the device."""
        if not self._losses:
            return
        losses = torch.stack(self._losses).cpu().double().tolist()
        for loss, count in zip(losses, _numbers(self._counts), strict=True):
            if count:  # the mean over no targets at all is nan, and says nothing
                self.loss_sum += loss * count
                self.count += count
        self.last_loss = losses[-1]
        self._losses, self._counts = [], []
        self._count_exact()

    def _count_exact(self) -> None:
        if not self._outputs:
            return
        together = len({o.shape[1:] for o in self._outputs}) == 1 and len({t.shape[1:] for t in self._targets}) == 1
        groups = [(torch.cat(self._outputs), torch.cat(self._targets))] if together else zip(self._outputs, self._targets, strict=True)
        for output, target in groups:
            for metric in self._exact:
                metric.update(output, target)
        self._outputs, self._targets, self._elements = [], [], 0

    def result(self, prefix: str = "") -> dict[str, Any]:
        """Mean loss and every metric, as `prefix` + name."""
        self.flush()
        loss = self.loss_sum / self.count if self.count else float("nan")
        return {f"{prefix}loss": loss, **{f"{prefix}{m.name}": m.compute() for m in self.metrics}}

    def state_dict(self) -> dict[str, Any]:
        """Everything counted so far."""
        self.flush()
        return {
            "loss_sum": self.loss_sum,
            "count": self.count,
            "last_loss": self.last_loss,
            "metrics": {m.name: m.state_dict() for m in self.metrics},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.reset()
        self.loss_sum, self.count, self.last_loss = state["loss_sum"], state["count"], state["last_loss"]
        for metric in self.metrics:
            metric.load_state_dict(state["metrics"][metric.name])


def likeliest(target: Tensor) -> Tensor:
    """The class with the highest probability in dimension 1 (the first of several); class numbers as they are."""
    return target.argmax(1) if target.is_floating_point() and target.ndim > 1 else target


def _numbers(counts: list[float | Tensor]) -> list[float]:
    """Counts on the host, waiting for the device once."""
    tensors = [c for c in counts if isinstance(c, Tensor)]
    if len(tensors) == len(counts):
        return torch.stack(tensors).cpu().double().tolist()
    return [float(c) for c in counts]
