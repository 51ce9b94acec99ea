"""What a training starts from where it does not start from nothing: weights somebody trained, what of them is held, rates by depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from rungbook.data.data import Data
from rungbook.data.images import ImageEncoder
from rungbook.errors import DataError, UsageError
from rungbook.learner.callback import Callback
from rungbook.transfer.create import Pretrained
from rungbook.transfer.fitting import check_demands
from rungbook.transfer.freezing import Freeze, check_epochs
from rungbook.transfer.normalisation import normalisation_for, with_normalisation
from rungbook.transfer.rates import LayerRates
from rungbook.transfer.sources import HUB, Source, find

if TYPE_CHECKING:
    from rungbook.recipes.recipe import Recipe

BY_DATA = ("in_channels", "image_size", "num_classes")
"""Options that follow from the data, whatever the weights were made for."""


def refuse_start(recipe: Recipe) -> None:
    """Refuse settings of the start that cannot go together, and weights that are not there.

    Raises:
        UsageError: E202 with a setting that does; E201, E105 as `find`.
    """
    given = [f"{k}={getattr(recipe, k)}" for k in ("pretrained", "weights") if getattr(recipe, k) is not None]
    if len(given) > 1:
        raise UsageError("E202", f"{' and '.join(given)}: a training starts from one of them.", given[0])
    if recipe.pretrained is not None and recipe.init is not None:
        message = f"init={recipe.init} scales new weights, {given[0]} brings others in their place."
        raise UsageError("E202", message, f"{given[0]} without init")
    if recipe.freeze is not None and not given:
        message = f"freeze={recipe.freeze} would hold weights that nobody trained."
        raise UsageError("E202", message, f"pretrained=true freeze={recipe.freeze}")
    if recipe.unfreeze:
        _refuse_epochs(recipe)
    if recipe.pretrained is not None and not recipe.pretrained.startswith(HUB):
        find(recipe.model, recipe.pretrained)  # a name or path with a typo is told before the data is read


def _refuse_epochs(recipe: Recipe) -> None:
    """Refuse epochs of letting go that cannot be. Raises UsageError E202."""
    if recipe.freeze is None:
        raise UsageError("E202", "unfreeze says when to let go of what freeze holds, and nothing is held.", "freeze=body unfreeze=1,2")
    check_epochs(recipe.unfreeze)
    if recipe.epochs is not None and recipe.unfreeze[-1] >= recipe.epochs:
        message = f"unfreeze ends with epoch {recipe.unfreeze[-1]}, and {recipe.epochs} are trained: what is let go then never learns."
        raise UsageError("E202", message, f"epochs={recipe.unfreeze[-1] + 1}")
    if {"autograd", "all"} & set(recipe.scratch):
        message = "What is let go while training would have to be watched by the tape that scratch=autograd takes gradients by."
        raise UsageError("E202", message, "scratch=layers,functions,losses,optim,loader")


def source_of(recipe: Recipe, options: dict[str, Any]) -> Source | None:
    """The weights a recipe starts from, and in `options` what the model must take from them; None if there are none.

    Raises:
        RungError: as `find` and `check_demands`.
    """
    if recipe.pretrained is None:
        return None
    source = find(recipe.model, recipe.pretrained)
    check_demands(recipe.model, {**recipe.model_options(), **options}, source.demands, source.about)
    options |= kept(recipe, source.defaults)
    return source


def kept(recipe: Recipe, defaults: dict[str, Any]) -> dict[str, Any]:
    """Of the options that weights bring those which neither the data nor the recipe decides."""
    from rungbook.models.registry import model_entry

    known = set(model_entry(recipe.model).parameters()) - {*BY_DATA, *recipe.model_options()}
    return {k: v for k, v in defaults.items() if k in known}


def normalised(recipe: Recipe, data: Data, record: dict[str, Any] | None = None) -> Data:
    """The data with its images normalised as the weights want it; the encoder that travels with the model says the same.

    Args:
        recipe: says which weights.
        data: stays as it is.
        record: what a run's record says of the weights it began with, which then need not be there any more.
    """
    encoder = data.encoder
    if recipe.pretrained is None or not isinstance(encoder, ImageEncoder):
        return data
    if record is None:
        found = normalisation_for(find(recipe.model, recipe.pretrained), encoder.channels)
    else:
        found = tuple(record.get("mean", ())), tuple(record.get("std", ()))
    if not found or not found[0]:
        return data
    return with_normalisation(data, *found)


def held(recipe: Recipe, model: nn.Module) -> list[Freeze]:
    """The callback that holds what is frozen, if anything is; what never learns takes no gradient from now on."""
    return [] if recipe.freeze is None else [Freeze(model, recipe.freeze, unfreeze=recipe.unfreeze)]


def with_rates(recipe: Recipe, optimizer: Any, model: nn.Module) -> Any:
    """The optimiser, with rates by depth where they are asked for."""
    if recipe.layer_decay is None and recipe.head_lr is None:
        return optimizer
    return LayerRates(optimizer, model, decay=recipe.layer_decay or 1.0, head=recipe.head_lr or 1.0)


def hold_now(callbacks: list[Callback]) -> None:
    """Hold from before the first epoch on, for whatever looks at the model until then."""
    for callback in callbacks:
        if isinstance(callback, Freeze):
            callback.hold(0)


def origin(model: nn.Module) -> Pretrained | None:
    """Where a model's weights came from."""
    found = getattr(model, "pretrained", None)
    return found if isinstance(found, Pretrained) else None


def same_start(model: nn.Module, began: dict[str, Any] | None, remedy: str) -> None:
    """Refuse to begin a run again with other weights than it began with. Raises DataError E117 with the remedy."""
    now = origin(model)
    if began is not None and (now is None or now.sha256 != began.get("sha256")):
        found = now.sha256[:8] if now else "nothing"
        message = f"The run began with {began.get('about')} (SHA-256 {str(began.get('sha256'))[:8]}...), there is now {found}."
        raise DataError("E117", message, remedy)


def describe_origin(recipe: Recipe, model: nn.Module) -> list[str]:
    """Lines on the weights a training starts from, and on how much of the model learns."""
    lines = []
    if known := origin(model):
        lines.append(f"weights: {'; '.join([known.about, known.match, *known.notes])}")
    if recipe.freeze is not None:
        sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
        learn, every = sum(n for n, learns in sizes if learns), sum(n for n, _ in sizes)
        until = f" until epoch {', '.join(map(str, recipe.unfreeze))}" if recipe.unfreeze else ""
        lines.append(f"frozen: {recipe.freeze}{until}; {learn:,} of {every:,} parameters learn at first")
    return lines
