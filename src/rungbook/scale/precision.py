"""Training in float16: by hand, and through autocast (Micikevicius et al. 2018, "Mixed precision training").

float16 has 5 bits of exponent: what is below 6e-8 is 0, what is above 65,504 is infinite. Gradients are mostly small, so three things are
done (section 3): weights are kept in float32 and a half-precision copy of them computes (else small updates round to nothing); the loss is
multiplied by a scale before the way back, and the gradients divided by it afterwards; sums over many numbers, as batch norm's, are made in
float32. A scale that is too large shows as a gradient that is not finite: that step is left out, and the scale falls (section 3.2, and
`torch.amp.GradScaler`, whose scales and skipped steps ours are equal to).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rungbook.errors import NotFinite, UsageError
from rungbook.learner.buffers import is_batch_norm
from rungbook.learner.casting import Casting
from rungbook.learner.memory import Memory

GIVE_UP = 40
"""Steps left out in a row after which the scale is not to blame: halved so often, 65,536 is the smallest float16 number."""


class LossScale:
    """What the loss is multiplied by: constant, or as large as the gradients' range allows.

    It grows by `growth` after `interval` steps in a row without overflow, and falls by `backoff` at each with one. Everything is decided on
    the device; nothing waits.

    Args:
        initial: the first scale.
        growth, backoff: factors; 1 and 1 keep it constant.
        interval: steps.

    Raises:
        UsageError: E202, a factor on the wrong side of 1, or a scale or interval that is not above 0.
    """

    def __init__(self, initial: float = 2.0**16, *, growth: float = 2.0, backoff: float = 0.5, interval: int = 2000) -> None:
        if not (initial > 0 and growth >= 1 and 0 < backoff <= 1 and interval >= 1):
            found = f"initial={initial:g}, growth={growth:g}, backoff={backoff:g}, interval={interval}"
            raise UsageError("E202", f"{found}: a scale is above 0, grows by 1 or more and falls by 1 or less.", "LossScale(65536)")
        self.growth, self.backoff, self.interval = growth, backoff, interval
        self.value = torch.tensor(float(initial))
        self.good = torch.tensor(0)
        self.bad = torch.tensor(0)
        self.skipped = torch.tensor(0)

    def to(self, device: torch.device) -> LossScale:
        """Keep scale and counts on a device."""
        if self.value.device != device:
            self.load_state_dict({k: v.to(device) for k, v in self.state_dict().items()})
        return self

    def update(self, overflowed: Tensor) -> None:
        """Take note of a step: `good` and `bad` count those in a row, `skipped` all that were left out."""
        self.good = torch.where(overflowed, 0, self.good + 1)
        self.bad = torch.where(overflowed, self.bad + 1, 0)
        self.skipped = self.skipped + overflowed
        full = self.good == self.interval
        grown = self.value * self.growth
        self.value = torch.where(overflowed, self.value * self.backoff, torch.where(full & grown.isfinite(), grown, self.value))
        self.good = torch.where(full, 0, self.good)

    def state_dict(self) -> dict[str, Tensor]:
        """Scale and counts."""
        return {"value": self.value, "good": self.good, "bad": self.bad, "skipped": self.skipped}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what `state_dict` gave."""
        self.value, self.good, self.bad, self.skipped = (state[k] for k in ("value", "good", "bad", "skipped"))


def static_scale(value: float = 512.0) -> LossScale:
    """A constant scale; steps that overflow are left out all the same."""
    return LossScale(value, growth=1.0, backoff=1.0)


class Scaled(Casting):
    """Gradients by way of a scaled loss; the forward pass is the subclass's.

    Args:
        scale: by default dynamic, from 65,536.
    """

    def __init__(self, scale: LossScale | None = None) -> None:
        self.scale = LossScale() if scale is None else scale
        self._overflowed: Tensor | None = None

    def goes_with(self, memory: Memory, tape: Any) -> None:
        """Gradients are torch's autograd's."""
        if tape is not None:
            message = f"A tape takes gradients by itself, and precision {self.name} would scale the loss for torch's autograd."
            raise UsageError("E202", message, "precision=bf16, or no tape.")

    def sources(self, params: Sequence[Tensor]) -> Sequence[Tensor]:
        """The tensors that gradients are taken of, one for each parameter."""
        return params

    def differentiate(self, loss: Tensor, weight: float | Tensor, params: Sequence[Tensor]) -> None:
        """Add the gradients of `weight * loss` to those of the parameters, in float32, and note whether any is not finite.

        The loss is scaled by the loss scale alone: a batch's weight is no reason for it to overflow.
        """
        scale = self.scale.to(loss.device).value
        found = torch.autograd.grad(loss * scale, list(self.sources(params)), allow_unused=True)
        with_gradient = [p for p, g in zip(params, found, strict=True) if g is not None]
        # each its own memory, in the layout of its weight: autograd may give one tensor for two, or another order
        gradients = [torch.empty_like(p).copy_(g) for p, g in zip(params, found, strict=True) if g is not None]
        torch._foreach_mul_(gradients, weight / scale)
        overflowed = ~torch.stack([g.isfinite().all() for g in gradients]).all()
        self._overflowed = overflowed if self._overflowed is None else self._overflowed | overflowed
        for p, g in zip(with_gradient, gradients, strict=True):
            p.grad = g if p.grad is None else p.grad.add_(g)

    def end_step(self) -> Tensor | None:
        """Whether the step is to be left out; the scale learns of it."""
        overflowed, self._overflowed = self._overflowed, None
        assert overflowed is not None
        self.scale.update(overflowed)
        return overflowed

    def check(self) -> None:
        """Refuse to go on where no scale helps.

        Raises:
            NotFinite: E501, `GIVE_UP` steps in a row were left out: the gradients themselves are not finite.
        """
        if int(self.scale.bad) >= GIVE_UP:
            message = f"Gradients overflowed in {int(self.scale.bad)} steps in a row, also at a loss scale of {float(self.scale.value):g}."
            raise NotFinite("E501", message, "precision=bf16 or fp32, a smaller learning rate, or look for NaN in the inputs.")

    def state_dict(self) -> dict[str, Any]:
        """The scale's."""
        return self.scale.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self._overflowed = None
        if state:
            self.scale.load_state_dict({k: v.clone() for k, v in state.items()})


