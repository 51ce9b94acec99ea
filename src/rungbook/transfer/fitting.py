"""Putting weights into a model that differs from theirs only where that is meant: other classes, one channel, another size.

Whatever is changed is said. What does not fit is refused by `load_weights` with the matched share, and where the weights are those of
another model of the registry, that one is named.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.errors import DataError
from rungbook.learner.weights import load_weights
from rungbook.models.registry import MODELS, create_model
from rungbook.transfer.parts import ConcatHead, head_of

RENAMES = (
    (r"(.+\.denselayer\d+\.(?:norm|conv))\.([12]\..+)", r"\1\2"),  # DenseNet's files are from when a name could hold a dot
    (r"(.+\.mlp)\.linear_1\.(.+)", r"\1.0.\2"),  # ViT's are from when the two layers had names
    (r"(.+\.mlp)\.linear_2\.(.+)", r"\1.3.\2"),
)
"""Names in torchvision's oldest files -> today's; used where the model has today's."""
BESIDE = ("aux1.", "aux2.")
"""Beginnings of names that a model may go without: GoogLeNet's other classifiers, used in training only."""
BESIDE_LAST = re.compile(r"aux[12]\.fc2\.(weight|bias)")
"""Those of them that depend on the number of classes."""
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
POSITIONS = "pos_embedding"


@dataclass
class Fitted:
    """What became of weights.

    Args:
        tensors: of the model that they filled.
        of: tensors of the model.
        notes: what was changed, a sentence each.
        new: names of tensors that are not theirs but drawn anew: the head's.
    """

    tensors: int
    of: int
    notes: list[str] = field(default_factory=list)
    new: tuple[str, ...] = ()

    @property
    def match(self) -> str:
        """How much of the model they filled."""
        return f"{self.tensors} of {self.of} tensors"


def fit_weights(
    model: nn.Module,
    weights: dict[str, Tensor],
    *,
    name: str = "The weights",
    new_head: bool = False,
    image_size: tuple[int, int] | None = None,
) -> Fitted:
    """Fill a model with weights; only its head may differ, the channels of its first layer, and the grid of its positions.

    Args:
        model: filled in place; as it was if the weights are refused.
        weights: as `read_weights` gives them.
        name: what they are called in messages.
        new_head: whether to keep the model's head in any case.
        image_size: height and width in pixels the model is for, where positions depend on it.

    Raises:
        DataError: E303, with the matched share, the nearest name, and the model of the registry that they fit.
    """
    own = model.state_dict()
    weights = renamed(weights, own)
    notes: list[str] = []
    weights, new = _head(model, own, weights, new_head, notes)
    weights = _beside(own, weights, notes)
    weights = _channels(own, weights, notes)
    weights = _positions(model, own, weights, image_size, notes)
    try:
        match = load_weights(model, weights, name=name)
    except DataError as error:
        raise _refused(error, model, weights, new) from error
    return Fitted(match.tensors - len(new), match.tensors, notes, new)


