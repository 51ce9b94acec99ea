"""How long a training takes on the processor and on the graphics card, and from which width on the card pays.

The courses time a small network on both and find no gain (MLP of 64 units: 22.7 s against 21.0 s). Two things hide it: batches that are
put together sample by sample in Python, which takes the same time on either, and layers so small that a card waits for orders more than it
computes. Here the data lie on the device before the clock starts, and the width is varied.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from rungbook.data.data import Data
from rungbook.learner.callback import Callback
from rungbook.learner.learner import Learner, best_device
from rungbook.recipes import build
from rungbook.recipes.book.first import FullyConnected
from rungbook.recipes.prepare import make_model, pick_device, prepare_data
from rungbook.recipes.recipe import recipe
from rungbook.recipes.settings import Above, Count, Reported
from rungbook.recipes.speak import plural
from rungbook.recipes.study import Found, Say, Study, about

Widths = Annotated[tuple[Count, ...], Field(min_length=1)]


@dataclass
class EpochClock(Callback):
    """Wall and processor seconds of each epoch of training, once the device has done all it was asked to.

    Args:
        device: what the training runs on.
    """

    device: torch.device
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    order = 95

    def before_epoch(self, learner: Learner) -> None:
        """Start the clock."""
        wait_for(self.device)
        self._begun = time.perf_counter(), time.process_time()

    def after_epoch(self, learner: Learner) -> None:
        """Stop it."""
        wait_for(self.device)
        self.wall.append(time.perf_counter() - self._begun[0])
        self.cpu.append(time.process_time() - self._begun[1])


def wait_for(device: torch.device) -> None:
    """Until the device has finished its work; a card takes orders faster than it carries them out."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def time_epochs(learners: Sequence[Learner], rounds: int) -> list[EpochClock]:
    """Train an epoch with each learner in turn, `rounds` times, after one each that is not counted.

    In turn (A B, B A, A B, ...), so that whatever else the machine does meets all alike.
    """
    clocks = [EpochClock(learner.device) for learner in learners]
    for learner, clock in zip(learners, clocks, strict=True):
        learner.fit(1)
        learner.callbacks.append(clock)
    for i in range(rounds):
        for learner in learners if i % 2 == 0 else reversed(learners):
            learner.fit(1)
    return clocks


def ratios(first: EpochClock, second: EpochClock) -> list[float]:
    """How many times as long the first took, epoch by epoch."""
    return [a / b for a, b in zip(first.wall, second.wall, strict=True)]


def spanned(values: Sequence[float], unit: str = "") -> str:
    """The median with the range, "0.52 s (0.50 to 0.61)"."""
    return f"{median(values):.3g}{unit} ({min(values):.3g} to {max(values):.3g})"


