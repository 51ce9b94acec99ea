"""Writers of hostile checkpoints and runs. Whoever makes one can seal it with right checksums, so the checksums are right here."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from malicious_files import HUGE, Case, Writer, call_eval, pickled, touch, written

from rungbook.data.arrays import ArrayEncoder
from rungbook.data.target import ClassTarget
from rungbook.learner import checkpoint
from rungbook.models.registry import create_model
from rungbook.recipes.predictor import CARD, model_card

MODEL, OPTIONS = "softmax_regression", {"in_features": 4, "out_features": 2}


def seal(folder: Path, files: dict[str, bytes]) -> Path:
    """Write the files of a checkpoint with a manifest that vouches for them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        written(folder / name, content)
    written(folder / checkpoint.MANIFEST, checkpoint._manifest(files))
    return folder


def whole(folder: Path) -> dict[str, bytes]:
    """The files of a small checkpoint that is what it says."""
    checkpoint.save(folder, {"model": create_model(MODEL, **OPTIONS).state_dict()}, extra={CARD: card()})
    return checkpoint.read_files(folder)


def card(**changes: Any) -> bytes:
    """A model card, with some of its entries replaced."""
    content = json.loads(model_card(MODEL, OPTIONS, ArrayEncoder(), ClassTarget(("a", "b"))))
    return json.dumps({**content, **changes}).encode()


def state(content: bytes | str) -> Writer:
    """A checkpoint with another state.json."""

    def write(folder: Path, _: Path) -> Path:
        files = whole(folder / "c")
        return seal(folder / "c", {**files, checkpoint.STATE: content.encode() if isinstance(content, str) else content})

    return write


def tensors(make: Callable[[Path], bytes]) -> Writer:
    """A checkpoint with another tensors.safetensors."""

    def write(folder: Path, canary: Path) -> Path:
        files = whole(folder / "c")
        return seal(folder / "c", {**files, checkpoint.TENSORS: make(canary)})

    return write


def manifest(change: Callable[[dict[str, Any]], Any]) -> Writer:
    """A checkpoint with another manifest, whose own checksum is right."""

    def write(folder: Path, _: Path) -> Path:
        whole(folder / "c")
        body = json.loads((folder / "c" / checkpoint.MANIFEST).read_text())
        body.pop("sha256")
        body = change(body)
        digest = checkpoint._digest(json.dumps(body, sort_keys=True).encode())
        content = {**body, "sha256": digest} if isinstance(body, dict) else body
        written(folder / "c" / checkpoint.MANIFEST, json.dumps(content))
        return folder / "c"

    return write


def naming(name: str) -> Writer:
    """A manifest that vouches for a file elsewhere."""
    secret = {"bytes": 6, "sha256": checkpoint._digest(b"secret")}

    def write(folder: Path, canary: Path) -> Path:
        written(folder / "secret", "secret")
        return manifest(lambda body: {**body, "files": {**body["files"], name.format(folder=folder): secret}})(folder, canary)

    return write


def replaced(name: str, how: Callable[[Path], object]) -> Writer:
    """A checkpoint one of whose files is something else than a file."""

    def write(folder: Path, _: Path) -> Path:
        whole(folder / "c")
        (folder / "c" / name).unlink()
        how(folder / "c" / name)
        return folder / "c"

    return write


def run(files: Callable[[Path], dict[str, bytes]], record: Callable[[Path], object] | None = None) -> Writer:
    """A finished run whose final checkpoint has some files replaced, and perhaps its run.json."""

    def write(folder: Path, canary: Path) -> Path:
        path = folder / "001-digits"
        path.mkdir()
        (path / "checkpoints").mkdir()
        written(path / "run.json", json.dumps({"format": 1, "name": "001-digits", "status": "finished", "recipe": "digits"}))
        seal(path / "checkpoints" / "final", {**whole(path / "checkpoints" / "final"), **files(canary)})
        if record is not None:
            (path / "run.json").unlink()
            record(path / "run.json")
        return path

    return write


def with_card(**changes: Any) -> Case:
    return Case(run(lambda _: {CARD: card(**changes)}), "run")


