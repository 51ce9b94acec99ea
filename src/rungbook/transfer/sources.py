"""Where weights come from: the table of published ones, a file, a folder of transformers, the hub, or a run of ours.

`find` says what is known without reading a tensor; `Source.read` reads. Everything is read as data; nothing is ever executed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rungbook.data.download import sha256
from rungbook.errors import DataError, UsageError
from rungbook.learner import checkpoint
from rungbook.learner.untrusted import read_small
from rungbook.learner.weights import read_weights
from rungbook.models.registry import model_entry
from rungbook.transfer.fetch import fetch_weights
from rungbook.transfer.hf.keys import KINDS, Kind, kind_of, side_pair, to_ours
from rungbook.transfer.published import Channels, Published, by_file, published

HUB = "hf:"
"""Begins the name of a checkpoint of the Hugging Face hub."""
ENDINGS = (".safetensors", ".pt", ".pth", ".th", ".bin", ".ckpt")
YES = ("true", "yes", "1")
"""As text: the model's default published weights."""
Read = Callable[[Iterable[str]], tuple[dict[str, Tensor], Path]]


@dataclass(frozen=True)
class Source:
    """Weights as they were asked for.

    Args:
        said: what was asked for.
        about: what they are, for messages.
        reader: names of our model's tensors -> tensors by those names, and the file they were read from.
        normalisation: mean and deviation of each channel, where it is known.
        defaults: options a model takes from them where nobody says another: channels, size, `norm_eps`.
        demands: options the model must have.
        num_classes: outputs, where it is known without reading.
        labels: what the outputs stand for, where it is known.
        headless: whether they are a body only.
        model: the registry's name they are for, where it is known.
    """

    said: str
    about: str
    reader: Read
    normalisation: tuple[Channels, Channels] | None = None
    defaults: dict[str, Any] = field(default_factory=dict)
    demands: dict[str, Any] = field(default_factory=dict)
    num_classes: int | None = None
    labels: tuple[str, ...] = ()
    headless: bool = False
    model: str = ""

    def read(self, model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors for a model, and the file's name and SHA-256 for the record.

        Raises:
            RungError: as each kind of source.
        """
        tensors, path = self.reader(list(model.state_dict()))
        return tensors, {"file": path.name, "sha256": sha256(path)}


def is_place(text: str) -> bool:
    """Whether a word names a file or folder rather than published weights or a checkpoint of the hub."""
    return not text.startswith(HUB) and ("/" in text or "\\" in text or text in (".", "..") or text.lower().endswith(ENDINGS))


def find(model: str, pretrained: str | Path | bool) -> Source:
    """What weights are asked for.

    Args:
        model: name of `list_models()`.
        pretrained: True for the model's default published weights, a tag of them ("imagenet1k_v1"), a file, a folder of transformers
            or of a run, or "hf:owner/name".

    Raises:
        UsageError: E201 no such model or weights; E105 no such file.
        DataError: E303 a folder describes another kind of model, E106 its description cannot be read.
        EnvironmentProblem: E404 `hf:` without the package, E403 the hub does not give it.
    """
    model_entry(model)
    text = str(pretrained)
    if pretrained is True or text.lower() in YES:
        return _published(text, published(model))
    if isinstance(pretrained, str) and pretrained.startswith(HUB):
        return _hub(model, pretrained)
    if isinstance(pretrained, str) and not is_place(pretrained):
        folder = Path(pretrained)
        if folder.is_dir() or folder.is_file():
            raise UsageError("E201", f'"{pretrained}" is no name of published weights, but lies here.', f"pretrained=./{pretrained}")
        return _published(text, published(model, pretrained))
    path = Path(text).expanduser()
    if not path.exists():
        from rungbook.data.load import existing

        existing(path)
    if path.is_file():
        return _file(text, path)
    for name, read in FOLDERS.items():
        if (path / name).is_file():
            return read(model, text, path)
    raise UsageError("E105", f"{path} holds no weights: neither a config.json nor a run of rungbook.", "pretrained=FILE.safetensors")


def _published(said: str, one: Published) -> Source:
    def read(names: Iterable[str]) -> tuple[dict[str, Tensor], Path]:
        path = fetch_weights(one)
        return read_weights(path), path

    about = f"{one.tag} of {one.model} ({one.home})"
    size = {"image_size": (one.image_size, one.image_size)}
    return Source(said, about, read, one.normalisation, size, num_classes=one.num_classes, model=one.model)


def _file(said: str, path: Path) -> Source:
    """A file; one that has the name of a published one brings what is known of that."""
    known = by_file(path.name)

    def read(names: Iterable[str]) -> tuple[dict[str, Tensor], Path]:
        return read_weights(path), path

    if known is None:
        return Source(said, str(path), read)
    return Source(said, f"{path} ({known.tag} of {known.model})", read, known.normalisation, num_classes=known.num_classes)


def _json(path: Path) -> dict[str, Any]:
    """An object of a JSON file. Raises DataError E106."""
    try:
        content = json.loads(read_small(path))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError("E106", f"{path} cannot be read ({type(error).__name__}).", "Get the folder again.") from error
    if not isinstance(content, dict):
        raise DataError("E106", f"{path} holds a {type(content).__name__}, an object is needed.", "Get the folder again.")
    return content


def _transformers(model: str, said: str, folder: Path) -> Source:
    """A folder that transformers' `save_pretrained` wrote."""
    config = _json(folder / "config.json")
    kind = kind_of(config, said)
    files = [folder / name for name in ("model.safetensors", "pytorch_model.bin") if (folder / name).is_file()]
    if not files:
        raise UsageError("E105", f"{folder} holds neither model.safetensors nor pytorch_model.bin.", "Save it in one file.")
    headless = kind.architecture not in (config.get("architectures") or [kind.architecture])

    def read(names: Iterable[str]) -> tuple[dict[str, Tensor], Path]:
        return to_ours(kind, list(names), read_weights(files[0])), files[0]

    try:
        demands = {option: get(config) for option, get in kind.options.items()}
        defaults = _defaults(kind, config)
        labels = tuple(str(v) for _, v in sorted((config.get("id2label") or {}).items(), key=lambda kv: int(kv[0])))
        normalisation = _normalisation(folder)
    except (TypeError, ValueError, KeyError) as error:
        raise DataError("E106", f"The configuration in {folder} makes no sense: {error}.", "Get the folder again.") from error
    classes = None if headless else len(labels) or 2
    return Source(said, f"{said} ({kind.architecture})", read, normalisation, defaults, demands, classes, labels, headless)


def _defaults(kind: Kind, config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"in_channels": int(config.get("num_channels", 3))}
    if kind is KINDS["vit"]:
        found |= {"image_size": side_pair(config.get("image_size", 224)), "norm_eps": float(config.get("layer_norm_eps", 1e-12))}
    return found


def _normalisation(folder: Path) -> tuple[Channels, Channels] | None:
    """Mean and deviation as the folder's preprocessor says them; None if it says nothing."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return None
    said = _json(path)
    if not said.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if "image_mean" not in said or "image_std" not in said:
        return None
    return tuple(map(float, said["image_mean"])), tuple(map(float, said["image_std"]))


def _hub(model: str, said: str) -> Source:
    from rungbook.transfer.hf.hub import fetch_folder

    return _transformers(model, said, fetch_folder(said.removeprefix(HUB)))


def _run(model: str, said: str, folder: Path) -> Source:
    """The finished model of a run of ours."""
    final = folder / "checkpoints" / "final"
    if not final.is_dir():
        raise UsageError("E204", f"{folder} has no finished model.", f"Continue it: rung resume {folder.name}")
    card = _json(final / "model.json")
    try:
        encoder, target, options = (dict(card.get(k) or {}) for k in ("encoder", "target", "options"))
        mean, std = (tuple(map(float, encoder.get(k, ()))) for k in ("mean", "std"))
        defaults = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items() if k in ("in_channels", "image_size", "norm_eps")}
        labels = tuple(map(str, target.get("classes", ())))
    except (TypeError, ValueError) as error:
        raise DataError("E106", f"{final / 'model.json'} makes no sense: {error}.", "Train it again.") from error

    def read(names: Iterable[str]) -> tuple[dict[str, Tensor], Path]:
        state, _ = checkpoint.read(final)
        return dict(state["model"]), final / checkpoint.TENSORS

    return Source(
        said,
        f"{folder.name} ({card.get('model')})",
        read,
        (mean, std) if mean else None,
        defaults,
        num_classes=options.get("num_classes"),
        labels=labels,
        model=str(card.get("model", "")),
    )


FOLDERS: dict[str, Callable[[str, str, Path], Source]] = {"run.json": _run, "config.json": _transformers}
"""What tells a kind of folder."""
