"""Layer-sequential unit variance: Mishkin and Matas 2016, "All you need is a good init", algorithm 1.

Weights start orthonormal, then each layer in turn, in the order in which data reaches it, is scaled until its output on one batch has
variance 1. Here all happens in one forward pass: a layer is scaled as soon as its input is there, and what comes after it sees the new
output. What differs from the paper: the mean may be brought to 0 as well, by the bias (as fast.ai did in 2019, by the shift of its
activation); weights that are all zero on purpose and frozen ones stay as they are; and the tolerance is smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.hooks import Which, choose_layers
from rungbook.learner.random_state import keep_random_state


@dataclass(frozen=True)
class Scaled:
    """What became of one layer.

    Args:
        name: in the model.
        layer: its class.
        before: mean and standard deviation of its output when its input was already scaled, after an orthonormal start; nan if it was
            never called.
        after: the same in the end.
        note: why it was left as it was, or is not where it should be; "" where all is well.
    """

    name: str
    layer: str
    before: tuple[float, float] = (math.nan, math.nan)
    after: tuple[float, float] = (math.nan, math.nan)
    note: str = ""


@dataclass(frozen=True)
class LsuvReport:
    """What `lsuv` did, layer by layer in the order of the data."""

    rows: list[Scaled]

    @property
    def changed(self) -> list[str]:
        """Names of the layers whose weights were scaled to the target."""
        return [row.name for row in self.rows if not row.note]

    def __str__(self) -> str:
        width = max([5, *(len(f"{r.name}: {r.layer}") for r in self.rows)])
        lines = [f"{'layer':<{width}}  {'mean':>8} {'std':>8}  ->  {'mean':>8} {'std':>8}"]
        for r in self.rows:
            numbers = f"{r.before[0]:>8.3f} {r.before[1]:>8.3f}  ->  {r.after[0]:>8.3f} {r.after[1]:>8.3f}"
            lines.append(f"{f'{r.name}: {r.layer}':<{width}}  {numbers}" + (f"  {r.note}" if r.note else ""))
        return "\n".join(lines)


def lsuv(
    model: nn.Module,
    batch: Tensor | tuple[Tensor, ...],
    *,
    layers: Which = None,
    orthonormal: bool = True,
    mean: bool = False,
    tolerance: float = 0.02,
    tries: int = 10,
    seed: int = 0,
) -> LsuvReport:
    """Scale the weights of a model so that each layer's output has standard deviation 1 on a batch.

    Dropout is off meanwhile, batch norm uses the batch's own statistics. Only weights (and biases, for `mean`) change: buffers, modes,
    random numbers and hooks are afterwards what they were, and after an error the weights too. A layer called several times is scaled at
    its first call; of layers that share a weight, the first is scaled.

    Args:
        model: any; its linear and convolutional layers are scaled, the rest is reported.
        batch: inputs as the model takes them, several as a tuple; some dozens of samples do.
        layers: whose output is measured, see `choose_layers`; None: each layer with weights, before its activation. One with layers
            inside, as a block of convolution and ReLU, must hold one layer with weights, which is scaled.
        orthonormal: whether weights are drawn anew first, with orthonormal rows or columns (Saxe, McClelland and Ganguli 2014); those
            that are zero, frozen or computed by a parametrization are not.
        mean: whether the mean of the output is brought to 0 by the layer's bias, where it has one and that can be done.
        tolerance: largest distance of deviation from 1, and of mean from 0.
        tries: scalings of a layer at most; more than one is needed where a bias or an activation has its share in the output.
        seed: of the orthonormal draws.

    Raises:
        UsageError: E201 no such layers, E202 no or several layers with weights within one of them, a lazy layer, impossible settings.
    """
    if not tolerance > 0 or tries < 1:
        raise UsageError("E202", f"tolerance={tolerance:g}, tries={tries}: above 0, and 1 or more.", "lsuv(model, batch)")
    targets = _targets(model, layers)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    inputs = tuple(x.to(device) for x in (batch if isinstance(batch, tuple) else (batch,)))
    work = _Work(targets, tolerance, tries, mean)
    kept = [(p, p.detach().clone()) for p in model.parameters()]
    with keep_random_state(), torch.no_grad(), ExitStack() as stack:
        stack.callback(_put_back_buffers, [(m, dict(m._buffers), _values(m)) for m in model.modules()])
        stack.callback(_put_back_modes, [(m, m.training) for m in model.modules()])
        for module in model.modules():
            module.training = bool(getattr(module, "track_running_stats", False))
        try:
            if orthonormal:
                _make_orthonormal(targets, seed)
            for module in dict.fromkeys(t.measured for t in targets):
                stack.callback(module.register_forward_hook(work.scale, with_kwargs=True).remove)
            model(*inputs)
        except BaseException:
            for p, value in kept:
                p.copy_(value)
            raise
    seen = {row.name for row in work.rows}
    never = [Scaled(t.name, type(t.weighted).__name__, note="it was not called") for t in targets if t.name not in seen]
    return LsuvReport(work.rows + never + _others(model, targets))


@dataclass(frozen=True)
class _Target:
    """A layer to be measured, and the one with weights that is to be scaled for it."""

    name: str
    measured: nn.Module
    weighted: Any


def _maps(module: nn.Module) -> bool:
    """Whether it is a linear map of its input (linear, bilinear, a convolution), torch's, ours or somebody's own."""
    sizes = any(isinstance(getattr(module, a, None), int) for a in ("in_features", "in1_features", "in_channels"))
    return sizes and any(p.dim() > 1 for p in _behind_weight(module))


def _targets(model: nn.Module, layers: Which) -> list[_Target]:
    lazy = [name for name, p in model.named_parameters() if nn.parameter.is_lazy(p)]
    if lazy:
        raise UsageError("E202", f"{lazy[0]} has no shape yet.", "Pass one batch through the model first.")
    if layers is None:
        return [_Target(name or type(model).__name__, m, m) for name, m in model.named_modules() if _maps(m)]
    found = []
    for name, module in choose_layers(model, layers).items():
        inside = [m for m in module.modules() if _maps(m)]
        if len(inside) != 1:
            message = f'Layer "{name}" ({type(module).__name__}) holds {len(inside)} layers with weights; one is needed, to be scaled.'
            raise UsageError("E202", message, "Name smaller parts, or leave out layers=.")
        found.append(_Target(name, module, inside[0]))
    return found


class _Work:
    """The hook that scales: what it was told, what it has done."""

    def __init__(self, targets: list[_Target], tolerance: float, tries: int, mean: bool) -> None:
        self.targets, self.tolerance, self.tries, self.mean = {t.measured: t for t in targets}, tolerance, tries, mean
        self.rows: list[Scaled] = []
        self.called: set[nn.Module] = set()
        self.owner: dict[int, str] = {}  # id of a weight -> name of the first layer that has it

    def scale(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """Scale a layer at its first call; its new output takes the old one's place."""
        if module in self.called:
            return None
        self.called.add(module)
        target = self.targets[module]
        kind = type(target.weighted).__name__
        note = self._reason_to_leave(target, output)
        before = _statistics(output)
        if not note and not math.isfinite(before[0] + before[1]):
            note = "its output is not finite"
        if not note and before[1] == 0:
            note = "its output does not vary"
        if note:
            self.rows.append(Scaled(target.name, kind, before, before, note))
            return None
        shifts = self.mean and getattr(target.weighted, "bias", None) is not None
        output, after = self._fit(target, output, before, lambda: module.forward(*args, **kwargs), shifts)
        self.rows.append(Scaled(target.name, kind, before, after, self._off(target, after)))
        return output

    def _reason_to_leave(self, target: _Target, output: Any) -> str:
        weight = _behind_weight(target.weighted)[0]
        first = self.owner.setdefault(id(weight), target.name)
        if first != target.name:
            return f"it shares its weight with {first}"
        if not weight.requires_grad:
            return "it is frozen"
        if not isinstance(output, Tensor) or output.numel() < 2:
            return "its output is not a tensor of several numbers"
        return ""

    def _fit(
        self, target: _Target, first: Any, before: tuple[float, float], again: Callable[[], Any], shifts: bool
    ) -> tuple[Any, tuple[float, float]]:
        """The output and its mean and deviation in the end; as if nothing had been tried where that is no better."""
        layer = target.weighted
        start = [(p, p.detach().clone()) for p in layer.parameters()]
        output, found = first, before
        for _ in range(self.tries):
            if abs(found[1] - 1) > self.tolerance:
                _assign(layer, "weight", layer.weight / found[1])
                output = again()
                found = _statistics(output)
            if shifts and abs(found[0]) > self.tolerance:
                _assign(layer, "bias", layer.bias - found[0])
                output = again()
                found = _statistics(output)
            if not self._off(target, found):
                return output, found
        if not shifts and math.isfinite(found[1]) and abs(found[1] - 1) < 0.9 * abs(before[1] - 1):  # and not by rounding alone
            return output, found
        for p, value in start:
            p.copy_(value)
        if not shifts:
            return first, before
        # a mean that cannot be 0, as behind a ReLU, would be chased until nothing gets through: only the deviation is set
        return self._fit(target, first, before, again, False)

    def _off(self, target: _Target, found: tuple[float, float]) -> str:
        if not abs(found[1] - 1) <= self.tolerance:
            return f"deviation {found[1]:.3g} after {self.tries} tries"
        if self.mean and getattr(target.weighted, "bias", None) is None and abs(found[0]) > self.tolerance:
            return ""  # without a bias there is nothing to move the mean by
        if self.mean and not abs(found[0]) <= self.tolerance:
            return f"mean {found[0]:.3g} after {self.tries} tries"
        return ""


