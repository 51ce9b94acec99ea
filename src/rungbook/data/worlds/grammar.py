"""Text from a probabilistic context-free grammar: sums of products with brackets of several kinds, a line each.

    sum     -> product end of line            inside brackets without the end
    product -> factor | factor * product
    factor  -> name | bracketed sum

No model with a bounded memory of the last characters knows which bracket, or the end of the line, has to close: the language is not
regular (Chomsky 1956, "Three models for the description of language").
"""

from __future__ import annotations

import math
import string
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from rungbook.data.worlds.grammar_inside import Grammar
from rungbook.data.worlds.world import Limit, Sample, World
from rungbook.plot.style import THIRD, TRAIN, Picture, draw, few_ticks, number

BRACKETS = ("()", "[]", "{}")
MOST_MORE = 0.8
MARGIN = 0.01
"""A line has 2 / ((1 - more)^2 - nest) characters in the mean: 200 at this distance from the nest at which lines stop to end."""


@dataclass(frozen=True)
class Arithmetic(World):
    """Lines such as `a*(b+[a*c])+a`.

    Each product has another factor with probability `more`, each sum another product with the same; a factor is a bracketed sum with
    probability `nest`, else a name. Earlier names are more frequent, as 1/1, 1/2, 1/3, ... (Zipf). Each line has one derivation only, so
    that its entropy is known exactly. Sums and brackets multiply: lines end only if `nest` is below (1 - more)^2.

    The limits are those of a predictor that sees everything since the line began; one that sees only some characters before (16 by
    default in `load_data`) does a little worse on long lines.

    Args:
        n: characters.
        more: probability of another term or factor.
        nest: probability that a factor is bracketed.
        names: how many names there are, a, b, c, ...
        brackets: kinds of brackets, all equally frequent.
    """

    name: ClassVar[str] = "grammar"
    kind: ClassVar[str] = "characters"
    target: ClassVar[str] = "next character"
    n: int = 50_000
    more: float = 0.2
    nest: float = 0.45
    names: int = 4
    brackets: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        letters = len(string.ascii_lowercase)
        self._require(1 <= self.names <= letters, f"names is {self.names}; 1 to {letters} are possible", "names=4")
        self._require(1 <= self.brackets <= len(BRACKETS), f"brackets is {self.brackets}; 1 to {len(BRACKETS)} are possible", "brackets=2")
        self._require(0 <= self.more <= MOST_MORE, f"more is {self.more}; 0 to {MOST_MORE} are possible", "more=0.2")
        self._require(self.nest >= 0, f"nest is {self.nest}, a probability", "nest=0.45")
        ends = (1 - self.more) ** 2
        largest = math.floor(10_000 * (ends - MARGIN) + 1e-6) / 10_000  # as it is written in the message
        mean = "no finite mean" if self.nest > ends - 1e-9 else f"a mean of {2 / (ends - self.nest):,.0f} characters"
        message = f"nest is {self.nest} with more={self.more}, where the length of lines has {mean}; nest can be {largest} at most"
        self._require(self.nest <= largest, message, f"more={self.more}, nest={math.floor(900 * largest) / 1000}")

    @property
    def name_probabilities(self) -> np.ndarray:
        """Of each name where a name stands."""
        weight = 1 / np.arange(1, self.names + 1)
        return weight / weight.sum()

    @property
    def grammar(self) -> Grammar:
        """The rules, with the line's end as a character."""
        return _grammar(self.more, self.nest, self.names, self.brackets)

    def sample(self, n: int, seed: int = 0) -> Sample:
        lines = self.grammar.sample(n, self.rng(seed))
        text = "".join(lines)[:n]  # the last line may be cut
        codes = np.frombuffer(text.encode(), np.uint8)
        step = np.isin(codes, [ord(b[0]) for b in BRACKETS]).astype(int) - np.isin(codes, [ord(b[1]) for b in BRACKETS])
        return Sample(text, None, {"depth": np.cumsum(step)})

    def log_probability(self, line: str) -> float:
        """The logarithm (nats) of the probability of a line, its end included; -inf for what is no line of the language."""
        return float(self.grammar.log_probability([line])[0])

    def limits(self) -> dict[str, Limit]:
        loss = self.grammar.entropy() / self.grammar.mean_length()  # nats a line over characters a line: the rate of a renewal process
        first = max(self.nest / self.brackets, (1 - self.nest) * float(self.name_probabilities[0]))
        after = max(self.more, (1 - self.more) * self.more, (1 - self.more) ** 2)
        # factors begin as often as they end, and every character is either the begin of a factor or what follows one
        return {"log_loss": Limit(loss), "perplexity": Limit(math.exp(loss)), "accuracy": Limit((first + after) / 2)}

    def measured(self, characters: int = 20_000, seed: int = 0) -> Limit:
        """The log loss limit found another way: by the inside algorithm on sampled lines, as a ratio of means with its standard error.

        The time goes with the cube of a line's length: for lines of up to some hundred characters.
        """
        lines = self.grammar.sample(characters, self.rng(seed))
        lengths = np.array([len(line) for line in lines], float)
        losses = -self.grammar.log_probability(lines)
        rate = losses.sum() / lengths.sum()
        error = np.std(losses - rate * lengths, ddof=1) / lengths.mean() / math.sqrt(len(lines))  # Cochran 1977, section 6.4
        return Limit(float(rate), float(error), f"inside algorithm, {len(lines):,} lines")

    def picture(self, seed: int = 0) -> Picture:
        from matplotlib.axes import Axes

        lines = self.grammar.sample(self.n, self.rng(seed))
        lengths = np.array([len(line) for line in lines])
        longest = int(min(60, max(8, np.quantile(lengths, 0.97))))
        theory = self.grammar.length_probabilities(longest)
        counts = np.bincount(lengths, minlength=longest + 1)[: longest + 1] / len(lines)
        there = np.flatnonzero(theory > 0)
        examples = [line.strip() for line in lines if 6 <= len(line) <= 32][:3]
        mean = number(self.grammar.mean_length())
        alt = (
            f"Lengths of {len(lines):,} lines against theory: mean {number(float(lengths.mean()))} characters, {mean} by theory; "
            f"share of the shortest {number(float(counts[there[0]]))}, {number(float(theory[there[0]]))} by theory. "
            f"Examples: {'  '.join(examples) or lines[0].strip()}"
        )

        def paint(ax: Axes) -> None:
            ax.bar(there, counts[there], width=1.3, color=TRAIN, alpha=0.5, linewidth=0, label=f"{len(lines):,} lines")
            ax.plot(there, theory[there], ".", color=THIRD, markersize=6, label="theory")
            ax.set(xlabel="characters in a line", ylabel="share of lines", xlim=(0, longest + 1))
            ax.set_title("\n".join(examples), family="monospace", fontsize=8)
            few_ticks(ax)
            ax.legend(frameon=False, fontsize=8)

        return draw(paint, alt, size=(4.2, 3.0))


@lru_cache(maxsize=32)
def _grammar(more: float, nest: float, names: int, brackets: int) -> Grammar:
    weight = 1 / np.arange(1, names + 1)
    share = (1 - nest) * weight / weight.sum()
    factors: list[tuple[float, tuple[str, ...]]] = [(float(p), (letter,)) for p, letter in zip(share, string.ascii_lowercase, strict=False)]
    factors += [(nest / brackets, (pair[0], "sum", pair[1])) for pair in BRACKETS[:brackets]]
    return Grammar(
        {
            "line": [(1.0, ("sum", "\n"))],
            "sum": [(1 - more, ("product",)), (more, ("product", "+", "sum"))],
            "product": [(1 - more, ("factor",)), (more, ("factor", "*", "product"))],
            "factor": factors,
        },
        "line",
    )
