"""The three splits of a data set with everything needed to train on it, judge it and use the result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from rungbook.data.feed import Augment, Feed, Inputs, Source
from rungbook.data.target import Target


class Encoder(Protocol):
    """From what a user has (files, rows, texts) to what a model takes. It travels with the weights.

    `encode` gives the stored form (uint8 pixels, token ids); `prepare` turns a batch of it into model input.
    """

    kind: ClassVar[str]
    """"image", "table", "text" or "array": also the key under which `rungbook.data.encoders` finds the class."""

    def encode(self, items: Any) -> Inputs:
        """The user's items (paths, a DataFrame, texts, an array) in stored form."""

    def prepare(self, x: Inputs) -> Inputs:
        """A batch in stored form as the model takes it."""

    def describe(self) -> dict[str, Any]:
        """A JSON object from which `restore` makes the encoder again."""

    @classmethod
    def restore(cls, description: dict[str, Any]) -> Encoder:
        """The encoder that `describe` described."""


@dataclass(frozen=True)
class Finding:
    """Something about the data its owner should know.

    Args:
        code: W-code for a warning, "note" for what was done without harm.
        message: what was found, with names and counts.
        fix: what to do about it, if anything.
        items: the files, rows or columns concerned.
    """

    code: str
    message: str
    fix: str = ""
    items: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return {"code": self.code, "message": self.message, "fix": self.fix, "items": list(self.items)}


@dataclass
class Data:
    """Train, valid (for choosing) and test (reported once), ready to feed.

    Args:
        name: what the source is called.
        target: what is predicted.
        train, valid, test: the splits; None where a share of 0 was asked for.
        encoder: how the user's items become inputs; None for tensors the caller encoded.
        findings: what the audit found.
        facts: counts and shapes worth recording (JSON).
        fingerprint: SHA-256 over the samples and their split; equal only for equal data.
        folds: k -> the k data sets of a k-fold score, where the source can give them (tables).
    """

    name: str
    target: Target
    train: Feed
    valid: Feed | None = None
    test: Feed | None = None
    encoder: Encoder | None = None
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    folds: Callable[[int], Iterator[Data]] | None = None

    @property
    def task(self) -> str:
        """ "classification" or "regression"."""
        return self.target.task

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; empty for regression."""
        return getattr(self.target, "classes", ())

    def splits(self) -> dict[str, Feed]:
        """The splits there are, by name."""
        return {k: f for k, f in (("train", self.train), ("valid", self.valid), ("test", self.test)) if f is not None}

    def sample_marks(self) -> list[str]:
        """A mark of each test sample, in order: its name, or the SHA-256 of what it holds."""
        if self.test is None:
            return []
        source = self.test.source
        if source.in_memory and getattr(source, "named", False) is False:
            x, y = source.fetch(slice(0, len(source)))
            rows = [t.reshape(len(y), -1).cpu().numpy() for t in (*(x if isinstance(x, tuple) else (x,)), y)]
            return [hashlib.sha256(b"|".join(r[i].tobytes() for r in rows)).hexdigest() for i in range(len(y))]
        return [source.name(i) for i in range(len(source))]

    def test_mark(self) -> str:
        """SHA-256 of the test samples alone, in any order: equal wherever the same samples are looked at, however the rest was cut."""
        return "" if self.test is None else fingerprint([self.name, *sorted(self.sample_marks())])

    def one_batch(self, n: int | None = None) -> tuple[Inputs, Tensor]:
        """The first `n` training samples (default a batch) as the model takes them, without augmentation."""
        feed = self.train
        x, y = feed.source.fetch(slice(0, n or feed.batch_size))
        return (feed.prepare(x) if feed.prepare else x), y


def make_feeds(
    sources: dict[str, Source],
    *,
    batch_size: int = 64,
    seed: int = 0,
    workers: int = 0,
    encoder: Encoder | None = None,
    augment: Augment | None = None,
) -> dict[str, Feed | None]:
    """Feeds for `Data(...)`: train shuffled and augmented, valid and test in stored order and never augmented."""
    feeds: dict[str, Feed | None] = {}
    for part in ("train", "valid", "test"):
        source = sources.get(part)
        if source is None or len(source) == 0:
            feeds[part] = None
            continue
        train = part == "train"
        feeds[part] = Feed(
            source,
            batch_size=batch_size if train else max(batch_size, 256),
            shuffle=train,
            seed=seed,
            workers=workers,
            prepare=encoder.prepare if encoder else None,
            augment=augment if train else None,
        )
    return feeds


def fingerprint(parts: Iterable[Any]) -> str:
    """SHA-256 over tensors, arrays, bytes and strings, in order."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            part = part.detach().cpu().contiguous().numpy()
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
            part = np.ascontiguousarray(part).tobytes() if part.dtype != object else "\x1f".join(map(str, part.ravel())).encode()
        elif isinstance(part, str):
            part = part.encode()
        digest.update(part)
        digest.update(b"\x1e")
    return digest.hexdigest()


def as_numpy(x: Inputs) -> np.ndarray:
    """Prepared inputs as one float32 table (n, features), for baselines that know nothing of tensors."""
    parts = x if isinstance(x, tuple) else (x,)
    return np.concatenate([t.detach().cpu().reshape(len(t), -1).to(torch.float32).numpy() for t in parts], axis=1)
