"""The grammar: inside against all derivations, the entropy three ways, models of the structure against the limit."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from rungbook.data.load import load_data
from rungbook.data.worlds.grammar import Arithmetic
from rungbook.data.worlds.grammar_inside import Endless, Grammar, Rules
from rungbook.data.worlds.registry import make_world
from rungbook.errors import UsageError

AMBIGUOUS: Rules = {
    "S": [(0.25, ("S", "S")), (0.35, ("a",)), (0.2, ("(", "S", ")")), (0.2, ("T",))],
    "T": [(0.3, ("S",)), (0.5, ("b",)), (0.2, ("a", "T", "b", "a"))],
}
"""`aaa` has two trees, one-symbol rules lead from S to T and back, and some expansions have three or four symbols."""


def over_all_derivations(rules: Rules, start: str, longest: int) -> dict[str, float]:
    """Probability of every sentence up to a length, by expanding the leftmost symbol in all ways; round trips below 1e-13 are dropped."""
    found: defaultdict[str, float] = defaultdict(float)
    open_forms: dict[tuple[str, ...], float] = {(start,): 1.0}
    while open_forms:
        after: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for form, p in open_forms.items():
            at = next((i for i, s in enumerate(form) if s in rules), None)
            if at is None:
                found["".join(form)] += p
                continue
            for q, right in rules[form[at]]:
                if len(form) - 1 + len(right) <= longest and p * q > 1e-13:
                    after[(*form[:at], *right, *form[at + 1 :])] += p * q
        open_forms = after
    return found


def test_inside_against_all_derivations() -> None:
    grammar = Grammar(AMBIGUOUS)
    expected = over_all_derivations(AMBIGUOUS, "S", 6)
    assert expected["aaa"] > 0
    texts = ["".join(t) for length in range(1, 7) for t in itertools.product("ab()", repeat=length)]
    found = np.exp(grammar.log_probability(texts))
    np.testing.assert_allclose(found, [expected[t] for t in texts], atol=1e-10, rtol=1e-7)
    assert (found > 0).sum() == sum(p > 0 for p in expected.values()) > 100
    assert grammar.characters() == "()ab"
    assert grammar.log_probability(["", "x", "a", "a"]).tolist()[:2] == [-math.inf, -math.inf]
    by_length = grammar.length_probabilities(6)
    for length in range(7):
        assert by_length[length] == pytest.approx(found[[len(t) == length for t in texts]].sum(), abs=1e-9)


def test_ambiguity_makes_derivations_more_random_than_sentences() -> None:
    """The entropy of derivations is no limit where a sentence has several: the inside algorithm shows it."""
    grammar = Grammar(AMBIGUOUS)
    lines = grammar.sample(12_000, np.random.default_rng(0))
    losses = -grammar.log_probability(lines)
    assert losses.mean() + 3 * losses.std() / math.sqrt(len(losses)) < grammar.entropy()


def test_mean_length_and_growth() -> None:
    grammar = Grammar(AMBIGUOUS)
    lengths = np.array([len(s) for s in grammar.sample(60_000, np.random.default_rng(1))])
    assert abs(lengths.mean() - grammar.mean_length()) < 3 * lengths.std() / math.sqrt(len(lengths))
    doubling = {"S": [(0.49, ("S", "S")), (0.51, ("a",))]}
    assert Grammar(doubling).growth() == pytest.approx(0.98)
    assert Grammar(doubling).mean_length() == pytest.approx(0.51 / (1 - 0.98))
    with pytest.raises(Endless, match="below 1"):
        Grammar({"S": [(0.5, ("S", "S")), (0.5, ("a",))]})


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"T": [(1.0, ("a",))]}, "start symbol"),
        ({"S": [(0.5, ("a",))]}, "sum to 1"),
        ({"S": [(1.5, ("a",)), (-0.5, ("b",))]}, "sum to 1"),
        ({"S": [(1.0, ())]}, "empty expansion"),
    ],
)
def test_tables_that_are_no_grammar(rules: Rules, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Grammar(rules)


WORLDS = [Arithmetic(), Arithmetic(more=0.3, nest=0.2, names=1, brackets=1), Arithmetic(more=0.1, nest=0.6, names=3, brackets=3)]


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_the_limit_three_ways(world: Arithmetic) -> None:
    """The linear system, the inside algorithm, and by hand: half of all characters begin a factor, the others follow one."""
    limit = world.limit("log_loss").value
    begin = [world.nest / world.brackets] * world.brackets + [(1 - world.nest) * p for p in world.name_probabilities]
    follow = [world.more, (1 - world.more) * world.more, (1 - world.more) ** 2]
    assert sum(begin) == pytest.approx(1)
    by_hand = -sum(p * math.log(p) for p in (*begin, *follow)) / 2
    assert limit == pytest.approx(by_hand, rel=1e-12)
    measured = world.measured(6000, seed=1)
    assert 0 < measured.error < 0.01
    assert abs(measured.value - limit) < 3 * measured.error
    assert abs(measured.value - limit - 0.05) > 3 * measured.error, "a wrong limit would have been seen"
    assert world.limit("perplexity").value == pytest.approx(math.exp(limit))
    assert world.limit("accuracy").value == pytest.approx((max(begin) + max(follow)) / 2)
    assert world.grammar.mean_length() == pytest.approx(2 / ((1 - world.more) ** 2 - world.nest))


def test_lengths_of_lines() -> None:
    world = Arithmetic()
    lines = world.grammar.sample(50_000, np.random.default_rng(3))
    counts = np.bincount([len(line) for line in lines], minlength=21)[2:21:2]
    p = world.grammar.length_probabilities(20)
    assert p[1::2].sum() == 0
    expected = p[2:21:2] * len(lines)
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert chi2 < 29.6, "0.999 quantile of chi-square with 10 degrees of freedom"
    assert Arithmetic(more=0.1, nest=0.1).grammar.length_probabilities(80).sum() == pytest.approx(1, abs=1e-9)


def test_what_is_a_line() -> None:
    world = Arithmetic()
    for line in ("a\n", "a*(b+[a*c])+a\n", "((((d))))\n"):
        assert -40 < world.log_probability(line) < 0
    for line in ("a", "a+\n", "(a]\n", "()\n", "a\na\n", "e\n", ""):
        assert world.log_probability(line) == -math.inf
    assert world.log_probability("a\n") == pytest.approx(math.log(0.8 * 0.8 * 0.55 * world.name_probabilities[0]))


def stacks(text: str) -> list[tuple[bool, str]]:
    """Before each character: whether a factor is to begin, and the innermost open bracket."""
    begins, open_, found = True, [""], []
    for c in text:
        found.append((begins, open_[-1]))
        if c in "([{":
            open_.append(c)
        elif c in ")]}":
            open_.pop()
        begins = c in "([{+*\n"
    return found


def losses_by_line(keys_train: list, train: str, keys_test: list, test: str, classes: str) -> tuple[np.ndarray, np.ndarray, float]:
    """A count model: losses and characters of each line of `test`, and its share of hits."""
    counts: defaultdict[object, Counter[str]] = defaultdict(Counter)
    for key, c in zip(keys_train, train, strict=True):
        counts[key][c] += 1
    best = {key: count.most_common(1)[0][0] for key, count in counts.items()}
    size = {key: count.total() for key, count in counts.items()}
    tiny = 0.05  # so little that a character never seen in its place costs, and the others hardly do
    loss = [
        -math.log((counts[k][c] + tiny) / (size[k] + tiny * len(classes))) if k in size else math.log(len(classes))
        for k, c in zip(keys_test, test, strict=True)
    ]
    ends = np.flatnonzero(np.frombuffer(test.encode(), np.uint8) == ord("\n"))
    by_line = np.add.reduceat(loss, np.append(0, ends[:-1] + 1))
    hits = float(np.mean([best.get(k) == c for k, c in zip(keys_test, test, strict=True)]))
    return by_line, np.diff(np.append(-1, ends)), hits


def ratio(losses: np.ndarray, lengths: np.ndarray) -> tuple[float, float]:
    rate = losses.sum() / lengths.sum()
    return rate, float(np.std(losses - rate * lengths, ddof=1) / lengths.mean() / math.sqrt(len(losses)))


def test_the_structure_reaches_the_limit_and_a_trigram_does_not() -> None:
    world = Arithmetic()
    train, test = ("".join(world.grammar.sample(100_000, np.random.default_rng(seed))) for seed in (1, 2))
    classes = world.grammar.characters()
    limit, accuracy = world.limit("log_loss").value, world.limit("accuracy").value
    by_line, lengths, hits = losses_by_line(stacks(train), train, stacks(test), test, classes)
    loss, error = ratio(by_line, lengths)
    assert abs(loss - limit) < 3 * error
    assert error < 0.003
    for wrong in (limit + 0.02, limit - 0.02):
        assert abs(loss - wrong) > 3 * error
    assert abs(hits - accuracy) < 3 * math.sqrt(0.25 / len(test))
    for order in (1, 2, 4):
        before = ["\n" * order + text for text in (train, test)]
        keys = [[text[i : i + order] for i in range(len(text) - order)] for text in before]
        by_line, lengths, hits = losses_by_line(keys[0], train, keys[1], test, classes)
        loss, error = ratio(by_line, lengths)
        assert loss - limit > 10 * error, "a few characters do not say which bracket is open"
        assert hits < accuracy - 3 * math.sqrt(0.25 / len(test))


def test_sample() -> None:
    world = Arithmetic()
    one, again, other = world.sample(3000, 5), world.sample(3000, 5), world.sample(3000, 6)
    assert one.x == again.x != other.x
    assert len(one.x) == len(one.hidden["depth"]) == 3000
    assert (one.hidden["depth"] >= 0).all()
    assert (one.hidden["depth"][[c == "\n" for c in one.x]] == 0).all()
    assert np.isfinite(world.grammar.log_probability([line + "\n" for line in one.x.split("\n")[:-1]])).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("nest=0.65", "0.63 at most"),
        ("nest=0.64", "no finite mean"),
        ("nest=0.635", "a mean of 400 characters"),
        ("more=0.5", "0.24 at most"),
        ("more=0.8, nest=0.1", "0.03 at most"),
        ("more=0.9", "more is 0.9"),
        ("more=-0.1", "more is -0.1"),
        ("nest=-0.1", "nest is -0.1"),
        ("names=0", "names is 0"),
        ("names=27", "names is 27"),
        ("brackets=4", "brackets is 4"),
        ("brackets=0", "brackets is 0"),
    ],
)
def test_impossible_parameters(options: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_world(f"grammar({options})")
    assert caught.value.code == "E202"
    assert says in caught.value.message
    make_world(caught.value.fix.split('"')[1]).sample(1000)


def test_the_largest_possible_is_possible() -> None:
    for options in ("nest=0.63", "more=0.3, nest=0.48", "more=0.333, nest=0.4348", "more=0.8, nest=0.03"):
        assert len(make_world(f"grammar({options})").sample(1000).x) == 1000
    assert make_world("grammar(more=0.0, nest=0.0, names=1)").limit("log_loss").value == 0


def test_picture() -> None:
    world = Arithmetic(n=5000)
    picture = world.picture()
    assert "501 lines" in picture.alt
    assert "mean 9.984 characters, 10.53 by theory" in picture.alt
    assert picture == world.picture()


def test_as_data() -> None:
    data = load_data("world:grammar(n=3000)")
    assert data.classes == tuple("\n()*+[]abcd")
    assert data.facts["limit"] == {metric: limit.value for metric, limit in Arithmetic().limits().items()}
