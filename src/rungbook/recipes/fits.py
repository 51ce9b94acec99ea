"""Fitting the simple methods that stand beside a model: scikit-learn and numpy alone, so that a process without torch can do it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from rungbook.recipes.formulas import class_scores

TREES = 100
ALPHAS = (0.01, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Ridge penalties tried on valid (inputs are standardised)."""
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""Inverse penalties of the logistic regression tried on valid."""


@dataclass(frozen=True)
class Problem:
    """What is to be fitted and answered.

    Args:
        classes: how many; 0 where numbers are predicted.
        y: split -> class numbers (n,), or numbers in the model's units (n,).
        linear: split -> inputs (n, features) of the linear method; empty where none is wanted.
        forest: "train" and "test" -> inputs of the forest.
        forest_y: the targets of the forest's training rows, which may be fewer.
        seed: of the forest.
        threads: cores the forest may use.
    """

    classes: int
    y: dict[str, np.ndarray]
    linear: dict[str, Any]
    forest: dict[str, Any]
    forest_y: np.ndarray
    seed: int
    threads: int


def fit(problem: Problem) -> dict[str, np.ndarray]:
    """What each method answers for the test rows: probabilities (n, classes), or numbers in the model's units (n,)."""
    answers: dict[str, np.ndarray] = {}
    if problem.linear:
        answers |= {"logistic_regression": _logistic(problem)} if problem.classes else {"ridge": _ridge(problem)}
    return answers | {"random_forest": _forest(problem)}


def _ridge(problem: Problem) -> np.ndarray:
    """Ridge regression; its penalty is chosen on valid."""
    from sklearn.linear_model import Ridge

    x, y = problem.linear, problem.y
    judge = "valid" if "valid" in x else "train"
    best: Any = None
    best_error = np.inf
    for alpha in ALPHAS:
        model = Ridge(alpha=alpha).fit(x["train"], y["train"])
        error = float(np.square(model.predict(x[judge]) - y[judge]).mean())
        if error < best_error:
            best, best_error = model, error
    return best.predict(x["test"])


def _logistic(problem: Problem) -> np.ndarray:
    """Logistic regression; its penalty is chosen on valid."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    x, y = problem.linear, problem.y
    judge = "valid" if "valid" in x else "train"
    best: Any = None
    best_error = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a baseline stopped early is still one
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=200).fit(x["train"], y["train"])
            error = class_scores(y[judge], _shares(model, x[judge], problem.classes))["log_loss"]
            if error < best_error:
                best, best_error = model, error
    return _shares(best, x["test"], problem.classes)


def _shares(model: Any, x: Any, classes: int) -> np.ndarray:
    """Probabilities for all classes, also those the training rows do not have: (n, classes)."""
    shares = np.zeros((x.shape[0], classes))
    shares[:, model.classes_] = model.predict_proba(x)
    return shares


def _forest(problem: Problem) -> np.ndarray:
    """A random forest of `TREES` trees."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    x, how = problem.forest, {"random_state": problem.seed, "n_jobs": problem.threads}
    if problem.classes:
        forest: Any = RandomForestClassifier(TREES, **how).fit(x["train"], problem.forest_y)
        return _shares(forest, x["test"], problem.classes)
    return RandomForestRegressor(TREES, max_features=1 / 3, **how).fit(x["train"], problem.forest_y).predict(x["test"])
