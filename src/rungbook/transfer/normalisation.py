"""How images must be normalised for weights: wrongly normalised ones are answered all the same, and worse."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

from rungbook.data.data import Data
from rungbook.data.images import ImageEncoder
from rungbook.errors import UsageError
from rungbook.transfer.published import Channels
from rungbook.transfer.sources import Source


def normalisation_for(source: Source, channels: int) -> tuple[Channels, Channels] | None:
    """Mean and deviation of each channel for images with so many; of grey ones the average over the colours; None if nobody tells."""
    if source.normalisation is None:
        return None
    mean, std = source.normalisation
    if len(mean) == channels:
        return mean, std
    return (sum(mean) / len(mean),) * channels, (sum(std) / len(std),) * channels


def with_normalisation(data: Data, mean: Channels, std: Channels) -> Data:
    """The same images normalised otherwise, as `data.encoder` then says too, which travels with a trained model.

    Args:
        data: images; stays as it is.
        mean, std: of each channel, pixels counted from 0 to 1; those of `model.pretrained`.

    Raises:
        UsageError: E202 the data holds no images.
    """
    if not isinstance(data.encoder, ImageEncoder):
        raise UsageError("E202", f"{data.name} holds no images to normalise.", "Give a folder of images.")
    encoder = replace(data.encoder, mean=tuple(mean), std=tuple(std))
    feeds = {name: copy(feed) for name, feed in data.splits().items()}
    for feed in feeds.values():
        feed.prepare = encoder.prepare
    facts = {**data.facts, "mean": list(mean), "std": list(std)}
    return replace(data, encoder=encoder, facts=facts, train=feeds["train"], valid=feeds.get("valid"), test=feeds.get("test"))
