"""Connectionist temporal classification: the likelihood of a text under frames of sound or ink, of which nobody says where a letter is.

Graves, Fernandez, Gomez and Schmidhuber (2006). Each frame has a probability for each label and for a blank. A path names one of them per
frame; merging repeats and dropping blanks turns it into a text. The likelihood of a text is the sum over all paths that give it, and the
forward recursion (section 4.1) sums them in time T * S. It runs on logarithms, where the paper rescales.

Shapes: T frames, N sequences, C labels with the blank, S the most labels of a target, P = 2 S + 1 its places with blanks around each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rungbook.scratch.functional.loss_common import check_classes, reduced, reduction_named, wide
from rungbook.scratch.functional.number_types import need_fractions

Lengths = Tensor | Sequence[int] | int


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """`-log(sum over paths of product over t of p[t, path[t]])`, over paths that give the target.

    The slope is torch's, which takes `log_probs` for a log-softmax and returns what its logits get: there is a term `exp(log_probs)` in it
    that the loss has not. Where the chain of derivatives goes on through a log-softmax, as it should, that term makes no difference.

    Args:
        log_probs: log-probabilities of labels, (T, N, C) or (T, C).
        targets: labels, padded, (N, S), or all in a row, (sum of target_lengths). None of them is the blank.
        input_lengths: frames of each sequence, N numbers up to T.
        target_lengths: labels of each, N numbers.
        blank: which of the C is the blank.
        reduction: "none", "sum", or "mean", the mean of losses over their number of labels (at least 1).
        zero_infinity: an infinite loss (a target that needs more frames than there are) counts as 0 and has no slope.

    Raises:
        NotImplementedError: log_probs has whole numbers.
        IndexError: a label is negative or not below C.
        ValueError: there is no such reduction.
        RuntimeError: shapes, types or lengths do not fit.
    """
    reduction = reduction_named(reduction)
    need_fractions("ctc_loss", log_probs, argument="log_probs")
    (log_probs,) = wide(log_probs)
    if log_probs.dim() not in (2, 3) or log_probs.numel() == 0:
        raise RuntimeError(f"ctc_loss: log_probs {tuple(log_probs.shape)} needs the shape (T, N, C) or (T, C), and not to be empty")
    p = log_probs if log_probs.dim() == 3 else log_probs.unsqueeze(1)  # (T, N, C)
    T, N, C = p.shape
    if not 0 <= blank < C:
        raise RuntimeError(f"ctc_loss: blank is {blank}, one of {C} labels, 0 to {C - 1}, is needed")
    frames, labels = _lengths("input_lengths", input_lengths, N), _lengths("target_lengths", target_lengths, N)
    if max(frames) > T:
        raise RuntimeError(f"ctc_loss: input_lengths has {max(frames)}, log_probs {tuple(log_probs.shape)} has {T} frames")
    y = _padded(targets, labels)  # (N, S)
    t, s = (torch.tensor(n, device=p.device) for n in (frames, labels))  # (N)
    used = torch.arange(y.shape[1], device=y.device) < s.to(y.device).unsqueeze(1)  # (N, S)
    check_classes("ctc_loss", y, used & ((y < 0) | (y >= C)), f"{C} labels are 0 to {C - 1}")
    loss = _negative_log_likelihood(p, torch.where(used, y, blank).to(p.device), t, s, blank, zero_infinity)  # (N)
    if log_probs.dim() == 2:
        loss = loss.squeeze(0)
        s = s.squeeze(0)
    return (loss / s.clamp(min=1)).mean() if reduction == "mean" else reduced(loss, reduction)


def _negative_log_likelihood(p: Tensor, y: Tensor, frames: Tensor, labels: Tensor, blank: int, zero_infinity: bool) -> Tensor:
    """The loss of each sequence, (N). Labels (N, S) beyond a target's length are in range, and play no part."""
    T, N, _ = p.shape
    P = 2 * y.shape[1] + 1
    blanks = torch.full_like(y, blank)
    places = torch.cat([torch.stack([blanks, y], 2).flatten(1), blanks.new_full((N, 1), blank)], 1)  # (N, P)
    # a blank may be left out between two different labels, and two equal ones need it
    skips = places.new_zeros((N, P), dtype=torch.bool)
    if P > 2:
        skips = torch.cat([skips[:, :2], places[:, 2:] != places[:, :-2]], 1)
    never = -math.inf
    here = p.gather(2, places.expand(T, N, P)).unbind(0)  # T of (N, P)
    edge = p.new_full((N, 2), never)
    # alpha: log-probability of all beginnings of paths up to this frame that are at this place
    alpha = torch.where(torch.arange(P, device=p.device) < 2, here[0], never)  # (N, P)
    for i in range(1, T):
        before = torch.cat([edge, alpha], 1)  # (N, P + 2)
        ways = torch.stack([alpha, before[:, 1:-1], torch.where(skips, before[:, :-2], never)], 2)  # (N, P, 3)
        alpha = torch.where(i < frames.unsqueeze(1), _log_sum(ways) + here[i], alpha)
    last = 2 * labels.unsqueeze(1)  # (N, 1)
    ends = torch.cat([alpha.gather(1, last), torch.where(last > 0, alpha.gather(1, (last - 1).clamp(min=0)), never)], 1)  # (N, 2)
    # without frames there is one path, the empty one
    likelihood = torch.where(frames > 0, _log_sum(ends), torch.where(labels > 0, never, p.new_zeros(())))  # (N)
    possible = likelihood > never
    # the frames' sums of probabilities are 1; their slopes are those of the log-softmax
    sums = torch.where(torch.arange(T, device=p.device).unsqueeze(1) < frames, p.exp().sum(2), 0).sum(0)  # (N)
    if zero_infinity:
        likelihood, sums = torch.where(possible, likelihood, 0), torch.where(possible, sums, 0)
    else:
        # as torch's, the slope of an infinite loss is no number (a root's at 0, times 0), which tells a gradient scaler to skip the step
        sums = torch.where(possible, sums, torch.where(possible, 1, 0 * sums).sqrt())
    return (sums - sums.detach()) - likelihood


