"""Every gradient rule of the tape against torch's autograd, in float64, on torch's own samples of operations (op_db); every layer of ours.

Rules are read off what the tape has recorded, so a rule that no agreeing sample has used fails. What has
no rule is listed in without_rule.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest
import torch
from agree import Case, Counts, close, compare_all, fresh, outcome, quiet
from corpus import function_cases, module_cases, op_infos
from tolerances import GRADIENTS, VALUES
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map
from without_rule import WITHOUT_RULE

from rungbook.scratch import functional
from rungbook.scratch.autograd.faults import MissingRule, OverwrittenTensor
from rungbook.scratch.autograd.rules import RULES
from rungbook.scratch.autograd.tape import Tape
from rungbook.scratch.twins import TWINS

aten = torch.ops.aten
SAMPLES, FIRST = 5, 40  # of each operation so many, taken evenly from the first so many
LAYER_SAMPLES, FUNCTION_SAMPLES = 2, 2  # of each layer and function of ours
LARGEST = 20_000  # elements of a sample: larger ones take long and show nothing more


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """A leaf of normal random numbers."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def exactly(*values: float) -> Tensor:
    """A leaf of given numbers."""
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


OWN: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
    # reached by a number on the left, by decompositions, or only by other rules
    "pow.Scalar": (lambda n: (2**n, torch.pow(0, n.abs()), torch.pow(1, n)), (numbers(5),)),
    "rsub.Scalar": (lambda x: aten.rsub.Scalar(x, 3, 2), (numbers(3),)),
    "fmod.Scalar": (lambda x: (aten.fmod(x, 0.3), aten.remainder(x, 0.3)), (numbers(4),)),
    "clamp_max": (lambda x: aten.clamp_max(x, 0.5), (exactly(0.1, 0.5, 0.7),)),
    "xlogy.Scalar_Other": (lambda x: (torch.xlogy(x, 2.5), torch.xlogy(x, 0.5)), (numbers(4),)),
    "xlogy.Scalar_Self": (lambda x: torch.xlogy(1.5, x.abs()) + torch.xlogy(0, x.abs()), (numbers(4),)),
    "unsafe_split_with_sizes": (lambda x: aten.unsafe_split_with_sizes(x, [1, 3], 1)[1], (numbers(2, 4),)),
    "copysign.Scalar": (lambda x: (torch.copysign(x, -2.0), torch.copysign(x, 2.0)), (numbers(4),)),
    "native_dropout": (lambda x: aten.native_dropout(x, 0.3, True)[0], (numbers(40),)),
    "slice_backward": (lambda g: aten.slice_backward(g, [5, 3], 0, 1, 4, 2), (numbers(2, 3),)),
    "select_backward": (lambda g: aten.select_backward(g, [5, 3], 0, 1), (numbers(3),)),
    "diagonal_backward": (lambda g: aten.diagonal_backward(g, [4, 3], -1, 0, 1), (numbers(3),)),
    "unfold_backward": (lambda g: aten.unfold_backward(g, [7], 0, 3, 2), (numbers(3, 3),)),
    "embedding_dense_backward": (lambda g: aten.embedding_dense_backward(g, torch.tensor([0, 2, 2, 1]), 4, 1, False), (numbers(4, 3),)),
    # where prototypes were wrong
    "index, repeated": (lambda x: x[torch.tensor([0, 0, 2])], (numbers(3, 2),)),
    "index_fill, repeated": (
        lambda x, v: x.index_fill(0, torch.tensor([1, 1, 2]), v),
        (numbers(3, 2), exactly(0.5)[0].detach().requires_grad_()),
    ),
    "prod of zeros": (lambda x: (x.prod(), (x * exactly(1, 0, 1)).prod(0)), (exactly(0, 2, 3),)),
    "cumprod with zeros": (lambda x: x.cumprod(0), (exactly(2, 0, 3, 0, 4),)),
    "norm at 0": (lambda x: [x.norm(p=p) for p in (1, 2, 3, float("inf"))], (exactly(0, 0, 0),)),
    "power of 0": (lambda x, n: (x**n, x**2, x**0), (exactly(0, 0, 0), exactly(0, 1, 2))),
    "ties": (lambda x: (x.amax(), x.max(), x.max(0)[0], x.median(), x.topk(2)[0], x.sort()[0]), (exactly(1, 1, 0, 1),)),
    "clamp at the bounds": (lambda x: (x.clamp(0, 1), x.clamp(min=torch.zeros_like(x)), x.relu()), (exactly(-1, 0, 1, 2),)),
    "overlapping windows": (lambda x: x.as_strided((3, 3), (2, 1), 1), (numbers(8),)),
    "windows of an expanded tensor": (lambda x: x.expand(3, 4).as_strided((2, 2), (0, 1)), (numbers(4),)),
}
"""Cases op_db has none of: what is called, its inputs."""


