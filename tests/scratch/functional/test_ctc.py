"""CTC against its definition, the sum over all paths, and at its edges."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from rungbook.scratch import functional as F


def frames(T: int, C: int, seed: int = 0) -> Tensor:
    return torch.randn(T, C, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def text_of(path: tuple[int, ...], blank: int) -> list[int]:
    """Repeats merged, then blanks dropped."""
    return [label for label, _ in itertools.groupby(path) if label != blank]


def sum_over_paths(log_probs: Tensor, text: list[int], blank: int = 0) -> float:
    T, C = log_probs.shape
    paths = [path for path in itertools.product(range(C), repeat=T) if text_of(path, blank) == text]
    return math.fsum(math.exp(math.fsum(float(log_probs[t, c]) for t, c in enumerate(path))) for path in paths)


@pytest.mark.parametrize("text", [[1], [1, 2], [1, 1], [2, 1, 2], [], [1, 1, 1]])
@pytest.mark.parametrize("blank", [0, 3])
def test_is_the_sum_over_all_paths(text: list[int], blank: int) -> None:
    log_probs = F.log_softmax(frames(5, 4), -1)
    loss = F.ctc_loss(log_probs, torch.tensor(text, dtype=torch.long), 5, len(text), blank, "sum")
    assert math.exp(-float(loss)) == pytest.approx(sum_over_paths(log_probs, text, blank), rel=1e-12)


def test_all_texts_together_are_certain() -> None:
    log_probs = F.log_softmax(frames(4, 3), -1)
    texts = [list(t) for n in range(5) for t in itertools.product((1, 2), repeat=n)]
    total = sum(math.exp(-float(F.ctc_loss(log_probs, torch.tensor(t, dtype=torch.long), 4, len(t), reduction="sum"))) for t in texts)
    assert total == pytest.approx(1.0)


def test_slope_is_that_of_the_logits() -> None:
    """Right through a log-softmax, by finite differences; taken for log_probs themselves it has the extra term torch's has."""
    logits = frames(5, 4).requires_grad_()
    text = torch.tensor([1, 2, 2])
    assert torch.autograd.gradcheck(lambda x: F.ctc_loss(F.log_softmax(x, -1), text, 5, 3, reduction="sum"), (logits,))
    log_probs = F.log_softmax(logits, -1).detach().requires_grad_()
    (slope,) = torch.autograd.grad(F.ctc_loss(log_probs, text, 5, 3, reduction="sum"), log_probs)
    (wanted,) = torch.autograd.grad(F.ctc_loss(F.log_softmax(logits, -1), text, 5, 3, reduction="sum"), logits)
    assert torch.allclose(slope, wanted)
    assert not torch.autograd.gradcheck(lambda x: F.ctc_loss(x, text, 5, 3, reduction="sum"), (log_probs,), raise_exception=False)


def test_a_text_that_does_not_fit() -> None:
    """Infinite, with a slope that is no number where torch's is none; as 0 and without a slope if asked; other sequences are untouched."""
    log_probs = F.log_softmax(torch.stack([frames(3, 3), frames(3, 3, 1)], 1), -1).detach().requires_grad_()
    texts, lengths = torch.tensor([[1, 1], [1, 2]]), ((2, 3), (2, 2))
    loss = F.ctc_loss(log_probs, texts, *lengths, reduction="none")
    (slope,) = torch.autograd.grad(loss.sum(), log_probs)
    assert loss[0].isinf()
    assert slope[:, 0].isnan().any()
    assert slope[:, 1].isfinite().all()
    zero = F.ctc_loss(log_probs, texts, *lengths, reduction="none", zero_infinity=True)
    (slope,) = torch.autograd.grad(zero.sum(), log_probs)
    assert zero.tolist() == [0.0, loss[1].item()]
    assert not slope[:, 0].any()


def test_probabilities_of_zero() -> None:
    """A label that cannot be at a frame; going through it would give infinity less infinity."""
    log_probs = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]], dtype=torch.float64).log().requires_grad_()
    loss = F.ctc_loss(log_probs, torch.tensor([1, 2]), 3, 2, reduction="sum")
    assert math.exp(-loss.item()) == pytest.approx(sum_over_paths(log_probs.detach(), [1, 2]))
    assert torch.autograd.grad(loss, log_probs)[0].isfinite().all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"blank": 4}, "blank is 4, one of 4 labels"),
        ({"input_lengths": (6, 5)}, r"input_lengths has 6, log_probs \(5, 2, 4\) has 5 frames"),
        ({"input_lengths": (5,)}, "input_lengths has 1 entries, log_probs has 2 sequences"),
        ({"input_lengths": torch.tensor([5.0, 5.0])}, "input_lengths is torch.float32, integers are needed"),
        ({"target_lengths": (-1, 2)}, "target_lengths has -1, at least 0"),
        ({"target_lengths": (3, 2)}, r"targets \(2, 2\) has rows shorter than target_lengths says, 3"),
        ({"targets": torch.tensor([1, 2, 3])}, r"targets \(3,\) needs the shape \(2, S\), or \(4,\)"),
        ({"log_probs": torch.zeros(5, 0, 4)}, r"log_probs \(5, 0, 4\)"),
    ],
)
def test_what_does_not_fit(changes: dict[str, object], words: str) -> None:
    given: dict[str, object] = {"log_probs": torch.zeros(5, 2, 4), "targets": torch.tensor([[1, 2], [3, 3]])}
    given |= {"input_lengths": (5, 5), "target_lengths": (2, 2)} | changes
    with pytest.raises(RuntimeError, match=words):
        F.ctc_loss(**given)
