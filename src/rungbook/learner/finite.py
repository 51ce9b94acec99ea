"""No update is ever made from a number that is not finite.

The decision is taken on the device: one kernel looks through the gradients and the loss and sets a flag that fused optimisers read
(`found_inf`, made for gradient scaling). The flag stays set, so nothing moves after the first bad step; the host learns of it at the
next report. Weights of the last report are kept, for the case that a weight itself went bad.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
        log = torch.zeros(window, device=device)
        self._log, self._slots, self._used = log, list(log.unbind()), 0
        self._state = [t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()]
        self._kept = [t.detach().clone() for t in self._state]
        if self.on_device:
            optimizer.found_inf = self.found  # type: ignore[attr-defined]
            optimizer.grad_scale = None  # type: ignore[attr-defined]

    def look(self, tensors: list[Tensor]) -> None:
        """Set the flag if any of the tensors (gradients and losses of one step) holds a NaN or infinity."""
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for t in tensors:
            by_type.setdefault(t.dtype, []).append(t)
        for group in by_type.values():
            # multiplies by one besides: the bits stay
            torch._amp_foreach_non_finite_check_and_unscale_(group, self.found, self._one)
        self._slots[self._used].copy_(self.found)
        self._used += 1

    def step(self) -> None:
        """Move the weights unless the flag is set. Optimisers that cannot read it cost a wait for the device."""
        if self.on_device or not self.found.item():
            self.optimizer.step()

    def first_bad(self) -> int | None:
        """How many steps before the newest one (0: the newest itself) the first bad step was; None if all was finite."""
        used, self._used = self._used, 0
        if not self.found.item():
            return None
        first = int(self._log[:used].nonzero()[0])
        return used - 1 - first

    def keep(self) -> None:
        """Remember weights and buffers as the last good ones."""
        torch._foreach_copy_(self._kept, [t.detach() for t in self._state])

    def restore(self) -> list[int]:
        """Put back what is not finite from the last good copy; gives the positions put back."""
        back = [i for i, t in enumerate(self._state) if not bool(t.isfinite().all())]
        with torch.no_grad():
            for i in back:
                self._state[i].copy_(self._kept[i])
        return back

    def release(self) -> None:
        """Let go of the optimiser."""
        if self.on_device and hasattr(self.optimizer, "found_inf"):
            del self.optimizer.found_inf, self.optimizer.grad_scale  # type: ignore[attr-defined]