class Float16(Scaled):
    """Autocast to float16: torch decides operation by operation, weights stay float32. Made for GPUs; on a CPU it works slowly."""

    name = "fp16"

    def cast(self, device: torch.device) -> Any:
        """Autocast."""
        return torch.autocast(device.type, torch.float16)


class HalfByHand(Scaled):
    """The whole model in half precision but for batch norm, its weights copies of float32 masters.

    The model's own weights are the masters: the optimiser moves them, checkpoints hold them. For each forward pass those of all layers but
    batch norm are rounded to `dtype` and stand in the modules' places; gradients are taken of these copies and handed to the masters in
    float32. Inputs are rounded likewise; batch norm turns its input to float32 and its output back; the model's output is float32, so
    that the loss is.

    Args:
        scale: of the loss; by default dynamic, from 65,536. `static_scale(512)` is fastai's of 2019.
        dtype: torch.float16, or torch.bfloat16 (with `static_scale(1)`: it has float32's range).

    Raises:
        UsageError: E202, when the Learner is made: the model is compiled, or computes activations again on the way back.
    """

    name = "fp16_by_hand"

    def __init__(self, scale: LossScale | None = None, dtype: torch.dtype = torch.float16) -> None:
        super().__init__(scale)
        self.dtype = dtype
        self.copies: dict[Tensor, Tensor] = {}
        """Master -> the copy of the last forward pass."""

    def goes_with(self, memory: Memory, tape: Any) -> None:
        """The model is called when the copies are in place, and at no other time."""
        super().goes_with(memory, tape)
        if memory.compile or memory.activation_checkpointing:
            what = "compile" if memory.compile else "activation_checkpointing"
            message = f"{what} calls the model in its own time, when the half-precision copies are not in place."
            raise UsageError("E202", message, f"precision=fp16, or leave {what} out.")

    def forward(self, forward: Callable[..., Any], model: nn.Module) -> Callable[..., Any]:
        """`forward` with copies in the places of the weights."""

        def call(*inputs: Any) -> Any:
            with self._copied(model):
                return _as(torch.float32, forward(*(_as(self.dtype, x) for x in inputs)))

        return call

    @contextmanager
    def _copied(self, model: nn.Module) -> Iterator[None]:
        """Copies stand in the places of the weights, a tied one in all of its own; batch norm is among float32."""
        self.copies = {}
        places, handles = [], []
        for module in model.modules():
            if is_batch_norm(module):
                handles.append(module.register_forward_pre_hook(lambda _, args: _as(torch.float32, args)))
                handles.append(module.register_forward_hook(lambda _, args, output: _as(self.dtype, output)))
                continue
            for name, p in module._parameters.items():
                if p is not None and p.is_floating_point():
                    places.append((module._parameters, name, p))
                    if p not in self.copies:
                        self.copies[p] = p.detach().to(self.dtype).requires_grad_(p.requires_grad)
        for store, name, p in places:
            store[name] = self.copies[p]  # type: ignore[assignment]
        try:
            yield
        finally:
            for store, name, p in places:
                store[name] = p
            for handle in handles:
                handle.remove()

    def sources(self, params: Sequence[Tensor]) -> Sequence[Tensor]:
        """The copies; of batch norm the weights themselves."""
        return [self.copies.get(p, p) for p in params]


def _as(dtype: torch.dtype, value: Any) -> Any:
    """Floating tensors as `dtype`, whole numbers as they are."""
    if isinstance(value, tuple | list):
        return type(value)(_as(dtype, v) for v in value)
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


PRECISIONS: dict[str, Callable[[], Casting]] = {"fp16": Float16, "fp16_by_hand": HalfByHand}
"""Those that scale the loss, by name."""


def make_precision(name: str) -> str | Casting:
    """What the Learner is told for a recipe's `precision`: the name where that will do, else a new object."""
    return PRECISIONS[name]() if name in PRECISIONS else name
