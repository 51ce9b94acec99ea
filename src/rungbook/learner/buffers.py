"""What a model keeps besides its weights: running statistics, kept from a second look at a batch or taken anew."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rungbook.learner.loading import own_generators
from rungbook.learner.random_state import keep_random_state

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


def is_batch_norm(module: nn.Module) -> bool:
    """Whether it is torch's batch norm, or a twin of it."""
    return any("BatchNorm" in c.__name__ for c in type(module).__mro__)


@contextmanager
def same_buffers(model: nn.Module) -> Iterator[None]:
    """Whatever the model does inside, its buffers are afterwards what and where they were."""
    # by their place: a module may put a new tensor in place of the old one
    kept = [(m._buffers, name, b, b.clone()) for m in model.modules() for name, b in m._buffers.items() if b is not None]
    try:
        yield
    finally:
        for store, name, tensor, value in kept:
            if 0 not in tensor.stride():  # an expanded buffer is a constant, and cannot be written to
                tensor.copy_(value)
            store[name] = tensor


@torch.no_grad()
def update_statistics(learner: Learner) -> None:
    """Batch norm's mean and variance as the mean over one epoch of training batches, of the weights as they are now."""
    every: list[Any] = [m for m in learner.model.modules() if is_batch_norm(m)]
    norms = [m for m in every if m.training and m.running_mean is not None]  # one that was frozen stays as it is
    if not norms:
        return

    def batches() -> Generator[tuple[Any, Tensor], None, None]:
        yield from learner.train_feed.batches(learner.epochs_before + learner.plan.epochs - 1, 0, learner.device)

    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches instead of one that forgets
    try:
        with keep_random_state(*own_generators(learner.train_feed)), closing(batches()) as found:
            for x, _ in found:
                with learner._cast():
                    learner.forward(*x) if type(x) is tuple else learner.forward(x)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
