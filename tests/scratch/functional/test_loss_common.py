"""What losses share: reductions and their deprecated names, autocast, class numbers, traced calls; and slopes of slopes of all of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from rungbook.scratch import functional as F
from rungbook.scratch.autograd.tape import Tape


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def some(*shape: int, seed: int = 0) -> Tensor:
    return numbers(*shape, seed=seed).sigmoid()


SIGNS = numbers(4, seed=7).sign()
CLASSES = torch.tensor([2, 0, 1, 1])
TRIPLETS = (numbers(2, 3), numbers(2, 3, seed=1), numbers(2, 3, seed=2))
SETS = torch.tensor([[2, 0, -1], [1, -1, 0], [-1, 0, 0], [0, 1, 2]])

LOSSES: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "mse_loss": (F.mse_loss, (numbers(4, 3), numbers(4, 3, seed=1))),
    "l1_loss": (F.l1_loss, (numbers(4, 3), numbers(4, 3, seed=1))),
    "smooth_l1_loss": (F.smooth_l1_loss, (numbers(4, 3), numbers(4, 3, seed=1))),
    "huber_loss": (F.huber_loss, (numbers(4, 3), numbers(4, 3, seed=1))),
    "poisson_nll_loss": (lambda x: F.poisson_nll_loss(x, SETS.abs(), full=True), (numbers(4, 3),)),
    "gaussian_nll_loss": (F.gaussian_nll_loss, (numbers(4, 3), numbers(4, 3, seed=1), some(4, 3))),
    "cross_entropy": (lambda x: F.cross_entropy(x, CLASSES, label_smoothing=0.1), (numbers(4, 3),)),
    "cross_entropy of probabilities": (F.cross_entropy, (numbers(4, 3), some(4, 3))),
    "nll_loss": (lambda x: F.nll_loss(x, CLASSES), (numbers(4, 3),)),
    "linear_cross_entropy": (lambda x, w: F.linear_cross_entropy(x, w, CLASSES), (numbers(4, 3), numbers(3, 3, seed=1))),
    "binary_cross_entropy": (F.binary_cross_entropy, (some(4, 3), some(4, 3, seed=1))),
    "binary_cross_entropy_with_logits": (F.binary_cross_entropy_with_logits, (numbers(4, 3), some(4, 3))),
    "kl_div": (lambda q, p: F.kl_div(q, p, reduction="batchmean"), (numbers(4, 3), some(4, 3))),
    "margin_ranking_loss": (lambda a, b: F.margin_ranking_loss(a, b, SIGNS), (numbers(4), numbers(4, seed=1))),
    "hinge_embedding_loss": (lambda x: F.hinge_embedding_loss(x, SIGNS), (numbers(4),)),
    "cosine_embedding_loss": (lambda a, b: F.cosine_embedding_loss(a, b, SIGNS), (numbers(4, 3), numbers(4, 3, seed=1))),
    "triplet_margin_loss": (lambda *x: F.triplet_margin_loss(*x, swap=True), TRIPLETS),
    "triplet_margin_with_distance_loss": (
        F.triplet_margin_with_distance_loss,
        TRIPLETS,
    ),
    "multi_margin_loss": (lambda x: F.multi_margin_loss(x, CLASSES, p=2), (numbers(4, 3),)),
    "multilabel_margin_loss": (lambda x: F.multilabel_margin_loss(x, SETS), (numbers(4, 3),)),
    "soft_margin_loss": (lambda x: F.soft_margin_loss(x, SIGNS), (numbers(4),)),
    "multilabel_soft_margin_loss": (F.multilabel_soft_margin_loss, (numbers(4, 3), some(4, 3))),
    "ctc_loss": (
        lambda x: F.ctc_loss(x.log_softmax(-1), torch.tensor([[1, 1], [2, 0]]), (4, 3), (2, 1), zero_infinity=True),
        (numbers(4, 2, 3),),
    ),
}
"""Loss -> a call of it and what can be differentiated in it."""


@pytest.mark.parametrize("name", LOSSES)
def test_first_and_second_slopes(name: str) -> None:
    """Against finite differences."""
    loss, inputs = LOSSES[name]
    leaves = tuple(x.clone().requires_grad_() for x in inputs)
    assert torch.autograd.gradcheck(loss, leaves)
    assert torch.autograd.gradgradcheck(loss, leaves, fast_mode=True)


@pytest.mark.parametrize("name", LOSSES)
def test_can_be_traced(name: str) -> None:
    """No look at numbers while a graph is recorded: with numbers, and without any."""
    loss, inputs = LOSSES[name]
    for mode in ("real", "fake"):
        graph = make_fx(lambda *x: loss(*x), tracing_mode=mode, _allow_non_fake_inputs=True)(*inputs)
        assert torch.allclose(graph(*inputs), loss(*inputs))


@pytest.mark.parametrize("name", LOSSES)
def test_on_a_tape(name: str) -> None:
    """The tape, which has torch's autograd off, finds the same slopes."""
    loss, inputs = LOSSES[name]
    leaves = [x.clone().requires_grad_() for x in inputs]
    watched = [x.clone() for x in inputs]
    tape = Tape()
    tape.watch(*watched)
    with tape:
        result = loss(*watched)
    for ours, theirs in zip(tape.gradient(result, watched), torch.autograd.grad(loss(*leaves), leaves), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_of_one_row_each() -> None:
    """Gradients of single rows by vmap, which no look at numbers may stand in the way of."""
    x = numbers(4, 3)
    gradients = torch.func.vmap(torch.func.grad(F.cross_entropy))(x, CLASSES)
    assert torch.allclose(gradients, x.softmax(1) - torch.eye(3)[CLASSES])


@pytest.mark.parametrize(
    ("flags", "meant"),
    [
        ({"size_average": True}, "mean"),
        ({"size_average": False}, "sum"),
        ({"reduce": True}, "mean"),
        ({"reduce": False}, "none"),
        ({"size_average": False, "reduce": False}, "none"),
        ({"size_average": False, "reduction": "mean"}, "sum"),
    ],
)
def test_deprecated_flags(flags: dict[str, Any], meant: str) -> None:
    x, y = numbers(4, 3), numbers(4, 3, seed=1)
    with pytest.warns(UserWarning, match=f"deprecated; say reduction='{meant}'") as told:
        loss = F.mse_loss(x, y, **flags)
    assert told[0].filename == __file__, "the warning points at the line that calls"
    assert torch.equal(loss, F.mse_loss(x, y, reduction=meant))


def test_first_name_of_the_mean() -> None:
    x = numbers(4, 3)
    with pytest.warns(UserWarning, match="elementwise_mean"):
        assert torch.equal(F.cross_entropy(x, CLASSES, reduction="elementwise_mean"), F.cross_entropy(x, CLASSES))
    with pytest.raises(ValueError, match="'elementwise_mean'"):
        F.gaussian_nll_loss(x, x, some(4, 3), reduction="elementwise_mean")


def test_equal_shapes_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        F.mse_loss(numbers(4), numbers(4))
    with pytest.warns(UserWarning, match=r"target \(4, 1\) is broadcast against input \(4,\)"):
        assert F.mse_loss(numbers(4), numbers(4, 1), reduction="none").shape == (4, 4)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: F.cross_entropy(numbers(3, 10), torch.tensor([0, 10, 3])), IndexError, r"target 10 at row 1 .* 0 to 9"),
        (lambda: F.nll_loss(numbers(3, 10), torch.tensor([0, 9, -1])), IndexError, r"target -1 at row 2 .* 0 to 9"),
        (lambda: F.cross_entropy(numbers(2, 3, 4), torch.tensor([[0, 1, 2, 0], [0, 0, 7, 3]])), IndexError, r"target 7 at row 1, 2 "),
        (lambda: F.cross_entropy(numbers(3), torch.tensor(5)), IndexError, r"target 5 at row 0 .* 0 to 2"),
        (lambda: F.multi_margin_loss(numbers(2, 3), torch.tensor([0, 3])), RuntimeError, r"target 3 at row 1 .* 0 to 2"),
        (lambda: F.multilabel_margin_loss(numbers(1, 3), torch.tensor([[0, 5, -1]])), RuntimeError, r"target 5 at row 0, 1 .* 0 to 2"),
        (
            lambda: F.ctc_loss(numbers(5, 2, 4), torch.tensor([[1, 2], [3, 4]]), (5, 5), (2, 2)),
            IndexError,
            r"target 4 at row 1, 1 .* 0 to 3",
        ),
        (lambda: F.cross_entropy(numbers(3, 4), torch.tensor([0.0, 1, 2])), RuntimeError, r"\(3,\) is torch.float32; classes"),
        (lambda: F.nll_loss(numbers(3, 4), torch.tensor([0.0, 1, 2])), RuntimeError, r"\(3,\) is torch.float32; classes"),
        (lambda: F.cross_entropy(numbers(3, 4), torch.tensor([0, 1, 2], dtype=torch.int32)), RuntimeError, "int32; classes are needed"),
        (lambda: F.multi_margin_loss(numbers(2, 3), torch.tensor([0.0, 3])), RuntimeError, "float32; classes are needed"),
    ],
)
def test_class_numbers(call: Callable[[], Tensor], error: type[Exception], words: str) -> None:
    """The message has the number, the place and the range."""
    with pytest.raises(error, match=words):
        call()


