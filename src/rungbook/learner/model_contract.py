"""The promises every model makes, tested: `check_model(make, batch)` raises and says which are broken, each with what was found.

In the manner of scikit-learn's `check_estimator`: one table of checks serves the tests of the registry and anybody's own model. A check
gets the same `Case`, and answers with what is wrong, or with "".
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from unittest.mock import patch

import safetensors.torch
import torch
from torch import Tensor, nn

from rungbook.learner.contract import ContractBroken
from rungbook.learner.random_state import get_random_state, keep_random_state, seed_all

Inputs = tuple[Tensor, ...]
SEED, OTHER = 3, 4
ROWS = (1, 2, 7)
NEAR = 1e-4
"""Largest difference, as a share, of outputs that float32 sums in another order."""
AWAY = 1e-3
"""How far weights are moved before slopes are taken: what starts at exactly zero puts whole layers on the kink of a ReLU."""
STEP, AGREES, WAYS = 1e-9, 1e-4, 4
"""Of finite differences in float64: the step, how well they agree with gradients, as a share, and directions tried: a step over the kink
of a ReLU tells another slope, a wrong gradient disagrees in every direction."""


@dataclass
class Case:
    """What a model is checked with.

    Args:
        make: gives a new model at each call, with weights drawn by torch's generator.
        batch: inputs for it, 2 rows or more.
        unused: names of parameters that need no gradient.
        parameters: how many there are, trained or not; None if nobody says.
        logits: whether the outputs (n, K) are scores of K classes.
        same_start: whether every seed gives the same weights.
    """

    make: Callable[[], nn.Module]
    batch: Inputs
    unused: tuple[str, ...] = ()
    parameters: int | None = None
    logits: bool = True
    same_start: bool = False

    def model(self, seed: int = SEED) -> nn.Module:
        """A new model."""
        seed_all(seed)
        return self.make()

    def rows(self, n: int) -> Inputs:
        """So many rows, repeated where the batch has fewer."""
        return tuple(torch.cat([t] * max(1, -(-n // len(t))))[:n].clone() for t in self.batch)

    def floats(self, kind: torch.dtype) -> Inputs:
        """The batch with its floating-point inputs in another type."""
        return tuple(t.to(kind) if t.is_floating_point() else t.clone() for t in self.batch)

    def loss(self, output: Tensor) -> Tensor:
        """Something to differentiate: cross-entropy with all classes in turn, or the mean square."""
        if self.logits:
            return nn.functional.cross_entropy(output, torch.arange(len(output), device=output.device) % output.shape[1])
        return output.square().mean()


def equal(a: Tensor, b: Tensor) -> bool:
    """Whether two outputs agree as well as float32 does."""
    return a.shape == b.shape and torch.allclose(a, b, rtol=NEAR, atol=NEAR * max(1.0, float(a.detach().abs().max()) if a.numel() else 1.0))


def one_seed_one_start(case: Case) -> str:
    """The weights follow from the seed."""
    a, b, other = (case.model(seed).state_dict() for seed in (SEED, SEED, OTHER))
    if differing := [k for k in a if not torch.equal(a[k], b[k])]:
        return f"one seed gave two values of {differing[0]}"
    if not case.same_start and all(torch.equal(a[k], other[k]) for k in a):
        return "two seeds gave the same weights; if that is meant, say same_start=True"
    return ""


def inputs_are_left_alone(case: Case) -> str:
    """Forward writes into none of its inputs."""
    inputs = case.rows(2)
    before = [t.clone() for t in inputs]
    case.model().train()(*inputs)
    return "" if all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True)) else "forward wrote into its input"


def outputs_for_any_batch(case: Case) -> str:
    """One output row for each input row, also for one and for none."""
    model = case.model().eval()
    shapes = {n: tuple(model(*case.rows(n)).shape) for n in (*ROWS, 0)}
    wrong = {n: s for n, s in shapes.items() if s[:1] != (n,) or s[1:] != shapes[2][1:]}
    return f"{next(iter(wrong))} rows gave an output of shape {next(iter(wrong.values()))}" if wrong else ""


def rows_are_independent(case: Case) -> str:
    """In evaluation no row changes another."""
    model = case.model().eval()
    whole = model(*case.rows(4))
    for i in range(4):
        if not equal(model(*(t[i : i + 1] for t in case.rows(4)))[0], whole[i]):
            return f"row {i} alone gives another output than among others"
    return ""


def every_parameter_learns(case: Case) -> str:
    """Every parameter gets a gradient that is not all zero."""
    model = case.model().train()
    for p in model.parameters():
        if not p.any():  # what starts at zero may keep the gradient from what lies before it
            nn.init.normal_(p, std=0.1)
    case.loss(model(*case.rows(16))).backward()
    still = [k for k, p in model.named_parameters() if p.requires_grad and k not in case.unused and (p.grad is None or not p.grad.any())]
    return f"{still[0]} gets no gradient ({len(still)} such); if that is meant, say unused=..." if still else ""


def gradients_are_slopes(case: Case) -> str:
    """In float64 the gradient along a random direction is the loss's slope there."""
    model = case.model().double().eval()
    inputs, learned = case.floats(torch.float64), [p for p in model.parameters() if p.requires_grad]
    with torch.no_grad():
        for p in learned:
            p.add_(torch.randn_like(p), alpha=AWAY)
    gradient = torch.autograd.grad(case.loss(model(*inputs)), learned, allow_unused=True) if learned else ()
    said = ""
    for _ in range(WAYS if learned else 0):
        way = [torch.randn_like(p) for p in learned]
        told = sum(float((g * w).sum()) for g, w in zip(gradient, way, strict=True) if g is not None)
        found = _slope(case, model, inputs, learned, way)
        if abs(found - told) <= AGREES * max(1.0, abs(told)):
            return ""
        said = f"the gradient says {told:.6g}, differences say {found:.6g}"
    return said


