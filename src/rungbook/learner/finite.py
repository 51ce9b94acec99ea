"""No update is ever made from a number that is not finite.

The decision is taken on the device: one kernel looks through the gradients and the loss and sets a flag that fused optimisers read
(`found_inf`, made for gradient scaling). The flag stays set, so nothing moves after the first bad step; the host learns of it at the
next report, where the weights themselves are looked through too: an update can overflow, and a dead unit hides what became of its
weights. Weights of the last report are kept, for the case that a weight itself went bad.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rungbook.learner.optimizing import bare_step


@dataclass(frozen=True)
class Bad:
    """What was not finite: a loss or gradient `ago` steps before the newest one, or (None) only a weight, since the last report."""

    ago: int | None


class FiniteGuard:
    """Watches one fit.

    Args:
        model: whose parameters and buffers are kept safe.
        optimizer: asked to skip its step when the flag is set.
        device: where the flag lives.
        window: steps between two reports at most; the flag of each is remembered, to name the first bad one.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device, window: int) -> None:
        self.optimizer = optimizer
        self.on_device = bool(getattr(optimizer, "_step_supports_amp_scaling", False))
        self.found = torch.zeros((), device=device)
        self._one = torch.ones((), device=device)
        self.window = window
        log = torch.zeros(window, device=device)
        self._log, self._slots, self._used = log, list(log.unbind()), 0
        self._model = model
        self._move = bare_step(optimizer)
        if self.on_device:
            optimizer.found_inf = self.found  # type: ignore[attr-defined]
            optimizer.grad_scale = None  # type: ignore[attr-defined]

    def watch(self) -> None:
        """Take the weights and buffers as they are now for the first good ones; one that begins infinite (a mask) may stay so."""
        weights = [p.detach() for p in self._model.parameters() if _can_go_bad(p)]
        tensors = weights + [b.detach() for b in self._model.buffers() if _can_go_bad(b)]
        fine = torch.stack([t.isfinite().all() for t in tensors]).tolist() if tensors else []
        self._state = [t for t, good in zip(tensors, fine, strict=True) if good]
        self._weights = sum(fine[: len(weights)])
        self._kept = [t.clone() for t in self._state]
        self._fresh = not self.optimizer.state  # no step was ever made

    def look(self, tensors: list[Tensor]) -> None:
        """Set the flag if any of the tensors (gradients and losses of one step) holds a NaN or infinity."""
        _look(tensors, self.found, self._one)
        self._slots[self._used].copy_(self.found)
        self._used += 1

    def step(self, overflowed: Tensor | None = None) -> None:
        """Move the weights unless the flag is set. Optimisers that cannot read it cost a wait for the device.

        Args:
            overflowed: a flag that keeps this one step from being made, and is no error.
        """
        flag = self.found if overflowed is None else torch.maximum(self.found, overflowed.to(self.found.dtype))
        if not self.on_device:
            if not flag.item():
                self._move()
            return
        self.optimizer.found_inf = flag  # type: ignore[attr-defined]
        self._move()
        self.optimizer.found_inf = self.found  # type: ignore[attr-defined]

    def first_bad(self) -> Bad | None:
        """Where the first bad number was since the last report; None if all was finite."""
        used, self._used = self._used, 0
        weights = torch.zeros_like(self.found)
        _look(self._state, weights, self._one)
        in_step, in_weights = torch.stack([self.found, weights]).tolist()
        first = int(self._log[:used].nonzero()[0]) if in_step else None
        self._fresh = self._fresh and first == 0
        if first is not None:
            return Bad(used - 1 - first)
        return Bad(None) if in_weights else None

    def keep(self) -> None:
        """Remember weights and buffers as the last good ones."""
        torch._foreach_copy_(self._kept, self._state)

    def restore(self) -> str:
        """Make all finite again: gives "weights" if everything was put back to the last report, "buffers" if only those, else ""."""
        good = torch.stack([t.isfinite().all() for t in self._state]).tolist() if self._state else []
        if self._fresh:
            self.optimizer.state.clear()  # torch's fused SGD made room for its momentum and then did not fill it
        if all(good):
            return ""
        first = 0 if not all(good[: self._weights]) else self._weights
        torch._foreach_copy_(self._state[first:], self._kept[first:])
        return "buffers" if first else "weights"

    def release(self) -> None:
        """Let go of the optimiser."""
        if self.on_device and hasattr(self.optimizer, "found_inf"):
            del self.optimizer.found_inf, self.optimizer.grad_scale  # type: ignore[attr-defined]


def _can_go_bad(t: Tensor) -> bool:
    """Numbers that may be infinite, in memory of their own (an expanded buffer is a constant)."""
    return (t.is_floating_point() or t.is_complex()) and 0 not in t.stride()


def _look(tensors: Sequence[Tensor], found: Tensor, one: Tensor) -> None:
    """Set `found` if any tensor holds a NaN or infinity; nothing is waited for."""
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for t in tensors:
        by_type.setdefault(t.dtype, []).append(t)
    for group in by_type.values():
        # multiplies by one besides: the bits stay
        try:
            torch._amp_foreach_non_finite_check_and_unscale_(group, found, one)
        except NotImplementedError:  # sparse gradients, complex numbers
            torch._amp_foreach_non_finite_check_and_unscale_([_plain(t) for t in group], found, one)


def _plain(t: Tensor) -> Tensor:
    """The numbers of a tensor as a dense real one that shares its memory."""
    t = t._values() if t.is_sparse else t
    return torch.view_as_real(t) if t.is_complex() else t