def test_ignored_classes_may_be_anything() -> None:
    x = numbers(3, 4)
    loss = F.cross_entropy(x, torch.tensor([1, 255, 2]), ignore_index=255)
    assert torch.allclose(loss, F.cross_entropy(x[[0, 2]], torch.tensor([1, 2])))


X, Y, P = numbers(4, 3).bfloat16(), numbers(4, 3, seed=1).bfloat16(), some(4, 3).bfloat16()
SIGN = SIGNS.bfloat16()

IN_HALF: dict[str, Callable[[Any], Tensor]] = {
    "mse_loss": lambda M: M.mse_loss(X, Y),
    "l1_loss": lambda M: M.l1_loss(X, Y),
    "smooth_l1_loss": lambda M: M.smooth_l1_loss(X, Y),
    "huber_loss": lambda M: M.huber_loss(X, Y),
    "poisson_nll_loss": lambda M: M.poisson_nll_loss(X, P),
    "gaussian_nll_loss": lambda M: M.gaussian_nll_loss(X, Y, P),
    "cross_entropy": lambda M: M.cross_entropy(X, CLASSES, torch.ones(3)),
    "cross_entropy of probabilities": lambda M: M.cross_entropy(X, P),
    "nll_loss": lambda M: M.nll_loss(X, CLASSES),
    "binary_cross_entropy": lambda M: M.binary_cross_entropy(P, P),
    "binary_cross_entropy_with_logits": lambda M: M.binary_cross_entropy_with_logits(X, P),
    "kl_div": lambda M: M.kl_div(X, P, reduction="batchmean"),
    "margin_ranking_loss": lambda M: M.margin_ranking_loss(X[:, 0], Y[:, 0], SIGN),
    "hinge_embedding_loss": lambda M: M.hinge_embedding_loss(X[:, 0], SIGN),
    "cosine_embedding_loss": lambda M: M.cosine_embedding_loss(X, Y, SIGN),
    "triplet_margin_loss": lambda M: M.triplet_margin_loss(X, Y, P),
    "triplet_margin_with_distance_loss": lambda M: M.triplet_margin_with_distance_loss(X, Y, P),
    "multi_margin_loss": lambda M: M.multi_margin_loss(X, CLASSES),
    "multilabel_margin_loss": lambda M: M.multilabel_margin_loss(X, SETS),
    "soft_margin_loss": lambda M: M.soft_margin_loss(X[:, 0], SIGN),
    "multilabel_soft_margin_loss": lambda M: M.multilabel_soft_margin_loss(X, P),
    "ctc_loss": lambda M: M.ctc_loss(X.reshape(4, 1, 3), torch.tensor([[1, 2]]), (4,), (2,)),
}


