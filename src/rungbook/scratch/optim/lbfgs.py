"""L-BFGS: Newton's direction from the last gradients' differences alone (Nocedal, 1980; Liu and Nocedal, 1989), and a line search.

Numbers of equations: Nocedal and Wright, Numerical Optimization, 2nd edition (2006). All parameters are one vector here: of D numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from rungbook.scratch.optim.optimizer import Scalar, check, scalar

REMEMBERED = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")
"""What goes from one step to the next: direction and its length, changes of gradients and of parameters, 1 / (their product), scale, ..."""


class LBFGS(Optimizer):
    """`p += t * d`, d being `-H g` with H the inverse Hessian that explains the last `history_size` changes of the gradient.

    One step makes up to `max_iter` such moves and calls the closure for each.

    Args:
        params: parameters or named parameters; one group only.
        lr: t, or the first t that the line search tries.
        max_iter: most moves of a step.
        max_eval: most calls of the closure of a step; None is 5/4 of max_iter.
        tolerance_grad: a step ends once no element of the gradient is larger.
        tolerance_change: a step ends once no parameter, or the loss, changes by more.
        history_size: changes that are remembered.
        line_search_fn: "strong_wolfe" searches t, None takes lr.

    Raises:
        ValueError: a learning rate outside its range; several groups.
        RuntimeError: another line search.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        check(defaults)
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError(f"LBFGS needs one group of parameters, since it moves all of them together; found {len(self.param_groups)}")

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        with torch.no_grad():
            return self._step(torch.enable_grad()(closure))

    def _step(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError(f"line_search_fn is {group['line_search_fn']!r}, needed is 'strong_wolfe' or None")
        state = self.state[self._params[0]]  # of the first parameter, so that its type and device are applied when it is loaded
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss, grad, calls = number(first_loss), self._gradient(), 1
        state["func_evals"] += 1
        if grad.abs().max() <= group["tolerance_grad"]:
            return first_loss
        memory = {name: state.get(name) for name in REMEMBERED}
        for move in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d = memory["d"] = direction(memory, state, grad, group["history_size"])
            memory["prev_flat_grad"], before = grad.clone(), loss
            memory["prev_loss"] = loss
            t = scalar(group["lr"])
            if state["n_iter"] == 1:
                t = (1.0 / grad.abs().sum()).clamp(max=1.0) * t  # the first direction is the gradient itself, of whatever length
            memory["t"] = t
            slope = grad.dot(d)
            if slope > -group["tolerance_change"]:
                break
            last = move == group["max_iter"]
            if group["line_search_fn"]:
                found, more = self._search(closure, Point(0, loss, grad, slope), t, d, group["max_eval"] - calls)
                t, loss, grad = found.t, found.loss, found.grad
                memory["t"] = t
                self._move(t, d)
            else:
                self._move(t, d)
                more = 0 if last else 1  # after the last move nobody asks for the loss
                if more:
                    loss, grad = number(closure()), self._gradient()
            calls += more
            state["func_evals"] += more
            if last or calls >= group["max_eval"] or grad.abs().max() <= group["tolerance_grad"]:
                break
            if (d * t).abs().max() <= group["tolerance_change"] or abs(loss - before) < group["tolerance_change"]:
                break
        state.update(memory)
        return first_loss

    @property
    def _params(self) -> list[Tensor]:
        return self.param_groups[0]["params"]

    def _gradient(self) -> Tensor:
        """All gradients as one vector (D); a parameter without one has zeros."""
        parts = []
        for p in self._params:
            grad = torch.zeros_like(p) if p.grad is None else p.grad
            grad = grad.to_dense() if grad.is_sparse else grad
            parts.append((torch.view_as_real(grad) if grad.is_complex() else grad).reshape(-1))
        return torch.cat(parts)

    def _move(self, t: Scalar, d: Tensor) -> None:
        """Add t * d to the parameters."""
        at = 0
        for p in self._params:
            real = torch.view_as_real(p) if p.is_complex() else p
            real.add_(d[at : at + real.numel()].view_as(real), alpha=t)  # type: ignore[arg-type]
            at += real.numel()

    def _search(self, closure: Callable[[], Any], start: Point, t: Scalar, d: Tensor, most: int) -> tuple[Point, int]:
        """The point along d where the line search ends, and how often it called the closure; the parameters are where they were."""
        before = [p.clone() for p in self._params]

        def evaluate(t: Scalar) -> Point:
            self._move(t, d)
            loss, grad = number(closure()), self._gradient()
            for p, value in zip(self._params, before, strict=True):
                p.copy_(value)
            return Point(t, loss, grad, grad.dot(d))

        smallest = self.param_groups[0]["tolerance_change"] / float(d.abs().max())
        return strong_wolfe(evaluate, start, t, smallest=smallest, most=most)


def number(loss: Any) -> float:
    """A closure's answer, which may be a tensor with its graph."""
    return loss.item() if isinstance(loss, Tensor) else float(loss)


def direction(memory: dict[str, Any], state: dict[str, Any], grad: Tensor, history_size: int) -> Tensor:
    """`-H g` by the two-loop recursion (algorithm 7.4), H from what is remembered, which takes in the last move first.

    Args:
        memory: of `REMEMBERED`; changed.
        state: `al` in it is scratch paper of the recursion.
        grad: (D).
        history_size: changes that are kept.

    Returns:
        (D).
    """
    if state["n_iter"] == 1:
        memory.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
        return grad.neg()
    changes, moves, inverse = memory["old_dirs"], memory["old_stps"], memory["ro"]
    change, move = grad - memory["prev_flat_grad"], memory["d"] * memory["t"]
    product = change.dot(move)
    if product > 1e-10:  # else the loss is not convex along the move, and H would not be positive definite (7.21)
        if len(changes) == history_size:
            for remembered in (changes, moves, inverse):
                remembered.pop(0)
        changes.append(change)
        moves.append(move)
        inverse.append(1.0 / product)
        memory["H_diag"] = product / change.dot(change)  # (7.20)
    alphas = state.setdefault("al", [None] * history_size)
    q = grad.neg()
    for i in reversed(range(len(changes))):
        alphas[i] = moves[i].dot(q) * inverse[i]
        q.add_(changes[i], alpha=-alphas[i])
    r = q * memory["H_diag"]
    for i in range(len(changes)):
        r.add_(moves[i], alpha=alphas[i] - changes[i].dot(r) * inverse[i])
    return r


@dataclass(frozen=True)
class Point:
    """A place along the direction that is searched.

    Args:
        t: how far along.
        loss: there.
        grad: (D), there.
        slope: of the loss along the direction, there.
    """

    t: Scalar
    loss: float
    grad: Tensor
    slope: Tensor


def strong_wolfe(
    evaluate: Callable[[Scalar], Point],
    start: Point,
    t: Scalar,
    *,
    c1: float = 1e-4,
    c2: float = 0.9,
    smallest: float = 0.0,
    most: int = 25,
) -> tuple[Point, int]:
    """A point that meets the strong Wolfe conditions: lower than the line of slope c1, and flatter than c2 of the first slope (3.7).

    First steps outwards until a bracket holds such a point (algorithm 3.5), then inwards (`zoom`, algorithm 3.6).

    Args:
        evaluate: t -> the point there.
        start: where t is 0.
        t: first try.
        c1, c2: of the conditions.
        smallest: a bracket narrower than this is not searched further.
        most: tries after the first.

    Returns:
        The point, and how often `evaluate` was called.
    """
    before, point = start, evaluate(t)
    for tries in range(most):
        too_high = point.loss > start.loss + c1 * point.t * start.slope or (tries > 1 and point.loss >= before.loss)
        if not too_high and abs(point.slope) <= -c2 * start.slope:
            return point, tries + 1
        if too_high or point.slope >= 0:
            return zoom(evaluate, start, [before, point], c1, c2, smallest, tries, most)
        bounds = point.t + 0.01 * (point.t - before.t), point.t * 10
        before, point = point, evaluate(lowest(before, point, bounds))
    return (start if start.loss <= point.loss else point), most + 1


def zoom(
    evaluate: Callable[[Scalar], Point], start: Point, bracket: list[Point], c1: float, c2: float, smallest: float, tries: int, most: int
) -> tuple[Point, int]:
    """Narrow a bracket of two points down to one that meets the strong Wolfe conditions; the lower end if tries run out.

    Args:
        evaluate, start, c1, c2, smallest, most: as in `strong_wolfe`.
        bracket: two points around such a one.
        tries: so far.

    Returns:
        The point, and how often `evaluate` was called in all.
    """
    near_end = False
    low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
    while tries < most:
        left, right = min(p.t for p in bracket), max(p.t for p in bracket)
        if right - left < smallest:
            break
        t = lowest(bracket[0], bracket[1], (left, right))
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            # near an end twice in a row, or at it: too little is cut off, so step away from that end
            if near_end or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                near_end = False
            else:
                near_end = True
        else:
            near_end = False
        point = evaluate(t)
        tries += 1
        if point.loss > start.loss + c1 * point.t * start.slope or point.loss >= bracket[low].loss:
            bracket[high] = point
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
            continue
        done = abs(point.slope) <= -c2 * start.slope
        if not done and point.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = point
        if done:
            break
    return bracket[low], tries + 1


def lowest(a: Point, b: Point, bounds: tuple[Scalar, Scalar]) -> Any:
    """Where the cubic through two points with their slopes is lowest, within bounds (3.59); the middle if it has no minimum."""
    left, right = (a, b) if a.t <= b.t else (b, a)
    d1 = left.slope + right.slope - 3 * (left.loss - right.loss) / (left.t - right.t)
    square = d1**2 - left.slope * right.slope
    if square < 0:
        return (bounds[0] + bounds[1]) / 2.0
    d2 = square.sqrt()
    t = right.t - (right.t - left.t) * ((right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2))
    return min(max(t, bounds[0]), bounds[1])
