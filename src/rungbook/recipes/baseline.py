"""What simple methods reach on the same split: without them a score says little.

Each is fitted on the training rows the model trains on, with the same encoding and target, and judged on the test part.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rungbook.data.data import Data, as_numpy
from rungbook.data.feed import Feed, RaggedSource
from rungbook.data.target import ClassTarget, NumberTarget
from rungbook.recipes.scores import scores

MAX_ROWS = 10_000
"""Training rows a random forest is fitted on: more cost minutes."""
MAX_SIDE = 16
"""Images are averaged down to this many pixels a side before a forest sees them."""
TREES = 100
ALPHAS = (0.01, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Ridge penalties tried on valid (inputs are standardised)."""
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""Inverse penalties of the logistic regression tried on valid."""
TEXT_COLUMNS = 1000
"""Most frequent words and pairs a forest sees."""

Scores = dict[str, dict[str, float]]


def baselines(data: Data, *, seed: int = 0, threads: int = 1) -> Scores:
    """Scores of simple methods on `data.test`, by name.

    Classes: majority (the training shares as probabilities), random_forest, and for tables and texts logistic_regression. Numbers:
    mean, random_forest, and for tables and arrays ridge. What had to be made smaller for them is recorded in `data.facts["baselines"]`.

    Args:
        data: needs a test part; without one there is nothing to report.
        seed: of the forest.
        threads: cores the forest may use.
    """
    if data.test is None:
        return {}
    parts = data.splits()
    kind = data.encoder.kind if data.encoder else "array"
    y = {k: f.source.targets() for k, f in parts.items()}
    target = data.target
    if isinstance(target, NumberTarget) and y["train"].reshape(len(y["train"]), -1).shape[1] != 1:
        return {}  # several numbers at once: no baseline is defined
    table: Scores = {}
    if isinstance(target, ClassTarget):
        shares = np.bincount(y["train"].numpy(), minlength=target.outputs) / len(y["train"])
        table["majority"] = scores(target, y["test"], np.tile(shares, (len(y["test"]), 1)))
    else:
        mean = float(target.values(y["train"]).mean())
        table["mean"] = scores(target, y["test"], np.full(len(y["test"]), mean))
    x = {k: design(f, kind, data) for k, f in parts.items()}
    if kind in ("table", "one_hot", "text") or (kind == "array" and isinstance(target, NumberTarget)):
        name = "logistic_regression" if isinstance(target, ClassTarget) else "ridge"
        table[name] = _linear(target, x, y)
    table["random_forest"] = _forest(data, kind, x, y, seed, threads)
    return table


def design(feed: Feed, kind: str, data: Data) -> Any:
    """All samples of a split as one matrix (n, features): numbers and one-hot levels, counts of words, or pixels.

    Args:
        feed: the split.
        kind: the encoder's kind.
        data: where the encoder is, and where shrinking is recorded.
    """
    source = feed.source
    if isinstance(source, RaggedSource):
        return _word_matrix(source, data)
    rows = torch.arange(len(source))
    if kind == "image" and feed is data.train and len(rows) > MAX_ROWS:
        rows = rows[:: -(-len(rows) // MAX_ROWS)]
    blocks = []
    for index in rows.split(512):
        x, _ = source.fetch(index)
        x = feed.prepare(x) if feed.prepare else x
        if isinstance(x, Tensor) and x.ndim == 4:
            x = torch.nn.functional.adaptive_avg_pool2d(x.float(), (min(x.shape[2], MAX_SIDE), min(x.shape[3], MAX_SIDE)))
        blocks.append(_table_matrix(x, data) if kind == "table" and isinstance(x, tuple) else as_numpy(x))
    return np.concatenate(blocks)


def _table_matrix(x: tuple[Tensor, ...], data: Data) -> np.ndarray:
    """Numbers, then a 0/1 column for each level of each category."""
    numbers, categories = x
    columns = [numbers.float()]
    for i, n in enumerate(data.encoder.cardinalities if data.encoder else ()):  # type: ignore[attr-defined]
        columns.append(torch.nn.functional.one_hot(categories[:, i], n).float())
    return torch.cat(columns, dim=1).numpy()


def _word_matrix(source: RaggedSource, data: Data) -> Any:
    """Which words and pairs each text has: sparse 0/1 (n, vocabulary)."""
    from scipy.sparse import csr_matrix

    ends = source.lengths.cumsum(0).numpy()
    width = data.encoder.vocab_size  # type: ignore[union-attr]
    matrix = csr_matrix(
        (np.ones(len(source.values), np.float32), source.values.numpy(), np.concatenate([[0], ends])), shape=(len(source), width)
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _linear(target: ClassTarget | NumberTarget, x: dict[str, Any], y: dict[str, Tensor]) -> dict[str, float]:
    """Ridge or logistic regression; its penalty is chosen on valid."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    judge = "valid" if "valid" in x else "train"
    best: Any = None
    best_error = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a baseline stopped early is still one
        if isinstance(target, NumberTarget):
            for alpha in ALPHAS:
                model: Any = Ridge(alpha=alpha).fit(x["train"], y["train"].numpy().ravel())
                error = float(np.square(model.predict(x[judge]) - y[judge].numpy().ravel()).mean())
                if error < best_error:
                    best, best_error = model, error
            answer: Any = torch.as_tensor(best.predict(x["test"])).reshape(-1, 1)
        else:
            for strength in STRENGTHS:
                model = LogisticRegression(C=strength, max_iter=200).fit(x["train"], y["train"].numpy())
                error = scores(target, y[judge], _shares(model, x[judge], target.outputs))["log_loss"]
                if error < best_error:
                    best, best_error = model, error
            answer = _shares(best, x["test"], target.outputs)
    return scores(target, y["test"], answer)


