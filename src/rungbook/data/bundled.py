"""The data sets that come with scikit-learn: small, real, and there without a network.

Its files are read without importing it, which takes two seconds; that the tables are those its own functions give is what a test shows.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
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
    from rungbook.data.images import image_data

    rows = np.loadtxt(stored_lines("digits.csv.gz"), delimiter=",")  # 64 pixels and the digit
    levels = np.round(rows[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # 17 levels, 0 to 16 -> 0 to 255
    return image_data("digits", levels, rows[:, -1].astype(int), tuple("0123456789"), valid=valid, test_share=test, **options)


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


def stored_lines(file: str) -> list[str]:
    """The lines of a file of scikit-learn's data."""
    package = find_spec("sklearn")
    assert package is not None
    assert package.submodule_search_locations is not None
    stored = (Path(package.submodule_search_locations[0]) / "datasets" / "data" / file).read_bytes()
    return (gzip.decompress(stored) if file.endswith(".gz") else stored).decode().splitlines()


_CELL = (
    *("radius", "texture", "perimeter", "area", "smoothness", "compactness"),
    *("concavity", "concave points", "symmetry", "fractal dimension"),
)
_WINE = (
    *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids", "nonflavanoid_phenols"),
    *("proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline"),
)
_TABLES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "iris": ("iris.csv", "species", ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")),
    "wine": ("wine_data.csv", "grower", _WINE),
    "breast_cancer": (
        "breast_cancer.csv",
        "diagnosis",
        (*(f"mean {c}" for c in _CELL), *(f"{c} error" for c in _CELL), *(f"worst {c}" for c in _CELL)),
    ),
}
"""Name -> file, what is to be told, columns. The files' first line says rows, columns and the classes, whose number ends each row."""


def frame_of(name: str) -> tuple[pd.DataFrame, str]:
    """The table of a set and the name of its target column; classes by their names."""
    import pandas as pd

    if name == "diabetes":
        measures = np.loadtxt(stored_lines("diabetes_data_raw.csv.gz"))
        frame = pd.DataFrame(measures, columns=["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"])
        return frame.assign(progression=np.loadtxt(stored_lines("diabetes_target.csv.gz"))), "progression"
    file, target, columns = _TABLES[name]
    head, *rows = stored_lines(file)
    classes = head.split(",")[2:]
    values = np.loadtxt(rows, delimiter=",")
    told = [classes[int(number)] for number in values[:, -1]]
    return pd.DataFrame(values[:, :-1], columns=list(columns)).assign(**{target: told}), target


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
