"""Cases of losses that torch's corpora have none of: triplets as layers, deprecated flags, weights, edges of CTC, of BCE and of margins."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from agree import Case
from torch import Tensor, nn


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers that want a gradient."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()


def probabilities(*shape: int, seed: int = 0) -> Tensor:
    return numbers(*shape, seed=seed).detach().sigmoid().requires_grad_()


def signs(*shape: int) -> Tensor:
    return numbers(*shape, seed=9).detach().sign()


def classes(*shape: int, of: int) -> Tensor:
    return torch.randint(of, shape, generator=torch.Generator().manual_seed(3))


REDUCTIONS = ("mean", "sum", "none")
DEPRECATED = tuple({"size_average": a, "reduce": b} for a, b in itertools.product((None, True, False), repeat=2) if (a, b) != (None, None))


def triplets() -> list[Case]:
    """TripletMarginLoss: norms, margins, swaps, shapes."""
    settings: list[dict[str, Any]] = [{}, {"p": 1.0}, {"p": 3.0}, {"margin": 0.1}, {"swap": True}, {"eps": 0.1}, {"p": 1.0, "swap": True}]
    cases = []
    for options, reduction, shape in itertools.product(settings, REDUCTIONS, ((5, 3), (3,), (2, 4, 3), (0, 3))):
        args = tuple(numbers(*shape, seed=i) for i in range(3))
        cases.append(Case(f"{options} {reduction} {shape}", args, options=options | {"reduction": reduction}))
    return cases


def manhattan(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().sum(-1)


def triplets_with_distance() -> list[Case]:
    """TripletMarginWithDistanceLoss: distances, swaps, shapes."""
    settings: list[dict[str, Any]] = [{}, {"margin": 2.5}, {"swap": True}, {"distance_function": manhattan}]
    cases = []
    for options, reduction, shape in itertools.product(settings, REDUCTIONS, ((5, 3), (3,), (2, 4, 3))):
        args = tuple(numbers(*shape, seed=i) for i in range(3))
        cases.append(Case(f"{options} {reduction} {shape}", args, options=options | {"reduction": reduction}))
    return cases


INPUTS: dict[type[nn.Module], tuple[Any, ...]] = {
    nn.MSELoss: (numbers(4, 3), numbers(4, 3, seed=1)),
    nn.L1Loss: (numbers(4, 3), numbers(4, 3, seed=1)),
    nn.SmoothL1Loss: (numbers(4, 3), numbers(4, 3, seed=1)),
    nn.PoissonNLLLoss: (numbers(4, 3), classes(4, 3, of=6).double()),
    nn.NLLLoss: (numbers(4, 3), classes(4, of=3)),
    nn.CrossEntropyLoss: (numbers(4, 3), classes(4, of=3)),
    nn.BCELoss: (probabilities(4, 3), probabilities(4, 3, seed=1)),
    nn.BCEWithLogitsLoss: (numbers(4, 3), probabilities(4, 3, seed=1)),
    nn.KLDivLoss: (numbers(4, 3), probabilities(4, 3, seed=1)),
    nn.HingeEmbeddingLoss: (numbers(4, 3), signs(4, 3)),
    nn.MarginRankingLoss: (numbers(4), numbers(4, seed=1), signs(4)),
    nn.CosineEmbeddingLoss: (numbers(4, 3), numbers(4, 3, seed=1), signs(4)),
    nn.MultiMarginLoss: (numbers(4, 3), classes(4, of=3)),
    nn.MultiLabelMarginLoss: (numbers(3, 4), torch.tensor([[3, 0, -1, 1], [-1, 0, 1, 2], [0, 1, 2, 3]])),
    nn.SoftMarginLoss: (numbers(4, 3), signs(4, 3)),
    nn.MultiLabelSoftMarginLoss: (numbers(4, 3), classes(4, 3, of=2).double()),
    nn.TripletMarginLoss: (numbers(4, 3), numbers(4, 3, seed=1), numbers(4, 3, seed=2)),
}
"""Every loss that still takes the two deprecated flags -> what it is called with."""


def flags(cls: type[nn.Module]) -> list[Case]:
    """A loss with each pair of deprecated flags."""
    return [Case(f"deprecated {pair}", INPUTS[cls], options=pair) for pair in DEPRECATED]


def sequences(T: int, N: int, C: int) -> Tensor:
    return numbers(T, N, C).detach().log_softmax(-1).requires_grad_()


def ctc() -> list[Case]:
    """CTCLoss: one sequence alone, empty targets, none that fit, no frames, labels that repeat, log-probabilities that are none."""
    texts = torch.tensor([[1, 1, 2], [3, 2, 3], [1, 2, 3]])
    alone = sequences(6, 1, 4).detach().squeeze(1).requires_grad_()
    slanted = sequences(3, 6, 4).detach().transpose(0, 1).requires_grad_()
    nothing = torch.zeros(0, dtype=torch.long)
    inputs: dict[str, tuple[Any, ...]] = {
        "one sequence": (alone, torch.tensor([1, 3, 3]), torch.tensor(6), torch.tensor(3)),
        "one sequence, a row": (alone, torch.tensor([[1, 3, 3]]), (6,), (3,)),
        "empty among others": (sequences(6, 3, 4), texts, (6, 5, 4), (3, 0, 1)),
        "empty among others, in a row": (sequences(6, 3, 4), torch.tensor([1, 1, 2, 3]), (6, 5, 4), (3, 0, 1)),
        "all empty": (sequences(6, 3, 4), nothing.reshape(3, 0), (6, 5, 4), (0, 0, 0)),
        "all empty, in a row": (sequences(6, 3, 4), nothing, (6, 5, 4), (0, 0, 0)),
        "padding beyond the classes": (sequences(6, 3, 4), torch.tensor([[1, 2, 3], [3, -1, -1], [2, 99, 99]]), (6, 6, 6), (3, 1, 1)),
        "barely fits": (sequences(4, 3, 4), texts, (4, 3, 3), (3, 3, 3)),
        "no normalised probabilities": (numbers(6, 3, 4), texts, (6, 6, 6), (3, 2, 3)),
        "no contiguous memory": (slanted, texts.mT.contiguous().mT, (6, 6, 6), (3, 2, 3)),
    }
    never = {
        "one does not fit": (sequences(4, 3, 4), texts, (3, 3, 4), (3, 3, 3)),
        "no frames": (sequences(4, 3, 4), texts, (4, 0, 0), (2, 1, 0)),
    }
    cases = [Case(f"{label} {r}", args, options={"reduction": r}) for label, args in inputs.items() for r in REDUCTIONS]
    for (label, args), reduction in itertools.product((inputs | never).items(), REDUCTIONS):
        cases.append(Case(f"{label} {reduction} zero_infinity", args, options={"reduction": reduction, "zero_infinity": True}))
    return cases


def impossible_ctc() -> list[Case]:
    """Losses that are infinite, without a gradient: torch's has some entries that are no number."""
    log_probs = sequences(4, 3, 4).detach()
    texts = torch.tensor([[1, 1, 2], [3, 2, 3], [1, 2, 3]])
    lengths = {"does not fit": ((3, 3, 4), (3, 3, 3)), "no frames": ((4, 0, 0), (2, 1, 0))}
    return [Case(f"{label} {r}", (log_probs, texts, *n), {"reduction": r}) for label, n in lengths.items() for r in REDUCTIONS]