def _shares(model: Any, x: Any, outputs: int) -> np.ndarray:
    """Probabilities for all classes, also those the training rows do not have: (n, outputs)."""
    shares = np.zeros((x.shape[0], outputs))
    shares[:, model.classes_] = model.predict_proba(x)
    return shares


def _forest(data: Data, kind: str, x: dict[str, Any], y: dict[str, Tensor], seed: int, threads: int) -> dict[str, float]:
    """A random forest of `TREES` trees on at most `MAX_ROWS` training rows."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    said = []
    train_x, train_y = x["train"], y["train"]
    if kind == "text" and train_x.shape[1] > TEXT_COLUMNS + 2:
        x = {k: v[:, 2 : TEXT_COLUMNS + 2] for k, v in x.items()}  # the vocabulary is in order of frequency
        train_x = x["train"]
        said.append(f"the {TEXT_COLUMNS} most frequent words and pairs")
    if len(train_y) > MAX_ROWS:
        step = -(-len(train_y) // MAX_ROWS)
        train_y = train_y[::step]
        train_x = train_x if train_x.shape[0] == len(train_y) else train_x[::step]
        said.append(f"{len(train_y)} training rows")
    images = [t for t in data.one_batch(1)[0:1] if isinstance(t, Tensor) and t.ndim == 4]
    if images and max(images[0].shape[2:]) > MAX_SIDE:
        said.append(f"images averaged to {min(images[0].shape[2], MAX_SIDE)}x{min(images[0].shape[3], MAX_SIDE)}")
    if said:
        data.facts["baselines"] = "random_forest sees " + ", ".join(said)
    if isinstance(data.target, ClassTarget):
        forest: Any = RandomForestClassifier(TREES, random_state=seed, n_jobs=threads).fit(train_x, train_y.numpy())
        return scores(data.target, y["test"], _shares(forest, x["test"], data.target.outputs))
    forest = RandomForestRegressor(TREES, max_features=1 / 3, random_state=seed, n_jobs=threads).fit(train_x, train_y.numpy().ravel())
    return scores(data.target, y["test"], torch.as_tensor(forest.predict(x["test"])).reshape(-1, 1))
