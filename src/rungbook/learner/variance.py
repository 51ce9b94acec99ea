"""How the scale of numbers changes on its way through a network: what an initialisation is judged by.

Glorot and Bengio 2010 ("Understanding the difficulty of training deep feedforward neural networks", section 4.2) ask that neither the
variance of the outputs nor that of the gradients changes from layer to layer; He, Zhang, Ren and Sun 2015 ("Delving deep into rectifiers",
section 2.2) count in that a ReLU halves the second moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rungbook.learner.hooks import Hooks, Which, choose_layers
from rungbook.learner.random_state import keep_random_state


@dataclass(frozen=True)
class Scale:
    """Size of the numbers at one place.

    Args:
        name: of the layer; the number of the step for `propagate`.
        mean, std: of all its outputs; nan or infinite where an output is.
        gradient: standard deviation of the loss's gradient by these outputs; None where none was asked for or none came.
    """

    name: str
    mean: float
    std: float
    gradient: float | None = None

    @property
    def finite(self) -> bool:
        """Whether all outputs are, and their deviation too."""
        return math.isfinite(self.mean) and math.isfinite(self.std)


def scale_of(x: Tensor, name: str = "") -> Scale:
    """Mean and standard deviation of a tensor, taken in float64 so that they do not overflow before the numbers do."""
    std, mean = torch.std_mean(x.detach().double(), correction=0)
    return Scale(name, mean.item(), std.item())


def propagate(x: Tensor, steps: Iterable[Callable[[Tensor], Tensor]], *, stop: bool = True) -> list[Scale]:
    """Send numbers through one step after another and measure them after each.

    Args:
        x: what goes in.
        steps: functions or layers, made one by one where they come from a generator.
        stop: whether to end with the first step after which a number is not finite.

    Returns:
        The scale after each step, named "1", "2", ...
    """
    found: list[Scale] = []
    with torch.no_grad():
        for i, step in enumerate(steps, 1):
            x = step(x)
            found.append(scale_of(x, str(i)))
            if stop and not found[-1].finite:
                break
    return found


def random_matrices(
    width: int,
    depth: int,
    init: Callable[[Tensor], Any],
    *,
    activation: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[Callable[[Tensor], Tensor]]:
    """The steps of a plain deep network for `propagate`: `depth` times (N, width) -> (N, width), each with a matrix of its own.

    Args:
        width: numbers a row.
        depth: how many matrices.
        init: fills a (width, width) weight in place, as the functions of `torch.nn.init`; it is applied as `x @ weight.T`.
        activation: follows each.
    """
    for _ in range(depth):
        weight = torch.empty(width, width)
        init(weight)
        yield partial(_through, weight=weight, activation=activation)


def _through(x: Tensor, weight: Tensor, activation: Callable[[Tensor], Tensor] | None) -> Tensor:
    x = x @ weight.T
    return x if activation is None else activation(x)


def survives(scales: list[Scale]) -> int:
    """How many steps the numbers went before one was not finite or all of them were 0."""
    return next((i for i, s in enumerate(scales) if not s.finite or (s.std == 0 and s.mean == 0)), len(scales))


def layer_scales(
    model: nn.Module, batch: Tensor | tuple[Tensor, ...], loss: Callable[[Tensor], Tensor] | None = None, *, layers: Which = None
) -> list[Scale]:
    """The scale of each layer's outputs for one batch, in the order of the data, and with a loss that of the gradients by them.

    The model runs in the mode it is in; weights, buffers, gradients and random numbers are afterwards what they were.

    Args:
        model: any.
        batch: inputs as the model takes them, several as a tuple.
        loss: output -> scalar, to be differentiated; None: no gradients.
        layers: see `rungbook.learner.hooks.choose_layers`.

    Raises:
        UsageError: E201 no such layers.
    """
    chosen = choose_layers(model, layers)
    names = {module: name for name, module in chosen.items()}
    kept = [(b, b.clone()) for b in model.buffers()]
    rows: list[tuple[Scale, list[Tensor]]] = []

    def look(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point():
            rows.append((scale_of(output, names[module]), []))
            if output.requires_grad:  # asked for now: the next layer may write into this output
                output.register_hook(rows[-1][1].append)

    with keep_random_state(), torch.set_grad_enabled(loss is not None), Hooks(chosen, look):
        try:
            output = model(*batch) if isinstance(batch, tuple) else model(batch)
            if loss is not None:
                weights = [p for p in model.parameters() if p.requires_grad]
                torch.autograd.grad(loss(output), weights, allow_unused=True)
        finally:
            with torch.no_grad():
                for buffer, value in kept:
                    if 0 not in buffer.stride():  # an expanded buffer is a constant, and cannot be written to
                        buffer.copy_(value)
    return [replace(row, gradient=scale_of(gradient[0]).std) if gradient else row for row, gradient in rows]
