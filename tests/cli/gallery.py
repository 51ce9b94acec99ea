"""Finished runs of every kind, trained once for all tests: images of digits, a folder, tables, texts."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

import pictures
import pytest
import tables
from commands import Answer, quick, run


class Gallery:
    """Runs below one folder, and the data they were trained on.

    Args:
        root: where they go.
    """

    _shared: ClassVar[Gallery | None] = None

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def shared(cls, factory: pytest.TempPathFactory) -> Gallery:
        """The one of this session, whichever folder of tests asks."""
        cls._shared = cls._shared or cls(factory.mktemp("gallery"))
        return cls._shared

    def train(self, words: str, *, whole: bool = False) -> tuple[Path, Answer]:
        """The folder of a new run, and what was said; `whole` with all baselines, folds and the report."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RUNG_RUNS", str(self.root / "runs"))
            patch.setenv("COLUMNS", "80")
            patch.chdir(self.root)
            if not whole:
                quick(patch)
            answer = run(f"train {words} --json")
        assert answer.code == 0, answer.err
        return Path(answer.json["run"]), answer

    @cached_property
    def digits(self) -> tuple[Path, Answer]:
        """Images by a convolutional network, judged and reported in full."""
        return self.train("digits epochs=1 widths=8,8 batch_size=32", whole=True)

    @cached_property
    def photos(self) -> tuple[Path, Answer]:
        """A folder of images, two of which cannot be read."""
        folder = pictures.folder(self.root / "photos", each=14)
        (folder / "cat" / "empty.jpg").write_bytes(b"")
        raw = pictures.encoded(pictures.photo(77), "JPEG")
        (folder / "dog" / "cut.jpg").write_bytes(raw[: len(raw) // 2])
        return self.train("./photos epochs=1 widths=4,4 image_size=12")

    @cached_property
    def classes(self) -> tuple[Path, Answer]:
        """A table with a class to predict, and two ragged rows; with folds."""
        body = tables.rows()
        tables.write(self.root / "fruit.csv", [*body[:58], *([*row, "x"] for row in body[58:])])
        return self.train("./fruit.csv --target ok epochs=2 hidden=8", whole=True)

    @cached_property
    def numbers(self) -> tuple[Path, Answer]:
        """A table with a number to predict."""
        tables.write(self.root / "sales.csv", tables.numbers(), ("size", "colour", "weight", "price"))
        return self.train("./sales.csv --target price epochs=2 hidden=8")

    @cached_property
    def one_hot(self) -> tuple[Path, Answer]:
        """A bundled table by a model that takes flat inputs."""
        return self.train("mlp data=iris epochs=2 hidden=8")

    @cached_property
    def texts(self) -> tuple[Path, Answer]:
        """A table with a column of text."""
        tables.write(self.root / "films.csv", tables.texts(), ("opinion", "label"))
        return self.train("./films.csv --target label epochs=4 embed_dim=8 lr=0.05")
