"""Over how many targets the mean loss of a batch was taken: what gathered gradients and epoch means are weighted by.

Torch's mean cross-entropy divides by the targets that are not ignored, or by the sum of their class weights. Weighting batches by their
number of rows instead is the error of many loops (huggingface/transformers#34191): uneven batches then pull too hard or too little.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.learner.metrics import IGNORED

Count = Callable[[Tensor], "float | Tensor"]


def carried_out(loss: Any) -> Any:
    """The loss itself, or the one it carries out in another way, which it then names as `stands_for`."""
    return carried_out(loss.stands_for) if hasattr(loss, "stands_for") else loss


def parts_of(loss: Any) -> tuple[Any, dict[str, Any]]:
    """The function or class behind a loss, and what it was set to: of `partial(F.cross_entropy, weight=w)` or a module of torch.

    Of one by hand it is torch's that it is the twin of.
    """
    loss = carried_out(loss)
    if isinstance(loss, partial):
        return _torchs(loss.func), loss.keywords
    if isinstance(loss, nn.Module):
        names = ("weight", "ignore_index", "reduction")
        return _torchs(type(loss)), {n: getattr(loss, n) for n in names if getattr(loss, n, None) is not None}
    return _torchs(loss), {}


def _torchs(kind: Any) -> Any:
    by_hand = str(getattr(kind, "__module__", "")).startswith("rungbook.scratch.")
    return getattr(nn if isinstance(kind, type) else F, kind.__name__, kind) if by_hand else kind


def is_cross_entropy(loss: Any) -> bool:
    """Whether the loss takes class numbers: torch's cross-entropy, negative log-likelihood, or one that says `cross_entropy = True`."""
    loss = carried_out(loss)
    kind, _ = parts_of(loss)
    if isinstance(kind, type):
        return issubclass(kind, nn.CrossEntropyLoss | nn.NLLLoss) or bool(getattr(kind, "cross_entropy", False))
    return kind in (F.cross_entropy, F.nll_loss) or bool(getattr(loss, "cross_entropy", False))


def ignored_index(loss: Any) -> int:
    """The class number the loss leaves out."""
    index = parts_of(loss)[1].get("ignore_index")
    return IGNORED if index is None else int(index)


def target_counter(loss: Any, *, all_count: bool = False) -> Count:
    """The function that says over how many targets of a batch `loss` took its mean.

    Args:
        loss: its own `count(target)` is used where it has one.
        all_count: no target is ignored, so that nothing has to be looked up on the device each step.
    """
    loss = carried_out(loss)
    if hasattr(loss, "count"):
        return loss.count
    ignore = ignored_index(loss)
    weight = parts_of(loss)[1].get("weight") if is_cross_entropy(loss) else None

    rows = is_cross_entropy(loss)

    def count(target: Tensor) -> float | Tensor:
        if rows and target.is_floating_point() and target.ndim > 1:  # a probability for each class in dimension 1
            return target.numel() // max(1, target.shape[1])
        if target.is_floating_point() or (all_count and weight is None):
            return target.numel()
        target = target.long()  # in 8 bits -100 would be 156
        kept = target != ignore
        return kept.sum() if weight is None else (weight[target.where(kept, 0)] * kept).sum()

    return count