def _statistics(output: Any) -> tuple[float, float]:
    """Mean and standard deviation of all numbers of an output."""
    if not isinstance(output, Tensor) or output.numel() < 2 or not output.is_floating_point():
        return math.nan, math.nan
    std, mean = torch.std_mean(output.double() if output.device.type == "cpu" else output.float())
    return mean.item(), std.item()


def _behind_weight(layer: Any) -> list[nn.Parameter]:
    """What is trained for a layer's weight: itself, or what a parametrization computes it from (reading it may change that one's state)."""
    own = layer._parameters.get("weight")
    if own is not None:
        return [own]
    computed = getattr(layer, "parametrizations", {})
    return list(computed["weight"].parameters()) if "weight" in computed else []


def _assign(layer: Any, name: str, value: Any) -> None:
    """Give a weight other numbers, in place; a parametrized one through its way back."""
    own = layer._parameters.get(name)
    if own is None:
        setattr(layer, name, value)
    else:
        own.copy_(value)


def _make_orthonormal(targets: list[_Target], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)  # drawn on the CPU, so that the start is the same on every device
    done: set[int] = set()
    for target in targets:
        weight = target.weighted._parameters.get("weight")  # none if computed: spectral norm knows the old one's largest singular value
        if weight is None or id(weight) in done or not weight.requires_grad or not weight.any():
            continue
        done.add(id(weight))
        weight.copy_(nn.init.orthogonal_(torch.empty(weight.shape), generator=generator))


def _values(module: nn.Module) -> list[tuple[Tensor, Tensor]]:
    return [(b, b.clone()) for b in module._buffers.values() if b is not None]


def _put_back_buffers(kept: list[tuple[nn.Module, dict[str, Any], list[tuple[Tensor, Tensor]]]]) -> None:
    for module, buffers, values in kept:
        module._buffers.update(buffers)
        for buffer, value in values:
            if 0 not in buffer.stride():  # an expanded buffer is a constant, and cannot be written to
                buffer.copy_(value)


def _put_back_modes(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, mode in modes:
        module.training = mode


def _others(model: nn.Module, targets: list[_Target]) -> list[Scaled]:
    """Layers with matrices that are no single linear map, as LSTM, attention and embeddings: nothing was done to them."""
    meant = {t.weighted for t in targets}
    found = []
    for name, module in model.named_modules():
        matrices = any(p is not None and p.dim() > 1 for p in module._parameters.values())
        if matrices and module not in meant and not _maps(module) and "parametrizations" not in name:
            found.append(Scaled(name or type(model).__name__, type(module).__name__, note="it is not one linear map"))
    return found
