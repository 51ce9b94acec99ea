"""The schedulers of `torch.optim.lr_scheduler`: same names, arguments, rates and `state_dict`, and they drive torch's optimisers too.

Where a schedule is a plain function of the step, `rungbook.scratch.optim.schedules` has it as one.
"""

from rungbook.scratch.optim.lr_scheduler.base import LRScheduler
from rungbook.scratch.optim.lr_scheduler.chainable import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from rungbook.scratch.optim.lr_scheduler.combine import ChainedScheduler, SequentialLR
from rungbook.scratch.optim.lr_scheduler.cyclic import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from rungbook.scratch.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
