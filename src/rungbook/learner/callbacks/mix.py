"""Training on mixtures of samples: mixup and CutMix.

Zhang, Cisse, Dauphin and Lopez-Paz 2018, "mixup: beyond empirical risk minimization", section 2: sample and partner are averaged with a
share drawn from Beta(alpha, alpha), and so are their targets. Yun et al. 2019, "CutMix: regularization strategy to train strong
classifiers with localizable features", section 3.1: a box of the partner's pixels takes the place of the sample's own, and the targets
are shared by area. As in both papers' programs the share is drawn once a batch, and each sample's partner is another of its batch.

For cross-entropy the mean of two losses (the form of fast.ai's course) and the loss of mean targets are one number: it is linear in the
target. Here targets are mixed, so that whatever computes the loss of a batch again computes the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.errors import DataError, UsageError
from rungbook.learner.callback import Callback
from rungbook.learner.counting import ignored_index, is_cross_entropy, parts_of
from rungbook.learner.random_state import keyed_numbers

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner

ALPHA = {"mixup": 0.2, "cutmix": 1.0}
"""Of the papers' ImageNet trainings: Zhang 2018, section 3.1 (0.1 to 0.4 there), Yun 2019, section 4.1."""


class Mix(Callback):
    """Replaces each training batch by mixtures of its samples; valid and test are never mixed.

    Every draw is keyed by (learner's seed, epoch, batch). Training metrics of classes are counted against the class with the larger share.
    Among inputs of several tensors mixup averages those of numbers, and takes each whole number (a category) from the partner with the
    partner's share as probability; CutMix changes the first, which must be images, and leaves the others.

    Not supported: labels for each pixel or position, labels that the loss leaves out (-100), losses that take class numbers only
    (`nll_loss`). Class weights apply to the mixed targets, but torch takes the mean of those over the samples, not over their weights.

    Args:
        kind: "mixup", "cutmix", or "both": one of the two, drawn for each batch.
        alpha: of the Beta distribution of the share: near 0 hardly mixes, 1 draws every share alike; `ALPHA` if None.
        p: share of the batches that are mixed.

    Raises:
        UsageError: E202 no such kind, numbers out of range; while training: inputs, targets or a loss that cannot be mixed.
    """

    changes_training = True
    order = -10  # after what changes the images' size

    def __init__(self, kind: Literal["mixup", "cutmix", "both"] = "mixup", alpha: float | None = None, *, p: float = 1.0) -> None:
        if kind not in (*ALPHA, "both"):
            raise UsageError("E202", f'kind is "{kind}", it must be mixup, cutmix or both.', 'Mix("mixup")')
        if alpha is not None and not 0 < alpha < float("inf"):
            raise UsageError("E202", f"alpha is {alpha}, it must be above 0 and finite.", "alpha=0.2")
        if not 0 <= p <= 1:
            raise UsageError("E202", f"p is {p}, it must be from 0 to 1.", "p=1.0")
        self.kind, self.alpha, self.p = kind, alpha, p
        self._classes = 0

    def before_fit(self, learner: Learner) -> None:
        """Loss and data may be others than in the last fit."""
        self._classes = 0

    def before_batch(self, learner: Learner) -> None:
        """Mix the batch."""
        if not self._classes:
            self._classes = _classes(learner)
        draw = keyed_numbers("mix", learner.seed, learner.epochs_before + learner.epoch, learner.batch)
        kind = ("mixup", "cutmix")[int(draw.integers(2))] if self.kind == "both" else self.kind
        alpha = ALPHA[kind] if self.alpha is None else self.alpha
        share = self._share(draw, alpha)
        partner = torch.from_numpy(draw.permutation(len(learner.y))).to(learner.y.device)
        if draw.random() >= self.p:
            return
        if kind == "mixup":
            x = mixup(learner.x, partner, share, draw)
        else:
            x, share = cutmix(learner.x, partner, share, draw)
        if share < 1:  # else all is as it was, targets included
            learner.x, learner.y = x, self._targets(learner, partner, share)

    def _share(self, draw: np.random.Generator, alpha: float) -> float:
        """How much of a sample stays its own."""
        return float(draw.beta(alpha, alpha))

    def _targets(self, learner: Learner, partner: Tensor, share: float) -> Tensor:
        y = learner.y
        if not y.is_floating_point():
            y = F.one_hot(y.long(), self._classes).to(next(learner.model.parameters()).dtype)
        return y[partner].lerp_(y, share)


