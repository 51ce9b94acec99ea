"""Baselines are right where the answer is known, and say what was made smaller for them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge

from rungbook.data.data import Data, make_feeds
from rungbook.data.feed import TensorSource
from rungbook.data.tabular import table_data
from rungbook.data.target import ClassTarget
from rungbook.recipes import baseline, fits
from rungbook.recipes.baseline import baselines


def frame(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({f"n{i}": rng.normal(size=n) for i in range(3)}).assign(c=rng.choice(["p", "q"], n))
    table["y"] = table["n0"] * 2 + (table["c"] == "p") + rng.normal(0, 0.1, n)
    table["k"] = np.where(table["n1"] + (table["c"] == "q") > 0.5, "yes", "no")
    return table


def test_numbers() -> None:
    data = table_data(frame().drop(columns="k"), target="y", name="t")
    found = baselines(data)
    assert list(found) == ["mean", "ridge", "random_forest"]
    assert found["mean"]["r2"] == pytest.approx(0, abs=0.05)
    assert found["ridge"]["r2"] > 0.97
    assert found["random_forest"]["r2"] > 0.85
    assert found == baselines(data)  # the same every time


def test_classes() -> None:
    data = table_data(frame().drop(columns="y"), target="k", name="t")
    found = baselines(data)
    assert list(found) == ["majority", "logistic_regression", "random_forest"]
    assert data.test is not None
    truth = data.test.source.targets()
    most = int(data.train.source.targets().bincount().argmax())
    assert found["majority"]["accuracy"] == pytest.approx(float((truth == most).float().mean()))
    assert found["majority"]["balanced_accuracy"] == 0.5
    assert found["logistic_regression"]["accuracy"] > 0.9 < found["random_forest"]["accuracy"]


def test_only_the_training_rows_are_fitted() -> None:
    table = frame().drop(columns="k")
    parts = {"train": np.arange(300), "valid": np.arange(300, 350), "test": np.arange(350, 400)}
    data = table_data(table, target="y", name="t", parts=parts, log=False)
    upset = table.copy()
    upset.loc[350:, "y"] = -upset.loc[350:, "y"]
    other = table_data(upset, target="y", name="t", parts=parts, log=False)
    assert baselines(other)["ridge"]["r2"] < 0 < baselines(data)["ridge"]["r2"]  # had it seen the test rows, it would fit some of them
    x = {k: baseline.design(f, "table", data) for k, f in data.splits().items()}
    y = {k: f.source.targets().numpy().ravel() for k, f in data.splits().items()}
    best = min(
        (Ridge(alpha=a).fit(x["train"], y["train"]) for a in fits.ALPHAS),
        key=lambda m: np.square(m.predict(x["valid"]) - y["valid"]).mean(),
    )
    error = np.sqrt(np.square(best.predict(x["test"]) - y["test"]).mean()) * data.target.std  # type: ignore[union-attr]
    assert baselines(data)["ridge"]["root_mean_squared_error"] == pytest.approx(error, rel=1e-4)


def test_texts() -> None:
    rng = np.random.default_rng(0)
    words = np.array(
        ["the", "a", "film", "plot", "actor", "story", "scene", "very", "quite", "rather", "long", "short", "new", "old", "dark", "light"]
    )
    label = rng.integers(0, 2, 200)
    texts = [" ".join([*rng.choice(words, 8), "wonderful" if v else "dreadful"]) for v in label]
    data = table_data(pd.DataFrame({"t": texts, "y": np.where(label, "good", "bad")}), target="y", name="t")
    found = baselines(data)
    assert found["logistic_regression"]["accuracy"] == 1.0
    assert found["random_forest"]["accuracy"] > 0.9


class ImageEncoder:
    """Enough of an encoder of images for the baselines."""

    kind = "image"

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        return x.float() / 255


def images(n: int, side: int) -> Data:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 2, (n,), generator=generator)
    x = torch.randint(0, 60, (n, 1, side, side), generator=generator, dtype=torch.uint8) + (y * 60).to(torch.uint8)[:, None, None, None]
    cut = {"train": slice(0, n - 40), "valid": slice(n - 40, n - 20), "test": slice(n - 20, n)}
    encoder = ImageEncoder()
    feeds = make_feeds({k: TensorSource(x[s], y[s]) for k, s in cut.items()}, encoder=encoder)  # type: ignore[arg-type]
    assert feeds["train"] is not None
    return Data("i", ClassTarget(("a", "b")), feeds["train"], feeds["valid"], feeds["test"], encoder)  # type: ignore[arg-type]


def test_images_are_averaged_and_rows_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "MAX_ROWS", 50)
    data = images(160, 20)
    assert baseline.design(data.test, "image", data).shape == (20, 16 * 16)  # type: ignore[arg-type]
    found = baselines(data)
    assert list(found) == ["majority", "random_forest"]
    assert found["random_forest"]["accuracy"] > 0.9
    assert data.facts["baselines"] == "random_forest sees 40 training rows, images averaged to 16x16"


def test_small_images_are_left_as_they_are() -> None:
    data = images(120, 8)
    baselines(data)
    assert "baselines" not in data.facts


def test_without_a_test_part_there_is_nothing_to_report() -> None:
    assert baselines(table_data(frame().drop(columns="k"), target="y", name="t", test=0.0)) == {}
