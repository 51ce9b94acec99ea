"""The data sets that come with scikit-learn: small, real, and there without a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rungbook.data.data import Data

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Bundled:
    """A set of scikit-learn's.

    Args:
        name: what `load_data` calls it.
        title: one line for lists.
        kind: "image" or "table".
        load: gives `Data`, with the options of `image_data` or `table_data`.
        licence: terms of use.
        citation: the work to cite.
    """

    name: str
    title: str
    kind: str
    load: Callable[..., Data]
    licence: str
    citation: str


def digits(*, valid: float = 0.1, test: float = 0.1, **options: Any) -> Data:
    """1,797 handwritten digits of 8x8 grey pixels; options as `image_data` (`image_size=28` scales them)."""
    from sklearn.datasets import load_digits

    from rungbook.data.images import image_data

    stored = load_digits()
    levels = np.round(stored.images * (255 / 16)).astype(np.uint8)  # 17 levels, 0 to 16 -> 0 to 255
    return image_data("digits", levels, stored.target, tuple("0123456789"), valid=valid, test_share=test, **options)


def iris(**options: Any) -> Data:
    """150 irises of three species, four measures in cm."""
    return _table("iris", **options)


def wine(**options: Any) -> Data:
    """178 wines from three growers, 13 chemical measures."""
    return _table("wine", **options)


def breast_cancer(**options: Any) -> Data:
    """569 tumours, malignant or benign, 30 measures of their cell nuclei."""
    return _table("breast_cancer", **options)


def diabetes(**options: Any) -> Data:
    """442 patients, ten measures, and how far the disease got in a year."""
    return _table("diabetes", **options)


def frame_of(name: str) -> tuple[pd.DataFrame, str]:
    """The table of a set and the name of its target column; classes by their names."""
    import sklearn.datasets

    if name == "diabetes":
        stored = sklearn.datasets.load_diabetes(as_frame=True, scaled=False)
        return stored.frame.rename(columns={"target": "progression"}), "progression"
    load, target = {
        "iris": (sklearn.datasets.load_iris, "species"),
        "wine": (sklearn.datasets.load_wine, "grower"),
        "breast_cancer": (sklearn.datasets.load_breast_cancer, "diagnosis"),
    }[name]
    stored = load(as_frame=True)
    names = {i: str(n) for i, n in enumerate(stored.target_names)}
    return stored.data.assign(**{target: stored.target.map(names)}), target


def _table(name: str, **options: Any) -> Data:
    from rungbook.data.tabular import table_data

    frame, target = frame_of(name)
    return table_data(frame, target=target, name=name, **options)


_UCI = "CC BY 4.0 (UCI Machine Learning Repository)"
BUNDLED: dict[str, Bundled] = {
    b.name: b
    for b in (
        Bundled(
            "digits",
            "1,797 handwritten digits, 8x8 grey, 10 classes",
            "image",
            digits,
            _UCI,
            "Alpaydin, Kaynak 1998, Optical recognition of handwritten digits, UCI, doi:10.24432/C50P49",
        ),
        Bundled(
            "iris",
            "150 irises, 4 measures, 3 species",
            "table",
            iris,
            _UCI,
            "Fisher 1936, The use of multiple measurements in taxonomic problems, Annals of Eugenics 7(2)",
        ),
        Bundled(
            "wine",
            "178 wines, 13 chemical measures, 3 growers",
            "table",
            wine,
            _UCI,
            "Aeberhard, Forina 1991, Wine, UCI, doi:10.24432/C5PC7J",
        ),
        Bundled(
            "breast_cancer",
            "569 tumours, 30 measures of cell nuclei, malignant or benign",
            "table",
            breast_cancer,
            _UCI,
            "Wolberg, Mangasarian, Street 1993, Breast cancer Wisconsin (diagnostic), UCI, doi:10.24432/C5DW2B",
        ),
        Bundled(
            "diabetes",
            "442 patients, 10 measures, progression of the disease after a year",
            "table",
            diabetes,
            "none stated; published with the paper",
            "Efron, Hastie, Johnstone, Tibshirani 2004, Least angle regression, Annals of Statistics 32(2)",
        ),
    )
}
"""Name -> data set."""
