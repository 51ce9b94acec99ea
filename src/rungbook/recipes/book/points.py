"""Two classes of points in the plane: logistic regression where the best line is known, and wines with and without hidden units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from torch import Tensor, nn

from rungbook.data.data import Data
from rungbook.data.worlds.blobs import Blobs, centres
from rungbook.data.worlds.registry import make_world
from rungbook.models.tabular.linear import SoftmaxRegression
from rungbook.plot.style import Picture
from rungbook.recipes.contrast import Contrast
from rungbook.recipes.once import SplitScores, Trained, train_once
from rungbook.recipes.prepare import prepare_data
from rungbook.recipes.recipe import Recipe, recipe
from rungbook.recipes.settings import Count, Final, NotBelow, Optimizer, Rate, Reported, Share, Widths

if TYPE_CHECKING:
    import pandas as pd

FEATURES, TARGET = ("proline", "alcohol"), "grower"
GROWERS = ("class_0", "class_1")
"""The two growers the course tells apart, 130 wines."""


@recipe("blobs")
@dataclass(frozen=True, kw_only=True)
class BlobsRecipe(Recipe):
    """How near does logistic regression come to the best possible line between two overlapping blobs?

    The loss is convex, so that rate and epochs need only be enough to come to its minimum; valid chose nothing.
    """

    covers: ClassVar[tuple[str, ...]] = ("M01",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(
            0.968,
            "accuracy",
            "PyTorch-Adventures",
            split="train",
            fault="above 0.9615, the best any classifier can expect: chance of 750 samples (standard error 0.007)",
        ),
    )
    promise: ClassVar[dict[str, dict[str, float]]] = {"world:blobs": {"accuracy": 0.955}}
    fits: ClassVar[tuple[str, ...]] = ("world:blobs",)
    data: str = "world:blobs"
    model: str = "logistic_regression"
    optimizer: Optimizer = "adam"
    weight_decay: NotBelow = 0.0
    lr: Rate = 0.2
    batch_size: Count = 64
    epochs: Count | None = 40
    final: Final = "last"

    def closing(self, model: nn.Module, data: Data) -> list[str]:
        """The log odds the model found, and those of the world."""
        world = make_world(self.data)
        if not isinstance(model, SoftmaxRegression) or not isinstance(world, Blobs) or world.classes != 2:
            return []
        weight, bias = model.linear.weight.detach().cpu().double(), model.linear.bias.detach().cpu().double()
        found = [*(weight[0] - weight[1]).tolist(), float(bias[0] - bias[1])]
        true = [*((centres(2)[0] - centres(2)[1]) / world.width**2).tolist(), 0.0]
        return [f"log odds of class 0: {odds(found)}; in this world they are {odds(true)}"]


def odds(numbers: list[float]) -> str:
    """Two weights and a bias as a sum."""
    first, second, bias = (0.0 if abs(v) < 5e-4 else v for v in numbers)
    return f"{first:.3f} x1 {second:+.3f} x2 {bias:+.3f}"


@recipe("wine")
@dataclass(frozen=True, kw_only=True)
class Wine(Contrast):
    """Do hidden units tell two growers' wines apart better than a straight line, by proline and alcohol alone?

    Columns "fit": trained on all 130 wines and judged on the same, as the course does; train, valid and test: of a second training that
    keeps the weights best on valid. A fifth of 130 wines are 26: one wine more or less is 3.8 points, hence ten seeds. Inputs are
    standardised by the training wines (proline is in the hundreds, alcohol around 13), so that the course's 10,000 steps at 0.001 need not
    be: 0.1 had the lowest valid losses of 0.02, 0.05 and 0.1 (six seeds), and twice the epochs changed them by 0.001 at most.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "straight line": {"hidden": ()},
        "3 sigmoid units": {"hidden": (3,)},
        "10 sigmoid units": {"hidden": (10,)},
    }
    covers: ClassVar[tuple[str, ...]] = ("M02",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.0761, "log_loss", "FDL 5", variant="straight line", split="fit", fault="on the wines it was fitted to"),
        Reported(0.9615, "accuracy", "FDL 5", variant="straight line", split="fit", fault="on the wines it was fitted to"),
    )
    fits: ClassVar[tuple[str, ...]] = ("wine",)
    data: str = "wine"
    seeds: Count = 10
    valid: Share = 0.2
    test: Share = 0.2
    model: str = "mlp"
    hidden: Widths = ()
    activation: Literal["relu", "gelu", "silu", "tanh", "sigmoid", "identity"] = "sigmoid"
    optimizer: Optimizer = "adam"
    weight_decay: NotBelow = 0.0
    schedule: str = "constant"
    lr: Rate = 0.1
    batch_size: Count = 32
    epochs: Count | None = 20

    def load(self) -> Data:
        """The two growers' wines by proline and alcohol."""
        return self.cut(self.valid, self.test)

    def cut(self, valid: float, test: float) -> Data:
        """The same, with other shares."""
        from rungbook.data.tabular import table_data

        columns = wines()
        return table_data(columns, target=TARGET, name="wine", valid=valid, test=test, seed=self.seed, batch_size=self.batch_size)

    def judge(self, name: str, trained: Trained) -> SplitScores:
        """The honest scores, and those on the wines fitted to after training on all of them."""
        variant = replace(self, **self.variants[name], final="last")
        every = self.cut(0.0, 0.0)
        every.valid = every.test = every.train  # nothing is chosen by them: the last weights are kept
        return {"fit": train_once(variant, prepare_data(variant, every)).scores("train")["train"], **trained.scores()}

    def paint(self, trained: dict[str, Trained]) -> list[Picture]:
        """Where each network draws its boundary, with the wines of all splits."""
        from rungbook.plot.plane import decision_boundary

        rows = wines()
        pictures = []
        for name, one in trained.items():

            def predict(points: np.ndarray, one: Trained = one) -> Tensor:
                return shares(one, points)

            truth = one.data.target.encode(rows[TARGET].tolist()).numpy()
            x, names = rows[[*FEATURES]], one.data.classes
            pictures.append(decision_boundary(predict, x, truth, names=names, feature_names=FEATURES, title=name))
        return pictures


def wines() -> pd.DataFrame:
    """Proline, alcohol and grower of the two growers' wines."""
    from rungbook.data.bundled import frame_of

    frame, _ = frame_of("wine")
    return frame.loc[frame[TARGET].isin(GROWERS), [*FEATURES, TARGET]].reset_index(drop=True)


def shares(trained: Trained, points: np.ndarray) -> Tensor:
    """Probabilities of the classes at points (m, 2) of proline and alcohol: (m, classes)."""
    import pandas as pd

    encoder = trained.data.encoder
    assert encoder is not None
    x = encoder.prepare(encoder.encode(pd.DataFrame(points, columns=list(FEATURES))))
    return trained.data.target.decode(trained.learner.predict(x))


__all__ = ["BlobsRecipe", "Wine"]
