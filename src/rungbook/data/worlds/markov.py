"""Text from a hidden Markov model: the simplest source of text whose entropy rate has no formula and can be computed all the same.

Rabiner 1989, "A tutorial on hidden Markov models", for the model; the entropy rate lies between two sequences of conditional entropies
that meet (Cover and Thomas 2006, theorem 4.5.1), and the forward filter finds it by simulation.
"""

from __future__ import annotations

import math
import string
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from rungbook.data.worlds import markov_filter
from rungbook.data.worlds.markov_filter import Tables, prediction_rates, stationary
from rungbook.data.worlds.world import Limit, Sample, World
from rungbook.errors import UsageError
from rungbook.plot.style import INK, TRAIN, VALID, Picture, draw

TEXTS = 2000
"""Independent texts from which the limits are found."""
SKIP, LENGTH = 100, 150
"""Characters of each text that only warm the filter up, and those that count."""
LARGEST_STAY = 0.99
"""Above this a text shows too few changes of state to learn from."""


@dataclass(frozen=True)
class HiddenMarkov(World):
    """A text whose characters depend on a state nobody sees.

    The states stand in a ring. A state stays with probability `stay`, else it moves 1, 2, 3, ... places on with probabilities that halve
    at each place. Each state prefers characters from another part of the alphabet: with probability `peaked` its own ones, again
    halving at each place, else any character.

    The limits are those of a predictor that sees all characters before. One that sees only the last `context` (16 by default, in
    `load_data`) can do a little worse: `within(context)` is the best for it.

    Args:
        n: characters.
        states: hidden states.
        symbols: characters in the alphabet, a, b, c, ...
        stay: probability of keeping the state from one character to the next.
        peaked: probability that a character is one of the state's own; 0 leaves nothing to learn.
    """

    name: ClassVar[str] = "hidden_markov"
    kind: ClassVar[str] = "characters"
    target: ClassVar[str] = "next character"
    n: int = 50_000
    states: int = 4
    symbols: int = 8
    stay: float = 0.9
    peaked: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(1 <= self.states <= 64, f"states is {self.states}; 1 to 64 are possible", "states=4")
        letters = len(string.ascii_lowercase)
        self._require(2 <= self.symbols <= letters, f"symbols is {self.symbols}; 2 to {letters} are possible, a to z", "symbols=8")
        self._require(0 <= self.stay <= LARGEST_STAY, f"stay is {self.stay}; 0 to {LARGEST_STAY} are possible", "stay=0.9")
        self._require(0 <= self.peaked <= 1, f"peaked is {self.peaked}, a probability of 0 to 1", "peaked=0.95")

    @property
    def alphabet(self) -> str:
        """The characters, in the order of the emission table."""
        return string.ascii_lowercase[: self.symbols]

    @property
    def tables(self) -> Tables:
        """Start, transition and emission probabilities."""
        S, K = self.states, self.symbols
        ring = np.zeros(S)
        ring[1:] = 0.5 ** np.arange(1, S)
        ring = (1 - self.stay) * ring / ring.sum() if S > 1 else ring
        ring[0] = self.stay if S > 1 else 1.0
        transition = np.stack([np.roll(ring, s) for s in range(S)])
        own = 0.5 ** np.arange(K)
        emission = np.stack([np.roll(own / own.sum(), s * K // S) for s in range(S)])
        return Tables(stationary(transition), transition, self.peaked * emission + (1 - self.peaked) / K)

    def sample(self, n: int, seed: int = 0) -> Sample:
        states, symbols = markov_filter.draw(self.tables, 1, n, self.rng(seed))
        letters = np.frombuffer(self.alphabet.encode(), np.uint8)
        return Sample(letters[symbols[0]].tobytes().decode(), None, {"states": states[0]})

    def encode(self, text: str) -> np.ndarray:
        """Characters as columns of the emission table, int64 (T,). Raises UsageError E202 for a character of another alphabet."""
        if strange := sorted(set(text) - set(self.alphabet)):
            raise UsageError("E202", f'{self} has no character "{strange[0]}".', f"Its characters: {self.alphabet}")
        return np.frombuffer(text.encode(), np.uint8).astype(np.int64) - ord("a")

    def log_probability(self, text: str) -> float:
        """The logarithm (nats) of the probability that a text of this length is `text`."""
        return float(markov_filter.log_probability(self.tables, self.encode(text)[None])[0])

    def predictive(self, text: str) -> np.ndarray:
        """The best prediction of each character from all before it, float64 (T, symbols): no method can do better."""
        return markov_filter.predictive(self.tables, self.encode(text)[None])[0]

    def limits(self) -> dict[str, Limit]:
        return dict(_limits(self.states, self.symbols, self.stay, self.peaked, None))

    def within(self, context: int) -> dict[str, Limit]:
        """The limits of a predictor that sees only the last `context` characters."""
        if context < 0:
            raise UsageError("E202", f"{self}: context is {context} characters; 0 or more are possible.", "within(16)")
        return dict(_limits(self.states, self.symbols, self.stay, self.peaked, context))

    def picture(self, seed: int = 0) -> Picture:
        from matplotlib.axes import Axes
        from matplotlib.patches import Rectangle

        tables, S, K = self.tables, self.states, self.symbols
        text = self.sample(40, seed).x
        favourite = ", ".join(f"{s + 1}: {self.alphabet[row.argmax()]} ({row.max():.2f})" for s, row in enumerate(tables.emission[:8]))
        alt = f"{S} states, each kept with probability {self.stay:g}; most frequent character of each state: {favourite}. Text: {text}"

        def paint(ax: Axes) -> None:
            gap = 1.0
            for colour, table, left in ((TRAIN, tables.transition, 0.0), (VALID, tables.emission, S + gap)):
                for s, row in enumerate(table):
                    for k, p in enumerate(row):
                        if p < 0.01 * table.max():  # nothing would be seen, and many of them make the picture heavy
                            continue
                        ax.add_patch(
                            Rectangle((left + k - 0.47, s - 0.47), 0.94, 0.94, facecolor=colour, alpha=0.85 * p / table.max(), linewidth=0)
                        )
                        if S + K <= 16 and p >= 0.005:
                            ax.text(left + k, s, f"{100 * p:.0f}", ha="center", va="center", fontsize=7)
            names = [str(s + 1) for s in range(S)]
            ax.set(xlim=(-0.6, S + gap + K - 0.4), ylim=(S - 0.4, -0.6), ylabel="state")
            ax.set_xticks([*range(S), *(S + gap + k for k in range(K))], [*names, *self.alphabet], fontsize=8 if S + K <= 40 else 5)
            ax.set_yticks(range(S), names, fontsize=8 if S <= 24 else 5)
            ax.set_title("next state and character, per cent" if S + K <= 16 else "next state and character")
            ax.tick_params(length=0)
            ax.grid(False)
            ax.set_aspect("equal")
            for side in ax.spines.values():
                side.set_visible(False)
            ax.set_xlabel(text, color=INK, fontsize=8, family="monospace")

        cell = min(0.3, 6 / (S + K))  # inches
        return draw(paint, alt, size=(1.0 + cell * (S + K), 0.9 + cell * S))


@lru_cache(maxsize=64)
def _limits(states: int, symbols: int, stay: float, peaked: float, context: int | None) -> dict[str, Limit]:
    """Limits of the world with these parameters; of a predictor with `context` characters where that is given."""
    tables = HiddenMarkov(states=states, symbols=symbols, stay=stay, peaked=peaked).tables
    rng = np.random.default_rng([states, symbols, 0 if context is None else context + 1])
    if context is None:
        rates = prediction_rates(tables, skip=SKIP, length=LENGTH, texts=TEXTS, rng=rng)
        how = f"forward filter, {TEXTS} texts of {LENGTH} characters after {SKIP} others"
    else:
        texts = 50 * TEXTS // (1 + context // 20)
        rates = prediction_rates(tables, skip=context, length=1, texts=texts, rng=rng, endless=False)
        how = f"forward filter, {texts:,} texts of {context + 1} characters"
    (loss, loss_error), (accuracy, accuracy_error) = rates.log_loss, rates.accuracy
    return {
        "log_loss": Limit(loss, loss_error, how),
        "perplexity": Limit(math.exp(loss), math.exp(loss) * loss_error, how),  # error by the delta method
        "accuracy": Limit(accuracy, accuracy_error, how),
    }
