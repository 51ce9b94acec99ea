"""Running `rung` in this process, as fast as a function call."""

from __future__ import annotations

import io
import json
import shlex
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rungbook.cli.answer import run_command
from rungbook.cli.main import app


@dataclass
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of standard output."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def text(self) -> str:
        """Everything a person reads, lines joined: where a line breaks depends on the width."""
        return " ".join((self.out + self.err).split())


def run(*words: str) -> Answer:
    """A command, one string of words or several."""
    out, err = io.StringIO(), io.StringIO()
    arguments = shlex.split(words[0]) if len(words) == 1 else list(words)
    with redirect_stdout(out), redirect_stderr(err):
        code = run_command(app, arguments)
    return Answer(code, out.getvalue(), err.getvalue())


class Rung:
    """`rung` for one test.

    Args:
        here: the folder the user works in.
        runs: where runs go.
    """

    def __init__(self, here: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.here, self.runs, self._patch = here, runs, monkeypatch

    def __call__(self, *words: str) -> Answer:
        return run(*words)

    def quick(self) -> None:
        """Judge in a moment: few trees, no folds, an empty report. For tests of everything but these."""
        quick(self._patch)

    def use(self, run: Path) -> Path:
        """A copy of a finished run among this test's runs."""
        import shutil

        return Path(shutil.copytree(run, self.runs / run.name))


def quick(patch: pytest.MonkeyPatch) -> None:
    """See `Rung.quick`."""
    from rungbook.recipes import fits, judge

    patch.setattr(fits, "TREES", 3)
    patch.setattr(fits, "STRENGTHS", (1.0,))
    patch.setattr(judge, "SMALL_TABLE", 0)
    patch.setattr(judge, "write_report", lambda path, facts: path.write_text("<html></html>"))


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
