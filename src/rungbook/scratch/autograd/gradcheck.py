"""Are these gradients right? Compare them with finite differences, which need no calculus at all.

The central difference `(f(x + h) - f(x - h)) / 2h` misses the derivative by about `h^2 f''' / 6`, and rounding adds about `e |f| / h`. Both
are smallest together near `h = e^(1/3)`: 6e-6 in float64, with ten digits right; in float32 two or three would be left, too few to find a
mistake by. Steps are taken relative to the size of x. At a kink no derivative exists, and the slopes to the left and to the right tell.
After Press et al., Numerical Recipes, section 5.7.

Whoever differentiates is given as a `vjp`: called with a function and its inputs it returns the value, and what turns a gradient in the
value into gradients in the inputs. `autograd_vjp` is torch's engine and `tape_vjp` our tape; `pullback.vjp`, `var.vjp` and `torch.func.vjp`
have this form too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.autograd.rules import Rule
from rungbook.scratch.autograd.tape import Tape

STEP = 6e-6
"""Third root of float64's rounding, 2.2e-16."""
KINK = 1e-3
"""Slopes to the left and right that differ by more, relative to their size, are looked at again with a smaller step."""

Vjp = Callable[..., tuple[Any, ...]]


class GradcheckError(RuntimeError):
    """A gradient is wrong, or cannot be checked."""


def autograd_vjp(f: Callable[..., Any], *inputs: Any) -> tuple[Any, Callable[..., tuple[Tensor | None, ...]]]:
    """Value and pullback by torch's own engine.

    Within another call of it, inputs that already need a gradient keep theirs, so that the pullback can be differentiated.
    """
    nested = any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
    given = [x.detach().requires_grad_() if _counts(x) and not x.requires_grad else x for x in inputs]
    with torch.enable_grad():
        out = f(*given)
    results = _tensors(out)

    def pullback(gradient: Any) -> tuple[Tensor | None, ...]:
        reached = [(y, g) for y, g in zip(results, _tensors(gradient), strict=True) if y.requires_grad]
        wanted = [x for x in given if _counts(x)]
        if not reached:
            return tuple(torch.zeros_like(x) if _counts(x) else None for x in given)
        ys, gs = zip(*reached, strict=True)
        grads = iter(torch.autograd.grad(ys, wanted, gs, retain_graph=True, create_graph=nested, allow_unused=True, materialize_grads=True))
        return tuple(next(grads) if _counts(x) else None for x in given)

    return (out if nested else _detached(out)), pullback


def tape_vjp(
    f: Callable[..., Any], *inputs: Any, rules: Mapping[Any, Rule] | None = None
) -> tuple[Any, Callable[[Any], tuple[Tensor | None, ...]]]:
    """Value and pullback by our tape; `partial(tape_vjp, rules=...)` checks rules of one's own.

    Within a tape further out, that one records both.
    """
    watched = [x for x in inputs if _counts(x)]
    tape = Tape(persistent=True, rules=rules)
    tape.watch(*watched)
    with tape:
        out = f(*inputs)

    def pullback(gradient: Any) -> tuple[Tensor | None, ...]:
        sums: list[Tensor | None] = [None] * len(watched)
        for y, g in zip(_tensors(out), _tensors(gradient), strict=True):
            parts = tape.gradient(y, watched, g, allow_unused=True)
            sums = [b if a is None else a if b is None else a + b for a, b in zip(sums, parts, strict=True)]
        grads = iter(sums)
        return tuple(next(grads) if _counts(x) else None for x in inputs)

    return out, pullback


@dataclass(frozen=True)
class _Slopes:
    """What finite differences find for one element of one input: slope of every output element, and the slopes to either side of it."""

    central: Tensor
    left: Tensor
    right: Tensor
    kink: Tensor


