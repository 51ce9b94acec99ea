"""What goes on inside while training: mean, deviation, histogram and share of near-zero outputs of each layer, step by step.

After fast.ai's "Deep learning from the foundations", notebook 06 (2019); `rungbook.plot.activations` draws it. Nothing is brought to the
host before it is asked for, memory is bounded however long training goes on, and training is bit for bit what it is without. Forward hooks
are called for layers by hand and under a `Tape` as well (what is measured is detached, so the tape does not record it); a compiled model
calls none and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.callback import Callback
from rungbook.learner.hooks import Hooks, Which, choose_layers

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner

WIDE = 6.0
"""Where no range is given, a histogram reaches so many deviations around the mean of the layer's first outputs."""
_MEAN, _STD, _DEAD, _BINS = 0, 1, 2, 3
"""Columns of a layer's record; the histogram follows."""


@dataclass(frozen=True)
class LayerRecord:
    """One layer over the steps of a training; each row stands for as many steps as lie between its number and the next.

    Args:
        steps: first step of each row.
        mean, std: of the layer's outputs, averaged over the row's steps.
        dead: share of outputs near zero.
        histogram: (rows, bins), share of the outputs in each bin; the first and last bin hold what lies beyond too.
        low, high: where the first bin begins and the last ends.
    """

    steps: list[int]
    mean: list[float]
    std: list[float]
    dead: list[float]
    histogram: list[list[float]]
    low: float
    high: float


