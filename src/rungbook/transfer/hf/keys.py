"""The models that both sides have, as tables: names of tensors, and what of a `config.json` is which of our options.

The names are those of the files, which transformers keeps whatever it calls a layer in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rungbook.errors import DataError

QKV = ("query", "key", "value")
"""What torch packs into one matrix; `{}` in a name below stands for each in turn."""


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Args:
        ours: "module:Class" as in the registry.
        architecture: the class in transformers.
        prefix: what a file of the bare model, without a head, leaves out of its names.
        names: ours as a pattern -> theirs; the first that matches a whole name counts.
        options: our option -> how it follows from their config.
        config: our constructor's arguments -> their config.
        demands: what their config must say: field -> (default, the values we can do).
        limits: our options -> the only value of which they have the like.
        left_out: beginnings of names that have no place in ours: what stands beside the classifier.
    """

    ours: str
    architecture: str
    prefix: str
    names: tuple[tuple[str, str], ...]
    options: dict[str, Callable[[dict[str, Any]], Any]]
    config: Callable[[dict[str, Any]], dict[str, Any]]
    demands: dict[str, tuple[Any, tuple[Any, ...]]]
    limits: dict[str, Any]
    left_out: tuple[str, ...] = ()


def side_pair(value: Any) -> tuple[int, int]:
    """Height and width from one number for both, or from two."""
    height, width = value if isinstance(value, list | tuple) else (value, value)
    return int(height), int(width)