def gradcheck(
    func: Callable[..., Any],
    inputs: Sequence[Any] | Tensor,
    *,
    vjp: Vjp = autograd_vjp,
    eps: float = STEP,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    kinks: bool = False,
    raise_exception: bool = True,
) -> bool:
    """Compare the gradients of a function with finite differences, element by element of every input and output.

    Args:
        func: returns a tensor, or several.
        inputs: its arguments; the float64 tensors among them are checked, everything else stays as it is.
        vjp: who differentiates.
        eps: step, relative to the size of an element and never below eps itself.
        atol, rtol: a gradient g passes beside a difference d if `|g - d| <= atol + rtol |d|`.
        kinks: let any gradient between the slopes to either side of a kink pass; otherwise a kink is an error.
        raise_exception: raise what was found; otherwise return False.

    Raises:
        GradcheckError: a gradient is wrong, not finite, not the same twice, or at a kink. It names input, element, expected and got.
        ValueError: no input is a floating point tensor, or nothing comes out.
        TypeError: an input is float32 or smaller, complex, or not strided; an output is not floating point.
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = _checkable(inputs)
    try:
        outputs = _plain_outputs(vjp(func, *inputs)[0])
        rows = _analytic(func, inputs, vjp, outputs)
        for i in checked:
            for element, slopes in _numeric(lambda *xs: vjp(func, *xs)[0], inputs, i, eps, outputs):
                got = torch.stack([torch.zeros_like(o) if row[i] is None else row[i].reshape(-1)[element] for row, o in rows])
                _compare(got, slopes, inputs[i], i, element, outputs, (atol, rtol, kinks))
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Sequence[Any] | Tensor,
    grad_outputs: Sequence[Tensor] | Tensor | None = None,
    *,
    vjp: Vjp = autograd_vjp,
    **options: Any,
) -> bool:
    """Compare second derivatives with finite differences of the first: `gradcheck` of the pullback, in inputs and gradient alike.

    Args:
        func, inputs, vjp: as in `gradcheck`; the vjp must be able to go through its own pullback.
        grad_outputs: gradients in the outputs at which to check; drawn from a fixed seed if None.
        options: passed on to `gradcheck`.
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = _checkable(inputs)
    outputs = _plain_outputs(vjp(func, *inputs)[0])
    if grad_outputs is None:
        g = torch.Generator().manual_seed(0)
        seeds = [torch.randn(y.shape, dtype=torch.float64, generator=g).to(y) for y in outputs]
    else:
        seeds = _tensors(grad_outputs)

    def pulled(*arguments: Any) -> tuple[Any, ...]:
        value, pullback = vjp(func, *arguments[: len(inputs)])[:2]
        given = arguments[len(inputs) :]
        gradients = pullback(given[0] if len(outputs) == 1 and not isinstance(value, tuple | list) else type(value)(given))
        return tuple(gradients[i] for i in checked)

    return gradcheck(pulled, [*inputs, *seeds], vjp=vjp, **options)


def _counts(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _tensors(tree: Any) -> list[Any]:
    return [t for x in tree for t in _tensors(x)] if isinstance(tree, tuple | list) else [tree]


def _detached(tree: Any) -> Any:
    if isinstance(tree, tuple | list):
        return type(tree)(_detached(x) for x in tree)
    return tree.detach() if isinstance(tree, Tensor) else tree


def _checkable(inputs: Sequence[Any]) -> list[int]:
    """Which inputs are checked, by position."""
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor):
            continue
        if x.is_complex():
            raise TypeError(f"input {i} is {x.dtype}: derivatives of complex numbers are not checked; pass real and imaginary parts")
        if x.layout is not torch.strided:
            raise TypeError(f"input {i} is {x.layout}: pass a dense tensor and make it sparse within the function")
        if x.is_floating_point() and x.dtype != torch.float64:
            raise TypeError(f"input {i} is {x.dtype}, in which differences have too few digits to find a mistake by: pass x.double()")
        if x.is_floating_point() and 0 in [s for s, n in zip(x.stride(), x.shape, strict=True) if n > 1]:
            raise ValueError(f"input {i} {tuple(x.shape)} was expanded, so that several elements are one number: pass x.contiguous()")
    checked = [i for i, x in enumerate(inputs) if _counts(x)]
    if not checked:
        raise ValueError("gradcheck needs at least one input that is a float64 tensor")
    return checked


def _plain_outputs(out: Any) -> list[Tensor]:
    outputs = _tensors(out)
    if not outputs:
        raise ValueError("the function returns no tensor")
    for k, y in enumerate(outputs):
        if not _counts(y):
            raise TypeError(
                f"output {k} is {getattr(y, 'dtype', type(y).__name__)}, which has no derivative: return floating point tensors only"
            )
        if not y.isfinite().all():
            raise GradcheckError(f"output {k} is not finite at the given inputs")
    return outputs