def mixup(x: Any, partner: Tensor, share: float, draw: np.random.Generator) -> Any:
    """`share * x + (1 - share) * x[partner]`, for a tensor or each of several.

    Args:
        x: inputs, (B, ...).
        partner: whom each sample is mixed with, int64 (B,).
        share: of the sample itself, from 0 to 1.
        draw: decides which whole numbers are the partner's.

    Raises:
        UsageError: E202 the inputs are whole numbers only.
    """
    parts = x if type(x) is tuple else (x,)
    if not any(t.is_floating_point() for t in parts):
        raise UsageError("E202", f"mixup averages numbers; the inputs are {parts[0].dtype}.", "Leave it out for texts.")
    mixed = []
    for t in parts:
        if t.is_floating_point():
            mixed.append(t.index_select(0, partner).lerp_(t, share))  # several times faster than t[partner]
        else:
            other = torch.from_numpy(draw.random(tuple(t.shape)) >= share).to(t.device)
            mixed.append(torch.where(other, t[partner], t))
    return tuple(mixed) if type(x) is tuple else mixed[0]


def cutmix(x: Any, partner: Tensor, share: float, draw: np.random.Generator) -> tuple[Any, float]:
    """Images with a box of the partner's pixels, and how much of each image is still its own.

    The box has sqrt(1 - share) of height and width, lies anywhere, and is cut off at the edges; the share given back is that of the
    pixels that stayed, exactly.

    Args:
        x: images (B, C, H, W), or a tuple that begins with them.
        partner: whom each sample is mixed with, int64 (B,).
        share: of the image's own area, as drawn.
        draw: decides where the box lies.

    Raises:
        UsageError: E202 the inputs are no images.
    """
    first = x[0] if type(x) is tuple else x
    if first.ndim != 4:
        found = "x".join(map(str, first.shape[1:])) or "one number"
        raise UsageError(
            "E202",
            f"CutMix cuts boxes out of images (channels x height x width); a sample here is {found}.",
            "mixup takes any numbers: mix=mixup",
        )
    H, W = first.shape[2:]
    (top, bottom), (left, right) = (_stretch(size, (1 - share) ** 0.5, draw) for size in (H, W))
    own = 1 - (bottom - top) * (right - left) / (H * W)
    mixed = first.clone()  # the batch may be a view of the stored samples
    mixed[:, :, top:bottom, left:right] = first[:, :, top:bottom, left:right].index_select(0, partner)
    return ((mixed, *x[1:]) if type(x) is tuple else mixed), own


def _stretch(size: int, part: float, draw: np.random.Generator) -> tuple[int, int]:
    """First place and end of a stretch of `part * size` around any place, inside."""
    long = int(size * part)
    start = int(draw.integers(size)) - long // 2
    return max(0, start), max(0, min(size, start + long))


def _classes(learner: Learner) -> int:
    """How many classes mixed targets have; 1 where targets are mixed as they are. Raises UsageError E202 for what cannot be mixed."""
    y, (kind, _) = learner.y, parts_of(learner.loss)
    if y.is_floating_point():
        return 1
    by_number = kind is F.nll_loss or (isinstance(kind, type) and issubclass(kind, nn.NLLLoss))
    if not is_cross_entropy(learner.loss) or by_number:
        name = getattr(kind, "__name__", type(kind).__name__)
        message = f"Mixed classes are probabilities, and the loss {name} is not known to take them."
        raise UsageError("E202", message, "loss=F.cross_entropy on logits; a loss that takes both says so by cross_entropy = True.")
    if y.ndim != 1:
        raise UsageError("E202", f"One label a sample can be mixed; here a sample has {tuple(y.shape[1:])}.", "Leave Mix out.")
    source = getattr(learner.train_feed, "source", None)
    everything = y if source is None else source.targets()
    if bool((everything.long() == ignored_index(learner.loss)).any()):
        raise DataError("E102", "Some labels are left out of the loss (-100), and cannot be mixed with others.", "Leave these samples out.")
    x = learner.x
    return learner.predict(tuple(t[:2] for t in x) if type(x) is tuple else x[:2]).shape[1]
