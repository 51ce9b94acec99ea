"""Probabilistic context-free grammars: sampling, the inside algorithm, and the exact entropy and length of what they derive.

Inside: Baker 1979, "Trainable grammars for speech recognition"; rules of one symbol are summed beforehand (Stolcke 1995, section 4.4).
Means over derivations: Grenander 1967, "Syntax-controlled probabilities"; Chi 1999, "Statistical properties of probabilistic
context-free grammars". N symbols after binarisation, B sentences of L characters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

Rules = Mapping[str, Sequence[tuple[float, tuple[str, ...]]]]
"""Symbol -> its expansions: probability, and symbols and characters in order. What is no key is a character."""


class Endless(ValueError):
    """The grammar's derivations have no finite mean length."""


@dataclass
class Grammar:
    """A probabilistic context-free grammar without empty expansions.

    Args:
        rules: probabilities of each symbol's expansions sum to 1.
        start: the symbol every sentence is derived from.

    Raises:
        ValueError: a table that is no grammar; `Endless` where the mean length of a derivation is infinite.
    """

    rules: Rules
    start: str = "S"
    _index: dict[str, int] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.start not in self.rules:
            raise ValueError(f"The start symbol {self.start!r} has no rules")
        for symbol, expansions in self.rules.items():
            p = [q for q, _ in expansions]
            if min(p, default=-1) < 0 or not math.isclose(sum(p), 1, abs_tol=1e-9):
                raise ValueError(f"The expansions of {symbol!r} have probabilities {p}; they must sum to 1")
            if not all(right for _, right in expansions):
                raise ValueError(f"{symbol!r} has an empty expansion")
        if self.growth() >= 1:
            raise Endless(f"A symbol leads to {self.growth():.4g} others in the mean; below 1 is needed for sentences to end")
        self._binarise()

    # means over derivations

    def _children(self) -> np.ndarray:
        """Mean number of symbols of each kind in one expansion, (symbols, symbols)."""
        names = list(self.rules)
        return np.array([[sum(p * right.count(b) for p, right in self.rules[a]) for b in names] for a in names])

    def growth(self) -> float:
        """The spectral radius of the mean number of children: derivations end and have finite means below 1 (Harris 1963)."""
        return float(np.abs(np.linalg.eigvals(self._children())).max())

    def mean(self, local: Mapping[str, float]) -> float:
        """The mean over derivations of a sum of `local[symbol]` over all symbols expanded: one linear system."""
        names = list(self.rules)
        total = np.linalg.solve(np.eye(len(names)) - self._children(), [local[a] for a in names])
        return float(total[names.index(self.start)])

    def entropy(self) -> float:
        """Entropy of a derivation in nats; of a sentence where each has one derivation only."""
        return self.mean({a: -sum(p * math.log(p) for p, _ in e if p > 0) for a, e in self.rules.items()})

    def mean_length(self) -> float:
        """Mean number of characters in a sentence."""
        return self.mean({a: sum(p * sum(s not in self.rules for s in right) for p, right in e) for a, e in self.rules.items()})

    # sentences

    def sample(self, characters: int, rng: np.random.Generator) -> list[str]:
        """Independent sentences, until they have `characters` characters together or more."""
        expansions = {a: [right[::-1] for _, right in e] for a, e in self.rules.items()}
        ends = {a: np.cumsum([p for p, _ in e])[:-1].tolist() for a, e in self.rules.items()}
        chance: Iterator[float] = iter(())
        sentences: list[str] = []
        found = 0
        while found < characters:
            stack, sentence = [self.start], []
            while stack:
                symbol = stack.pop()
                if symbol not in expansions:
                    sentence.append(symbol)
                    continue
                u = next(chance, None)
                if u is None:
                    chance = iter(rng.random(4096).tolist())
                    u = next(chance)
                stack.extend(expansions[symbol][sum(u >= end for end in ends[symbol])])
            sentences.append("".join(sentence))
            found += len(sentence)
        return sentences

    # inside

    def _binarise(self) -> None:
        """Rules of one or two symbols each: characters get symbols of their own, the tails of longer expansions too."""
        index = self._index = {a: i for i, a in enumerate(self.rules)}
        pairs: list[tuple[int, int, int, float]] = []
        single: list[tuple[int, int, float]] = []

        def number(name: str) -> int:
            return index.setdefault(name, len(index))

        for a, expansions in self.rules.items():
            for i, (p, right) in enumerate(expansions):
                names = [s if s in self.rules else f"char {s}" for s in right]
                if len(names) == 1:
                    single.append((index[a], number(names[0]), p))
                    continue
                head = index[a]
                while len(names) > 2:
                    tail = number(f"{a} {i} {len(names)}")
                    pairs.append((head, number(names[0]), tail, p))
                    head, p, names = tail, 1.0, names[1:]
                pairs.append((head, number(names[0]), number(names[1]), p))
        N = len(index)
        unit = np.zeros((N, N))
        for above, below, p in single:
            unit[above, below] += p
        chains = np.linalg.inv(np.eye(N) - unit)  # all chains of one-symbol rules, however long
        table = np.zeros((N, N, N))
        for above, first, second, p in pairs:
            table[above, first, second] += p
        self._leaf = chains
        self._pair = np.tensordot(chains, table, 1).reshape(N, N * N)

    def characters(self) -> str:
        """All characters of the grammar, sorted."""
        return "".join(sorted(s.removeprefix("char ") for s in self._index if s.startswith("char ")))

    def log_probability(self, sentences: Sequence[str]) -> np.ndarray:
        """The logarithm (nats) of each sentence's probability, all its derivations together; -inf for what is no sentence, (n,)."""
        known = {s: i for i, s in enumerate(dict.fromkeys(sentences))}
        found = np.full(len(known), -np.inf)
        by_length: dict[int, list[str]] = {}
        for s in known:
            by_length.setdefault(len(s), []).append(s)
        for length, group in by_length.items():
            if length == 0:
                continue
            most = max(1, 20_000_000 // (length**2 * len(self._index)))  # sentences a time: the chart stays below 160 MB
            for i in range(0, len(group), most):
                part = group[i : i + most]
                found[[known[s] for s in part]] = self._inside(self._leaves(part))
        return found[[known[s] for s in sentences]]

    def _leaves(self, sentences: Sequence[str]) -> np.ndarray:
        """p(symbol derives the character) of sentences of one length, (B, L, N)."""
        columns = np.zeros((len(self._index) + 1, len(self._index)))  # the last row: a character of no rule
        columns[:-1] = self._leaf.T
        rows = [[self._index.get(f"char {c}", -1) for c in s] for s in sentences]
        return columns[rows]

    def length_probabilities(self, longest: int) -> np.ndarray:
        """Probability of each sentence length 0..longest: the inside algorithm on characters that all look the same."""
        letters = [i for s, i in self._index.items() if s.startswith("char ")]
        leaf = self._leaf[:, letters].sum(1)
        chart = self._chart(np.broadcast_to(leaf, (1, longest, len(leaf))), 0.0)
        return np.append(0.0, chart[0, 0, 1:, self._index[self.start]])

    def _inside(self, leaves: np.ndarray) -> np.ndarray:
        """log p of sentences of one length from their leaves (B, L, N)."""
        L = leaves.shape[1]
        rate = self.entropy() / self.mean_length()  # numbers near 1 however long the sentence
        chart = self._chart(leaves * math.exp(rate), rate)
        with np.errstate(divide="ignore"):
            return np.log(chart[:, 0, L, self._index[self.start]]) - rate * L

    def _chart(self, leaves: np.ndarray, rate: float) -> np.ndarray:
        """p(symbol derives the `width` characters from `start`) at [B, start, width, symbol], times exp(rate * width)."""
        B, L, N = leaves.shape
        begin, end = np.zeros((B, L + 1, L + 1, N)), np.zeros((B, L + 1, L + 1, N))  # by first character, and by the one after the last
        begin[:, :L, 1], end[:, 1:, 1] = leaves, leaves
        for width in range(2, L + 1):
            n = L - width + 1
            left = begin[:, :n, 1:width]  # (B, n, width - 1, N)
            right = end[:, width:, width - 1 : 0 : -1]  # the widths that fill up, (B, n, width - 1, N)
            both = left.swapaxes(2, 3) @ right  # summed over where the first part ends, (B, n, N, N)
            begin[:, :n, width] = end[:, width:, width] = both.reshape(B, n, N * N) @ self._pair.T
        return begin
