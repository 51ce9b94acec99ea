"""What optimisers share: the walk over groups and parameters, the count of steps, the checks, and arithmetic that can be differentiated.

Ours subclass `torch.optim.Optimizer`, which keeps groups, state, hooks and `state_dict`; what a step does to parameters is written here.
Differs from torch: one form for all. `foreach` and `fused` are accepted as the hints they are and change nothing but where the count lives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Scalar = float | Tensor
State = dict[str, Any]
Group = dict[str, Any]


class PerParameter(Optimizer):
    """An optimiser that treats each parameter alone, with what it remembers of it; all but LBFGS.

    A subclass says what it remembers at first (`start`) and what one step does (`update`).

    Args:
        params: parameters, (name, parameter) pairs, or groups of either as dicts.
        defaults: hyperparameters of groups that do not have their own. Those that several optimisers have mean the same everywhere:
            `lr`: learning rate, a number or a tensor of one element;
            `weight_decay`: of L2 regularisation, unless it is decoupled;
            `maximize`: climb instead;
            `capturable`: keep counts on the accelerator, so that a graph of the step can be captured;
            `differentiable`: let autograd pass through the step;
            `foreach`, `fused`: hints to torch's own kernels, which change no result.

    Raises:
        ValueError: a hyperparameter outside its range.
        RuntimeError: of `fused`, `foreach` and `differentiable` more than one is wanted.
    """

    takes_sparse = False
    as_real = True
    """Whether a complex parameter is handed to `update` as pairs of real numbers."""

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        check(defaults)
        super().__init__(params, defaults)

    def start(self, p: Tensor, group: Group) -> State:
        """What is remembered of a parameter before its first step."""
        return {}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Change a parameter, and what is remembered of it, in place."""
        raise NotImplementedError(f"{type(self).__name__} does not say what a step does: it has no `update`")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = evaluate(closure)
        with torch.set_grad_enabled(bool(self.defaults.get("differentiable"))):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self._step_one(p, -p.grad if group.get("maximize") else p.grad, group)
        return loss

    def _step_one(self, p: Tensor, grad: Tensor, group: Group) -> None:
        if grad.is_sparse and not self.takes_sparse:
            raise RuntimeError(f"{type(self).__name__} needs dense gradients, that of a {tuple(p.shape)} is sparse; try SparseAdam")
        state = self.state.get(p) or self.start(p, group)
        if group.get("capturable") and not torch.compiler.is_compiling():
            check_capturable(p, state)
        if group.get("differentiable"):
            # what autograd saved at the last step must not be written to
            state.update({name: value.clone() for name, value in state.items() if isinstance(value, Tensor)})
        if p.is_complex() and self.as_real:
            views = {name: torch.view_as_real(x) if isinstance(x, Tensor) and x.is_complex() else x for name, x in state.items()}
            self.update(torch.view_as_real(p), torch.view_as_real(grad), views, group)
        else:
            self.update(p, grad, state, group)
        if state:
            self.state[p] = state


def evaluate(closure: Callable[[], Any] | None) -> Any:
    """The loss a closure computes, with gradients on; None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def counter(p: Tensor, group: Group) -> Tensor:
    """A step count of zero: beside the parameter where a graph may be captured, otherwise where Python can read it without waiting."""
    if group.get("fused"):
        return torch.zeros((), dtype=torch.float32, device=p.device)
    return torch.zeros((), dtype=scalar_dtype(), device=p.device if group.get("capturable") else None)


def scalar_dtype() -> torch.dtype:
    """In which precision counts and other single numbers are kept."""
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32


def advance(state: State, group: Group) -> Any:
    """Count a step; the count as a number, or as the tensor it is where reading it would break a captured or compiled graph."""
    step = state["step"]
    if group.get("capturable") or torch.compiler.is_compiling():
        return step.add_(1)
    t = step.item() + 1
    step.fill_(t)
    return t


def scalar(x: Scalar) -> Scalar:
    """A hyperparameter given as a tensor of one element, without its dimensions."""
    return x.squeeze() if isinstance(x, Tensor) and x.dim() else x


def plain(x: Scalar) -> Scalar:
    """A number, where a tensor may be read: it wants no gradient, is at hand, and no graph is being made."""
    readable = isinstance(x, Tensor) and not x.requires_grad and x.device.type == "cpu" and not torch.compiler.is_compiling()
    return x.item() if readable else x  # type: ignore[union-attr]


def add_(x: Tensor, y: Tensor, by: Scalar) -> None:
    """`x += by * y`."""
    by = plain(by)
    if isinstance(by, Tensor):
        x.add_(y * by)
    else:
        x.add_(y, alpha=by)


def add_quotient_(x: Tensor, a: Tensor, b: Tensor, by: Scalar) -> None:
    """`x += by * a / b`."""
    by = plain(by)
    if isinstance(by, Tensor):
        x.add_(a / b * by)
    else:
        x.addcdiv_(a, b, value=by)


def average_(mean: Tensor, x: Tensor, weight: Scalar) -> None:
    """`mean += weight * (x - mean)`: an exponential average takes in one more value."""
    weight = plain(weight)
    if isinstance(weight, Tensor):
        mean.add_((x - mean) * weight.to(mean.device, mean.dtype))
    else:
        mean.lerp_(x, weight)


def with_l2(grad: Tensor, p: Tensor, weight_decay: Scalar) -> Tensor:
    """`grad + weight_decay * p`: the gradient of the loss plus `weight_decay / 2 * |p|**2`."""
    weight_decay = plain(weight_decay)
    if isinstance(weight_decay, Tensor):
        return grad + p.clone() * weight_decay  # a clone, since p itself is about to change
    return grad.add(p, alpha=weight_decay) if weight_decay != 0 else grad


def shrink_(p: Tensor, rate: Scalar) -> None:
    """`p *= 1 - rate`: weight decay that no statistic of the gradient sees (Loshchilov and Hutter, 2019)."""
    factor = plain(1 - rate)
    if isinstance(factor, Tensor):
        p.copy_(p.clone() * factor)
    else:
        p.mul_(factor)


def check(defaults: dict[str, Any]) -> None:
    """Refuse what no optimiser accepts.

    Raises:
        ValueError: a hyperparameter outside its range, or a learning rate of several values.
        RuntimeError: of `fused`, `foreach` and `differentiable` more than one is wanted.
    """
    lr = defaults["lr"]
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError(f"lr is a tensor of {lr.numel()} values, needed is one; give parameters their own rate by groups")
    for name in ("lr", "eps", "weight_decay", "momentum"):
        value = defaults.get(name, 0)
        if not isinstance(value, tuple) and not value >= 0:
            raise ValueError(f"{name} is {value}, needed is 0 or more")
    for i, beta in enumerate(defaults.get("betas", ())):
        if not 0 <= beta < 1:
            raise ValueError(f"betas[{i}] is {beta}, needed is at least 0 and less than 1")
    if defaults.get("fused"):
        for other in ("differentiable", "foreach"):
            if defaults.get(other):
                raise RuntimeError(f"fused=True and {other}=True exclude each other; leave one of them out")


def check_capturable(p: Tensor, state: State) -> None:
    """Refuse to prepare for the capture of a graph where there is none.

    Raises:
        AssertionError: a parameter, or the count of its steps, is not on an accelerator.
    """
    count = state["step"]
    if p.device.type in ("cpu", "mps") or p.device.type != count.device.type:
        raise AssertionError(
            f"capturable=True needs parameters and their counts on one accelerator that captures graphs; "
            f"a parameter is on {p.device}, its count on {count.device}. Leave capturable out"
        )
