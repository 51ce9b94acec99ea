"""Small learners and callbacks that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rungbook.data.feed import Feed, TensorSource
from rungbook.learner.callback import Callback
from rungbook.learner.learner import Interrupted, Learner


def rows(n: int = 80, features: int = 6, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Rows of noise and their class, 0 or 1, which can be learned."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, features, generator=generator, dtype=torch.float64).to(dtype)
    return x, (x[:, 0] + x[:, 1] > 0).long()


def images(n: int = 48, side: int = 8, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise images (n, 1, side, side) and their class: whether the left or the right half is brighter."""
    x = torch.randn(n, 1, side, side, generator=torch.Generator().manual_seed(seed))
    return x, (x[..., : side // 2].mean((1, 2, 3)) > x[..., side // 2 :].mean((1, 2, 3))).long()


def feed(x: Any, y: Tensor, *, batch_size: int = 16, shuffle: bool = True, workers: int = 0, **options: Any) -> Feed:
    """A feed over tensors in memory."""
    return Feed(TensorSource(x, y), batch_size=batch_size, shuffle=shuffle, workers=workers, **options)


def mlp(*, features: int = 6, seed: int = 0, dropout: float = 0.0, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Two layers, with dropout where asked."""
    torch.manual_seed(seed)
    middle: list[nn.Module] = [nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(nn.Linear(features, 8), *middle, nn.Linear(8, 2)).to(dtype)


def cnn(*, seed: int = 0) -> nn.Module:
    """Convolution, batch norm and dropout: everything that has a state or draws random numbers."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(0.3), nn.Linear(4 * 16, 2))


def learner(model: nn.Module | None = None, data: Any = None, **options: Any) -> Learner:
    """A learner on the CPU, by default the two layers on 80 rows in batches of 16, judged on 24."""
    if data is None:
        data = (feed(*rows()), feed(*rows(24, seed=1), shuffle=False))
    return Learner(mlp() if model is None else model, data, device="cpu", **options)


class At(Callback):
    """Does something at one event, in one step (from 0) or in all."""

    order = -50

    def __init__(self, event: str, act: Callable[[Learner], Any], step: int | None = None) -> None:
        self.event, self.act, self.at = event, act, step

    def happen(self, event: str, learner: Learner) -> None:
        done = event in ("after_step", "after_report")
        if event == self.event and self.at in (None, learner.step - done):
            self.act(learner)

    def before_batch(self, learner: Learner) -> None:
        self.happen("before_batch", learner)

    def after_loss(self, learner: Learner) -> None:
        self.happen("after_loss", learner)

    def after_backward(self, learner: Learner) -> None:
        self.happen("after_backward", learner)

    def after_step(self, learner: Learner) -> None:
        self.happen("after_step", learner)


class Stop(Callback):
    """Asks for a stop after so many steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def after_step(self, learner: Learner) -> None:
        if learner.step == self.steps:
            learner.request_stop()


def interrupted(learner: Learner, *fit: Any, **options: Any) -> dict[str, Any]:
    """Run a fit that must end by a stop; its state."""
    with pytest.raises(Interrupted):
        learner.fit(*fit, **options)
    return learner.state_dict()


def weights(model: nn.Module) -> list[Tensor]:
    """Copies of all parameters and buffers."""
    return [t.detach().clone() for t in model.state_dict().values()]


def equal(one: Sequence[Tensor], two: Sequence[Tensor]) -> bool:
    """Whether two lists of tensors hold the same bits (a NaN equals itself)."""
    return len(one) == len(two) and all(_bits(a).equal(_bits(b)) for a, b in zip(one, two, strict=True))


def _bits(t: Tensor) -> Tensor:
    return t.detach().contiguous().reshape(-1).view(torch.uint8)