def weighted() -> list[Case]:
    """A weight for each entry."""
    pair = (numbers(4, 3), numbers(4, 3, seed=1))
    return [Case(f"weight {r}", pair, {"weight": probabilities(4, 3), "reduction": r}) for r in REDUCTIONS]


def certain() -> list[Case]:
    """Probabilities of 0 and 1, or nearly: the logarithm ends at -100, the slope's divisor at 1e-12."""
    p = torch.tensor([0.0, 1.0, 0.0, 1.0, 1e-13, 1 - 1e-13, 1e-11, 0.3], dtype=torch.float64).requires_grad_()
    y = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5], dtype=torch.float64)
    return [Case(f"certain {r}", (p, y), {"reduction": r}) for r in REDUCTIONS]


def ties() -> list[Case]:
    """Scores exactly at the margin."""
    scores = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]], dtype=torch.float64).requires_grad_()
    return [Case(f"ties p={p}", (scores, torch.tensor([0, 1])), {"p": p}) for p in (1, 2)]


def kinks() -> list[Case]:
    """Differences of 0 and exactly at the bend."""
    d = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0, torch.inf, -torch.inf], dtype=torch.float64).requires_grad_()
    return [Case(f"kinks {r}", (d, torch.zeros(7, dtype=torch.float64)), {"reduction": r}) for r in ("sum", "none")]