CHECKPOINTS: dict[str, Case] = {
    "state that is no JSON": Case(state("__import__('os').system('true')"), "checkpoint"),
    "state that is a pickle": Case(state(pickled({"a": 1})), "checkpoint"),
    "state nested deep": Case(state("[" * 200_000 + "]" * 200_000), "checkpoint"),
    "a number of a million digits": Case(state('{"step": ' + "9" * 1_000_000 + "}"), "checkpoint"),
    "a tensor that is not there": Case(state('{"model": {"$tensor": "none"}}'), "checkpoint"),
    "a key that cannot be one": Case(state('{"$pairs": [[[1], 2]]}'), "checkpoint"),
    "pairs that are none": Case(state('{"$pairs": 3}'), "checkpoint"),
    "a number that is code": Case(state('{"$float": "os.system(1)"}'), "checkpoint"),
    "tensors that are a pickle": Case(tensors(lambda c: pickled({"weight": call_eval(c)})), "checkpoint"),
    "tensors with a header of 2^63": Case(tensors(lambda _: struct.pack("<Q", 1 << 63) + b"{}"), "checkpoint"),
    "a file above the folder": Case(naming("../secret"), "checkpoint"),
    "a file by absolute path": Case(naming("{folder}/secret"), "checkpoint"),
    "files that are a list": Case(manifest(lambda b: {**b, "files": list(b["files"])}), "checkpoint"),
    "no files": Case(manifest(lambda b: {**b, "files": {}}), "checkpoint"),
    "negative length": Case(manifest(lambda b: {**b, "files": {k: {**v, "bytes": -1} for k, v in b["files"].items()}}), "checkpoint"),
    "a format of tomorrow": Case(manifest(lambda b: {**b, "format": 10**9}), "checkpoint"),
    "a format that is code": Case(manifest(lambda b: {**b, "format": "__import__('os')"}), "checkpoint"),
    "a manifest that is a list": Case(manifest(lambda b: [b]), "checkpoint"),
    "an endless manifest": Case(replaced(checkpoint.MANIFEST, lambda p: p.symlink_to("/dev/zero")), "checkpoint"),
    "a manifest that is a pipe": Case(replaced(checkpoint.MANIFEST, os.mkfifo), "checkpoint"),
    "endless tensors": Case(replaced(checkpoint.TENSORS, lambda p: p.symlink_to("/dev/zero")), "checkpoint"),
    "tensors that are a pipe": Case(replaced(checkpoint.TENSORS, os.mkfifo), "checkpoint"),
}

RUNS: dict[str, Case] = {
    "a model that names a function": with_card(model="os:system"),
    "a model that names a module of ours": with_card(model="recipes.session:train"),
    "an encoder that names a class": with_card(encoder={"kind": "subprocess:Popen", "args": ["true"]}),
    "an encoder from nowhere": with_card(encoder=None),
    "an encoder with strange fields": with_card(encoder={"kind": "image", "__class__": "os.system"}),
    "options that are a list": with_card(options=[1, 2]),
    "options that name attributes": with_card(options={**OPTIONS, "__init__": "x"}),
    "a model of 2^60 numbers": with_card(options={"in_features": HUGE, "out_features": 2}),
    "a model of 2 GB": with_card(options={"in_features": 1 << 28, "out_features": 2}),
    "a negative width": with_card(options={"in_features": -4, "out_features": 2}),
    "a target that is a task of its own": with_card(target={"task": "exec", "classes": ["a"]}),
    "a target with strange fields": with_card(target={"task": "classification", "classes": ["a", "b"], "__class__": "os"}),
    "a card that is a list": Case(run(lambda _: {CARD: b"[1]"}), "run"),
    "a card that is a pickle": Case(run(lambda c: {CARD: pickled(call_eval(c))}), "run"),
    "a card that is code": Case(run(lambda c: {CARD: touch(c).encode()}), "run"),
    "weights of a pickle in a run": Case(run(lambda c: {checkpoint.TENSORS: pickled(call_eval(c))}), "run"),
    "a record that is code": Case(run(lambda _: {}, lambda p: written(p, "import os")), "record"),
    "a record that is a list": Case(run(lambda _: {}, lambda p: written(p, "[]")), "record"),
    "an endless record": Case(run(lambda _: {}, lambda p: p.symlink_to("/dev/zero")), "record"),
    "a record that is a pipe": Case(run(lambda _: {}, os.mkfifo), "record"),
    "a state without a model": Case(run(lambda _: {checkpoint.STATE: b"[]"}), "run"),
}


def control(folder: Path) -> Path:
    """A run as it should be: it must open."""
    return run(lambda _: {})(folder, folder / "never")


def good_weights(folder: Path) -> Path:
    """Weights as they should be: they must open."""
    torch.save({"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}, folder / "w.pt")
    return folder / "w.pt"
