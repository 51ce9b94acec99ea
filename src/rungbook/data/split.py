"""Cutting samples into train, valid and test: without replacement, stratified, copies kept on one side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rungbook.errors import UsageError

Parts = dict[str, np.ndarray]
"""Sample numbers of each part: keys train, valid, test (int64, ascending, disjoint, together everything)."""
FEWEST = 20
"""Fewer samples than this give no split worth the name."""


def split_indices(
    n: int,
    *,
    valid: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    strata: Sequence | np.ndarray | None = None,
    groups: Sequence | np.ndarray | None = None,
) -> Parts:
    """Deal `n` samples into three parts.

    Whole groups are dealt, each to the part that is furthest below its share; within a stratum (a class) first, so that each part gets
    its share of every class. Ties are broken by a shuffle with `seed`.

    Args:
        n: number of samples.
        valid: share of samples for choosing (0 to below 1; 0 gives an empty part).
        test: share of samples for the one report at the end.
        strata: class of each sample, or None. A group counts for the class of its first sample.
        groups: group of each sample (exact copies share one), or None for each its own.

    Returns:
        The parts; their union is 0..n-1 and no two overlap.

    Raises:
        ValueError: a share is negative or leaves nothing to train on.
    """
    if valid < 0 or test < 0 or valid + test >= 1:
        raise ValueError(f"valid ({valid}) and test ({test}) are shares of the samples: 0 or more, together below 1")
    rng = np.random.default_rng(seed)
    group = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    stratum = np.zeros(n, int) if strata is None else np.unique(np.asarray(strata), return_inverse=True)[1]
    by_group = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1]) if n else []
    members: dict[int, list[np.ndarray]] = {}
    for samples in by_group:
        members.setdefault(int(stratum[samples[0]]), []).append(samples)

    names = ("train", "valid", "test")
    shares = (1 - valid - test, valid, test)
    parts = [i for i in range(3) if shares[i] > 0]
    dealt: dict[str, list[np.ndarray]] = {name: [] for name in names}
    owed = [0.0, 0.0, 0.0]  # carried from stratum to stratum, so that small classes do not all round to train
    for key in sorted(members):
        sets = members[key]
        rng.shuffle(sets)
        sets.sort(key=len, reverse=True)  # big groups first: small ones can still even things out
        total = sum(map(len, sets))
        for i in parts:
            owed[i] += shares[i] * total
        for samples in sets:
            part = max(parts, key=owed.__getitem__)
            owed[part] -= len(samples)
            dealt[names[part]].append(samples)
    empty = np.zeros(0, int)
    return {name: np.sort(np.concatenate(dealt[name])) if dealt[name] else empty for name in names}


def folds(
    n: int, k: int = 5, *, seed: int = 0, strata: Sequence | np.ndarray | None = None, groups: Sequence | np.ndarray | None = None
) -> list[np.ndarray]:
    """Deal `n` samples into `k` parts of equal size by the rules of `split_indices`; each sample is in exactly one."""
    rest, parts = np.arange(n), []
    for left in range(k, 1, -1):
        pick = split_indices(
            len(rest),
            valid=0.0,
            test=1 / left,
            seed=seed,
            strata=None if strata is None else np.asarray(strata)[rest],
            groups=None if groups is None else np.asarray(groups)[rest],
        )
        parts.append(rest[pick["test"]])
        rest = rest[pick["train"]]
    return [*parts, rest]


def some_of_training(x: np.ndarray, y: np.ndarray, wanted: int, *, seed: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Some training images of a set and their labels, drawn without replacement, in their order.

    Raises:
        UsageError: E202 so few are no use, or there are not so many.
    """
    if not FEWEST <= wanted <= len(x):
        message = f"train_samples is {wanted:,}; {name} has {len(x):,} training images, and {FEWEST} are needed."
        raise UsageError("E202", message, f"train_samples={len(x) if wanted > len(x) else FEWEST}")
    drawn = np.sort(np.random.default_rng(seed).permutation(len(x))[:wanted])
    return x[drawn], y[drawn]
