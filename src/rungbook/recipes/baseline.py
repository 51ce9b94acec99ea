"""What simple methods reach on the same split: without them a score says little.

Each is fitted on the training rows the model trains on, with the same encoding and target, and judged on the test part. Data become plain
arrays here, `fits.py` fits them (in the helper, where there is one, while this process trains), and the answers are judged here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rungbook.data.data import Data, as_numpy
from rungbook.data.feed import Feed, RaggedSource
from rungbook.data.target import ClassTarget, NumberTarget
from rungbook.recipes import fits, helper
from rungbook.recipes.companion import cores
from rungbook.recipes.scores import scores

MAX_ROWS = 10_000
"""Training rows a random forest is fitted on: more cost minutes."""
MAX_SIDE = 16
"""Images are averaged down to this many pixels a side before a forest sees them."""
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
    return next(beside([data], seed=seed, threads=threads))


def beside(sets: Sequence[Data], *, seed: int = 0, threads: int = 1) -> Iterator[Scores]:
    """The `baselines` of several data sets, one after the other, to be asked for later than now.

    Where this process has a helper and a core to spare, that begins at once; else each is fitted when it is asked for, with the same
    result.

    Args:
        sets: what lies in memory is turned into arrays now; files are only read when asked for, since that may take minutes.
        seed, threads: as `baselines` takes them. Threads that take every core leave none for a helper, which would slow them severalfold.
    """
    if threads >= cores() or not all(feed.source.in_memory for data in sets for feed in data.splits().values()):
        return (_now(data, seed, threads) for data in sets)
    posed = [pose(data, seed, threads) for data in sets]
    fitted = helper.each(fits.fit, [task.problem for task in posed if task])
    return (_judged(data, task, next(fitted)) if task else {} for data, task in zip(sets, posed, strict=True))


def _now(data: Data, seed: int, threads: int) -> Scores:
    task = pose(data, seed, threads)
    return _judged(data, task, fits.fit(task.problem)) if task else {}


@dataclass(frozen=True)
class Task:
    """A problem as `fits.py` takes it, and what was made smaller for it, in words."""

    problem: fits.Problem
    smaller: str


def pose(data: Data, seed: int, threads: int) -> Task | None:
    """The arrays that baselines are fitted to; None where none is defined: without a test part, or for several numbers at once."""
    if data.test is None:
        return None
    parts, target = data.splits(), data.target
    kind = data.encoder.kind if data.encoder else "array"
    y = {k: f.source.targets() for k, f in parts.items()}
    if isinstance(target, NumberTarget) and y["train"].reshape(len(y["train"]), -1).shape[1] != 1:
        return None
    numbers = isinstance(target, NumberTarget)
    linear = kind in ("table", "one_hot", "text") or (kind == "array" and numbers)
    x = {k: design(f, kind, data) for k, f in parts.items() if linear or k != "valid"}
    flat = {k: v.numpy().ravel() for k, v in y.items()}
    forest, forest_y, smaller = _for_forest(data, kind, x, flat["train"])
    return Task(fits.Problem(0 if numbers else target.outputs, flat, x if linear else {}, forest, forest_y, seed, threads), smaller)


def _judged(data: Data, task: Task, answers: dict[str, np.ndarray]) -> Scores:
    """The scores of the answers, after those of the simplest: the training shares, or the mean."""
    target, parts = data.target, data.splits()
    train, test = parts["train"].source.targets(), parts["test"].source.targets()
    if task.smaller:
        data.facts["baselines"] = task.smaller
    if isinstance(target, ClassTarget):
        shares = np.bincount(train.numpy(), minlength=target.outputs) / len(train)
        table = {"majority": scores(target, test, np.tile(shares, (len(test), 1)))}
        return table | {name: scores(target, test, answer) for name, answer in answers.items()}
    mean = float(target.values(train).mean())
    table = {"mean": scores(target, test, np.full(len(test), mean))}
    return table | {name: scores(target, test, torch.as_tensor(answer).reshape(-1, 1)) for name, answer in answers.items()}


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


def _for_forest(data: Data, kind: str, x: dict[str, Any], train_y: np.ndarray) -> tuple[dict[str, Any], np.ndarray, str]:
    """Inputs of the forest for train and test, the targets of its training rows (at most `MAX_ROWS`), and what was made smaller."""
    said = []
    if kind == "text" and x["train"].shape[1] > TEXT_COLUMNS + 2:
        x = {k: v[:, 2 : TEXT_COLUMNS + 2] for k, v in x.items()}  # the vocabulary is in order of frequency
        said.append(f"the {TEXT_COLUMNS} most frequent words and pairs")
    train_x = x["train"]
    if len(train_y) > MAX_ROWS:
        step = -(-len(train_y) // MAX_ROWS)
        train_y = train_y[::step]
        train_x = train_x if train_x.shape[0] == len(train_y) else train_x[::step]
        said.append(f"{len(train_y)} training rows")
    images = [t for t in data.one_batch(1)[0:1] if isinstance(t, Tensor) and t.ndim == 4]
    if images and max(images[0].shape[2:]) > MAX_SIDE:
        said.append(f"images averaged to {min(images[0].shape[2], MAX_SIDE)}x{min(images[0].shape[3], MAX_SIDE)}")
    return {"train": train_x, "test": x["test"]}, train_y, "random_forest sees " + ", ".join(said) if said else ""