def many_dimensions(name: str) -> list[Case]:
    """Pixels, voxels, none at all, one row alone, and classes to ignore."""
    cases = []
    weight = probabilities(3).detach()
    for shape, reduction in itertools.product(((2, 3, 4), (2, 3, 2, 2), (2, 3, 2, 1, 2), (2, 3, 0), (0, 3), (0, 3, 2)), REDUCTIONS):
        y = classes(shape[0], *shape[2:], of=3)
        for options in ({}, {"ignore_index": 1}, {"weight": weight}, {"ignore_index": 0, "weight": weight}):
            cases.append(Case(f"{name} {shape} {reduction} {list(options)}", (numbers(*shape), y), options | {"reduction": reduction}))
    for reduction in REDUCTIONS:
        cases.append(Case(f"{name} one row {reduction}", (numbers(3), torch.tensor(2)), {"reduction": reduction}))
        cases.append(Case(f"{name} one row, target (1) {reduction}", (numbers(3).detach(), torch.tensor([2])), {"reduction": reduction}))
        cases.append(Case(f"{name} uint8 {reduction}", (numbers(4, 3), classes(4, of=3).to(torch.uint8)), {"reduction": reduction}))
        everything = {"reduction": reduction, "ignore_index": 1}
        cases.append(Case(f"{name} all ignored {reduction}", (numbers(2, 3), torch.tensor([1, 1])), everything))
    return cases


def smoothed() -> list[Case]:
    """Label smoothing with all other arguments."""
    cases = []
    for smoothing, reduction, ignored, weight in itertools.product((0.1, 1.0), REDUCTIONS, (-100, 1), (None, probabilities(3).detach())):
        options = {"label_smoothing": smoothing, "reduction": reduction, "ignore_index": ignored, "weight": weight}
        label = f"smoothing {smoothing} {reduction} {ignored} weight={weight is not None}"
        cases.append(Case(label, (numbers(4, 3, 2), classes(4, 2, of=3)), options))
        cases.append(Case(f"{label} one row", (numbers(3), torch.tensor(2)), options))
        if ignored < 0:
            cases.append(Case(f"{label} probabilities", (numbers(4, 3, 2), numbers(4, 3, 2, seed=1).detach().softmax(1)), options))
    return cases


Cases = list[Case | Callable[[], Case]]

MODULES: dict[type, Cases] = {cls: list(flags(cls)) for cls in INPUTS}
MODULES[nn.TripletMarginLoss] += triplets()
MODULES[nn.TripletMarginWithDistanceLoss] = list(triplets_with_distance())
MODULES[nn.CTCLoss] = list(ctc())

FUNCTIONS: dict[str, Cases] = {
    "mse_loss": list(weighted()),
    "l1_loss": weighted()
    + kinks()
    + [Case("complex", (torch.complex(numbers(4), numbers(4, seed=1)).detach().requires_grad_(), numbers(4)))],
    "huber_loss": weighted() + kinks(),
    "smooth_l1_loss": list(kinks()),
    "binary_cross_entropy": list(certain()),
    "multi_margin_loss": list(ties()),
    "ctc_loss": list(impossible_ctc()),
    "cross_entropy": many_dimensions("cross_entropy") + smoothed(),
    "nll_loss": list(many_dimensions("nll_loss")),
    "triplet_margin_loss": [Case("old name of the mean", INPUTS[nn.TripletMarginLoss], {"reduction": "elementwise_mean"})],
    "multilabel_soft_margin_loss": [
        Case(f"broadcast {a.shape} {b.shape} {r}", (a, b), {"reduction": r})
        for a, b in ((numbers(4), probabilities(3, 4)), (numbers(3, 4), probabilities(2, 3, 4)), (numbers(2, 3, 4), probabilities(4)))
        for r in REDUCTIONS
    ],
    "kl_div": [Case(f"zeros {r}", (numbers(3), torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64)), {"reduction": r}) for r in REDUCTIONS],
}
