"""The words of the translation world, and its sentences: reading a source sentence, and the ways to say it in the other language.

Source: `the ADJECTIVE NOUN that VERBs the NOUN VERBs the NOUN`, subject, verb, object. Target: subject, object, verb; a clause stands
before its noun and ends in its verb and `ke`; an adjective follows its noun and agrees with the noun chosen; the verb carries the
number of its subject. A synchronous grammar (Aho and Ullman 1969, "Syntax directed translations and the pushdown assembler").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rungbook.errors import UsageError

NOUNS = {
    "bird": ("tilo", "vesa", "garu"),
    "cat": ("mira", "neko", "sula"),
    "child": ("bano", "rila", "toki"),
    "dog": ("kavo", "hunda", "peru"),
    "farmer": ("domo", "zela", "viru"),
    "horse": ("loto", "ekwa", "safi"),
    "king": ("rego", "shaha", "moru"),
    "teacher": ("faro", "guna", "lesi"),
}
"""Source noun -> target nouns; the last letter decides the ending of the adjective. No target word has two sources."""
VERBS = {
    "carries": ("porat", "hevit", "nosut"),
    "chases": ("runet", "katit", "zobut"),
    "finds": ("trovat", "gesit", "hanut"),
    "hears": ("sonet", "klavit", "mudut"),
    "likes": ("amat", "pilit", "dorut"),
    "sees": ("vidat", "lokit", "regut"),
}
ADJECTIVES = {"big": "mak", "green": "verd", "happy": "gal", "old": "sten", "small": "pik"}
PLURALS = {noun: "children" if noun == "child" else f"{noun}s" for noun in NOUNS}
ARTICLE, CLAUSE, CLAUSE_END, MANY, STOP = "the", "that", "ke", "en", "."
"""`MANY` is the ending of plural verbs in the target; `STOP` ends sentences in both languages and is a word of its own."""
_NOUN = {**{n: (n, False) for n in NOUNS}, **{p: (n, True) for n, p in PLURALS.items()}}
PLAIN = {"carries": "carry"} | {v: v.removesuffix("s") for v in VERBS if v != "carries"}
"""Singular verb -> the plural verb of the source."""
_VERB = {**{v: (v, False) for v in VERBS}, **{p: (v, True) for v, p in PLAIN.items()}}


@dataclass(frozen=True)
class Phrase:
    """A noun with what belongs to it.

    Args:
        noun: a key of `NOUNS`.
        many: whether it is plural.
        adjective: a key of `ADJECTIVES` or "".
        clause: verb and object of `that ...`, the noun being its subject, or None.
    """

    noun: str
    many: bool = False
    adjective: str = ""
    clause: tuple[str, Phrase] | None = None


@dataclass(frozen=True)
class Sentence:
    """Who does what to whom; `verb` is a key of `VERBS`."""

    subject: Phrase
    verb: str
    object: Phrase


@dataclass(frozen=True)
class Piece:
    """A stretch of the translation that is chosen independently of the others.

    Args:
        ways: words -> probability; all of one length.
        source: for each of its words the number of the source word it translates.
    """

    ways: dict[tuple[str, ...], float]
    source: tuple[int, ...]


def _verb(verb: str, many: bool) -> str:
    return PLAIN[verb] if many else verb


def phrase_words(phrase: Phrase) -> list[str]:
    """A phrase in the source language."""
    words = [ARTICLE, *([phrase.adjective] if phrase.adjective else []), PLURALS[phrase.noun] if phrase.many else phrase.noun]
    if phrase.clause:
        verb, what = phrase.clause
        words += [CLAUSE, _verb(verb, phrase.many), *phrase_words(what)]
    return words


def source_words(sentence: Sentence) -> list[str]:
    """A sentence in the source language."""
    return [*phrase_words(sentence.subject), _verb(sentence.verb, sentence.subject.many), *phrase_words(sentence.object), STOP]


class _Reader:
    """Recursive descent over the words of a source sentence: one word ahead decides everything."""

    def __init__(self, text: str) -> None:
        self.text, self.words, self.at = text, text.split(), 0

    def sentence(self) -> Sentence:
        subject = self.phrase()
        verb = self.verb(subject.many)
        what = self.phrase()
        self.take((STOP,), f'"{STOP}"')
        if self.at < len(self.words):
            self.refuse("the end")
        return Sentence(subject, verb, what)

    def phrase(self) -> Phrase:
        self.take((ARTICLE,), f'"{ARTICLE}"')
        adjective = self.words[self.at] if self.at < len(self.words) and self.words[self.at] in ADJECTIVES else ""
        self.at += bool(adjective)
        noun, many = _NOUN[self.take(_NOUN, "a noun")]
        clause = None
        if self.at < len(self.words) and self.words[self.at] == CLAUSE:
            self.at += 1
            clause = (self.verb(many), self.phrase())
        return Phrase(noun, many, adjective, clause)

    def verb(self, many: bool) -> str:
        return _VERB[self.take([w for w, (_, m) in _VERB.items() if m == many], f"a verb in the {'plural' if many else 'singular'}")][0]

    def take(self, allowed: Sequence[str] | dict, wanted: str) -> str:
        if self.at >= len(self.words) or self.words[self.at] not in allowed:
            self.refuse(wanted)
        self.at += 1
        return self.words[self.at - 1]

    def refuse(self, wanted: str) -> None:
        found = f'"{self.words[self.at]}"' if self.at < len(self.words) else "the end"
        message = f'"{self.text}" is no sentence of world:translation: word {self.at + 1} is {found}; {wanted} is needed.'
        raise UsageError("E202", message, f"For example: the old dog sees the cats {STOP}")


def read(text: str) -> Sentence:
    """The meaning of a source sentence. Raises UsageError E202 with the word that does not fit."""
    return _Reader(text).sentence()


def pieces(sentence: Sentence, preference: Sequence[float]) -> list[Piece]:
    """The translation of a sentence as independent choices, in target order.

    Args:
        preference: probability of each synonym, the same for all nouns and verbs.
    """
    at = 0  # words of the source passed

    def noun_phrase(phrase: Phrase) -> list[Piece]:
        nonlocal at
        adjective, noun = at + 1, at + 1 + bool(phrase.adjective)
        at = noun + 1
        before: list[Piece] = []
        if phrase.clause:
            verb, what = phrase.clause
            that = at
            at += 2
            before = [*noun_phrase(what), verb_piece(verb, phrase.many, that + 1), Piece({(CLAUSE_END,): 1.0}, (that,))]
        ways = {}
        for word, p in zip(NOUNS[phrase.noun], preference, strict=False):
            agreeing = [ADJECTIVES[phrase.adjective] + word[-1]] if phrase.adjective else []
            ways[(word + ("s" if phrase.many else ""), *agreeing)] = p
        return [*before, Piece(ways, (noun, *([adjective] if phrase.adjective else [])))]

    def verb_piece(verb: str, many: bool, where: int) -> Piece:
        return Piece({(word + (MANY if many else ""),): p for word, p in zip(VERBS[verb], preference, strict=False)}, (where,))

    subject = noun_phrase(sentence.subject)
    verb_at = at
    at += 1
    what = noun_phrase(sentence.object)
    return [*subject, *what, verb_piece(sentence.verb, sentence.subject.many, verb_at), Piece({(STOP,): 1.0}, (at,))]
