"""Fifty layers with shortcuts and without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rungbook.recipes.book.few_images import FewImagesContrast
from rungbook.recipes.once import Trained
from rungbook.recipes.recipe import recipe
from rungbook.recipes.settings import Count, Final, NotBelow, Rate, Reported, Widths
from rungbook.recipes.study import Results

SOURCE = "PyTorch-Adventures"
OTHER = "ResNet-101, one seed"


@recipe("residuals")
@dataclass(frozen=True, kw_only=True)
class Residuals(FewImagesContrast):
    """Do shortcuts help a network of 50 layers?

    The networks differ in nothing else: as many layers, weights and batch norms, the same start. He et al. 2016 (section 4.2) train
    plain and residual networks of 20 to 56 layers on CIFAR-10; the course takes the shortcuts out of a ResNet-101 on dogs and cats. Ours
    has a quarter of the paper's maps (half of them on CIFAR-10), so that it trains on a processor. At 0.0003, 0.001 and 0.003 the plain
    network was at chance on valid alike (one seed); the rate is the one the other did best with.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {"plain": {"shortcut": False}, "with shortcuts": {"shortcut": True}}
    covers: ClassVar[tuple[str, ...]] = ("V08",)
    real: ClassVar[tuple[str, ...]] = ("data=cifar10 train_samples=5000 epochs=10 widths=8,16,32",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.586, "accuracy", SOURCE, variant="plain", fault=OTHER, data="dogs-vs-cats"),
        Reported(0.888, "accuracy", SOURCE, variant="with shortcuts", fault=OTHER, data="dogs-vs-cats"),
    )
    data: str = "world:shapes(n=1000, side=16)"
    model: str = "cifar_resnet20"
    depth: Count = 50
    widths: Widths = (4, 8, 16)
    shortcut: bool = True
    epochs: Count | None = 4
    batch_size: Count = 64
    lr: Rate = 3e-3
    weight_decay: NotBelow = 0.01
    final: Final = "last"

    def remarks(self, trained: dict[str, Trained], results: Results) -> list[str]:
        """That the plain network fails on what it learns from: it is not overfitting that harms it."""
        losses = {name: t.learner.history[-1]["train_loss"] for name, t in trained.items()}
        return ["train loss at the end: " + "; ".join(f"{name} {loss:.3f}" for name, loss in losses.items())]


__all__ = ["Residuals"]