class ActivationStats(Callback):
    """Records the outputs of layers in training: `stats = learner.watch()`, then `learner.fit(...)`, then `stats.records()`.

    Only training counts, and of a step made of several batches the first. A layer called several times is averaged over its calls. When
    there is no row left, neighbouring rows are averaged, and each then stands for twice as many steps.

    Args:
        layers: which, see `rungbook.learner.hooks.choose_layers`; None: each layer that computes something and has no layers inside.
        bins: of the histogram.
        span: lowest and highest value of the histogram, for all layers alike; None: for each layer by its first outputs.
        every: look at each so many-th step.
        rows: kept at most, an even number; a layer's memory is rows x (bins + 3) numbers.
        near_zero: an output of at most this size counts as dead; 0 counts only exact zeros, as behind a ReLU.

    Raises:
        UsageError: E202 impossible settings; when training begins, E201 no such layers and E202 a compiled model.
    """

    order = 1000  # what others compute after a step is over before the next one is waited for

    def __init__(
        self,
        layers: Which = None,
        *,
        bins: int = 64,
        span: tuple[float, float] | None = None,
        every: int = 1,
        rows: int = 128,
        near_zero: float = 1e-3,
    ) -> None:
        if bins < 2 or every < 1 or rows < 2 or rows % 2 or near_zero < 0 or (span is not None and not span[0] < span[1]):
            message = f"bins={bins}, span={span}, every={every}, rows={rows}, near_zero={near_zero:g} cannot be."
            raise UsageError("E202", message, "ActivationStats(bins=64, span=(-5, 5), every=1, rows=128, near_zero=0.001)")
        self.layers, self.bins, self.span, self.every, self.rows, self.near_zero = layers, bins, span, every, rows, near_zero
        self._hooks: Hooks | None = None
        self._clear()

    def _clear(self) -> None:
        self._stride = 1  # looked-at steps a row
        self._used = 0  # rows begun
        self._sums: dict[str, Tensor] = {}  # layer -> (rows, 3 + bins), sums over the calls of a row
        self._calls: dict[str, list[int]] = {}  # layer -> calls in each row
        self._ends: dict[str, Tensor] = {}  # layer -> low and high, on the device
        self._due = False  # whether the next pass is the first of a step
        self._row: int | None = None  # where the running pass goes; None: nowhere

    # ---------------------------------------------------------------- recording

    def before_fit(self, learner: Learner) -> None:
        """Begin anew and put the hooks on."""
        if learner.memory.compile:
            message = "A compiled model does not call the hooks that watch its layers."
            raise UsageError("E202", message, "Learner(..., compile=False), or fit without ActivationStats.")
        self._remove()
        self._clear()
        model, chosen = learner.model, choose_layers(learner.model, self.layers)
        names = {module: name for name, module in chosen.items()}

        def begin(*_: Any) -> None:
            """Listen to the first pass of a step; the model is also called to be judged, or at other weights (SAM)."""
            if self._due and model.training and learner.step % self.every == 0:
                self._due, self._row = False, self._place(learner.step)

        def end(*_: Any) -> None:
            self._row = None  # what runs from here on was computed before, and is computed again for its gradients

        def look(module: nn.Module, _: Any, output: Any) -> None:
            if self._row is not None and isinstance(output, Tensor) and output.is_floating_point() and output.numel():
                self._add(names[module], output.detach(), self._row)

        self._hooks = Hooks(chosen, look)
        self._handles = [model.register_forward_pre_hook(begin), model.register_forward_hook(end)]

    def before_epoch(self, learner: Learner) -> None:
        """The next pass is that of a step."""
        self._due = True

    def after_step(self, learner: Learner) -> None:
        """The next pass is that of a step."""
        self._due = True

    def _place(self, step: int) -> int:
        """The row of a step; where there is none left, rows are put together."""
        while step // (self.every * self._stride) >= self.rows:
            self._halve()
        row = step // (self.every * self._stride)
        self._used = max(self._used, row + 1)
        return row

    @torch.no_grad()
    def _add(self, name: str, x: Tensor, row: int) -> None:
        x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = x.mean()
        std = (x - mean).square_().mean().sqrt()  # several times as fast as torch.std_mean on a CPU
        if name not in self._sums:
            self._sums[name] = torch.zeros(self.rows, _BINS + self.bins, dtype=x.dtype, device=x.device)
            self._calls[name] = [0] * self.rows
            self._ends[name] = self._around(mean, std)
        dead = x.abs().le_(self.near_zero).mean()
        low, high = self._ends[name]
        counts = _counts(x, low, high, self.bins)
        self._sums[name][row] += torch.cat([torch.stack([mean, std, dead]), counts / x.numel()])
        self._calls[name][row] += 1

    def _around(self, mean: Tensor, std: Tensor) -> Tensor:
        if self.span is not None:
            return torch.tensor(self.span, dtype=mean.dtype, device=mean.device)
        wide = WIDE * torch.where((std > 0) & std.isfinite(), std, 1.0)
        centre = torch.where(mean.isfinite(), mean, 0.0)
        return torch.stack([centre - wide, centre + wide])

    def _halve(self) -> None:
        """Put neighbouring rows together, so that as many are free again."""
        for name, sums in self._sums.items():
            together = sums[0::2] + sums[1::2]
            sums.zero_()[: len(together)] = together
            calls = self._calls[name]
            self._calls[name] = [a + b for a, b in zip(calls[0::2], calls[1::2], strict=True)] + [0] * (self.rows // 2)
        self._stride *= 2
        self._used = -(-self._used // 2)

    # ---------------------------------------------------------------- ending

    def _remove(self) -> None:
        if self._hooks is not None:
            self._hooks.remove()
            self._hooks = None
            for handle in self._handles:
                handle.remove()
        self._row = None

    def after_fit(self, learner: Learner) -> None:
        """Take the hooks off."""
        self._remove()

    def on_interrupt(self, learner: Learner) -> None:
        """Take the hooks off."""
        self._remove()

    def on_failure(self, learner: Learner) -> None:
        """Take the hooks off."""
        self._remove()

    def records(self) -> dict[str, LayerRecord]:
        """What was recorded, layer by layer in the order in which data first reached them; this waits for the device."""
        found: dict[str, LayerRecord] = {}
        for name, sums in self._sums.items():
            calls = self._calls[name]
            kept = [i for i in range(self._used) if calls[i]]
            table = (sums[kept].double().cpu() / torch.tensor([[calls[i]] for i in kept], dtype=torch.float64)).tolist()
            low, high = self._ends[name].tolist()
            found[name] = LayerRecord(
                steps=[i * self.every * self._stride for i in kept],
                mean=[row[_MEAN] for row in table],
                std=[row[_STD] for row in table],
                dead=[row[_DEAD] for row in table],
                histogram=[row[_BINS:] for row in table],
                low=low,
                high=high,
            )
        return found

    def state_dict(self) -> dict[str, Any]:
        """All rows so far."""
        return {"stride": self._stride, "used": self._used, "sums": self._sums, "calls": self._calls, "ends": self._ends}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self._stride, self._used = state["stride"], state["used"]
        self._sums = {name: t.clone() for name, t in state["sums"].items()}
        self._ends = {name: t.clone() for name, t in state["ends"].items()}
        self._calls = {name: list(calls) for name, calls in state["calls"].items()}


def _counts(x: Tensor, low: Tensor, high: Tensor, bins: int) -> Tensor:
    """How many numbers lie in each bin; what lies beyond goes into the outermost ones, what is no number into none."""
    place = (x - low).mul_(bins / (high - low)).clamp_(0, bins - 1)
    if x.device.type == "cpu":  # several times as fast as histc, but on other devices it waits for them
        return torch.bincount(place.nan_to_num_(bins).int().flatten(), minlength=bins + 1)[:bins]
    return torch.histc(place, bins, 0, bins)
