"""Translation: what can be said and how probably, the closed forms against sampling, learned counts against the limit."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from rungbook.data.load import load_data
from rungbook.data.worlds.registry import make_world
from rungbook.data.worlds.translation import Translation
from rungbook.data.worlds.translation_words import ADJECTIVES, NOUNS, PLAIN, PLURALS, VERBS, pieces, read, source_words
from rungbook.errors import UsageError

WORLDS = [Translation(), Translation(synonyms=3, preferred=0.2, clause=0.5, adjective=1.0), Translation(synonyms=1, clause=0.0)]


def by_hand(source: str, p: tuple[float, ...]) -> dict[str, float]:
    """All translations of a sentence without clauses, with their probabilities, written down another way."""
    subject, verb, what = [], "", []
    for word in source.split()[:-1]:
        if word in VERBS or word in PLAIN.values():
            verb = word
        elif word != "the":
            (what if verb else subject).append(word)
    singular = {plural: noun for noun, plural in PLURALS.items()}
    found: dict[str, float] = {}
    for i, j, k in itertools.product(range(len(p)), repeat=3):
        words = []
        for phrase, choice in ((subject, i), (what, j)):
            noun = NOUNS[singular.get(phrase[-1], phrase[-1])][choice]
            words.append(noun + "s" * (phrase[-1] in singular))
            words += [ADJECTIVES[a] + noun[-1] for a in phrase[:-1]]
        stem = VERBS[next(v for v in VERBS if verb in (v, PLAIN[v]))][k]
        found[" ".join([*words, stem + "en" * (subject[-1] in singular), "."])] = p[i] * p[j] * p[k]
    return found


def test_all_translations_by_hand() -> None:
    world = Translation(synonyms=3, preferred=0.5, clause=0.0)
    drawn = world.sample(60, 1)
    for source, target in zip(drawn.x, drawn.y, strict=True):
        expected = by_hand(source, (0.5, 0.25, 0.25))
        assert len(expected) == 27
        assert target in expected
        for text, p in expected.items():
            assert world.log_probability(source, text) == pytest.approx(math.log(p), abs=1e-12)
        assert expected[world.best(source)] == max(expected.values())


def test_all_translations_of_a_sentence_with_clauses() -> None:
    source = "the old dogs that see the cat that likes the kings chase the small bird ."
    assert source_words(read(source)) == source.split()
    world = Translation()
    ways = list(itertools.product(*(piece.ways.items() for piece in world.pieces(source))))
    total, texts = 0.0, set()
    for way in ways:
        text, p = " ".join(w for words, _ in way for w in words), math.prod(q for _, q in way)
        assert world.log_probability(source, text) == pytest.approx(math.log(p))
        texts.add(text)
        total += p
    assert len(texts) == len(ways) == 2**7
    assert total == pytest.approx(1)
    assert world.best(source) == "regos amat ke mira vidaten ke kavos steno tilo piko runeten ."


def test_one_word_out_of_place_is_no_translation() -> None:
    world = Translation()
    source, good = "the old dogs see the cat .", "kavos steno mira vidaten ."
    assert world.log_probability(source, good) == pytest.approx(3 * math.log(0.7))
    assert world.log_probability(source, "hundas stena neko lokiten .") == pytest.approx(3 * math.log(0.3))
    for bad in (
        "kavos stena mira vidaten .",  # the adjective agrees with the other noun
        "kavos steno mira vidat .",  # the verb with a single dog
        "mira kavos steno vidaten .",
        "kavos steno mira vidaten",
        "kavos steno mira vidaten . .",
        "kavos peruso mira vidaten .",
        "",
    ):
        assert world.log_probability(source, bad) == -math.inf


def test_words_have_one_meaning() -> None:
    """A target word never has two sources, so that different choices give different sentences; nor is a word two things in the source."""
    target = [w for ways in (*NOUNS.values(), *VERBS.values()) for w in ways]
    target += [a + end for a in ADJECTIVES.values() for end in "aiou"]
    assert len(set(target)) == len(target)
    source = [*NOUNS, *PLURALS.values(), *VERBS, *PLAIN.values(), *ADJECTIVES, "the", "that", "."]
    assert len(set(source)) == len(source)
    assert all({w[-1] for w in ways[:2]} != {ways[0][-1]} for ways in NOUNS.values()), "agreement depends on the synonym"


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_limits_against_sampling(world: Translation) -> None:
    drawn = world.sample(3000, 2)
    losses = np.array([-world.log_probability(x, y) for x, y in zip(drawn.x, drawn.y, strict=True)])
    lengths = np.array([len(y.split()) for y in drawn.y], float)
    limit = world.limit("log_loss").value
    error = float(np.std(losses - limit * lengths, ddof=1) / lengths.mean() / math.sqrt(len(losses)))
    assert abs(losses.sum() / lengths.sum() - limit) <= 3 * error + 1e-12
    assert world.limit("perplexity").value == pytest.approx(math.exp(limit))
    hits = np.array([world.best(x) == y for x, y in zip(drawn.x, drawn.y, strict=True)])
    accuracy = world.limit("accuracy").value
    assert abs(hits.mean() - accuracy) <= 3 * math.sqrt(accuracy * (1 - accuracy) / len(hits))
    # closer, as less is left to chance: how probable it is that all choices of a sentence are the preferred ones
    chances = np.array([math.prod(max(piece.ways.values()) for piece in world.pieces(x)) for x in drawn.x])
    sure = float(chances.std() / math.sqrt(len(chances)))
    assert abs(chances.mean() - accuracy) <= 3 * sure + 1e-12
    assert 3 * sure < 0.08 * accuracy, "this sample could not tell a wrong limit"
    if world.synonyms > 1:
        assert error < 0.005
        for wrong in (1.05 * limit, 0.95 * limit):
            assert abs(losses.sum() / lengths.sum() - wrong) > 3 * error, "this sample could not tell a wrong limit"
        three_choices = max(world.preference) ** 3  # what it would be without clauses
        assert abs(hits.mean() - three_choices) > 3 * math.sqrt(0.25 / len(hits))


def test_counts_reach_the_limit_unless_they_ignore_agreement() -> None:
    """A model that counts how each phrase was translated, aligned; another takes each target word for itself."""
    world = Translation()
    train, test = world.sample(5000, 3), world.sample(2500, 4)

    def aligned(source: str, target: str, *, alone: bool) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Source and target words that belong together; the verb comes with its subject's number in its form."""
        words, said, at, found = source.split(), target.split(), 0, []
        for piece in world.pieces(source):
            here = said[at : at + len(piece.source)]
            at += len(here)
            if alone:
                found += [((words[s],), (w,)) for s, w in zip(piece.source, here, strict=True)]
            else:
                found.append((tuple(words[s] for s in piece.source), tuple(here)))
        return found

    lengths = np.array([len(y.split()) for y in test.y], float)
    limit = world.limit("log_loss").value
    above = {}
    for alone in (False, True):
        counts: defaultdict[tuple[str, ...], Counter[tuple[str, ...]]] = defaultdict(Counter)
        for x, y in zip(train.x, train.y, strict=True):
            for source, said in aligned(x, y, alone=alone):
                counts[source][said] += 1
        losses = np.array(
            [
                sum(-math.log((counts[s][w] + 0.5) / (counts[s].total() + 1)) for s, w in aligned(x, y, alone=alone))
                for x, y in zip(test.x, test.y, strict=True)
            ]
        )
        rate = losses.sum() / lengths.sum()
        error = float(np.std(losses - rate * lengths, ddof=1) / lengths.mean() / math.sqrt(len(losses)))
        free = len(counts) / (2 * sum(len(y.split()) for y in train.y))
        above[alone] = (rate - limit, error, free)
    gap, error, free = above[False]
    assert gap > -3 * error
    assert gap - 3 * free < 3 * error, "half a nat for every learned probability, spread over the training words"
    gap, error, _ = above[True]
    assert gap > 10 * error


