"""Metrics equal scikit-learn's however the samples are cut into batches."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torch import Tensor

from rungbook.data.target import NumberTarget
from rungbook.errors import DataError, UsageError
from rungbook.learner.metrics import F1, IGNORED, METRICS, R2, Accuracy, Metric, OnScale, Perplexity, TopK, make_metric

CLASSIFY = {
    "accuracy": lambda z, y: sk.accuracy_score(y, z.argmax(1)),
    "balanced_accuracy": lambda z, y: sk.balanced_accuracy_score(y, z.argmax(1)),
    "f1": lambda z, y: sk.f1_score(y, z.argmax(1), average="macro", zero_division=0),
    "log_loss": lambda z, y: sk.log_loss(y, torch.tensor(z).softmax(1).numpy(), labels=range(z.shape[1])),
    "perplexity": lambda z, y: math.exp(sk.log_loss(y, torch.tensor(z).softmax(1).numpy(), labels=range(z.shape[1]))),
    "top_2": lambda z, y: sk.top_k_accuracy_score(y, z, k=2, labels=range(z.shape[1])),
    "confusion_matrix": lambda z, y: sk.confusion_matrix(y, z.argmax(1), labels=range(z.shape[1])),
}
REGRESS = {
    "mean_squared_error": sk.mean_squared_error,
    "root_mean_squared_error": sk.root_mean_squared_error,
    "mean_absolute_error": sk.mean_absolute_error,
    "r2": sk.r2_score,
    "root_mean_squared_log_error": lambda y, p: sk.root_mean_squared_log_error(y, p.clip(0)),
}


def batched(metric: Metric, output: Tensor, target: Tensor, cuts: list[int]) -> Metric:
    """`metric` after the samples in uneven batches, some of them empty."""
    edges = [0, *sorted(c % (len(target) + 1) for c in cuts), len(target)]
    for a, b in itertools.pairwise(edges):
        metric.update(output[a:b], target[a:b])
    return metric


def logits(seed: int, n: int, K: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 2, (n, K)), rng.integers(0, rng.integers(1, K + 1), n)  # some classes may never occur


@given(
    st.sampled_from(sorted(CLASSIFY)),
    st.integers(0, 2**32),
    st.integers(1, 60),
    st.integers(3, 7),
    st.lists(st.integers(0, 60), max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_classification_equals_sklearn(name: str, seed: int, n: int, K: int, cuts: list[int]) -> None:
    z, y = logits(seed, n, K)
    got = batched(make_metric(name), torch.tensor(z), torch.tensor(y), cuts).compute()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of classes that only occur among predictions
        want = CLASSIFY[name](z, y)
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-6, atol=1e-12)


@given(
    st.sampled_from(sorted(REGRESS)),
    st.integers(0, 2**32),
    st.integers(2, 60),
    st.sampled_from([(), (1,), (3,)]),
    st.lists(st.integers(0, 60), max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_regression_equals_sklearn(name: str, seed: int, n: int, shape: tuple[int, ...], cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    y = rng.gamma(2.0, 3.0, (n, *shape))
    p = y + rng.normal(0, 2, (n, *shape))
    got = batched(make_metric(name), torch.tensor(p), torch.tensor(y), cuts).compute()
    assert got == pytest.approx(REGRESS[name](y, p), rel=1e-9)


def test_r2_keeps_its_digits_far_from_zero() -> None:
    rng = np.random.default_rng(0)
    y = 1e9 + rng.normal(0, 1, 1000)
    p = y + rng.normal(0, 0.5, 1000)
    got = batched(R2(), torch.tensor(p), torch.tensor(y), [10, 333, 700]).compute()
    assert got == pytest.approx(sk.r2_score(y, p), rel=1e-6)
    naive = 1 - ((p - y) ** 2).sum() / ((y**2).sum() - y.sum() ** 2 / len(y))  # the control: the textbook one-pass formula
    assert naive != pytest.approx(sk.r2_score(y, p), rel=0.1)


def test_r2_of_constant_targets_follows_sklearn() -> None:
    y = torch.full((5,), 2.0)
    for p in (y, y + 1):
        assert batched(R2(), p, y, [2]).compute() == sk.r2_score(y.numpy(), p.numpy())


@pytest.mark.parametrize("name", sorted(METRICS))
def test_nothing_seen_is_nan_without_warning(name: str) -> None:
    metric = make_metric(name)
    for _ in range(2):
        value = metric.compute()
        assert value.numel() == 0 if isinstance(value, Tensor) else math.isnan(value)
        x, y = example(name, 4)
        metric.update(x, y)
        value = metric.compute()
        assert value.numel() == 9 if isinstance(value, Tensor) else not math.isnan(value)
        metric.reset()


def example(name: str, n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    if name in REGRESS:
        return torch.rand(n, 1, generator=generator), torch.rand(n, 1, generator=generator)
    return torch.randn(n, 3, generator=generator), torch.randint(0, 3, (n,), generator=generator)


@pytest.mark.parametrize("name", [*sorted(METRICS), "function"])
def test_a_saved_metric_goes_on_bit_for_bit(name: str) -> None:
    def make() -> Metric:
        return make_metric((lambda o, t: (o[:, 0] - t).abs().mean()) if name == "function" else name)

    whole, first, rest = make(), make(), make()
    batches = [example(name, n) for n in (5, 8, 3)]
    for b in batches:
        whole.update(*b)
    first.update(*batches[0])
    state = first.state_dict()
    assert all(isinstance(v, (Tensor, int)) for v in state.values())
    first.update(*batches[1])  # must not reach into what was saved
    rest.load_state_dict(state)
    for b in batches[1:]:
        rest.update(*b)
    assert np.array_equal(np.asarray(rest.compute()), np.asarray(whole.compute()))
    assert make().state_dict() == {}


@pytest.mark.parametrize("name", sorted(METRICS))
def test_exact_metrics_take_batches_together(name: str) -> None:
    metric, together = make_metric(name), make_metric(name)
    if not metric.exact:
        return
    batches = [example(name, n) for n in (5, 8, 3)]
    for b in batches:
        metric.update(*b)
    together.update(torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]))
    assert all(not v.is_floating_point() for v in metric.state_dict().values() if isinstance(v, Tensor))
    assert {k: v.tolist() if isinstance(v, Tensor) else v for k, v in metric.state_dict().items()} == {
        k: v.tolist() if isinstance(v, Tensor) else v for k, v in together.state_dict().items()
    }


@pytest.mark.parametrize("name", ["accuracy", "top_2", "log_loss", "balanced_accuracy", "f1", "confusion_matrix"])
def test_ignored_targets_count_for_nothing(name: str) -> None:
    z = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(0))  # (B, K, T)
    y = torch.randint(0, 4, (6, 5), generator=torch.Generator().manual_seed(1))
    hole = torch.rand(6, 5, generator=torch.Generator().manual_seed(2)) < 0.4
    dense, flat = make_metric(name), make_metric(name)
    dense.update(z, y.masked_fill(hole, IGNORED))
    flat.update(z.transpose(1, 2)[~hole], y[~hole])
    np.testing.assert_allclose(np.asarray(dense.compute()), np.asarray(flat.compute()), rtol=1e-6)
    only = make_metric(name)
    only.update(z, torch.full_like(y, IGNORED))
    value = only.compute()
    assert value.sum() == 0 if isinstance(value, Tensor) else math.isnan(value)


def test_on_scale_judges_in_the_users_units() -> None:
    prices = np.random.default_rng(0).lognormal(10, 1, 50)
    target = NumberTarget.fit(prices, log=True)
    y = target.encode(prices)
    output = y + 0.1 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    decoded = target.decode(output).numpy()
    for name in REGRESS:
        metric = OnScale(make_metric(name), target.decode)
        got = batched(metric, output, y, [7, 30]).compute()
        assert metric.name == name
        assert got == pytest.approx(REGRESS[name](prices, decoded), rel=1e-4)
    assert got != pytest.approx(REGRESS[name](y.numpy().ravel().clip(0), output.numpy().ravel()), rel=1e-2)


def test_a_function_is_averaged_by_batch_size() -> None:
    def mean_output(output: Tensor, target: Tensor) -> Tensor:
        return output.mean()

    metric = make_metric(mean_output)
    x = torch.arange(10.0)
    batched(metric, x, x, [1, 4])
    assert metric.name == "mean_output"
    assert metric.compute() == pytest.approx(4.5)
    assert metric.compute() != pytest.approx((0 + 2 + 6.5) / 3)  # the naive mean of batch means


def test_gradients_are_not_kept() -> None:
    for name in METRICS:
        x, y = example(name, 4)
        metric = make_metric(name)
        metric.update(x.requires_grad_(), y)
        assert not any(v.requires_grad for v in metric.state_dict().values() if isinstance(v, Tensor))


def test_values_met_under_inference_mode_can_be_added_to_later() -> None:
    metric = Accuracy()
    with torch.inference_mode():
        metric.update(*example("accuracy", 4))
    metric.update(*example("accuracy", 5))
    assert metric.sums["seen"] == 9


def test_names_and_mistakes() -> None:
    assert make_metric("top_3").name == "top_3"
    assert isinstance(make_metric(F1), F1)
    with pytest.raises(UsageError, match=r"E201.*Did you mean accuracy\?"):
        make_metric("acuracy")
    with pytest.raises(UsageError, match="E202"):
        make_metric(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="E202"):
        TopK(0)
    with pytest.raises(DataError, match=r"E108.*\(4,\).*\(4, 1\)"):
        Accuracy().update(torch.zeros(4, 3), torch.zeros(4, 1, dtype=torch.int64))
    with pytest.raises(DataError, match="E103"):
        Accuracy().update(torch.zeros(4, 3), torch.zeros(4))
    with pytest.raises(DataError, match=r"E108.*unsqueeze"):
        make_metric("mean_squared_error").update(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(UsageError, match=r"E202.*one number"):
        make_metric(lambda o, t: o).update(torch.zeros(4), torch.zeros(4))


def test_perplexity_of_a_hopeless_model_is_infinite() -> None:
    metric = Perplexity()
    metric.update(torch.tensor([[0.0, 2000.0]]), torch.tensor([0]))
    assert metric.compute() == math.inf


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(METRICS))
def test_updates_do_not_wait_for_the_device(name: str) -> None:
    x, y = (t.cuda() for t in example(name, 32))
    metric = make_metric(name)
    torch.cuda.set_sync_debug_mode("error")
    try:
        metric.update(x, y)
        metric.update(x, y)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    host = make_metric(name)
    host.update(x.cpu(), y.cpu())
    host.update(x.cpu(), y.cpu())
    np.testing.assert_allclose(np.asarray(metric.compute()), np.asarray(host.compute()), rtol=1e-6)


class Slowly(Metric):
    """A metric of a user's own, with an accumulator of its own that it empties in place."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self.seen.clear()

    def update(self, output: Tensor, target: Tensor) -> None:
        self.add("rows", len(target))
        self.seen.append(len(target))


def test_a_fresh_one_has_seen_nothing_and_shares_nothing() -> None:
    seen = Slowly()
    seen.update(torch.zeros(3, 2), torch.zeros(3))
    new = seen.fresh()
    assert (new.sums, new.seen) == ({}, [])
    new.update(torch.zeros(2, 2), torch.zeros(2))
    assert (seen.sums, seen.seen, new.sums, new.seen) == ({"rows": 3}, [3], {"rows": 2}, [2])
    scaled = OnScale(seen, lambda x: x)
    assert scaled.fresh().state_dict() == {}
    assert scaled.state_dict() == {"rows": 3}
    assert scaled.fresh().decode is scaled.decode
