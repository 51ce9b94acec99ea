"""ReLU whose outputs keep a mean near 0: fast.ai's "Deep learning from the foundations", notebook 06 (2019)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import Module

from rungbook.scratch import functional as F


class GeneralReLU(Module):
    """`min(max(x, leak * x) - sub, maxv)`: a leaky ReLU, shifted down and cut off above.

    A plain ReLU of a standard normal input has mean 0.40 and never falls below 0; `sub=0.4` takes that mean away.

    Args:
        leak: slope below 0; None: 0.
        sub: what is taken off the output; None: nothing.
        maxv: largest output; None: without limit.
    """

    def __init__(self, leak: float | None = None, sub: float | None = None, maxv: float | None = None) -> None:
        super().__init__()
        self.leak, self.sub, self.maxv = leak, sub, maxv

    def forward(self, input: Tensor) -> Tensor:
        x = F.relu(input) if self.leak is None else F.leaky_relu(input, self.leak)
        if self.sub is not None:
            x = x - self.sub
        return x if self.maxv is None else x.clamp(max=self.maxv)

    def extra_repr(self) -> str:
        return f"leak={self.leak}, sub={self.sub}, maxv={self.maxv}"