@torch.no_grad()
def _slope(case: Case, model: nn.Module, inputs: Inputs, learned: list[nn.Parameter], way: list[Tensor]) -> float:
    """How fast the loss rises in a direction, from two values; the weights are then what they were."""
    kept = [p.clone() for p in learned]
    ends = []
    for side in (STEP, -STEP):
        for p, start, w in zip(learned, kept, way, strict=True):
            p.copy_(start + side * w)
        ends.append(float(case.loss(model(*inputs))))
    for p, start in zip(learned, kept, strict=True):
        p.copy_(start)
    return (ends[0] - ends[1]) / (2 * STEP)


def state_goes_round(case: Case) -> str:
    """Saved as data and read into another model, and copied, it gives the same outputs."""
    model, other = case.model().eval(), case.model(OTHER).eval()
    other.load_state_dict(
        safetensors.torch.load(safetensors.torch.save({k: v.contiguous().clone() for k, v in model.state_dict().items()}))
    )
    expected = model(*case.batch)
    if not torch.equal(other(*case.batch), expected):
        return "a model with the same state_dict gives another output: something that matters is not in it"
    return "" if torch.equal(copy.deepcopy(model)(*case.batch), expected) else "a deep copy gives another output"


def evaluation_is_certain(case: Case) -> str:
    """In evaluation the same input gives the same output, no buffer changes, and no random number is drawn."""
    model = case.model().eval()
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, get_random_state()["torch"]
    first = model(*case.batch)
    if not torch.equal(first, model(*case.batch)):
        return "two calls in evaluation gave two outputs"
    if not torch.equal(state, get_random_state()["torch"]):
        return "random numbers were drawn in evaluation"
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    return f"{changed[0]} changed in evaluation" if changed else ""


def modes_reach_all_parts(case: Case) -> str:
    """`train()` and `eval()` reach every module, and evaluation after training is evaluation."""
    model = case.model()
    for mode in (True, False):
        model.train(mode)
        if any(m.training is not mode for m in model.modules()):
            return f"train({mode}) does not reach every module"
    expected = model(*case.batch)
    model.train().eval()
    return "" if torch.equal(model(*case.batch), expected) else "train() and eval() left another model"


def memory_order_does_not_matter(case: Case) -> str:
    """Inputs that lie otherwise in memory give the same output."""
    model = case.model().eval()
    turned = tuple(t.transpose(0, -1).contiguous().transpose(0, -1) if t.ndim > 1 else t for t in case.batch)
    return "" if equal(model(*turned), model(*case.batch)) else "a non-contiguous input gives another output"


def half_precision_is_finite(case: Case) -> str:
    """In bfloat16 the outputs are finite."""
    output = case.model().to(torch.bfloat16).eval()(*case.floats(torch.bfloat16))
    return "" if bool(torch.isfinite(output.float()).all()) else "outputs in bfloat16 are not finite"


def starts_ignorant(case: Case) -> str:
    """Before training the cross-entropy is near that of even odds."""
    if not case.logits:
        return ""
    output = case.model().train()(*case.rows(16))
    even, loss = math.log(output.shape[1]), float(case.loss(output).detach())
    return "" if loss < even + 2.0 else f"the loss before training is {loss:.2f}, even odds give {even:.2f}"