@cache
def infos() -> dict[str, Any]:
    """Torch's operations that have gradients in float64."""
    found = {info.formatted_name: info for group in op_infos().values() for info in group}
    return {n: i for n, i in found.items() if i.supports_autograd and torch.float64 in i.supported_backward_dtypes("cpu")}


def samples(info: Any, first: int = FIRST) -> list[Case]:
    """Some of torch's samples, spread over the first ones."""
    torch.manual_seed(0)
    with quiet():
        drawn = list(itertools.islice(info.sample_inputs("cpu", torch.float64, requires_grad=True), first))
    drawn = drawn[:: max(1, -(-len(drawn) // SAMPLES))]
    made = [Case(f"{i}", (s.input, *s.args), dict(s.kwargs)) for i, s in enumerate(drawn)]
    return [c for c in made if sum(x.numel() for x in tree_flatten((c.args, c.kwargs))[0] if isinstance(x, Tensor)) <= LARGEST]


def weighted(results: Iterable[Tensor]) -> Tensor:
    """The sum that agree.outcome differentiates."""
    draws = torch.Generator().manual_seed(2)
    total = torch.zeros((), dtype=torch.float64)
    return sum(((r * torch.randn(r.shape, dtype=r.dtype, generator=draws)).sum() for r in results), total)


def taped(call: Callable[..., Any], args: Any, kwargs: Any, parameters: list[Tensor]) -> tuple[list[Any], list[Any], set[Any]]:
    """What agree.outcome gives, by the tape; and the operations that it recorded."""
    (args, kwargs), leaves = fresh((args, kwargs))
    inputs = leaves + [p for p in parameters if p.requires_grad]
    tape = Tape()
    tape.watch(*inputs, *([call] if isinstance(call, nn.Module) else []))
    torch.manual_seed(1)
    with tape:
        inner = {id(x): x.clone() for x in leaves}
        args, kwargs = tree_map(lambda x: inner.get(id(x), x) if isinstance(x, Tensor) else x, (args, kwargs))
        torch.manual_seed(1)
        results = tree_flatten(call(*args, **kwargs))[0]
        wanted = [r for r in results if isinstance(r, Tensor) and id(r) in tape._taped]
        total = weighted(wanted)
    used = {entry[0] for entry in tape._entries}
    gradients = tape.gradient(total, inputs, allow_unused=True) if wanted and inputs else [None] * len(inputs)
    return results, gradients, used


def differ(got: list[Any], expected: list[Any], gradients: list[Any], wanted: list[Any]) -> None:
    """Raise unless results and gradients are the same; none and zeros are."""
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        close(a, b, VALUES, f"result {i}")
    for i, (a, b) in enumerate(zip(gradients, wanted, strict=True)):
        zero = a if b is None else b
        if zero is not None:
            close(torch.zeros_like(zero) if a is None else a, torch.zeros_like(zero) if b is None else b, GRADIENTS, f"gradient {i}")


class Found:
    """Of one operation: what is wrong with each case (None if nothing), operations recorded where nothing is, what the tape refused."""

    def __init__(self, make: Callable[[Case], Callable[..., Any]], cases: list[Case]) -> None:
        self.wrong: dict[str, Exception | None] = {}
        self.used: set[Any] = set()
        self.refused: set[str] = set()
        for case in cases:
            inputs = [x for x in tree_flatten((case.args, case.kwargs))[0] if isinstance(x, Tensor)]
            if not any(x.is_complex() for x in inputs):  # which the tape does not take
                with quiet():
                    self.compare(make, case)

    def compare(self, make: Callable[[Case], Callable[..., Any]], case: Case) -> None:
        parameters = lambda call: list(call.parameters()) if isinstance(call, nn.Module) else []
        theirs, ours = make(case), make(case)
        try:
            expected, wanted = outcome(theirs, case.args, case.kwargs, parameters(theirs))
        except Exception:
            return  # torch itself cannot differentiate it
        try:
            got, gradients, used = taped(ours, case.args, case.kwargs, parameters(ours))
            differ(got, expected, gradients, wanted)
        except (MissingRule, OverwrittenTensor) as refusal:
            self.refused.add(str(refusal).split(" at ")[0])
        except Exception as error:
            self.wrong[case.label] = error
        else:
            self.wrong[case.label] = None
            self.used |= used

    def judge(self, part: str, counts: dict[str, Counts]) -> None:
        """Count the cases, and fail with those that differ."""
        assert self.wrong, f"{part}: refused, {', '.join(sorted(self.refused)) or 'every sample'}"

        def agree(case: Case) -> None:
            if (error := self.wrong[case.label]) is not None:
                raise error

        compare_all(part, [Case(label) for label in self.wrong], agree, counts)


@cache
def of_torch(name: str) -> Found:
    return Found(lambda case: infos()[name].op, samples(infos()[name]))


@cache
def of_ours(name: str) -> Found:
    return Found(lambda case: OWN[name][0], [Case("", OWN[name][1])])


@pytest.mark.parametrize("name", [n for n in infos() if n not in WITHOUT_RULE])
def test_operation(name: str, counts: dict[str, Counts]) -> None:
    of_torch(name).judge(f"tape.{name}", counts)


def test_without_a_rule() -> None:
    assert set(infos()) >= WITHOUT_RULE
    assert not [n for n in WITHOUT_RULE if Found(lambda case, n=n: infos()[n].op, samples(infos()[n], first=1)).used]


@pytest.mark.parametrize("name", OWN)
def test_own_case(name: str, counts: dict[str, Counts]) -> None:
    assert not of_ours(name).refused
    of_ours(name).judge(f"tape.{name}", counts)


def test_every_rule_is_used() -> None:
    used = set().union(*(of_torch(name).used for name in infos() if name not in WITHOUT_RULE), *(of_ours(name).used for name in OWN))
    assert not [str(rule) for rule in RULES if rule not in used]


@pytest.mark.parametrize("theirs", TWINS, ids=lambda cls: cls.__name__)
def test_layer_of_ours(theirs: type, counts: dict[str, Counts]) -> None:
    """Every layer twin is differentiated by the tape as by torch's autograd: none uses an operation without a rule."""
    cases = module_cases(theirs)
    found = Found(lambda case: seeded(theirs, case), cases[:: max(1, -(-len(cases) // LAYER_SAMPLES))])
    assert not found.refused or any(isinstance(part, nn.Module) for case in cases for part in case.make), found.refused
    found.judge(f"tape.nn.{theirs.__name__}", counts)


@pytest.mark.parametrize("name", functional.__all__)
def test_function_of_ours(name: str, counts: dict[str, Counts]) -> None:
    cases = function_cases(name)
    found = Found(lambda case: getattr(functional, name), cases[:: max(1, -(-len(cases) // FUNCTION_SAMPLES))])
    assert not found.refused
    found.judge(f"tape.functional.{name}", counts)


def seeded(theirs: type, case: Case) -> nn.Module:
    """Our layer, as a case makes it."""
    torch.manual_seed(0)
    layer: nn.Module = TWINS[theirs](*copy.deepcopy(case.make), **copy.deepcopy(case.options)).double().train(case.training)
    if any(nn.parameter.is_lazy(p) for p in layer.parameters()):
        with torch.no_grad():
            layer(*case.args, **case.kwargs)  # gives its parameters their shapes
    return layer


def second_order(call: Callable[..., Any], inputs: tuple[Tensor, ...]) -> None:
    """Compare the gradient of a weighted sum of gradients."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    results = tree_flatten(call(*leaves))[0]
    first = torch.autograd.grad(weighted(results), leaves, create_graph=True)
    wanted = (
        torch.autograd.grad(weighted(first), leaves, allow_unused=True) if any(g.requires_grad for g in first) else [None] * len(leaves)
    )
    outer, inner = Tape(), Tape()
    outer.watch(*leaves)
    inner.watch(*leaves)
    with outer:
        with inner:
            total = weighted(tree_flatten(call(*leaves))[0])
        mine = weighted(inner.gradient(total, leaves))
    found = outer.gradient(mine, leaves, allow_unused=True) if id(mine) in outer._taped else [None] * len(leaves)
    differ([], [], found, wanted)


TWICE: dict[str, Callable[[Tensor], Any]] = {
    "arithmetic": lambda x: (x**3 / (1 + x * x), x.addcmul(x, x, value=2), torch.lerp(x, x.exp(), x)),
    "functions": lambda x: (
        x.sigmoid(),
        x.tanh(),
        x.exp(),
        x.erf(),
        nn.functional.gelu(x),
        nn.functional.silu(x),
        nn.functional.softplus(x),
    ),
    "products": lambda x: (x @ x.mT @ x, torch.addmm(x, x, x, alpha=3)),
    "reductions": lambda x: (
        x.logsumexp(0),
        x.softmax(1),
        x.log_softmax(0),
        x.var(0),
        x.std(1),
        x.norm(),
        x.prod(1),
        x.cumprod(0),
        x.mean(),
    ),
    "views": lambda x: (
        (x[1:, ::2] ** 2).cumsum(0),
        x.unfold(0, 2, 1) ** 3,
        x.diagonal() ** 2,
        torch.cat([x, x * x], 1),
        x.flip(0).roll(1) ** 2,
    ),
    "windows": lambda x: x.contiguous().as_strided((2, 3), (1, 2)) ** 3,
    "indexing": lambda x: (x[torch.tensor([0, 0, 2])] ** 3, x.gather(1, torch.tensor([[0, 0], [1, 2], [2, 2]])) ** 2, x.max(0)[0] ** 2),
    "embedding": lambda x: nn.functional.embedding(torch.tensor([0, 2, 2]), x) ** 3,
    "choices": lambda x: (torch.where(x > 0, x**2, x**3), x.clamp(-1, 1) ** 2, torch.maximum(x, x * x)),
}


@pytest.mark.parametrize("name", TWICE)
def test_second_derivatives(name: str) -> None:
    second_order(TWICE[name], (numbers(3, 3),))
