"""Our data and models in transformers' `Trainer`: the same training, through the other loop.

`Trainer(model=TrainerModel(model), args=..., train_dataset=TrainerData(data.train), eval_dataset=TrainerData(data.valid),
compute_metrics=trainer_metrics(data))` trains a model of ours, or one of transformers' own in place of `TrainerModel(model)`;
`probabilities(data, trainer.predict(TrainerData(data.test)))` are its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.data.data import Data
from rungbook.data.feed import Feed
from rungbook.errors import UsageError
from rungbook.learner.metrics import make_metric


class TrainerData(torch.utils.data.Dataset[dict[str, Any]]):
    """A split of a `Data` as the Trainer takes it: `{"pixel_values": (C, H, W), "labels": class}` for each sample.

    Samples are augmented as in our own training, by (seed, epoch, sample); the Trainer says the epoch through `set_epoch`.

    Args:
        feed: `data.train`, `.valid` or `.test` of images.

    Raises:
        UsageError: E202 the samples are no images.
    """

    def __init__(self, feed: Feed | None) -> None:
        if feed is None:
            raise UsageError("E202", "There is no such split.", "Load the data with one: valid=0.1 test=0.1")
        x, _ = feed.source.fetch(slice(0, 1))
        if not isinstance(x, Tensor) or x.ndim != 4:
            raise UsageError("E202", "The Trainer's image models take images, these samples are none.", "Give a folder of images.")
        self.feed, self.epoch = feed, 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose augmentation comes next, from 0."""
        self.epoch = int(epoch)

    def __len__(self) -> int:
        return self.feed.samples

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self.__getitems__([i])[0]

    def __getitems__(self, index: Sequence[int]) -> list[dict[str, Any]]:
        """Several samples at once, as torch's DataLoader asks for them."""
        samples = torch.as_tensor(list(index))
        x, y = self.feed.source.fetch(samples)
        if self.feed.augment is not None and isinstance(x, Tensor):
            x = self.feed.augment(x, samples, self.epoch, self.feed.seed)
        if self.feed.prepare is not None:
            x = self.feed.prepare(x)
        assert isinstance(x, Tensor)
        return [{"pixel_values": image, "labels": label} for image, label in zip(x, y, strict=True)]


class TrainerModel(nn.Module):
    """Our model as the Trainer calls one: `model(pixel_values=..., labels=...)` gives loss and logits.

    Args:
        model: images -> logits.
        loss: (logits, labels) -> scalar.
    """

    def __init__(self, model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Logits, and the loss where labels are given."""
        logits = self.model(pixel_values)
        return {"logits": logits} if labels is None else {"loss": self.loss(logits, labels), "logits": logits}


def trainer_metrics(data: Data, metrics: Sequence[str] = ("accuracy", "balanced_accuracy")) -> Callable[[Any], dict[str, float]]:
    """Our metrics, for the Trainer's `compute_metrics`.

    Args:
        data: whose classes are predicted.
        metrics: names of ours.
    """

    def compute(prediction: Any) -> dict[str, float]:
        output, target = torch.as_tensor(prediction.predictions), torch.as_tensor(prediction.label_ids)
        found = {}
        for name in metrics:
            metric = make_metric(name)
            metric.update(output, target)
            found[name] = float(metric.compute())
        return found

    return compute


def probabilities(data: Data, prediction: Any) -> Tensor:
    """What `trainer.predict` gave as probabilities, (n, classes)."""
    return data.target.decode(torch.as_tensor(prediction.predictions))
