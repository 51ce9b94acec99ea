"""The hidden Markov text: forward against all paths, the entropy rate against exact bounds, learned models against the limit."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from rungbook.data.load import load_data
from rungbook.data.worlds.markov import HiddenMarkov
from rungbook.data.worlds.markov_filter import Tables, draw, log_probability, prediction_rates, predictive, stationary
from rungbook.data.worlds.registry import make_world
from rungbook.errors import UsageError


def random_tables(states: int, symbols: int, seed: int) -> Tables:
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(states), states)
    return Tables(stationary(transition), transition, rng.dirichlet(np.ones(symbols), states))


def over_all_paths(tables: Tables, text: tuple[int, ...]) -> float:
    """p(text) as the sum over every path of states."""
    total = 0.0
    for path in itertools.product(range(len(tables.start)), repeat=len(text)):
        p = tables.start[path[0]]
        for t, (state, symbol) in enumerate(zip(path, text, strict=True)):
            p *= tables.emission[state, symbol] * (tables.transition[path[t - 1], state] if t else 1)
        total += p
    return total


def all_texts(symbols: int, length: int) -> np.ndarray:
    return np.array(list(itertools.product(range(symbols), repeat=length)))


def block_entropy(tables: Tables, length: int, start: np.ndarray | None = None) -> float:
    """Entropy (nats) of the first `length` symbols by enumeration."""
    if length == 0:
        return 0.0
    begin = Tables(tables.start if start is None else start, tables.transition, tables.emission)
    p = np.exp(log_probability(begin, all_texts(tables.emission.shape[1], length)))
    assert math.isclose(p.sum(), 1, abs_tol=1e-9)
    return float(-(p * np.log(p)).sum())


def entropy_rate_bounds(tables: Tables, length: int) -> tuple[float, float]:
    """H(X_n | X_1..X_n-1, S_1) <= rate <= H(X_n | X_1..X_n-1) (Cover and Thomas 2006, theorem 4.5.1)."""
    upper = block_entropy(tables, length) - block_entropy(tables, length - 1)
    told = [block_entropy(tables, length, s) - block_entropy(tables, length - 1, s) for s in np.eye(len(tables.start))]
    return float(np.dot(tables.start, told)), upper


def test_forward_against_all_paths() -> None:
    tables = random_tables(3, 3, 1)
    texts = all_texts(3, 4)
    expected = [over_all_paths(tables, tuple(t)) for t in texts]
    np.testing.assert_allclose(np.exp(log_probability(tables, texts)), expected, rtol=1e-12)
    np.testing.assert_allclose(sum(expected), 1, rtol=1e-12)
    last = predictive(tables, texts)[:, 3]
    for text, said in zip(texts, last, strict=True):
        whole = [over_all_paths(tables, (*text[:3], k)) for k in range(3)]
        np.testing.assert_allclose(said, np.divide(whole, sum(whole)), rtol=1e-12)


def test_impossible_text_has_no_probability() -> None:
    tables = Tables(np.array([1.0, 0.0]), np.eye(2), np.eye(2))
    assert log_probability(tables, np.array([[0, 0, 0], [0, 1, 0], [1, 1, 1]])).tolist() == [0.0, -math.inf, -math.inf]


def test_long_texts_neither_underflow_nor_drift() -> None:
    world = HiddenMarkov()
    text = world.sample(5000).x
    total = world.log_probability(text)
    assert math.exp(total) == 0.0, "unscaled, the forward algorithm would have returned log 0"
    steps = world.predictive(text)
    np.testing.assert_allclose(steps.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(np.log(steps[np.arange(len(text)), world.encode(text)]).sum(), total, rtol=1e-12)


@pytest.mark.parametrize("bad", ["start", "transition", "emission", "shape"])
def test_tables_that_are_none(bad: str) -> None:
    parts = {"start": np.array([0.5, 0.5]), "transition": np.full((2, 2), 0.5), "emission": np.full((2, 3), 1 / 3)}
    parts |= {"emission": np.full((3, 3), 1 / 3)} if bad == "shape" else {bad: parts[bad] * 0.9}
    with pytest.raises(ValueError, match="emission" if bad == "shape" else bad):
        Tables(**parts)


@pytest.mark.parametrize(("world", "length"), [(HiddenMarkov(states=3, symbols=3), 9), (HiddenMarkov(states=3, symbols=4, stay=0.5), 7)])
def test_entropy_rate_lies_between_exact_bounds(world: HiddenMarkov, length: int) -> None:
    low, high = entropy_rate_bounds(world.tables, length)
    limit = world.limit("log_loss")
    assert high - low < 0.012, "the bounds say little"
    assert low - 3 * limit.error < limit.value < high + 3 * limit.error
    for wrong in (world.within(1)["log_loss"].value, low - 0.005):
        assert not low - 3 * limit.error < wrong < high + 3 * limit.error


def test_default_limit_lies_between_exact_bounds() -> None:
    low, high = entropy_rate_bounds(HiddenMarkov().tables, 5)
    limit = HiddenMarkov().limit("log_loss")
    assert low - 3 * limit.error < limit.value < high + 3 * limit.error
    assert limit.error < 1e-3


def test_closed_forms() -> None:
    """One state: independent characters. Nothing peaked: all alike. States that show: a Markov chain."""
    for world in (HiddenMarkov(states=1), HiddenMarkov(peaked=0.0)):
        p = world.tables.emission[0]
        limits = world.limits()
        assert limits["log_loss"].value == pytest.approx(-(p * np.log(p)).sum(), abs=1e-12)
        assert limits["accuracy"].value == pytest.approx(p.max(), abs=1e-12)
        assert limits["perplexity"].value == pytest.approx(math.exp(limits["log_loss"].value))
        assert limits["log_loss"].error == 0
    hidden = random_tables(4, 4, 2)
    shown = Tables(hidden.start, hidden.transition, np.eye(4))
    rates = prediction_rates(shown, skip=5, length=100, texts=500, rng=np.random.default_rng(0))
    rows = -(hidden.transition * np.log(hidden.transition)).sum(1)
    assert abs(rates.log_loss[0] - hidden.start @ rows) < 3 * rates.log_loss[1]
    assert abs(rates.accuracy[0] - hidden.start @ hidden.transition.max(1)) < 3 * rates.accuracy[1]
    assert abs(rates.log_loss[0] + hidden.start @ np.log(hidden.start)) > 3 * rates.log_loss[1]  # the entropy of the shares alone


@pytest.mark.parametrize("context", [0, 1, 3])
def test_limits_with_a_context_against_enumeration(context: int) -> None:
    world = HiddenMarkov(symbols=5)
    found = world.within(context)
    exact = block_entropy(world.tables, context + 1) - block_entropy(world.tables, context)
    assert abs(found["log_loss"].value - exact) <= 3 * found["log_loss"].error + 1e-9
    p = np.exp(log_probability(world.tables, all_texts(5, context + 1)))
    hits = p.reshape(-1, 5).max(1).sum()
    assert abs(found["accuracy"].value - hits) <= 3 * found["accuracy"].error + 1e-9
    assert found["log_loss"].value > world.limit("log_loss").value + 3 * world.limit("log_loss").error


def test_sixteen_characters_are_nearly_everything() -> None:
    world = HiddenMarkov()
    short, all_ = world.within(16)["log_loss"], world.limit("log_loss")
    assert abs(short.value - all_.value) < 3 * math.hypot(short.error, all_.error) + 1e-4


def fit(texts: np.ndarray, states: int, symbols: int, seed: int, rounds: int) -> Tables:
    """Baum and Welch's re-estimation (Rabiner 1989, eq. 40) from random tables whose states last: from others it often stops short."""
    B, T = texts.shape
    tables = random_tables(states, symbols, seed)
    transition = 0.8 * np.eye(states) + 0.2 * tables.transition
    tables = Tables(stationary(transition), transition, 0.5 / symbols + 0.5 * tables.emission)
    shown = np.eye(symbols)[texts]  # (B, T, K)
    for _ in range(rounds):
        seen = tables.emission.T[texts]  # (B, T, S)
        alpha, beta, scale = np.empty((B, T, states)), np.ones((B, T, states)), np.empty((B, T, 1))
        state = np.broadcast_to(tables.start, (B, states))
        for t in range(T):
            joint = state * seen[:, t]
            scale[:, t] = joint.sum(1, keepdims=True)
            alpha[:, t] = joint / scale[:, t]
            state = alpha[:, t] @ tables.transition
        for t in range(T - 2, -1, -1):
            beta[:, t] = (beta[:, t + 1] * seen[:, t + 1]) @ tables.transition.T / scale[:, t + 1]
        here = alpha * beta
        moves = np.einsum("bti,btj->ij", alpha[:, :-1], beta[:, 1:] * seen[:, 1:] / scale[:, 1:]) * tables.transition
        emitted = np.einsum("bts,btk->sk", here, shown)
        tables = Tables(
            here[:, 0].mean(0) / here[:, 0].mean(0).sum(),
            moves / moves.sum(1, keepdims=True),
            emitted / emitted.sum(1, keepdims=True),
        )
    return tables