def _resnet_widths(c: dict[str, Any]) -> tuple[int, ...]:
    """Widths before the fourfold growth of bottlenecks."""
    grown = 4 if c.get("layer_type", "bottleneck") == "bottleneck" else 1
    return tuple(int(w) // grown for w in c.get("hidden_sizes", (256, 512, 1024, 2048)))


def _resnet_config(o: dict[str, Any]) -> dict[str, Any]:
    grown = 4 if o["block"] == "bottleneck" else 1
    return {
        "embedding_size": o["widths"][0],
        "hidden_sizes": [grown * w for w in o["widths"]],
        "depths": list(o["depths"]),
        "layer_type": o["block"],
        "num_channels": o["in_channels"],
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
    }


def _vit_config(o: dict[str, Any]) -> dict[str, Any]:
    height, width = o["image_size"]
    return {
        "hidden_size": o["width"],
        "num_hidden_layers": o["depth"],
        "num_attention_heads": o["heads"],
        "intermediate_size": o["hidden"] or 4 * o["width"],
        "hidden_act": "gelu",
        "hidden_dropout_prob": o["dropout"],
        "attention_probs_dropout_prob": o["dropout"],
        "layer_norm_eps": o["norm_eps"],
        "image_size": height if height == width else [height, width],
        "patch_size": o["patch"],
        "num_channels": o["in_channels"],
        "qkv_bias": True,
    }


KINDS: dict[str, Kind] = {
    "resnet": Kind(
        ours="vision.resnet:ResNet",
        architecture="ResNetForImageClassification",
        prefix="resnet.",
        names=(
            (r"conv1\.(.+)", r"resnet.embedder.embedder.convolution.\1"),
            (r"bn1\.(.+)", r"resnet.embedder.embedder.normalization.\1"),
            (r"layer(\d)\.(\d+)\.conv(\d)\.(.+)", r"resnet.encoder.stages.<\1>.layers.\2.layer.<\3>.convolution.\4"),
            (r"layer(\d)\.(\d+)\.bn(\d)\.(.+)", r"resnet.encoder.stages.<\1>.layers.\2.layer.<\3>.normalization.\4"),
            (r"layer(\d)\.(\d+)\.downsample\.0\.(.+)", r"resnet.encoder.stages.<\1>.layers.\2.shortcut.convolution.\3"),
            (r"layer(\d)\.(\d+)\.downsample\.1\.(.+)", r"resnet.encoder.stages.<\1>.layers.\2.shortcut.normalization.\3"),
            (r"fc\.(weight|bias)", r"classifier.1.\1"),
        ),
        options={
            "block": lambda c: c.get("layer_type", "bottleneck"),
            "depths": lambda c: tuple(c.get("depths", (3, 4, 6, 3))),
            "widths": _resnet_widths,
        },
        config=_resnet_config,
        demands={
            "hidden_act": ("relu", ("relu",)),
            "downsample_in_first_stage": (False, (False,)),
            "downsample_in_bottleneck": (False, (False,)),
        },
        limits={"groups": 1, "width_per_group": 64},
    ),
    "vit": Kind(
        ours="vision.vit:VisionTransformer",
        architecture="ViTForImageClassification",
        prefix="vit.",
        names=(
            (r"class_token", r"vit.embeddings.cls_token"),
            (r"conv_proj\.(.+)", r"vit.embeddings.patch_embeddings.projection.\1"),
            (r"encoder\.pos_embedding", r"vit.embeddings.position_embeddings"),
            (r"encoder\.layers\.encoder_layer_(\d+)\.ln_1\.(.+)", r"vit.encoder.layer.\1.layernorm_before.\2"),
            (r"encoder\.layers\.encoder_layer_(\d+)\.ln_2\.(.+)", r"vit.encoder.layer.\1.layernorm_after.\2"),
            (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_(.+)", r"vit.encoder.layer.\1.attention.attention.{}.\2"),
            (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj\.(.+)", r"vit.encoder.layer.\1.attention.output.dense.\2"),
            (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.0\.(.+)", r"vit.encoder.layer.\1.intermediate.dense.\2"),
            (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.3\.(.+)", r"vit.encoder.layer.\1.output.dense.\2"),
            (r"encoder\.ln\.(.+)", r"vit.layernorm.\1"),
            (r"heads\.head\.(weight|bias)", r"classifier.\1"),
        ),
        options={
            "width": lambda c: c.get("hidden_size", 768),
            "depth": lambda c: c.get("num_hidden_layers", 12),
            "heads": lambda c: c.get("num_attention_heads", 12),
            "hidden": lambda c: c.get("intermediate_size", 3072),
            "patch": lambda c: side_pair(c.get("patch_size", 16))[0],
        },
        config=_vit_config,
        demands={"hidden_act": ("gelu", ("gelu",)), "qkv_bias": (True, (True,))},
        limits={"pool": "cls", "positions": "learned"},
        left_out=("vit.pooler.",),
    ),
}
"""`model_type` of a config -> what it is here."""


def theirs(kind: Kind, name: str) -> list[str]:
    """Their name of one of our tensors; three where ours is packed; none where they have no such tensor."""
    for pattern, replacement in kind.names:
        if match := re.fullmatch(pattern, name):
            made = match.expand(replacement)
            made = re.sub(r"<(\d+)>", lambda m: str(int(m[1]) - 1), made)  # they count from 0
            return [made.format(part) for part in QKV] if "{}" in made else [made]
    return []


def to_ours(kind: Kind, names: list[str], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors under our names; what has no place in ours keeps its own name, so that it is noticed.

    Args:
        kind: of the model.
        names: of our model's tensors.
        tensors: of their file.
    """
    if not any(k.startswith(kind.prefix) for k in tensors):
        tensors = {kind.prefix + k: v for k, v in tensors.items()}
    tensors = {k: v for k, v in tensors.items() if not k.startswith(kind.left_out or "\0")}
    found: dict[str, Tensor] = {}
    used: set[str] = set()
    for name in names:
        parts = theirs(kind, name)
        if parts and all(p in tensors for p in parts):
            found[name] = torch.cat([tensors[p] for p in parts]) if len(parts) > 1 else tensors[parts[0]]
            used.update(parts)
    return found | {k: v for k, v in tensors.items() if k not in used}


def to_theirs(kind: Kind, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under their names."""
    made: dict[str, Tensor] = {}
    for name, value in state.items():
        parts = theirs(kind, name)
        made.update(zip(parts, value.chunk(len(parts)) if len(parts) > 1 else [value] * len(parts), strict=True))
    return made


def kind_of(config: dict[str, Any], where: str) -> Kind:
    """The kind of model a config describes.

    Raises:
        DataError: E303 it is of another kind, or asks for something ours does not do; the field is named.
    """
    kind = KINDS.get(str(config.get("model_type")))
    if kind is None:
        raise DataError(
            "E303", f"{where} is a model of type {config.get('model_type')!r}; {' and '.join(KINDS)} can be read.", "Choose one of these."
        )
    for field, (default, able) in kind.demands.items():
        if config.get(field, default) not in able:
            raise DataError("E303", f"{where} has {field}={config[field]!r}; ours is {able[0]!r}.", "Use it through transformers itself.")
    return kind
