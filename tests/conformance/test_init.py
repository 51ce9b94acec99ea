"""Every function of our `nn.init` against torch's: the same numbers to the last bit, and the generator left in the same state."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.init
from agree import Case, Counts, compare_all, quiet
from torch import Tensor

from rungbook.scratch.nn import init

FLAT = ((3, 5), (5, 3), (4, 4), (17, 40), (1, 1), (0, 3))
DEEP = ((4, 3, 3), (6, 2, 3, 2), (4, 4, 1, 2, 3))
ANY = ((), (7,), *FLAT, *DEEP)
NONLINEARITIES = [*init.GAINS, "leaky_relu"]
HE: list[dict[str, Any]] = [{}, {"a": 0.2}, {"a": math.sqrt(5), "mode": "FAN_OUT"}, {"nonlinearity": "relu"}, {"nonlinearity": "tanh"}]

ARGUMENTS: dict[str, tuple[tuple[tuple[int, ...], ...], list[dict[str, Any]]]] = {
    "uniform_": (ANY, [{}, {"a": -2.0, "b": 3.0}]),
    "normal_": (ANY, [{}, {"mean": 1.5, "std": 0.02}]),
    "constant_": (ANY, [{"val": 0.3}, {"val": -2}]),
    "ones_": (ANY, [{}]),
    "zeros_": (ANY, [{}]),
    "eye_": (FLAT, [{}]),
    "dirac_": (((4, 3, 3), (6, 2, 3, 2), (4, 4, 1, 2, 3), (2, 5, 4)), [{}, {"groups": 2}]),
    "xavier_uniform_": (FLAT + DEEP, [{}, {"gain": 1.7}]),
    "xavier_normal_": (FLAT + DEEP, [{}, {"gain": 1.7}]),
    "orthogonal_": (FLAT + DEEP, [{}, {"gain": 1.7}]),
    "sparse_": (FLAT, [{"sparsity": 0.1}, {"sparsity": 0.5, "std": 2.0}, {"sparsity": 1.0}, {"sparsity": 0.0}]),
    "trunc_normal_": (
        ANY,
        [
            # normal numbers again
            {},
            {"mean": 0.3, "std": 0.02},
            {"std": 0.02, "a": -0.02, "b": 0.03},
            # even numbers
            {"std": 2.0, "a": -0.3, "b": 0.1},
            {"mean": 2.9, "a": -1.0, "b": 1.0},
            {"mean": -9.0, "a": -1.0, "b": 1.0},
        ],
    ),
    "kaiming_uniform_": (FLAT + DEEP, HE),
    "kaiming_normal_": (FLAT + DEEP, HE),
}
"""Function -> the shapes and the arguments it is compared on."""

TYPES = {"trunc_normal_": (torch.float32, torch.float64, torch.bfloat16), "uniform_": (torch.float32, torch.bfloat16)}
GENERATED = [name for name in ARGUMENTS if name not in ("constant_", "ones_", "zeros_", "eye_", "dirac_")]


def slanted(*shape: int, dtype: torch.dtype) -> Tensor:
    """A tensor that does not lie in memory row by row."""
    return torch.zeros(shape[::-1], dtype=dtype).permute(*reversed(range(len(shape))))


def cases(name: str) -> list[Case]:
    shapes, options = ARGUMENTS[name]
    made: list[Case] = []
    for shape, kwargs, seed, dtype in itertools.product(shapes, options, (0, 1), TYPES.get(name, (torch.float32, torch.float64))):
        made.append(Case(f"{shape} {kwargs} {seed} {dtype}", (torch.zeros(shape, dtype=dtype), seed), kwargs))
    # torch's orthogonal_ takes none of these
    if name != "orthogonal_":
        made += [Case(f"slanted {shape}", (slanted(*shape, dtype=torch.float32), 0), options[0]) for shape in shapes if len(shape) > 1]
    if name in GENERATED:
        made += [Case(f"own generator {shape}", (torch.zeros(shape), 0), options[-1] | {"generator": 5}) for shape in shapes]
    return made


def drawn(function: Callable[..., Tensor], tensor: Tensor, seed: int, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """What is written into a parameter, and the next number drawn."""
    parameter = torch.nn.Parameter(torch.empty_like(tensor))
    given = dict(options)
    generator = torch.manual_seed(seed)
    if "generator" in given:
        given["generator"] = generator = torch.Generator().manual_seed(given["generator"])
    result = function(parameter, **given)
    assert result is parameter or result.data_ptr() == parameter.data_ptr()
    assert parameter.requires_grad
    assert parameter.grad_fn is None
    return parameter.detach(), torch.rand(3, generator=generator)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_init(name: str, counts: dict[str, Counts]) -> None:
    def agree(case: Case) -> None:
        (a, next_a), (b, next_b) = (drawn(getattr(m, name), *case.args, case.kwargs) for m in (init, torch.nn.init))
        assert torch.equal(a, b), f"{a.flatten()[:4].tolist()}, torch has {b.flatten()[:4].tolist()}"
        assert torch.equal(next_a, next_b), "more or fewer numbers were drawn"

    compare_all(f"nn.init.{name}", cases(name), agree, counts)


def test_gain(counts: dict[str, Counts]) -> None:
    def agree(case: Case) -> None:
        assert init.calculate_gain(*case.args) == torch.nn.init.calculate_gain(*case.args)

    compare_all("nn.init.calculate_gain", [Case(f"{n} {p}", (n, p)) for n in NONLINEARITIES for p in (None, 0, 0.3, -1)], agree, counts)


def test_all_are_compared() -> None:
    assert {*ARGUMENTS, "calculate_gain"} == set(init.__all__)
    assert all(hasattr(torch.nn.init, name) for name in init.__all__)


REFUSED = {
    "a gain of nothing known": (ValueError, "calculate_gain", ("swish",), {}),
    "a slope that is a flag": (ValueError, "calculate_gain", ("leaky_relu", True), {}),
    "a slope that is a word": (ValueError, "calculate_gain", ("leaky_relu", "0.1"), {}),
    "eye of a vector": (ValueError, "eye_", (torch.zeros(3),), {}),
    "dirac of a matrix": (ValueError, "dirac_", (torch.zeros(3, 3),), {}),
    "dirac with odd groups": (ValueError, "dirac_", (torch.zeros(3, 3, 3),), {"groups": 2}),
    "glorot of a vector": (ValueError, "xavier_uniform_", (torch.zeros(3),), {}),
    "glorot of a number": (ValueError, "xavier_normal_", (torch.zeros(()),), {}),
    "glorot of nothing": (ZeroDivisionError, "xavier_normal_", (torch.zeros(0, 0),), {}),
    "he of a vector": (ValueError, "kaiming_uniform_", (torch.zeros(3),), {}),
    "he in another mode": (ValueError, "kaiming_normal_", (torch.zeros(3, 3),), {"mode": "fan_avg"}),
    "he before another function": (ValueError, "kaiming_normal_", (torch.zeros(3, 3),), {"nonlinearity": "swish"}),
    "orthogonal vector": (ValueError, "orthogonal_", (torch.zeros(3),), {}),
    "sparse image": (ValueError, "sparse_", (torch.zeros(3, 3, 3),), {"sparsity": 0.1}),
    "bounds the wrong way round": (RuntimeError, "uniform_", (torch.zeros(3), 1.0, 0.0), {}),
    "a negative deviation": (RuntimeError, "normal_", (torch.zeros(3), 0.0, -1.0), {}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refuses_what_torch_refuses(why: str) -> None:
    error, name, args, kwargs = REFUSED[why]
    for module in (torch.nn.init, init):
        with pytest.raises(error), quiet():
            getattr(module, name)(*args, **kwargs)


WARNED = {"kaiming_uniform_": torch.zeros(0, 3), "kaiming_normal_": torch.zeros(0, 3), "trunc_normal_": torch.zeros(3)}


@pytest.mark.parametrize("name", WARNED)
def test_warns_where_torch_warns(name: str) -> None:
    kwargs = {"mean": 9.0} if name == "trunc_normal_" else {}
    with pytest.warns(UserWarning, match="zero-element|2 std"):
        getattr(torch.nn.init, name)(WARNED[name], **kwargs)
    with pytest.warns(UserWarning, match="no entries|2 std") as told:
        getattr(init, name)(WARNED[name], **kwargs)
    assert told[0].filename == __file__, "the warning points at the line that calls"


def test_meta_tensors_stay() -> None:
    for name in ("trunc_normal_", "orthogonal_", "dirac_"):
        tensor = torch.empty(4, 4, 3, device="meta")
        assert getattr(init, name)(tensor) is tensor


def test_orthogonal_is_orthogonal() -> None:
    weight = init.orthogonal_(torch.empty(8, 3, 5, dtype=torch.float64), gain=2.0).flatten(1)
    assert torch.allclose(weight @ weight.mT, 4.0 * torch.eye(8, dtype=torch.float64))


def test_variances_are_the_papers() -> None:
    torch.manual_seed(0)
    weight = torch.empty(600, 400)
    for fill, variance in ((init.xavier_uniform_, 2 / 1000), (init.xavier_normal_, 2 / 1000)):
        assert float(fill(weight).var()) == pytest.approx(variance, rel=0.02)
    for fill in (init.kaiming_uniform_, init.kaiming_normal_):
        assert float(fill(weight, nonlinearity="relu").var()) == pytest.approx(2 / 400, rel=0.02)
        assert float(fill(weight, nonlinearity="relu", mode="fan_out").var()) == pytest.approx(2 / 600, rel=0.02)


@pytest.mark.parametrize(("mean", "a", "b"), [(0.0, -1.0, 2.0), (0.0, 1.5, 2.0)])
def test_truncated_normal_has_its_mean(mean: float, a: float, b: float) -> None:
    torch.manual_seed(0)
    drawn = init.trunc_normal_(torch.empty(100_000), mean, 1.0, a, b)
    density, below = (lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi)), (lambda x: (1 + math.erf(x / math.sqrt(2))) / 2)
    assert a <= float(drawn.min())
    assert float(drawn.max()) <= b
    assert float(drawn.mean()) == pytest.approx((density(a) - density(b)) / (below(b) - below(a)), abs=0.01)