def test_reading_undoes_writing() -> None:
    drawn = Translation(clause=0.5, adjective=0.5).sample(300)
    for text, meaning in zip(drawn.x, drawn.hidden["meaning"], strict=True):
        assert read(text) == meaning
    assert max(text.split().count("that") for text in drawn.x) >= 3
    for piece in pieces(meaning, (0.7, 0.3)):
        assert len({len(way) for way in piece.ways} | {len(piece.source)}) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "word 1 is the end"),
        ("dog sees the cat .", 'word 1 is "dog"; "the" is needed'),
        ("the dog see the cat .", 'word 3 is "see"; a verb in the singular'),
        ("the dogs sees the cat .", "a verb in the plural"),
        ("the dogs that sees the cat hear the bird .", "a verb in the plural"),
        ("the old small dog sees the cat .", 'word 3 is "small"; a noun'),
        ("the dog sees the cat", '"." is needed'),
        ("the dog sees the cat . the", "the end is needed"),
    ],
)
def test_what_is_no_source_sentence(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        Translation().log_probability(text, "")
    assert caught.value.code == "E202"
    assert says in caught.value.message
    assert Translation().best(caught.value.fix.removeprefix("For example: "))


def test_sample() -> None:
    world = Translation()
    one, again, other = world.sample(50, 5), world.sample(50, 5), world.sample(50, 6)
    assert (one.x, one.y) == (again.x, again.y)
    assert one.x != other.x
    assert len(one.x) == len(one.y) == 50


@pytest.mark.parametrize(
    "options", ["synonyms=0", "synonyms=4", "preferred=1.2", "preferred=-0.1", "adjective=2.0", "clause=0.6", "clause=1.0", "clause=-0.1"]
)
def test_impossible_parameters(options: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_world(f"translation({options})")
    assert caught.value.code == "E202"
    assert options.split("=")[0] in caught.value.message
    make_world(caught.value.fix.split('"')[1]).sample(10)


def test_no_recipe_takes_it_yet() -> None:
    with pytest.raises(UsageError) as caught:
        load_data("world:translation")
    assert caught.value.code == "E116"


def test_picture() -> None:
    world = Translation()
    picture = world.picture()
    drawn = world.sample(50)
    assert any(f"“{x}” becomes “{y}”" in picture.alt for x, y in zip(drawn.x, drawn.y, strict=True))
    assert picture == world.picture()
