"""What the machine refuses, or a person stops, before there is a run."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from rungbook.cli.answer import run_command
from rungbook.cli.main import _waiting_threads
from rungbook.data.layout import _unreadable
from rungbook.errors import DataError


def test_ctrl_c_before_there_is_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    def app(*_: Any, **__: Any) -> int:
        return 130  # what typer makes of a KeyboardInterrupt

    assert run_command(app, ["train", "digits", "--json"]) == 5
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "interrupted"
    assert "nothing to save" in err


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO])
def test_the_machines_no_is_not_our_fault(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    def app(*_: Any, **__: Any) -> int:
        raise OSError(number, os.strerror(number), "locked/x.csv")

    assert run_command(app, ["data", "locked/x.csv"]) == 4
    err = capsys.readouterr().err
    assert "E405" in err
    assert "locked/x.csv" in err


def test_a_class_folder_that_cannot_be_opened_is_not_left_out() -> None:
    with pytest.raises(DataError, match=r"E106 photos/rare cannot be opened: Permission denied") as caught:
        _unreadable(PermissionError(errno.EACCES, "Permission denied", "photos/rare"))
    assert "chmod" in caught.value.fix


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["list"], 0), (["--help"], 0), (["nope"], 2)],
)
def test_a_reader_that_goes_away_is_no_error(arguments: list[str], code: int) -> None:
    command = [sys.executable, "-c", "from rungbook.cli.main import main; main()", *arguments]
    reading, writing = os.pipe()
    os.close(reading)  # as `head` does when it has its lines
    both = code != 0  # an error is told on standard error
    with subprocess.Popen(command, stdout=writing, stderr=writing if both else subprocess.PIPE, text=True) as process:
        os.close(writing)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "roken" not in (said or ""), said
    assert "Traceback" not in (said or ""), said


def test_a_training_nobody_follows_can_be_resumed() -> None:
    def app(*_: Any, **__: Any) -> int:
        try:
            raise BrokenPipeError
        except BrokenPipeError:
            sys.exit(1)  # what rich and typer make of it

    assert run_command(app, ["train", "digits"]) == 5
    assert run_command(app, ["list"]) == 0

    def leaves(*_: Any, **__: Any) -> int:
        sys.exit(1)

    assert run_command(leaves, ["list"]) == 1, "control: another exit stays what it is"


@pytest.mark.parametrize(
    ("said", "then"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_what_the_user_says_of_waiting_threads_holds(said: dict[str, str], then: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(said))
    _waiting_threads()
    assert os.environ == then


def test_waiting_threads_are_told_before_torch_reads_it() -> None:
    code = "import sys; from rungbook.cli import main; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
