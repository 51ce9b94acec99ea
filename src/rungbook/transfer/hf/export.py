"""Our ResNet and ViT as a folder that transformers loads: `AutoModelForImageClassification.from_pretrained(folder)`.

The folder holds `config.json`, `model.safetensors` and `preprocessor_config.json`. No package of Hugging Face is needed to write it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from rungbook.data.images import ImageEncoder
from rungbook.errors import UsageError
from rungbook.learner import checkpoint
from rungbook.models.registry import model_entry
from rungbook.transfer.create import new_model
from rungbook.transfer.fitting import plan
from rungbook.transfer.hf.keys import KINDS, theirs, to_theirs

BILINEAR = 2
"""Pillow's number of the interpolation that `ImageEncoder` scales with."""


def save_transformers(
    model: nn.Module,
    folder: str | Path,
    name: str,
    *,
    labels: Sequence[str] = (),
    encoder: ImageEncoder | None = None,
    **options: Any,
) -> Path:
    """Write a model as a folder of transformers.

    Args:
        model: made by `create_model(name, **options)`.
        folder: made if it is not there; files of these names in it are replaced.
        name: of the model in the registry.
        labels: what the outputs stand for; "LABEL_0" and so on if empty.
        encoder: says size and normalisation of images; without it no `preprocessor_config.json` is written.
        options: the model was made with.

    Returns:
        The folder.

    Raises:
        UsageError: E202 transformers has no such model, or none with these options or this head.
        EnvironmentProblem: E401, E405 the folder cannot be written.
    """
    asked = plan(name, options)
    kind_name, kind = next(((n, k) for n, k in KINDS.items() if k.ours == model_entry(name).where), ("", None))
    if kind is None:
        able = " and ".join(KINDS)
        raise UsageError("E202", f"{name} has no counterpart here in transformers; models of the kinds {able} have.", "Export a resnet18.")
    for option, only in kind.limits.items():
        if asked[option] != only:
            raise UsageError(
                "E202", f"transformers' {kind.architecture} has no {option}={asked[option]!r}, only {only!r}.", f"{option}={only}"
            )
    state = model.state_dict()
    if strange := [k for k in state if not theirs(kind, k)]:
        raise UsageError("E202", f"transformers' {kind.architecture} has no place for {strange[0]}.", "Train with head=linear.")
    outputs = len(state[next(k for k in reversed(state) if state[k].ndim == 2)])
    names = [str(label) for label in labels] or [f"LABEL_{i}" for i in range(outputs)]
    if len(names) != outputs:
        raise UsageError("E202", f"{len(names)} labels are given for {outputs} outputs.", "One label an output.")
    config = {
        "model_type": kind_name,
        "architectures": [kind.architecture],
        **kind.config(asked),
        "id2label": {str(i): label for i, label in enumerate(names)},
        "label2id": {label: i for i, label in enumerate(names)},
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
    }
    path = Path(folder)
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in to_theirs(kind, state).items()}
    with checkpoint.disk_errors(path, sum(v.nbytes for v in tensors.values())):
        path.mkdir(parents=True, exist_ok=True)
    checkpoint.write_atomically(path / "model.safetensors", safetensors.torch.save(tensors, {"format": "pt"}))
    _write(path / "config.json", config)
    if encoder is not None:
        _write(path / "preprocessor_config.json", preprocessor(encoder))
    return path


def preprocessor(encoder: ImageEncoder) -> dict[str, Any]:
    """What an encoder does to a picture, in their words: shorter side scaled, the middle cut out, each channel normalised."""
    height, width = encoder.size
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": encoder.channels == 3,
        "do_resize": True,
        "size": {"shortest_edge": height} if height == width else {"height": height, "width": width},
        "resample": BILINEAR,
        "do_center_crop": True,
        "crop_size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(encoder.mean),
        "image_std": list(encoder.std),
    }


def run_to_transformers(run: str | Path, folder: str | Path) -> Path:
    """Write the finished model of a run as a folder of transformers.

    Args:
        run: the run's folder.
        folder: as in `save_transformers`.

    Raises:
        UsageError: E204 the run has no finished model; E202 as `save_transformers`.
        DamagedCheckpoint: E301 its files are not those that were written.
    """
    final = Path(run) / "checkpoints" / "final"
    if not final.is_dir():
        raise UsageError("E204", f"{run} has no finished model.", f"Continue it: rung resume {Path(run).name}")
    state, files = checkpoint.read(final)
    card = json.loads(files["model.json"])
    options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in card["options"].items()}
    model = new_model(card["model"], **options)
    model.load_state_dict(state["model"])
    if options.pop("head", "linear") != "linear":
        raise UsageError("E202", f"{run} has a head that transformers' models do not have.", "Train with head=linear.")
    encoder = ImageEncoder.restore({k: v for k, v in card["encoder"].items() if k != "kind"})
    return save_transformers(model, folder, card["model"], labels=card["target"].get("classes", ()), encoder=encoder, **options)


def _write(path: Path, content: dict[str, Any]) -> None:
    checkpoint.write_atomically(path, json.dumps(content, indent=2).encode())