def _log_sum(x: Tensor) -> Tensor:
    """`log(sum(exp(x)))` over the last dimension; minus infinity, with slope 0, where all are minus infinity."""
    top = x.detach().amax(-1, keepdim=True)
    top = torch.where(top == -math.inf, 0, top)
    total = (x - top).exp().sum(-1)
    some = total > 0
    return torch.where(some, torch.where(some, total, 1).log() + top.squeeze(-1), -math.inf)


def _lengths(name: str, lengths: Lengths, N: int) -> list[int]:
    """N lengths as numbers."""
    if isinstance(lengths, Tensor):
        if lengths.is_floating_point():
            raise RuntimeError(f"ctc_loss: {name} is {lengths.dtype}, integers are needed")
        lengths = lengths.flatten().tolist()
    numbers = [lengths] if isinstance(lengths, int) else list(lengths)
    if len(numbers) != N:
        raise RuntimeError(f"ctc_loss: {name} has {len(numbers)} entries, log_probs has {N} sequences")
    if min(numbers) < 0:
        raise RuntimeError(f"ctc_loss: {name} has {min(numbers)}, at least 0 is needed")
    return numbers


def _padded(targets: Tensor, lengths: list[int]) -> Tensor:
    """Labels as int64, (N, S)."""
    targets = targets.long()
    if targets.dim() == 2 and len(targets) == len(lengths):
        if targets.shape[1] < max(lengths):
            raise RuntimeError(f"ctc_loss: targets {tuple(targets.shape)} has rows shorter than target_lengths says, {max(lengths)}")
        return targets[:, : max(lengths)]
    if targets.dim() != 1 or len(targets) != sum(lengths):
        raise RuntimeError(
            f"ctc_loss: targets {tuple(targets.shape)} needs the shape ({len(lengths)}, S), or ({sum(lengths)},), the sum of target_lengths"
        )
    rows = targets.split(lengths)
    return torch.stack([torch.cat([row, row.new_zeros(max(lengths) - len(row))]) for row in rows])