def n_gram(train: np.ndarray, test: np.ndarray, order: int, symbols: int) -> np.ndarray:
    """Losses (B, T - order) of the character after `order` others, by counts with half a character added (Krichevsky and Trofimov)."""

    def cells(texts: np.ndarray) -> np.ndarray:
        n = texts.shape[1] - order
        return sum(texts[:, i : i + n] * symbols ** (order - i) for i in range(order + 1))

    counts = np.bincount(cells(train).ravel(), minlength=symbols ** (order + 1)).reshape(-1, symbols) + 0.5
    return -np.log((counts / counts.sum(1, keepdims=True)).ravel()[cells(test)])


def mean_and_error(losses: np.ndarray) -> tuple[float, float]:
    means = losses.mean(1)
    return float(means.mean()), float(means.std(ddof=1) / math.sqrt(len(means)))


def test_learned_models_reach_the_limit_and_none_beats_it() -> None:
    world = HiddenMarkov()
    K = world.symbols
    # all states have the stationary distribution from the start, so texts cut anywhere are alike
    train = draw(world.tables, 200, 400, np.random.default_rng(1))[1]
    test = draw(world.tables, 400, 400, np.random.default_rng(2))[1]
    learned = fit(train[:, :200], world.states, K, seed=3, rounds=40)
    limit = world.limit("log_loss")

    def beyond(loss: float, error: float, value: float, slack: float = 0.0) -> float:
        """How many standard errors a loss lies above a limit, after `slack`."""
        return (loss - slack - value) / math.hypot(error, limit.error)

    said = predictive(learned, test)
    warm = slice(50, None)  # the limit is that of a predictor with all the past
    losses = -np.log(np.take_along_axis(said, test[..., None], 2)[..., 0])[:, warm]
    loss, error = mean_and_error(losses)
    free = world.states * (world.states - 1) + world.states * (K - 1)
    assert beyond(loss, error, limit.value) > -3
    assert beyond(loss, error, limit.value, slack=3 * free / (2 * 200 * 200)) < 3, "learning costs half a nat a parameter, over the text"
    known = -np.log(np.take_along_axis(predictive(world.tables, test), test[..., None], 2)[..., 0])[:, warm]
    gap, gap_error = mean_and_error(losses - known)
    assert -3 * gap_error < gap < 0.004
    for wrong in (limit.value + 0.03, limit.value - 0.03):
        assert abs(beyond(loss, error, wrong)) > 3, "this sample could not tell a wrong limit"
    hits = (said.argmax(2) == test)[:, warm]
    share, share_error = mean_and_error(hits)
    assert abs(share - world.limit("accuracy").value) < 3 * share_error + 0.003
    for order in (1, 2):
        loss, error = mean_and_error(n_gram(train, test, order, K))
        assert beyond(loss, error, limit.value) > 3, "a bounded memory cannot reach the entropy rate"
        assert abs(beyond(loss, error, world.within(order)["log_loss"].value, slack=K**order * (K - 1) / (2 * train.size))) < 3


