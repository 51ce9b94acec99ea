"""What two faults of a course make of its figures: samples drawn with replacement before the split, and softmax before a loss with its own.

Each faulty variant is named as such and stands beside the honest one; test images are never resampled, so they tell what is true.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import mean
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from rungbook.data.data import Data
from rungbook.data.feed import Feed
from rungbook.errors import UsageError
from rungbook.models.tabular.mlp import MLP
from rungbook.recipes.book.sampled import BOTH, RESAMPLED, TWICE, SampledRecipe, SampledStudy, refuse_other, resampled
from rungbook.recipes.contrast import Contrast
from rungbook.recipes.once import Trained
from rungbook.recipes.recipe import recipe
from rungbook.recipes.scores import scores
from rungbook.recipes.settings import Count, NotBelow, Optimizer, Rate, Reported, Share, Widths
from rungbook.recipes.study import Found, Results, Say, about

SOURCE = "FDL 6, 10,000 images"


@recipe("forest")
@dataclass(frozen=True, kw_only=True)
class Forest(SampledStudy):
    """How good is a random forest on handwritten digits, and how good does it look when the split is made with replacement?

    "as the course splits" draws train and valid together with replacement first (fault S1-1), so that more than half of the valid images
    are in training too: its valid accuracy is compared with that of the honest split. The test images are kept out of either. Nothing
    was chosen: the trees are scikit-learn's, grown to the end; offline 100 of them instead of the course's 900.

    Args:
        trees: of each forest.
    """

    split: ClassVar[str] = "valid"
    covers: ClassVar[tuple[str, ...]] = ("M03", "S1-1")
    real: ClassVar[tuple[str, ...]] = ("data=mnist train_samples=10000 trees=900 valid=0.2",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.9725, "accuracy", SOURCE, variant="as the course splits", fault=RESAMPLED, data="mnist"),
    )
    data: str = "digits"
    seeds: Count = 10
    trees: Count = 100

    def find(self, say: Say, *, pictures: bool = False) -> Found:
        """Grow a forest on either split."""
        honest = self.read(valid=self.valid, test=self.test, seed=self.seed)
        refuse_other(honest, self.name)
        assert honest.test is not None
        drawn, both = resampled(honest, self.seed)
        results: Results = {}
        for name, data in {"honest split": honest, "as the course splits": drawn}.items():
            forest = self._grown(data)
            results[name] = {part: judged(forest, feed, data) for part, feed in data.splits().items() if part != "train"}
            say(f"seed {self.seed}: {name}")
        assert drawn.valid is not None
        x, y = pixels(drawn.valid)
        right, known = forest.predict(x) == y, both.numpy()  # the second forest
        seen = (
            f"of the {known.sum()} valid images also in training the forest has {right[known].mean():.1%} right, of the"
            f" {(~known).sum()} others {right[~known].mean():.1%}"
        )
        return Found(results, honest.test.samples, about(honest), sentences=[said_of_overlap(honest, drawn), seen])

    def together(self, found: list[Found]) -> list[str]:
        """That the higher figure on valid belongs to no better forest."""
        honest, drawn = "honest split", "as the course splits"
        more = {
            part: 100 * mean(one.results[drawn][part]["accuracy"] - one.results[honest][part]["accuracy"] for one in found)
            for part in ("valid", "test")
        }
        on_valid, on_test = (f"{abs(gap):.1f} points {'fewer' if gap < 0 else 'more'}" for gap in more.values())
        return [
            f"on valid the course's split shows {on_valid} right than the honest one (fault S1-1); of the test images, which neither"
            f" forest has seen, its forest has {on_test} right (means over seeds)"
        ]

    def _grown(self, data: Data) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(self.trees, random_state=self.seed, n_jobs=torch.get_num_threads()).fit(*pixels(data.train))


def judged(forest: Any, feed: Feed, data: Data) -> dict[str, float]:
    """The metrics of a forest on a split."""
    x, y = pixels(feed)
    shares = np.zeros((len(y), data.target.outputs))
    shares[:, forest.classes_] = forest.predict_proba(x)
    return scores(data.target, y, shares)


def pixels(feed: Feed) -> tuple[Any, Any]:
    """The images of a split as stored, a row each, and their classes."""
    x, y = feed.source.fetch(slice(0, feed.samples))
    assert isinstance(x, Tensor)
    return x.flatten(1).numpy(), y.numpy()


def said_of_overlap(honest: Data, drawn: Data) -> str:
    """How many valid images are also trained on, and how many were to be expected."""
    assert honest.valid is not None
    trained, n = honest.train.samples, honest.train.samples + honest.valid.samples
    expected = 1 - (1 - 1 / n) ** trained
    return (
        f"drawn with replacement, {drawn.facts['overlap']:.1%} of the valid images are also in training;"
        f" {expected:.1%} are to be expected for {trained:,} of {n:,} draws. In the honest split none is"
    )


@recipe("softmax_twice")
@dataclass(frozen=True, kw_only=True)
class SoftmaxTwice(SampledRecipe, Contrast):
    """What do two faults of a course's first network cost: softmax before a loss that has its own, and a split with replacement?

    784-50-10, Adam, a step an epoch with the gradient of all training images (`accumulate` gathers it over the batches: the same, in less
    memory). Cross-entropy takes logits. Given probabilities it takes the softmax of those, at most e/(e+9) and at least 1/(e+9), so that
    no answer, however right and sure, has a loss below -ln(e/(e+9)) = 1.461. The rate of 0.01 gave the right network the lowest valid
    loss of 0.001, 0.003, 0.01 and 0.03 on the digits (three seeds) and on a sample of 10,000 of MNIST (one seed); the course's 0.03
    stands beside it. The course trains for 1,000 epochs; here the valid loss was lowest within 200 on the digits, within 100 on MNIST.

    Args:
        twice: put a softmax at the end of the network (fault S1-2).
        resample: draw train and valid with replacement before they are parted (fault S1-1).
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "50 units": {},
        "softmax twice": {"twice": True},
        "split with replacement": {"resample": True},
        "both faults": {"twice": True, "resample": True},
        "300 units": {"hidden": (300,)},
        "50 units, rate 0.03": {"lr": 0.03},
        "softmax twice, rate 0.03": {"twice": True, "lr": 0.03},
    }
    data_fields: ClassVar[tuple[str, ...]] = ("resample", "train_samples")
    covers: ClassVar[tuple[str, ...]] = ("M04", "S1-1", "S1-2")
    real: ClassVar[tuple[str, ...]] = ("data=mnist train_samples=10000 valid=0.2 epochs=100",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.971, "accuracy", SOURCE, variant="both faults", fault=BOTH, data="mnist"),
        Reported(0.959, "accuracy", SOURCE, variant="both faults", fault=f"another run; {BOTH}", data="mnist"),
        Reported(0.971, "accuracy", SOURCE, variant="300 units", fault=f"{BOTH}; its README says 500 units", data="mnist"),
        Reported(0.960, "accuracy", "FDL 7, the same on a GPU", variant="both faults", fault=BOTH, data="mnist"),
        Reported(1.47, "log_loss", SOURCE, variant="both faults", split="train", fault=TWICE, data="mnist"),
    )
    data: str = "digits"
    valid: Share = 0.16
    test: Share = 0.2
    model: str = "mlp"
    hidden: Widths = (50,)
    optimizer: Optimizer = "adam"
    weight_decay: NotBelow = 0.0
    schedule: str = "constant"
    lr: Rate = 0.01
    batch_size: Count = 512
    accumulate: Count = 1_000_000
    epochs: Count | None = 200
    twice: bool = False
    resample: bool = False

    def check(self) -> None:
        """Refuse another model: the softmax is put at the end of an MLP. Raises UsageError E202 besides what the others raise."""
        super().check()
        if self.model != "mlp":
            raise UsageError("E202", f"{self.name} changes the end of an mlp; model is {self.model}.", "Leave out model=...")

    def load(self) -> Data:
        """The sample, with train and valid drawn with replacement if asked for."""
        data = super().load()
        refuse_other(data, self.name)
        return resampled(data, self.seed)[0] if self.resample else data

    def begin(self, model: nn.Module, data: Data) -> None:
        """Put the softmax at the end, if asked for."""
        if self.twice and isinstance(model, MLP):
            model.layers.append(nn.Softmax(dim=1))

    def remarks(self, trained: dict[str, Trained], results: Results) -> list[str]:
        """The floor of the loss, and how many valid images were trained on."""
        floor = loss_floor(trained["softmax twice"].data.target.outputs)
        lowest = {name: min(row["train_loss"] for row in trained[name].learner.history) for name in ("50 units", "softmax twice")}
        return [
            f"with softmax twice no loss can be below {floor:.5f}: the lowest of an epoch was {lowest['softmax twice']:.5f};"
            f" with logits it was {lowest['50 units']:.2g}",
            said_of_overlap(trained["50 units"].data, trained["split with replacement"].data),
        ]


def loss_floor(classes: int) -> float:
    """The least cross-entropy of a network that ends in a softmax: its best output is 1 for the right class and 0 for the others, and
    the softmax of the loss makes e / (e + classes - 1) of that; -ln of it, in nats."""
    return -math.log(math.e / (math.e + classes - 1))


__all__ = ["Forest", "SoftmaxTwice", "loss_floor"]
