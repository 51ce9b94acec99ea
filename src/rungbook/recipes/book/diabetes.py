"""The progression of diabetes in 442 patients: a forest, a network that memorises, weight decay and batch norm (rows L11-L14)."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean, stdev
from typing import Any, ClassVar, Literal

from rungbook.data.data import Data
from rungbook.data.feed import Feed, TensorSource
from rungbook.data.load import load_data
from rungbook.data.target import NumberTarget
from rungbook.plot.curves import curve
from rungbook.recipes.baseline import baselines, design
from rungbook.recipes.book.squared import MSE, Scores, SquaredContrast, with_squares
from rungbook.recipes.drawing import Sketch
from rungbook.recipes.once import Trained
from rungbook.recipes.recipe import recipe
from rungbook.recipes.scores import scores
from rungbook.recipes.settings import Count, NotBelow, Optimizer, Rate, Reported, Share, Widths
from rungbook.recipes.study import Found, Results, Say, Study, about

HONEST, FAULTY = "best on valid", "best on test (fault S1-3)"
CHOSEN = "fault S1-3: the best epoch's error on the very samples the epoch was chosen by"


@recipe("diabetes_forest")
@dataclass(frozen=True, kw_only=True)
class DiabetesForest(Study):
    """How much of what a random forest of 500 trees knows of its own patients holds for others?

    "train" are the patients the trees were grown on, "test" others; "valid" is out of bag: each training patient judged by the trees grown
    without it. Settings are the course's; the second forest was added, its leaves hold five patients or more.
    """

    FORESTS: ClassVar[dict[str, dict[str, Any]]] = {"500 trees": {}, "500 trees, leaves of 5": {"min_samples_leaf": 5}}
    metric: ClassVar[str] = MSE
    covers: ClassVar[tuple[str, ...]] = ("L11",)
    fits: ClassVar[tuple[str, ...]] = ("diabetes",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(443.8, MSE, "FDL 3", variant="500 trees", split="train"),
        Reported(3745.0, MSE, "FDL 3", variant="500 trees", split="valid"),
        Reported(0.927, "r2", "FDL 3", variant="500 trees", split="train"),
        Reported(0.297, "r2", "FDL 3", variant="500 trees", split="valid"),
    )
    seeds: Count = 5
    data: str = "diabetes"
    trees: Count = 500
    test: Share = 0.2

    def find(self, say: Say, *, pictures: bool = False) -> Found:
        """Grow the forests on one split."""
        from sklearn.ensemble import RandomForestRegressor

        data = load_data(self.data, valid=0.0, test=self.test, seed=self.seed)
        assert data.test is not None
        x = {k: design(feed, "table", data) for k, feed in data.splits().items()}
        y = {k: data.target.values(feed.source.targets()).numpy() for k, feed in data.splits().items()}  # type: ignore[union-attr]
        results: Results = {}
        for name, options in self.FORESTS.items():
            forest = RandomForestRegressor(self.trees, oob_score=True, random_state=self.seed, n_jobs=self.threads or 1, **options)
            forest.fit(x["train"], y["train"])
            said = {"train": forest.predict(x["train"]), "valid": forest.oob_prediction_, "test": forest.predict(x["test"])}
            truth = {"train": y["train"], "valid": y["train"], "test": y["test"]}
            results[name] = with_squares({split: scores(data.target, truth[split], guess) for split, guess in said.items()})
        say(f"seed {self.seed}: {len(self.FORESTS)} forests")
        return Found(
            results,
            data.test.samples,
            about(data),
            with_squares({k: v for k, v in baselines(data, seed=self.seed).items() if k != "random_forest"}),
        )

    def together(self, found: list[Found]) -> list[str]:
        """The share of the variance explained where."""
        name = "500 trees"
        r2 = {split: [one.results[name][split]["r2"] for one in found] for split in ("train", "valid", "test")}
        said = ", ".join(
            f"{mean(r2[split]):.2f} {where}" for split, where in (("train", "on train"), ("valid", "out of bag"), ("test", "on test"))
        )
        between = f"; over the seeds it goes from {min(r2['test']):.2f} to {max(r2['test']):.2f} on test" if len(found) > 1 else ""
        return [f"r2 of the {name}: {said}{between}. What a forest scores on its own patients says next to nothing of others"]


def in_own_units(data: Data) -> Data:
    """The same data with the target as it is, not standardised: a weight decay means then what it means in the course."""
    old, target = data.target, NumberTarget(name=data.target.name)
    assert isinstance(old, NumberTarget)
    feeds: dict[str, Feed] = {}
    for part, feed in data.splits().items():
        source: Any = feed.source
        values = old.values(source.targets()).float()[:, None]
        feeds[part] = copy(feed)
        feeds[part].source = TensorSource(source.x, values, [source.name(i) for i in range(len(source))], source.cells)
    return replace(data, target=target, train=feeds["train"], valid=feeds.get("valid"), test=feeds.get("test"), folds=None)


@dataclass(frozen=True, kw_only=True)
class DiabetesContrast(SquaredContrast):
    """A network with one hidden layer on the diabetes data, as the course trains it: Adam at a constant rate, all training rows a step."""

    fits: ClassVar[tuple[str, ...]] = ("diabetes",)
    seeds: Count = 5
    data: str = "diabetes"
    valid: Share = 0.2
    test: Share = 0.2
    model: str = "mlp"
    hidden: Widths = (150,)
    optimizer: Optimizer = "adam"
    weight_decay: NotBelow = 0.0
    schedule: str = "constant"
    lr: Rate = 0.02
    batch_size: Count = 265  # what the split leaves to train on

    def load(self) -> Data:
        """Standardised inputs, the target in its own units."""
        return in_own_units(super().load())


@recipe("diabetes")
@dataclass(frozen=True, kw_only=True)
class Diabetes(DiabetesContrast):
    """How long does a network learn from 265 patients before it memorises them, and does weight decay keep it from that?

    The last variant repeats fault S1-3 once: it keeps the epoch that is best on the very patients that are reported. Its training is that
    of "best on valid" step for step, so that the difference between the two on test is what choosing there adds. Width and decays are
    the course's; at five times its rate 600 epochs memorise what its 8,000 do, and the best epoch comes within 120. With
    decay, too, the epoch best on valid is kept.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        HONEST: {"epochs": 120},
        "memorises": {"final": "last", "epochs": 600},
        "decay 0.3": {"weight_decay": 0.3, "epochs": 120},
        "decay 0.6": {"weight_decay": 0.6, "epochs": 120},
        "decay 1.5": {"weight_decay": 1.5, "epochs": 120},
        FAULTY: {"choose_on": "test", "epochs": 120},
    }
    data_fields: ClassVar[tuple[str, ...]] = ("choose_on",)
    covers: ClassVar[tuple[str, ...]] = ("L12", "L13")
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(3.5, MSE, "FDL 3, 8000 epochs", variant="memorises", split="train"),
        Reported(11644.0, MSE, "FDL 3, 8000 epochs", variant="memorises", split="valid"),
        Reported(3085.8, MSE, "FDL 3, epoch 117", variant="best on valid", split="valid", fault=CHOSEN),
        Reported(0.581, "r2", "FDL 3, epoch 117", variant="best on valid", split="train"),
        Reported(0.421, "r2", "FDL 3, epoch 117", variant="best on valid", split="valid", fault=CHOSEN),
    )
    lr: Rate = 0.1
    choose_on: Literal["valid", "test"] = "valid"

    def load(self) -> Data:
        """As every network here; where the epoch is chosen on test, valid and test change places."""
        data = super().load()
        return replace(data, valid=data.test, test=data.valid) if self.choose_on == "test" else data

    def judge(self, name: str, trained: Trained) -> Scores:
        """The scores under the names the samples have everywhere else."""
        found = super().judge(name, trained)
        swapped = self.variants[name].get("choose_on") == "test"
        return {"train": found["train"], "valid": found["test"], "test": found["valid"]} if swapped else found

    def paint(self, trained: dict[str, Trained]) -> list[Sketch]:
        """The loss curves; where the epoch is chosen on test, the curve of what it was chosen by is that of test."""
        title = {FAULTY: f"{FAULTY}: valid is test here"}
        return [partial(curve, t.learner.history, "loss", title=title.get(name, name)) for name, t in trained.items()]

    def together(self, found: list[Found]) -> list[str]:
        """What choosing on the reported samples adds."""
        gaps = [one.results[HONEST]["test"][MSE] - one.results[FAULTY]["test"][MSE] for one in found]
        spread = f", standard deviation {stdev(gaps):,.0f}" if len(gaps) > 1 else ""
        return [
            f"choosing the epoch on the patients that are reported (fault S1-3) makes the error there {mean(gaps):,.0f} smaller without a"
            f" better model (mean over seeds{spread})"
        ]

    def remarks(self, trained: dict[str, Trained], results: Results) -> list[str]:
        """When it was best, and what became of it."""
        history = trained["memorises"].learner.history
        best = min(history, key=lambda row: row["valid_loss"])
        return [
            "without decay the error on valid is lowest, "
            + "; it is ".join(
                f"{row['valid_loss']:,.0f}, at epoch {row['epoch']:,} with {row['train_loss']:,.0f} on train" for row in (best, history[-1])
            )
        ]


@recipe("diabetes_batch_norm")
@dataclass(frozen=True, kw_only=True)
class DiabetesBatchNorm(DiabetesContrast):
    """Does batch norm help a network on few rows, and where: before the ReLU or after it?

    Each keeps its best epoch on valid. Width, rate and optimiser are the course's; by epoch 300 the two with batch norm are past their best
    and the one without is level.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "no norm": {"norm": "none"},
        "norm before ReLU": {"norm": "before"},
        "norm after ReLU": {"norm": "after"},
    }
    covers: ClassVar[tuple[str, ...]] = ("L14",)
    reported: ClassVar[tuple[Reported, ...]] = tuple(
        Reported(value, MSE, "FDL 4", variant=variant, split="valid", fault=CHOSEN)
        for variant, value in (("no norm", 2925.0), ("norm before ReLU", 3126.0), ("norm after ReLU", 3332.0))
    )
    hidden: Widths = (300,)
    norm: Literal["none", "before", "after"] = "none"
    epochs: Count | None = 300


__all__ = ["Diabetes", "DiabetesBatchNorm", "DiabetesForest"]