def _analytic(func: Callable[..., Any], inputs: Sequence[Any], vjp: Vjp, outputs: list[Tensor]) -> list[tuple[Any, Tensor]]:
    """For every output element, what the pullback makes of the unit vector of it, and a zero of its type."""
    value, pullback = vjp(func, *inputs)[:2]
    rows = []
    for k, y in enumerate(outputs):
        for j in range(y.numel()):
            units = [torch.zeros_like(o, memory_format=torch.contiguous_format) for o in outputs]
            units[k].view(-1)[j] = 1
            gradient = type(value)(units) if isinstance(value, tuple | list) else units[0]
            row, again = pullback(gradient), pullback(gradient)
            for i, (a, b) in enumerate(zip(row, again, strict=True)):
                if isinstance(a, Tensor) and a.shape != inputs[i].shape:
                    raise GradcheckError(f"the gradient in input {i} has shape {tuple(a.shape)}, the input {tuple(inputs[i].shape)}")
                if isinstance(a, Tensor) and not torch.equal(a.nan_to_num(), b.nan_to_num()):
                    raise GradcheckError(f"the gradient in input {i} is another one when asked for again: is something drawn at random?")
            rows.append((row, y.new_zeros(())))
    return rows


def _numeric(f: Callable[..., Any], inputs: list[Any], i: int, eps: float, outputs: list[Tensor]) -> Iterator[tuple[int, _Slopes]]:
    """Finite differences in each element of one input."""
    here = torch.cat([y.detach().reshape(-1) for y in outputs])

    def at(element: int, offset: float) -> tuple[Tensor, float]:
        x = inputs[i].detach().clone(memory_format=torch.contiguous_format)
        flat = x.view(-1)
        before = flat[element].item()
        flat[element] += offset
        moved = flat[element].item() - before  # what the sum was rounded to
        found = _tensors(f(*inputs[:i], x, *inputs[i + 1 :]))
        return torch.cat([y.detach().reshape(-1) for y in found]), moved

    def sides(element: int, h: float) -> tuple[Tensor, Tensor, Tensor]:
        (up, above), (down, below) = at(element, h), at(element, -h)
        return (up - down) / (above - below), (down - here) / below, (up - here) / above

    for element, size in enumerate(inputs[i].detach().abs().reshape(-1).tolist()):
        h = eps * max(1.0, size)
        central, left, right = sides(element, h)
        kink = torch.zeros_like(central, dtype=torch.bool)
        apart = (right - left).abs()
        if (suspect := apart > KINK * (1 + central.abs())).any():  # bent, or broken? a bend gets straighter the closer one looks
            finer, left, right = sides(element, h / 16)
            kink = suspect & ((right - left).abs() > apart / 4)
            central = torch.where(suspect, finer, central)
        yield element, _Slopes(central, left, right, kink)


def _compare(
    got: Tensor, slopes: _Slopes, x: Tensor, i: int, element: int, outputs: list[Tensor], options: tuple[float, float, bool]
) -> None:
    """Raise at the first output element whose gradient does not pass."""
    atol, rtol, kinks = options
    room = atol + rtol * slopes.central.abs()
    passes = (got - slopes.central).abs() <= room
    if kinks:
        low, high = torch.minimum(slopes.left, slopes.right) - room, torch.maximum(slopes.left, slopes.right) + room
        passes |= slopes.kink & (got >= low) & (got <= high)
    else:
        passes &= ~slopes.kink
    if passes.all():
        return
    row = int((~passes).nonzero()[0])
    where = f"d output{_place(row, outputs)} / d input {i}{_index(element, x.shape)} at {x.detach().reshape(-1)[element].item():.6g}"
    if slopes.kink[row]:
        left, right = (side[row].item() + 0.0 for side in (slopes.left, slopes.right))  # + 0.0: no "-0"
        raise GradcheckError(
            f"{where}: a kink, the slope is {left:.6g} to the left and {right:.6g} to the right, got {got[row].item():.6g}; "
            "move the input away from it, or allow it with kinks=True"
        )
    raise GradcheckError(f"{where}: expected {slopes.central[row].item():.10g}, got {got[row].item():.10g}")


def _index(flat: int, shape: Sequence[int]) -> str:
    if not shape:
        return ""
    place = []
    for n in reversed(shape):
        flat, rest = divmod(flat, n)
        place.append(rest)
    return str(place[::-1])


def _place(row: int, outputs: list[Tensor]) -> str:
    for k, y in enumerate(outputs):
        if row < y.numel():
            return (f" {k}" if len(outputs) > 1 else "") + _index(row, y.shape)
        row -= y.numel()
    raise AssertionError("no such row")