@pytest.mark.parametrize("name", IN_HALF)
def test_under_autocast(name: str) -> None:
    """Half precision becomes float32 where torch makes it that, and stays what it is where torch leaves it."""
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = IN_HALF[name](F), IN_HALF[name](torch.nn.functional)
    assert ours.dtype == theirs.dtype
    assert torch.allclose(ours, theirs, rtol=1e-5 if ours.dtype == torch.float32 else 0.02)
    if name != "cross_entropy":
        # its weights are float32, which without autocast are refused
        assert IN_HALF[name](F).dtype == torch.bfloat16


@pytest.mark.parametrize(
    "call",
    [
        lambda x: F.kl_div(x, x.exp()),
        lambda x: F.mse_loss(x, x[:1]),
        lambda x: F.softmax(x),
        lambda x: F.dropout2d(x, training=False),
    ],
)
def test_a_warning_cuts_no_compiled_graph(call: Callable[[Tensor], Tensor]) -> None:
    x = numbers(3, 4).log_softmax(1)
    compiled = torch.compile(call, backend="eager", fullgraph=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = compiled(x)
    with pytest.warns(UserWarning, match="kl_div|mse_loss|softmax|dropout2d") as caught:
        torch.testing.assert_close(got, call(x))
    assert caught[0].filename == __file__  # the line that called, not one of ours
