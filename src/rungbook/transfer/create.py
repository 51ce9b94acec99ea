"""`create_model` with weights: `create_model("resnet18", num_classes=10, pretrained=True)`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from rungbook.models import registry
from rungbook.models.registry import model_entry
from rungbook.transfer.fitting import check_demands, fit_weights
from rungbook.transfer.heads import adapt_head
from rungbook.transfer.normalisation import normalisation_for
from rungbook.transfer.published import Channels
from rungbook.transfer.sources import Source, find


@dataclass(frozen=True)
class Pretrained:
    """Where a model's weights came from; `create_model` leaves it in the model's attribute `pretrained`.

    Args:
        said: what was asked for.
        about: what the weights are.
        file, sha256: what was read.
        mean, std: how each channel (0 to 1) must be normalised for them; empty where nobody tells.
        labels: what the outputs of the weights stood for, where that is known.
        defaults: options the model took from them.
        notes: what was changed to make them fit, a sentence each.
        match: how much of the model they filled.
    """

    said: str
    about: str
    file: str
    sha256: str
    mean: Channels
    std: Channels
    labels: tuple[str, ...]
    defaults: dict[str, Any]
    notes: tuple[str, ...]
    match: str

    def describe(self) -> dict[str, Any]:
        """A JSON object for a run's record."""
        return asdict(self)


def create_model(name: str, *, pretrained: str | Path | bool | None = None, head: str | None = None, **options: Any) -> nn.Module:
    """A new model by name, with weights somebody trained if asked for.

    Args:
        name: one of `list_models()`.
        pretrained: True for the published weights (`rung list models` tells which have some), a tag of them ("imagenet1k_v2"), a file,
            a folder of transformers or of a run, or "hf:owner/name". With another number of classes the head is new; with one channel
            filters are added up; at another size positions are interpolated. The model's attribute `pretrained` says which of that was
            done, and the mean and deviation images must be normalised with.
        head: "linear" for a new last layer in any case, "concat_pool" for the head of `heads.new_head`; None to keep what fits.
        options: arguments of the model's constructor. Classes, size and channels are the weights' own where nothing else is said.

    Raises:
        UsageError: E201 no such model, option or weights; E202 an impossible value; E105 no such file.
        DataError: E303 the weights are of another architecture; E106, E302 their file is damaged, or holds more than tensors.
        EnvironmentProblem: E403 they could not be downloaded, E404 `hf:` without the package.
    """
    if pretrained is None or pretrained is False:
        return new_model(name, head=head, **options)
    source = find(name, pretrained)
    known = set(model_entry(name).parameters())
    options = {k: v for k, v in taken(source).items() if k in known} | options
    check_demands(name, options, source.demands, source.about)
    model = new_model(name, head=head, **options)
    return start_from(model, source, new_head=head is not None, image_size=options.get("image_size"))


def new_model(name: str, *, head: str | None = None, **options: Any) -> nn.Module:
    """A new model with random weights: that of the registry, with another head if asked for. Raises as the registry and `adapt_head`."""
    model = registry.create_model(name, **options)
    return model if head is None else adapt_head(model, head)


def taken(source: Source) -> dict[str, Any]:
    """Options a model takes from weights where nothing else is said."""
    return source.defaults | ({} if source.num_classes is None else {"num_classes": source.num_classes})


def start_from(model: nn.Module, source: Source, *, new_head: bool = False, image_size: tuple[int, int] | None = None) -> nn.Module:
    """Fill a model with weights, in place; its attribute `pretrained` says what was done. Raises as `fit_weights` and `Source.read`."""
    tensors, facts = source.read(model)
    fitted = fit_weights(model, tensors, name=source.about, new_head=new_head or source.headless, image_size=image_size)
    channels = next((p.shape[1] for p in model.parameters() if p.ndim == 4), 0)
    mean, std = normalisation_for(source, channels) or ((), ())
    notes = fitted.notes if mean else [*fitted.notes, "how images must be normalised for these weights is not known"]
    done = Pretrained(
        source.said, source.about, **facts, mean=mean, std=std, labels=source.labels, defaults=source.defaults, notes=tuple(notes),
        match=fitted.match,
    )  # fmt: skip
    model.pretrained = done  # type: ignore[assignment]  # a plain attribute: it is no part of the state
    return model


__all__ = ["Pretrained", "create_model", "new_model", "start_from", "taken"]
