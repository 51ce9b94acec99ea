"""What all losses share: how single losses become one number, and what their arguments may be."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter

from rungbook.scratch.functional.notice import warn


def reduction_named(reduction: str, size_average: bool | None = None, reduce: bool | None = None, old_name: bool = True) -> str:
    """Which of "mean", "sum" and "none" is meant, by its name or by the two flags that said it before 2018.

    Args:
        reduction: the name.
        size_average, reduce: deprecated; if either is given they decide: a mean unless size_average is false, nothing summed if reduce is.
        old_name: whether "elementwise_mean", the mean's first name, is still taken.

    Raises:
        ValueError: there is no such reduction.
    """
    if size_average is not None or reduce is not None:
        reduction = "mean" if size_average in (None, True) else "sum"
        reduction = reduction if reduce in (None, True) else "none"
        warn(f"size_average and reduce are deprecated; say reduction={reduction!r}", stacklevel=3)
    elif reduction == "elementwise_mean" and old_name:
        reduction = "mean"
        warn("reduction='elementwise_mean' is deprecated; say reduction='mean'", stacklevel=3)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is {reduction!r}, one of 'mean', 'sum' and 'none' is needed")
    return reduction


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The mean of all single losses, their sum, or they themselves."""
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def wide(*tensors: Tensor) -> Iterable[Tensor]:
    """Under autocast, half precision as float32: differences and sums of many terms lose too much in 8 or 11 bits."""
    for x in tensors:
        half = x.dtype in (torch.bfloat16, torch.float16)
        yield x.float() if half and torch.is_autocast_enabled(x.device.type) else x


def check_broadcast(name: str, **tensors: Tensor) -> None:
    """Raise unless the shapes of some arguments broadcast."""
    try:
        torch.broadcast_shapes(*(x.shape for x in tensors.values()))
    except RuntimeError:
        shapes = ", ".join(f"{key} {tuple(x.shape)}" for key, x in tensors.items())
        raise RuntimeError(f"{name}: {shapes} do not broadcast; equal shapes are needed, or sizes of 1") from None


def warn_of_broadcast(name: str, input: Tensor, target: Tensor) -> None:
    """Raise if input and target do not broadcast, warn if they do and differ: (N, 1) against (N) is N x N differences, and hardly meant."""
    if input.shape != target.shape:
        check_broadcast(name, input=input, target=target)
        warn(
            f"{name}: target {tuple(target.shape)} is broadcast against input {tuple(input.shape)}, hardly on purpose; give equal shapes",
            stacklevel=3,
        )


def values_known(x: Tensor) -> bool:
    """Whether numbers may be looked at: not where a graph is being traced or vectorised, nor where looking would make a GPU wait."""
    return (
        x.device.type == "cpu"
        and type(x) in (Tensor, Parameter)
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()  # torch.func and make_fx have no public way to ask
        and torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is None
    )


def check_classes(name: str, target: Tensor, wrong: Tensor, allowed: str, error: type[Exception] = IndexError) -> None:
    """Raise if a class number is none, and say which and where.

    Args:
        target: class numbers.
        wrong: where they are none, of the same shape.
        allowed: the range they should be in, in words.
        error: what is raised.
    """
    if values_known(target) and bool(wrong.any()):
        place = wrong.nonzero()[0].tolist()
        row = f" at row {', '.join(map(str, place))}" if place else ""
        raise error(f"{name}: target {int(target[tuple(place)])}{row} is out of range, {allowed}")
