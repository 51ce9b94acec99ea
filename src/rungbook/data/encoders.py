"""The encoders by kind: how a saved model finds the way from a user's items to its inputs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rungbook.data.data import Encoder

ENCODERS = {
    "array": "rungbook.data.arrays:ArrayEncoder",
    "image": "rungbook.data.images:ImageEncoder",
    "one_hot": "rungbook.data.one_hot:OneHotEncoder",
    "table": "rungbook.data.table_encoder:TableEncoder",
    "text": "rungbook.data.text:TextEncoder",
}


def restore_encoder(description: dict[str, Any]) -> Encoder:
    """The encoder whose `describe` gave `description` with its `kind` under "kind"."""
    fields = dict(description)
    module, name = ENCODERS[fields.pop("kind")].split(":")
    return getattr(import_module(module), name).restore(fields)


def describe_encoder(encoder: Encoder) -> dict[str, Any]:
    """A JSON object for `restore_encoder`."""
    return {**encoder.describe(), "kind": encoder.kind}