def renamed(weights: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of today, where the model has those and not the old ones."""
    found = {}
    for name, value in weights.items():
        target = name
        for pattern, replacement in RENAMES if name not in own else ():
            if match := re.fullmatch(pattern, name):
                target = match.expand(replacement)
        found[target if target in own else name] = value
    return found


def _head(
    model: nn.Module, own: dict[str, Tensor], weights: dict[str, Tensor], wanted: bool, notes: list[str]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Weights with the model's own head where it is to be a new one, and the names of that."""
    head = head_of(model) + "."
    mine = {k: v for k, v in own.items() if k.startswith(head)}
    given = {k: v for k, v in weights.items() if k.startswith(head)}
    other = given.keys() == mine.keys() and any(given[k].shape != v.shape for k, v in mine.items())
    only_classes = other and all(given[k].shape[1:] == v.shape[1:] for k, v in mine.items())
    if not wanted and not (only_classes and not isinstance(model.get_submodule(head[:-1]), ConcatHead)):
        return weights, ()
    outputs, before = _outputs(mine), _outputs(given)
    if before == outputs or before is None:
        notes.append(f"the head is new, with {outputs:,} outputs")
    else:
        notes.append(f"the head is new: the weights have {before:,} outputs, this model has {outputs:,}")
    return {**{k: v for k, v in weights.items() if k not in given}, **mine}, tuple(mine)


def _outputs(head: dict[str, Tensor]) -> int | None:
    """Outputs of a head: rows of its last matrix."""
    return next((len(v) for v in reversed(list(head.values())) if v.ndim >= 2), None)


def _beside(own: dict[str, Tensor], weights: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Without what stands beside the model and is not in it; with its own where the classes differ."""
    if not any(k.startswith(BESIDE) for k in own):
        return {k: v for k, v in weights.items() if not k.startswith(BESIDE)}
    for k in filter(BESIDE_LAST.fullmatch, own):
        if k in weights and weights[k].shape != own[k].shape:
            weights = {**weights, k: own[k]}
            if k.endswith("weight"):
                notes.append(f"{k.removesuffix('.weight')} is new, as the head is")
    return weights


def _channels(own: dict[str, Tensor], weights: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Filters for three colours as filters for grey: their sum, which answers a grey picture as they answer it in three equal channels."""
    name = next((k for k, v in own.items() if v.ndim == 4), "")
    if name not in weights or (weights[name].shape[1:2], own[name].shape[1:2]) != ((3,), (1,)):
        return weights
    notes.append(f"images are grey: the three channels of {name} are added up")
    return {**weights, name: weights[name].sum(1, keepdim=True)}


def _positions(
    model: nn.Module, own: dict[str, Tensor], weights: dict[str, Tensor], image_size: tuple[int, int] | None, notes: list[str]
) -> dict[str, Tensor]:
    """Learned positions of one grid of patches, drawn over another by bicubic interpolation (Dosovitskiy et al. 2021, section 3.2)."""
    name = next((k for k in own if k.endswith(POSITIONS)), "")
    if name not in weights or weights[name].ndim != 3 or weights[name].shape[::2] != own[name].shape[::2]:
        return weights
    before, after = weights[name].shape[1], own[name].shape[1]
    patch: Any = next(m.kernel_size for m in model.modules() if isinstance(m, nn.Conv2d))
    side = math.isqrt(after)
    height, width = (s // p for s, p in zip(image_size, patch, strict=True)) if image_size else (side, side)
    token = after - height * width  # the class token has a position of its own
    old = math.isqrt(before - token)
    if token not in (0, 1) or old * old != before - token or (old, old) == (height, width):
        return weights
    grid = weights[name][:, token:].unflatten(1, (old, old)).permute(0, 3, 1, 2)  # (1, features, old, old)
    grid = F.interpolate(grid, (height, width), mode="bicubic", align_corners=False)
    notes.append(f"positions of {old} x {old} patches are interpolated to {height} x {width}")
    return {**weights, name: torch.cat([weights[name][:, :token], grid.flatten(2).mT], 1)}


def _refused(error: DataError, model: nn.Module, weights: dict[str, Tensor], new: tuple[str, ...]) -> DataError:
    """The refusal, with the models of the registry that these weights are of."""
    body = _shapes(model.state_dict(), head_of(model))
    fits = [name for name, shapes in _fitting({k: v for k, v in weights.items() if k not in new}) if shapes != body]
    return DataError("E303", f"{error.message} They fit {_or(fits)}.", f"model={fits[0]}") if fits else error


def _or(names: list[str]) -> str:
    return " or ".join(f"the model {name}" for name in names[:3])


def _shapes(state: dict[str, Tensor], head: str) -> dict[str, torch.Size]:
    """Names and shapes of a body, without counters and without what may stand beside it."""
    without = (f"{head}.", *BESIDE)
    return {k: v.shape for k, v in state.items() if not k.startswith(without) and not k.endswith("num_batches_tracked")}


def _fitting(weights: dict[str, Tensor]) -> Iterator[tuple[str, dict[str, torch.Size]]]:
    """Image models of the registry whose bodies have these names and shapes, whatever the head; with those of the body."""
    family: dict[str, bool] = {}
    learned = sum(v.numel() for k, v in weights.items() if not k.startswith(BESIDE) and not k.endswith(BUFFERS))
    for name, entry in MODELS.items():
        # no head is more than half of its model, whatever the classes; to make a large model takes seconds
        if entry.inputs != "image" or (entry.counted and not entry.counted / 2 < learned < 2 * entry.counted):
            continue
        if entry.where not in family:  # the small form is made in no time, and its parts are called the same
            small = create_model(name, **entry.small)
            family[entry.where] = _tops(small.state_dict(), head_of(small)) == _tops(weights, head_of(small))
        if family[entry.where]:
            with torch.device("meta"):
                model = create_model(name)
            head, own = head_of(model), model.state_dict()
            shapes = _shapes(own, head)
            if shapes == _shapes(renamed(weights, own), head):
                yield name, shapes


def _tops(state: dict[str, Tensor], head: str) -> set[str]:
    """What a body's parts are called."""
    return {k.partition(".")[0] for k in _shapes(state, head)}


def check_demands(name: str, options: dict[str, Any], demands: dict[str, Any], about: str) -> None:
    """Refuse weights of a model with other options than this one's, before it is made.

    Raises:
        DataError: E303 with the first option that differs.
        UsageError: as `create_model` of the registry.
    """
    asked = plan(name, options)
    differing = [option for option, wanted in demands.items() if asked.get(option) != wanted]
    if not differing:
        return
    option = differing[0]
    fits = [other for other in MODELS if demands.items() <= {k: v for k, v in plan(other, {}).items() if k in demands}.items()]
    told = f"has {option}={asked[option]}" if option in asked else f"has no {option}"
    raise DataError(
        "E303",
        f"{about} are of a model with {option}={demands[option]}; {name} {told}." + (f" They fit {_or(fits)}." if fits else ""),
        f"model={fits[0]}" if fits else "Choose weights of this very architecture.",
    )


def plan(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """All arguments a model of the registry would be made with, those left to the constructor too."""
    entry = MODELS[name]
    signature = inspect.signature(entry.load()).parameters.values()
    made = {p.name: p.default for p in signature} | entry.options | {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    if made.get("hidden") == 0 and "width" in made:
        made["hidden"] = 4 * made["width"]
    return made
