"""What all losses of `torch.nn` have in common, and the losses for numbers and for sequences; the mathematics is in `functional`."""

from __future__ import annotations

from torch import Tensor
from torch.nn import Module

from rungbook.scratch import functional as F
from rungbook.scratch.functional.ctc import Lengths
from rungbook.scratch.functional.loss_common import reduction_named


class Loss(Module):
    """A loss that has single losses reduced to one number.

    Args:
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none"; a name that is none of them is found in forward, as torch does.
    """

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__()
        deprecated = size_average is not None or reduce is not None
        self.reduction = reduction_named(reduction, size_average, reduce) if deprecated else reduction


class WeightedLoss(Loss):
    """A loss with a weight for each class, or each entry, as a buffer.

    Args:
        weight: the weights.
        size_average, reduce, reduction: as `Loss`.
    """

    weight: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class MSELoss(Loss):
    """`(input - target)^2`; arguments as `Loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(Loss):
    """`|input - target|`; arguments as `Loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(Loss):
    """A parabola up to beta, a line of slope 1 beyond.

    Args:
        size_average, reduce, reduction: as `Loss`.
        beta: where the parabola ends.
    """

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(Loss):
    """A parabola up to delta, a line of slope delta beyond.

    Args:
        reduction: as `Loss`.
        delta: where the parabola ends.

    Raises:
        TypeError: delta is no real number.
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        if not isinstance(delta, (float, int)):
            raise TypeError(f"HuberLoss: delta is {delta!r}, a float or int is needed")
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class PoissonNLLLoss(Loss):
    """Negative log-likelihood of counts.

    Args:
        log_input: the input is the logarithm of the rate.
        full: add Stirling's approximation of `log(target!)`.
        size_average, reduce, reduction: as `Loss`.
        eps: added to a rate before its logarithm is taken.
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        return F.poisson_nll_loss(log_input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction)


class GaussianNLLLoss(Loss):
    """Negative log-likelihood of numbers with a predicted mean and variance.

    Args:
        full: add the constant `log(2 pi) / 2`.
        eps: smallest variance.
        reduction: as `Loss`.
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class CTCLoss(Loss):
    """Negative log-likelihood of a text under unaligned frames.

    Args:
        blank: which label is the blank.
        reduction: as `Loss`; the mean is of losses over their number of labels.
        zero_infinity: infinite losses count as 0.
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(self, log_probs: Tensor, targets: Tensor, input_lengths: Lengths, target_lengths: Lengths) -> Tensor:
        return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity)