def test_same_seed_same_text() -> None:
    world = HiddenMarkov()
    one, again, other = world.sample(2000, 5), world.sample(2000, 5), world.sample(2000, 6)
    assert one.x == again.x
    assert (one.hidden["states"] == again.hidden["states"]).all()
    assert one.x != other.x
    assert len(one.x) == 2000
    assert set(one.x) <= set(world.alphabet)


@pytest.mark.parametrize("texts", [1, 100])
def test_samples_follow_the_tables(texts: int) -> None:
    """One text is drawn another way than many: both count transitions and emissions as the tables say."""
    tables = HiddenMarkov(stay=0.6).tables
    states, symbols = draw(tables, texts, 40_000 // texts, np.random.default_rng(4))
    for table, now, then in ((tables.transition, states[:, :-1], states[:, 1:]), (tables.emission, states, symbols)):
        counts = np.zeros(table.shape)
        np.add.at(counts, (now, then), 1)
        total = counts.sum(1, keepdims=True)
        assert (np.abs(counts / total - table) < 4.5 * np.sqrt(table * (1 - table) / total) + 1e-9).all()


@pytest.mark.parametrize(
    "options", ["states=0", "states=65", "symbols=1", "symbols=27", "stay=-0.1", "stay=0.999", "peaked=1.1", "peaked=-0.5", "n=5"]
)
def test_impossible_parameters(options: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_world(f"hidden_markov({options})")
    assert caught.value.code == "E202"
    assert options.split("=")[0] in caught.value.message
    make_world(caught.value.fix.split('"')[1])


def test_a_context_below_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="context is -1"):
        HiddenMarkov().within(-1)


def test_a_text_of_other_characters_is_refused() -> None:
    with pytest.raises(UsageError, match='no character "!"'):
        HiddenMarkov().log_probability("abc!")


@pytest.mark.parametrize("states", [4, 12])
def test_picture(states: int) -> None:
    world = HiddenMarkov(states=states)
    picture = world.picture()
    assert world.sample(40).x in picture.alt
    assert f"{states} states" in picture.alt
    assert "a (0.48)" in picture.alt
    assert picture == world.picture()


def test_as_data() -> None:
    data = load_data("world:hidden_markov(n=3000)")
    assert data.classes == tuple("abcdefgh")
    assert data.facts["limit"]["log_loss"] == HiddenMarkov().limit("log_loss").value
    assert data.facts["limit_error"]["log_loss"] > 0
