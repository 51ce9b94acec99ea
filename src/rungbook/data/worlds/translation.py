"""Translation between two grammars: another word order, agreement, and synonyms of known probability.

What can be known of the target, given the source, is everything but the synonyms; how they are drawn is known, and so is the best any
translator can reach. `translation_words.py` holds the two languages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rungbook.data.worlds.translation_words import ADJECTIVES, NOUNS, VERBS, Phrase, Piece, Sentence, pieces, read, source_words
from rungbook.data.worlds.world import Limit, Sample, World
from rungbook.plot.style import INK, TRAIN, Picture, draw

MOST_SYNONYMS = 3
MOST_CLAUSE = 0.5


@dataclass(frozen=True)
class Translation(World):
    """Pairs such as `the old dogs see the cat .` and `kavos steno mira vidaten .`.

    Words are separated by spaces, the full stop is a word of its own and ends every sentence. Nouns, verbs, adjectives and the plural
    are drawn uniformly; a phrase has an adjective with probability `adjective` and a clause with probability `clause`, also the phrase in
    the clause. Each target noun and verb is drawn anew among its synonyms.

    Args:
        n: pairs.
        synonyms: target words for each noun and verb, 1 to 3.
        preferred: probability of the first synonym; the others share the rest.
        adjective: probability that a noun has one.
        clause: probability that a noun has one.
    """

    name: ClassVar[str] = "translation"
    kind: ClassVar[str] = ""
    task: ClassVar[str] = "translation"
    target: ClassVar[str] = "translation"
    n: int = 5000
    synonyms: int = 2
    preferred: float = 0.7
    adjective: float = 0.4
    clause: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(1 <= self.synonyms <= MOST_SYNONYMS, f"synonyms is {self.synonyms}; 1 to {MOST_SYNONYMS} there are", "synonyms=2")
        self._require(0 <= self.preferred <= 1, f"preferred is {self.preferred}, a probability of 0 to 1", "preferred=0.7")
        self._require(0 <= self.adjective <= 1, f"adjective is {self.adjective}, a probability of 0 to 1", "adjective=0.4")
        message = f"clause is {self.clause}; 0 to {MOST_CLAUSE} are possible, at 1 no sentence would end"
        self._require(0 <= self.clause <= MOST_CLAUSE, message, "clause=0.2")

    @property
    def preference(self) -> tuple[float, ...]:
        """Probability of each synonym."""
        rest = self.synonyms - 1
        return (self.preferred, *[(1 - self.preferred) / rest] * rest) if rest else (1.0,)

    def sample(self, n: int, seed: int = 0) -> Sample:
        rng = self.rng(seed)
        sentences = [self._sentence(rng) for _ in range(n)]
        targets = []
        for sentence in sentences:
            words: list[str] = []
            for piece in pieces(sentence, self.preference):
                words += _drawn(piece.ways, rng.random()) if len(piece.ways) > 1 else next(iter(piece.ways))
            targets.append(" ".join(words))
        return Sample([" ".join(source_words(s)) for s in sentences], targets, {"meaning": sentences})

    def _sentence(self, rng: np.random.Generator) -> Sentence:
        def phrase() -> Phrase:
            noun, many = _one(NOUNS, rng), bool(rng.random() < 0.5)
            adjective = _one(ADJECTIVES, rng) if rng.random() < self.adjective else ""
            return Phrase(noun, many, adjective, (_one(VERBS, rng), phrase()) if rng.random() < self.clause else None)

        return Sentence(phrase(), _one(VERBS, rng), phrase())

    def pieces(self, source: str) -> list[Piece]:
        """The ways to translate a source sentence: independent choices, in target order. Raises UsageError E202 for no sentence."""
        return pieces(read(source), self.preference)

    def best(self, source: str) -> str:
        """The most probable translation. Raises UsageError E202 for no sentence."""
        return " ".join(word for piece in self.pieces(source) for word in max(piece.ways, key=lambda way: piece.ways[way]))

    def log_probability(self, source: str, target: str) -> float:
        """The logarithm (nats) of the probability of a translation; -inf for a wrong one. Raises UsageError E202 for no source sentence."""
        words, at, total = target.split(), 0, 0.0
        for piece in self.pieces(source):
            p = piece.ways.get(tuple(words[at : at + len(piece.source)]), 0.0)
            if p == 0:
                return -math.inf
            total += math.log(p)
            at += len(piece.source)
        return total if at == len(words) else -math.inf

    def limits(self) -> dict[str, Limit]:
        """Log loss a target word, the full stop included; accuracy is the share of sentences that are right in every word."""
        p, c = self.preference, self.clause
        entropy = -sum(q * math.log(q) for q in p if q > 0)
        phrases = 2 / (1 - c)  # in the mean: two a sentence, and each may bring another
        choices = 1 + phrases * (1 + c)  # the main verb, a noun a phrase, a verb a clause
        words = 2 + phrases * (1 + self.adjective + 2 * c)  # verb and stop; noun, adjective; verb and end of clause
        hit = max(p)
        phrase = hit * (1 - c) / (1 - c * hit**2)  # h = hit ((1 - c) + c hit h)
        loss = choices * entropy / words
        return {"log_loss": Limit(loss), "perplexity": Limit(math.exp(loss)), "accuracy": Limit(hit * phrase**2)}

    def picture(self, seed: int = 0) -> Picture:
        from matplotlib.axes import Axes

        drawn = self.sample(50, seed)
        i = next((i for i, x in enumerate(drawn.x) if 10 <= len(x.split()) <= 13), 0)
        source, target = drawn.x[i].split(), drawn.y[i].split()
        links = [s for piece in self.pieces(drawn.x[i]) for s in piece.source]
        origin = ", ".join(str(s + 1) for s in links)
        alt = f"“{drawn.x[i]}” becomes “{drawn.y[i]}”; its words translate words {origin} of the source."

        def places(words: list[str]) -> tuple[np.ndarray, float]:
            sizes = np.array([len(w) + 1.6 for w in words])
            return np.cumsum(sizes) - sizes / 2, float(sizes.sum())

        def paint(ax: Axes) -> None:
            (above, wide), (below, narrow) = places(source), places(target)
            below = below + (wide - narrow) / 2
            for j, s in enumerate(links):
                ax.plot([above[s], below[j]], [0.82, 0.18], color=TRAIN, linewidth=1.2, alpha=0.7)
            for words, x, y in ((source, above, 0.92), (target, below, 0.08)):
                for word, middle in zip(words, x, strict=True):
                    ax.text(middle, y, word, ha="center", va="center", color=INK)
            ax.set(xlim=(min(0, (wide - narrow) / 2), max(wide, (wide + narrow) / 2)), ylim=(0, 1))
            ax.axis("off")

        return draw(paint, alt, size=(6.5, 1.6))


def _drawn(ways: dict[tuple[str, ...], float], chance: float) -> tuple[str, ...]:
    """The way at `chance` of the whole, from 0 to 1."""
    for way, p in ways.items():
        chance -= p
        if chance < 0:
            return way
    return max(ways, key=lambda way: ways[way])  # the probabilities sum to 1 but for rounding


def _one(words: dict, rng: np.random.Generator) -> str:
    keys = list(words)
    return keys[rng.integers(len(keys))]
