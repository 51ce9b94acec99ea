"""How many samples a step, and by which way they come to the network."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from rungbook.data.data import Data
from rungbook.data.feed import Feed
from rungbook.errors import UsageError
from rungbook.learner.learner import Learner
from rungbook.learner.random_state import keep_random_state, seed_all
from rungbook.models.registry import create_model
from rungbook.recipes.book.sampled import BOTH, SampledRecipe, SampledStudy, refuse_other
from rungbook.recipes.contrast import Contrast
from rungbook.recipes.once import Trained
from rungbook.recipes.recipe import recipe
from rungbook.recipes.scores import scores
from rungbook.recipes.settings import Above, Count, NotBelow, Optimizer, Rate, Reported, Share, Widths
from rungbook.recipes.study import Found, Results, Say, about

MOST = 512
WHOLE = {"batch_size": MOST, "accumulate": 1_000_000}
"""One step an epoch, with the gradient of all training samples gathered over batches of 512."""
FDL8, FDL9 = "FDL 8, 10,000 images", "FDL 9, 10,000 of MNIST"
FLOOR = "its floor is 1.461: softmax twice"


@recipe("batch_sizes")
@dataclass(frozen=True, kw_only=True)
class BatchSizes(SampledRecipe, Contrast):
    """With as many passes over the samples, does it matter after how many of them the weights take a step?

    784-50-10, Adam. All but one variant get equal epochs: as many products for the gradients, and the smaller the batch the more steps
    are taken of them. The last gets twenty times the epochs, as the course gives its full batch (1,000 against 50). Each size has its
    own rate, the one of 0.0003, 0.001, 0.003, 0.01 and 0.03 with the least product of its valid losses on the digits (three seeds) and on
    a sample of 10,000 of MNIST (one seed, 8 epochs).
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "32": {"batch_size": 32, "lr": 0.003},
        "8": {"batch_size": 8, "lr": 0.001},
        "64": {"batch_size": 64, "lr": 0.003},
        "128": {"batch_size": 128, "lr": 0.01},
        "256": {"batch_size": 256, "lr": 0.01},
        "full batch": {**WHOLE, "lr": 0.01},
        "full batch, 20 times the epochs": {**WHOLE, "lr": 0.01, "epochs": 400},
    }
    data_fields: ClassVar[tuple[str, ...]] = ("train_samples",)
    covers: ClassVar[tuple[str, ...]] = ("M06",)
    real: ClassVar[tuple[str, ...]] = ("data=mnist train_samples=10000 valid=0.2",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.964, "accuracy", FDL8, variant="full batch, 1,000 epochs", fault=BOTH, data="mnist"),
        Reported(0.965, "accuracy", FDL8, variant="32, 50 epochs", fault=BOTH, data="mnist"),
        *(
            Reported(loss, "log_loss", FDL8, variant=size, split="train", fault=FLOOR, data="mnist")
            for size, loss in (("8", 1.496), ("64", 1.502), ("128", 1.508), ("256", 1.513))
        ),
    )
    data: str = "digits"
    valid: Share = 0.16
    test: Share = 0.2
    model: str = "mlp"
    hidden: Widths = (50,)
    optimizer: Optimizer = "adam"
    weight_decay: NotBelow = 0.0
    schedule: str = "constant"
    lr: Rate = 0.003
    epochs: Count | None = 20

    def load(self) -> Data:
        """The sample. Raises UsageError E202 where the largest batch is larger than the train split."""
        data = super().load()
        if data.train.samples < MOST:
            message = f"{self.name} takes up to {MOST} samples at once; {data.name} has {data.train.samples:,} to train on."
            raise UsageError("E202", message, "data=digits")
        return data

    def remarks(self, trained: dict[str, Trained], results: Results) -> list[str]:
        """How many steps each took."""
        return ["steps taken: " + "; ".join(f"{name}: {t.learner.history[-1]['step']:,}" for name, t in trained.items())]


@dataclass
class Way:
    """One way of training a model, an epoch at a call.

    Args:
        model: what is trained.
        epoch: trains one epoch more.
        seconds: of the processor, one number an epoch.
    """

    model: nn.Module
    epoch: Callable[[], Any]
    seconds: list[float]


