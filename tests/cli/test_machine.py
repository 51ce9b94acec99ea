"""What the machine refuses, or a person stops, before there is a run."""

from __future__ import annotations

import errno
import json
import os
from typing import Any

import pytest

from rungbook.cli.answer import run_command
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
