"""Any nesting of data through JSON and safetensors comes back as it was; what is not data is named."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import equal

from rungbook.learner.pack import clone, digest, finite, nbytes, pack, unpack


def there_and_back(tree: Any) -> Any:
    plain, tensors = pack(tree)
    return unpack(json.loads(json.dumps(plain, allow_nan=False)), safetensors.torch.load(safetensors.torch.save(tensors)))


def same(one: Any, two: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(two, torch.Tensor) and one.shape == two.shape and one.dtype == two.dtype and equal([one], [two])
    if isinstance(one, dict):
        return isinstance(two, dict) and list(one) == list(two) and all(same(one[k], two[k]) for k in one)
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(two, float) and math.isnan(two)
    return type(one) is type(two) and one == two


dtypes = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
tensors = st.builds(lambda d, shape: torch.arange(math.prod(shape)).reshape(shape).to(d), dtypes, st.lists(st.integers(0, 3), max_size=3))
leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5) | tensors
keys = st.text(max_size=4) | st.sampled_from(["$tensor", "$tuple", "a.b", "a", "b"]) | st.integers(0, 3)
trees = st.recursive(leaves, lambda t: st.lists(t, max_size=3) | st.tuples(t, t) | st.dictionaries(keys, t, max_size=4), max_leaves=12)


@settings(deadline=None, max_examples=150)
@given(trees)
def test_comes_back_as_it_was(tree: Any) -> None:
    back = there_and_back(tree)
    assert same(tree, back)
    assert digest(back) == digest(tree)
    assert same(clone(tree), tree)


def test_two_places_of_one_name() -> None:
    t = torch.arange(4.0)
    for tree in ({"a": {"b": t}, "a.b": t + 1}, {1: t, "1": t + 1}, {"a": [t, t + 1], "a.1": t + 2}, {"": t, "x": {"": t + 3}}):
        assert same(there_and_back(tree), tree)


def test_tensors_that_share_memory() -> None:
    t = torch.arange(6.0)
    for tree in (
        {"a": t, "b": t[:2]},
        {"a": t, "b": t.view(2, 3)},
        {"a": t[:4], "b": t[2:]},
        {"a": t.view(2, 3).t(), "b": t},
        {"a": t[:1].expand(3)},
    ):
        assert same(there_and_back(tree), tree)
    plain, stored = pack({"a": t, "b": t})
    assert list(stored) == ["a"], "tied weights are stored once"
    assert nbytes({"a": t, "b": t, "c": [t + 1]}) == 48
    assert unpack(plain, stored)["a"] is unpack(plain, stored)["b"]


def test_what_is_no_data_is_named() -> None:
    for tree, place in (
        ({"a": [1, {2, 3}]}, "a.1 is a set"),
        (lambda: 0, "the state is a function"),
        ({"x": {"y": b""}}, "x.y is a bytes"),
    ):
        with pytest.raises(TypeError, match=place):
            pack(tree)


def test_finite() -> None:
    assert finite({"a": torch.ones(3), "n": torch.tensor(3), "f": math.inf})
    assert not finite([{"a": torch.tensor([1.0, math.nan])}])


def test_digests_differ_where_trees_do() -> None:
    t = torch.zeros(2)
    trees = [t, t.double(), t.reshape(1, 2), -t, [t], (t,), {"a": t}, {"b": t}, [[], t], [t, t], 0, 0.0, False, None, "0", "", [], {}, ()]
    assert len({digest(tree) for tree in trees}) == len(trees)
    shared = [t, t]
    assert digest(shared) == digest([t, t.clone()]), "being one in memory is no difference"