@recipe("data_loader")
@dataclass(frozen=True, kw_only=True)
class LoaderStudy(SampledStudy):
    """Does the way samples come to a network change its accuracy: DataLoader and a loop by hand, DataLoader and Learner, Learner alone?

    One MLP from the same start, Adam, as many epochs each; an epoch by each in turn, so that whatever else the machine does meets all
    alike. The two ways over a DataLoader see the same order of samples; the Learner's own feed has another, as another seed would give.
    Times are of the processor and belong to the machine: the median is told, nothing is decided by it. The rate is that of the
    batch of 32 in `batch_sizes`; of the epochs, half.

    Args:
        hidden: widths of the hidden layers.
        lr: learning rate.
        batch_size: samples a step.
        epochs: passes over the train split.
    """

    alone: ClassVar[bool] = True
    covers: ClassVar[tuple[str, ...]] = ("M07",)
    real: ClassVar[tuple[str, ...]] = ("data=mnist train_samples=10000 valid=0.2",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.961, "accuracy", FDL9, variant="loop by hand", fault=BOTH, data="mnist"),
        Reported(1.478, "log_loss", FDL9, variant="loop by hand", split="train", fault=FLOOR, data="mnist"),
    )
    data: str = "digits"
    seeds: Count = 3
    hidden: Widths = (50,)
    lr: Above = 0.003
    batch_size: Count = 32
    epochs: Count = 10

    def find(self, say: Say, *, pictures: bool = False) -> Found:
        """Train by each way, an epoch of each in turn."""
        data = self.read(valid=self.valid, test=self.test, seed=self.seed, batch_size=self.batch_size)
        refuse_other(data, self.name)
        assert data.test is not None
        ways = self._ways(data)
        apart = 0.0
        for i in range(self.epochs):
            for name in list(ways) if i % 2 == 0 else reversed(list(ways)):
                way = ways[name]
                begun = time.process_time()
                way.epoch()
                way.seconds.append(time.process_time() - begun)
            if i == 0:
                apart = difference(ways["loop by hand"].model, ways["Learner, DataLoader"].model)
        results: Results = {name: {k: judged(way.model, feed, data) for k, feed in data.splits().items()} for name, way in ways.items()}
        say(f"seed {self.seed}: {len(ways)} ways")
        times = ", ".join(f"{name} {1000 * median(way.seconds):.0f} ms" for name, way in ways.items())
        said = [
            f"processor time of an epoch, median of {self.epochs}: {times}",
            f"after the first epoch, over the same order of samples, no weight of the Learner is further than {apart:.1g} from that of the"
            " loop by hand",
        ]
        return Found(results, data.test.samples, about(data), sentences=said)

    def _ways(self, data: Data) -> dict[str, Way]:
        """The ways, each with its own copy of the same model."""
        x, _ = data.one_batch(1)
        assert isinstance(x, torch.Tensor)
        with keep_random_state():
            seed_all(self.seed)
            start = create_model("mlp", in_features=x[0].numel(), out_features=data.target.outputs, hidden=self.hidden)
        by_hand, fed_by_loader, fed = (copy.deepcopy(start) for _ in range(3))
        adam: dict[str, Any] = {"optimizer": torch.optim.Adam, "lr": self.lr, "metrics": (), "seed": self.seed, "device": "cpu"}
        loader = Learner(fed_by_loader, (self.loader(data.train), None), **adam)
        own = Learner(fed, (data.train, None), **adam)
        return {
            "loop by hand": Way(by_hand, textbook_loop(by_hand, self.loader(data.train), self.lr), []),
            "Learner, DataLoader": Way(fed_by_loader, lambda: loader.fit(1), []),
            "Learner, own feed": Way(fed, lambda: own.fit(1), []),
        }

    def loader(self, feed: Feed) -> DataLoader[Any]:
        """The samples of a split, ready for the model, behind torch's DataLoader, with an order of the study's seed."""
        x, y = feed.source.fetch(slice(0, feed.samples))
        ready = feed.prepare(x) if feed.prepare else x
        assert isinstance(ready, torch.Tensor)
        order = torch.Generator().manual_seed(self.seed)
        return DataLoader(TensorDataset(ready, y), batch_size=self.batch_size, shuffle=True, generator=order)


def textbook_loop(model: nn.Module, loader: DataLoader[Any], lr: float) -> Callable[[], float]:
    """A function that trains one epoch as textbooks write it, and gives the mean loss of it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)

    def epoch() -> float:
        model.train()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total / len(loader)

    return epoch


def difference(first: nn.Module, second: nn.Module) -> float:
    """The largest distance of a weight of one model from the same of the other."""
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def judged(model: nn.Module, feed: Feed, data: Data) -> dict[str, float]:
    """The metrics of a model on a split."""
    model.eval()
    x, y = feed.source.fetch(slice(0, feed.samples))
    with torch.no_grad():
        return scores(data.target, y, model(feed.prepare(x) if feed.prepare else x))


__all__ = ["BatchSizes", "LoaderStudy"]
