"""The forward algorithm of hidden Markov models, scaled, over many texts at once (Rabiner 1989, sections II.B and III.A, V.A).

S states, K symbols, B texts of T symbols. The filter holds p(state | symbols so far), a row that sums to 1 at every step, so that a text
of a million symbols neither under- nor overflows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tables:
    """The three tables of a hidden Markov model.

    Args:
        start: p(first state), (S,).
        transition: p(next state | state), (S, S), a state a row.
        emission: p(symbol | state), (S, K).
    """

    start: np.ndarray
    transition: np.ndarray
    emission: np.ndarray

    def __post_init__(self) -> None:
        S = len(self.start)
        if self.transition.shape != (S, S) or self.emission.ndim != 2 or len(self.emission) != S:
            shapes = f"start {self.start.shape}, transition {self.transition.shape}, emission {self.emission.shape}"
            raise ValueError(f"The tables are {shapes}; (S,), (S, S) and (S, K) are needed")
        for name in ("start", "transition", "emission"):
            table = getattr(self, name)
            if (table < 0).any() or not np.allclose(table.sum(-1), 1, rtol=0, atol=1e-9):
                raise ValueError(f"{name} is no table of probabilities: each row must be 0 or more and sum to 1")


def stationary(transition: np.ndarray) -> np.ndarray:
    """The shares of the states in the long run, (S,): p with p = p . transition, of a chain that has only one."""
    S = len(transition)
    equations = np.vstack([transition.T - np.eye(S), np.ones(S)])
    p = np.linalg.lstsq(equations, np.append(np.zeros(S), 1.0), rcond=None)[0].clip(0)
    return p / p.sum()


def filtered(tables: Tables, symbols: np.ndarray, first: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The forward pass, a step at a time.

    Args:
        symbols: int (B, T).
        first: p(first state) of each text where more is known than `tables.start`, (B, S).

    Yields:
        For each step t: p(symbol_t | symbols before t), (B, K), and the probability it gave to the symbol that came, (B,).
    """
    state = first if first is not None else np.broadcast_to(tables.start, (len(symbols), len(tables.start)))  # p(state_t | before t)
    rows = np.arange(len(symbols))
    seen = np.ascontiguousarray(tables.emission.T)  # (K, S)
    for symbol in symbols.T:
        said = state @ tables.emission  # (B, K)
        scale = said[rows, symbol]
        yield said, scale
        joint = state * seen[symbol]  # (B, S)
        with np.errstate(invalid="ignore"):  # after an impossible symbol nothing is defined
            state = (joint / scale[:, None]) @ tables.transition


def predictive(tables: Tables, symbols: np.ndarray) -> np.ndarray:
    """p(symbol_t | symbols before t) of every step.

    Args:
        symbols: int (B, T).

    Returns:
        float64 (B, T, K).
    """
    return np.stack([said for said, _ in filtered(tables, symbols)], axis=1)


def log_probability(tables: Tables, symbols: np.ndarray) -> np.ndarray:
    """The logarithm (nats) of p(text), all state paths together.

    Args:
        symbols: int (B, T).

    Returns:
        float64 (B,); -inf for a text that cannot be.
    """
    total = np.zeros(len(symbols))
    with np.errstate(divide="ignore"):
        for _, scale in filtered(tables, symbols):
            total += np.log(scale)
    return np.where(np.isnan(total), -np.inf, total)


def draw(tables: Tables, texts: int, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """States and symbols of `texts` independent texts, int64 (texts, length) each."""
    states = np.empty((texts, length), np.int64)
    into = [_edges(row).tolist() for row in (tables.start, *tables.transition)]
    chance = rng.random((texts, length))
    if texts >= 64:
        edges = np.stack([*map(_edges, tables.transition)])
        states[:, :1] = np.searchsorted(into[0], chance[:, :1], side="right")
        for t in range(1, length):
            states[:, t] = (chance[:, t, None] >= edges[states[:, t - 1]]).sum(1)
    else:
        for path, row in zip(states, chance.tolist(), strict=True):
            path[:] = _walk(into, row)
    edges = np.stack([*map(_edges, tables.emission)])
    symbols = np.empty((texts, length), np.int64)
    chance = rng.random((texts, length))
    for s in range(len(tables.start)):
        there = states == s
        symbols[there] = np.searchsorted(edges[s], chance[there], side="right")
    return states, symbols


def _edges(p: np.ndarray) -> np.ndarray:
    """Where one outcome ends and the next begins on [0, 1); the last end is left out, so that rounding cannot lead beyond it."""
    return np.cumsum(p)[:-1]


def _walk(into: list[list[float]], chance: list[float]) -> list[int]:
    """One path: a chain cannot be drawn all at once, and bisecting short lists is the fastest way to draw a single one."""
    state, path = -1, []
    for u in chance:
        state = bisect_right(into[state + 1], u)
        path.append(state)
    return path


@dataclass(frozen=True)
class Rates:
    """What the best next-symbol prediction reaches, each with its standard error.

    Args:
        log_loss: nats a symbol.
        accuracy: share of symbols that the most probable one hits.
    """

    log_loss: tuple[float, float]
    accuracy: tuple[float, float]


def prediction_rates(tables: Tables, *, skip: int, length: int, texts: int, rng: np.random.Generator, endless: bool = True) -> Rates:
    """How well the next symbol can be predicted, by the filter on `texts` independent texts.

    At each step the expected loss and hit rate of the filter's distribution are averaged, not the loss on the one symbol that came: the
    same mean with less spread. Texts are independent, so their means give the standard error (batch means).

    Args:
        tables: `start` must be the stationary distribution.
        skip: steps left out at the front: only predictions from `skip` symbols or more count.
        length: steps a text that count.
        texts: how many.
        rng: random numbers.
        endless: whether the rates for an endless past are asked for. A filter told the first state does better than that, one that knows
            only the symbols does worse (Cover and Thomas 2006, theorem 4.5.1): what still lies between them is added to the error.
    """
    states, symbols = draw(tables, texts, skip + length, rng)
    known = _expected(filtered(tables, symbols), skip) / length
    values, errors = known.mean(1), known.std(1, ddof=1) / np.sqrt(texts)
    if endless:
        told = np.eye(len(tables.start))[states[:, 0]]
        gap = np.abs((_expected(filtered(tables, symbols, told), skip) / length).mean(1) - values)
        errors = np.hypot(errors, gap)
    errors[errors < 1e-12] = 0  # nothing but rounding: every text gave the same
    return Rates((float(values[0]), float(errors[0])), (float(values[1]), float(errors[1])))


def _expected(steps: Iterator[tuple[np.ndarray, np.ndarray]], skip: int) -> np.ndarray:
    """Sum over the steps after `skip` of the entropy of the prediction and of its largest probability, (2, B)."""
    total: list[np.ndarray] = []
    for t, (said, _) in enumerate(steps):
        if t >= skip:
            loss = -(said * np.log(said, out=np.zeros_like(said), where=said > 0)).sum(1)
            total.append(np.stack([loss, said.max(1)]))
    return np.sum(total, axis=0)