@recipe("timing")
@dataclass(frozen=True, kw_only=True)
class Timing(Study):
    """How long does an epoch of an MLP take on the CPU and on a GPU, and from which width on does the GPU pay?

    Three hidden layers of each width, Adam, otherwise as `fully_connected`; the table gives the median wall seconds of an epoch. Without
    a GPU the CPU's times stand alone. Times belong to the machine that took them.

    Args:
        widths: of the hidden layers.
        epochs: timed for each width on each device, after one that is not.
        batch_size: samples a step.
        lr: learning rate.
        image_size: side of the images in pixels.
        device: what is timed beside the CPU; the GPU there is, if none is said.
    """

    metric: ClassVar[str] = "seconds"
    split: ClassVar[str] = "train"
    timed: ClassVar[bool] = True
    alone: ClassVar[bool] = True
    covers: ClassVar[tuple[str, ...]] = ("M05", "M08", "P01")
    real: ClassVar[tuple[str, ...]] = ("data=mnist widths=64,256",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(22.7, "seconds", "NCSA HAL", variant="all 5 epochs of 64 wide, CPU", split="train", data="mnist"),
        Reported(21.0, "seconds", "NCSA HAL", variant="all 5 epochs of 64 wide, GPU", split="train", data="mnist"),
        Reported(5.6, "seconds", "PyTorch-Adventures", variant="all 5 epochs of 64 wide, CPU", split="train", data="mnist"),
        Reported(5.4, "seconds", "PyTorch-Adventures", variant="all 5 epochs of 64 wide, GPU", split="train", data="mnist"),
        Reported(
            37.6, "seconds", "FDL 7", variant="1,000 full batches, 50 wide, CPU", split="train", fault="its text says 20 s", data="mnist"
        ),
        Reported(
            2.0,
            "seconds",
            "FDL 7",
            variant="1,000 full batches, 50 wide, GPU",
            split="train",
            fault="from its text, no run is stored",
            data="mnist",
        ),
    )
    data: str = "digits"
    seeds: Count = 1
    widths: Widths = (64, 256, 1024)
    epochs: Count = 5
    batch_size: Count = 128
    lr: Above = 8e-3
    image_size: Count | None = 28
    device: str | None = None

    def find(self, say: Say, *, pictures: bool = False) -> Found:
        """Time every width on every device."""
        devices = self._devices()
        data = prepare_data(self._training(self.widths[0]))
        found = Found({}, data.train.samples, about(data))
        for width in self.widths:
            clocks = time_epochs([self._learner(width, data, device) for device in devices], self.epochs)
            for clock in clocks:
                seconds = {"seconds": median(clock.wall), "fastest": min(clock.wall), "slowest": max(clock.wall)}
                found.results[f"{width} wide, {shown(clock.device)}"] = {"train": {**seconds, "cpu_seconds": median(clock.cpu)}}
            found.sentences.append(said_of(width, clocks))
            say(f"{width} wide")
        threads = plural(torch.get_num_threads(), "thread")
        found.sentences.append(f"The CPU worked with {threads}; the data lay on the device before the clock started.")
        if len(devices) == 1:
            found.sentences.append(f"Only the CPU was timed ({self._alone()}): whether a GPU pays cannot be said here.")
        return found

    def _devices(self) -> list[torch.device]:
        """The CPU, and what it is compared with. Raises UsageError E202 for a device that is not there."""
        other = best_device() if self.device is None else pick_device(self.device)
        return [torch.device("cpu")] + ([other] if other.type != "cpu" else [])

    def _alone(self) -> str:
        return "as asked" if self.device else "no GPU was found"

    def _training(self, width: int) -> FullyConnected:
        same = {k: getattr(self, k) for k in ("data", "seed", "batch_size", "lr", "image_size")}
        return FullyConnected(**same, hidden=(width,) * 3)

    def _learner(self, width: int, data: Data, device: torch.device) -> Learner:
        """A new training on a device; nothing is judged between its epochs, so that the clock sees training alone."""
        training = self._training(width)
        model, _ = make_model(training, data)
        return build.build_learner(training, replace(data, valid=None), model, device, self.lr)


def shown(device: torch.device) -> str:
    """What a device is called in the table."""
    return "CPU" if device.type == "cpu" else "GPU"


def said_of(width: int, clocks: Sequence[EpochClock]) -> str:
    """A width's times in words: wall and processor seconds of an epoch, and how many times as fast the second device is."""
    words = [f"{shown(c.device)} {spanned(c.wall, ' s')}, of the processor {spanned(c.cpu, ' s')}" for c in clocks]
    line = f"{width} wide, an epoch, median and range of {len(clocks[0].wall)}: {'; '.join(words)}"
    if len(clocks) == 1:
        return line
    faster = ratios(clocks[0], clocks[1])
    even = min(faster) <= 1 <= max(faster)
    verdict = "which does not tell them apart" if even else "the GPU pays" if min(faster) > 1 else "the GPU does not pay"
    return f"{line}; the CPU takes {spanned(faster)} times as long: {verdict}"


__all__ = ["Timing"]
