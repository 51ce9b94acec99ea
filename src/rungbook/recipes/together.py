"""Settings that exclude each other, each pair with the reason and what to say instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rungbook.errors import UsageError
from rungbook.learner.callbacks.resizing import check_sizes

if TYPE_CHECKING:
    from rungbook.recipes.recipe import Recipe

AVERAGES = ("ema", "swa", "lookahead")


def refuse_pairs(recipe: Recipe) -> None:
    """Refuse what cannot be had together. Raises UsageError E202 with the reason and a setting that does."""
    averages = [name for name in AVERAGES if getattr(recipe, name) is not None]
    if len(averages) > 1:
        message = f"{' and '.join(averages)}: each would put its own weights in the model's place when it is judged."
        raise UsageError("E202", message, f"Keep one, as {averages[0]}={getattr(recipe, averages[0]):g}")
    if recipe.init is not None and recipe.weights is not None:
        message = f"init={recipe.init} scales new weights, weights={recipe.weights} brings others in their place."
        raise UsageError("E202", message, f"weights={recipe.weights} without init")
    if recipe.watch and recipe.compile:
        raise UsageError("E202", "watch looks into the layers as they are called; a compiled model does not call them.", "compile=false")
    if recipe.sam is not None and recipe.accumulate > 1:
        message = f"sam looks at one batch twice for a step; accumulate={recipe.accumulate} makes a step of several."
        raise UsageError("E202", message, f"accumulate=1 batch_size={recipe.batch_size * recipe.accumulate}")
    _refuse_memory(recipe)
    if recipe.sizes:
        check_sizes(recipe.sizes)
        if recipe.image_size is not None and recipe.sizes[-1] > recipe.image_size:
            message = f"sizes ends with {recipe.sizes[-1]}, the images have image_size={recipe.image_size}."
            raise UsageError("E202", message, f"image_size={recipe.sizes[-1]}, or smaller sizes")
    if recipe.precision.startswith("fp16") and {"autograd", "all"} & set(recipe.scratch):
        message = f"precision={recipe.precision} scales the loss for torch's autograd; scratch=autograd takes gradients by its own tape."
        raise UsageError("E202", message, "scratch=layers,functions,losses,optim,loader, or precision=bf16")
    if recipe.precision == "fp16_by_hand" and recipe.compile:
        message = "compile calls the model in its own time, when the half-precision copies are not in place."
        raise UsageError("E202", message, "precision=fp16, or compile=false")


def _refuse_memory(recipe: Recipe) -> None:
    """Refuse computing activations again where a tape or a compiler is at work; the Learner has the reasons too."""
    if recipe.activation_checkpointing and {"autograd", "all"} & set(recipe.scratch):
        message = "activation_checkpointing goes with torch's own autograd; scratch=autograd takes gradients by its own tape."
        raise UsageError("E202", message, "scratch=layers,functions,losses,optim,loader activation_checkpointing=true")
    if recipe.compile and recipe.activation_checkpointing:
        fix = "activation_checkpointing=true compile=false"
        raise UsageError("E202", "A compiler chooses itself what to compute again on the way back.", fix)