def one_step_helps(case: Case) -> str:
    """A small step against the gradient lowers the loss, and moves what learns and nothing else."""
    model, inputs = case.model().eval(), case.rows(16)
    learned = {k: p.detach().clone() for k, p in model.named_parameters()}
    before = case.loss(model(*inputs))
    before.backward()
    size = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None))
    if not size:
        return "the gradient is zero"
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3 / size)
    optimizer.step()
    moved = [k for k, p in model.named_parameters() if not p.requires_grad and not torch.equal(p, learned[k])]
    if moved:
        return f"{moved[0]} takes no gradient and moved"
    after = case.loss(model(*inputs))
    return "" if after < before else f"a small step raised the loss from {float(before.detach()):.6g} to {float(after.detach()):.6g}"


def planned_without_memory(case: Case) -> str:
    """Made on torch's meta device it has the same names and shapes, so that its size is known before memory is asked for."""
    with torch.device("meta"):
        planned = {k: v.shape for k, v in case.model().state_dict().items()}
    return "" if planned == {k: v.shape for k, v in case.model().state_dict().items()} else "on the meta device it is another model"


def counted(case: Case) -> str:
    """It has as many parameters as are said."""
    found = sum(p.numel() for p in case.model().parameters())
    return "" if case.parameters in (None, found) else f"{found:,} parameters, {case.parameters:,} are said"


def says_what_it_is(case: Case) -> str:
    """Its repr is the same each time and names no address."""
    first, second = repr(case.model()), repr(case.model())
    if re.search(r"\bat 0x[0-9a-f]+", first):
        return "its repr holds an address"
    return "" if first == second else "two of a kind have two reprs"


def works_in_silence(case: Case) -> str:
    """It prints nothing and asks for no network."""

    def refused(*_: object) -> None:
        raise ConnectionRefusedError("no network")

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), patch.object(socket.socket, "connect", refused):
        try:
            case.model().train()(*case.rows(2))
        except ConnectionRefusedError:
            return "it asks for the network"
    return f'it printed "{said.getvalue().strip()[:40]}"' if said.getvalue() else ""


CHECKS: dict[str, Callable[[Case], str]] = {
    f.__name__: f
    for f in (
        one_seed_one_start,
        inputs_are_left_alone,
        outputs_for_any_batch,
        rows_are_independent,
        every_parameter_learns,
        gradients_are_slopes,
        state_goes_round,
        evaluation_is_certain,
        modes_reach_all_parts,
        memory_order_does_not_matter,
        half_precision_is_finite,
        starts_ignorant,
        one_step_helps,
        planned_without_memory,
        counted,
        says_what_it_is,
        works_in_silence,
    )
}
"""Every promise by its name."""


def broken_promises(case: Case) -> Iterator[tuple[str, str]]:
    """The checks a model does not pass, and what each found."""
    for name, check in CHECKS.items():
        with keep_random_state():
            try:
                said = check(case)
            except Exception as error:  # a model may fail in any way: that is a finding, and the other checks go on
                said = f"{type(error).__name__}: {error}"
        if said:
            yield name, said


def check_model(
    make_model: Callable[[], nn.Module],
    batch: Tensor | Inputs,
    *,
    unused: tuple[str, ...] = (),
    parameters: int | None = None,
    logits: bool = True,
    same_start: bool = False,
) -> None:
    """Check that a model is what training, saving and serving rely on.

    Args:
        make_model: gives a new model each time it is called, drawn from torch's generator.
        batch: inputs as the model takes them, 2 rows or more; several as a tuple.
        unused: names of parameters that are meant to get no gradient.
        parameters: how many parameters it is said to have.
        logits: whether its outputs (n, K) are scores of K classes, of which a loss can be taken.
        same_start: whether it is meant to start with the same weights whatever the seed.

    Raises:
        ContractBroken: naming each promise that is broken, and what was found.
    """
    case = Case(make_model, batch if isinstance(batch, tuple) else (batch,), unused, parameters, logits, same_start)
    found = [f"  - {name.replace('_', ' ')}: {said}" for name, said in broken_promises(case)]
    if found:
        raise ContractBroken(f"{type(make_model()).__name__} breaks {len(found)} of {len(CHECKS)} promises:\n" + "\n".join(found))


__all__ = ["CHECKS", "Case", "broken_promises", "check_model"]
