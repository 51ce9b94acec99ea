"""Files are looked at before they are read: regular, of a sane size, and no pickle that takes for ever."""

from __future__ import annotations

import io
import os
import pickle
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from rungbook.learner.untrusted import MAX_NESTING, check_nesting, check_torch_file, read_small


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = (value, value)
    return value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nesting_is_counted_through_the_memo(protocol: int) -> None:
    check_nesting(io.BytesIO(pickle.dumps({"a": [nested(MAX_NESTING - 1)], "b": [[[]]] * 100}, protocol)))
    with pytest.raises(ValueError, match="nest deeper"):
        check_nesting(io.BytesIO(pickle.dumps({"a": [nested(MAX_NESTING + 1)]}, protocol)))


def test_hashing_such_a_tuple_doubles_with_each_level() -> None:
    """The reason for all this: the control without a check would run for years at depth 60."""

    def seconds(depth: int) -> float:
        value = nested(depth)
        start = time.process_time()
        hash(value)
        return time.process_time() - start

    assert seconds(20) > 8 * seconds(14)


@pytest.mark.parametrize("data", [b"", b"(", b"\x80\x02\x86.", b"0.", b"t.", b"\xff", pickle.dumps(1)[:-1]])
def test_broken_pickles_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"pickle|opcode|line|stack"):
        check_nesting(io.BytesIO(data))


@pytest.mark.parametrize("new_format", [True, False])
def test_what_torch_writes_passes(tmp_path: Path, new_format: bool) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.LSTM(4, 4, 2), nn.MultiheadAttention(8, 2))
    optimizer = torch.optim.Adam(model.parameters())
    torch.save(
        {"state_dict": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3},
        tmp_path / "w.pt",
        _use_new_zipfile_serialization=new_format,
    )
    check_torch_file(tmp_path / "w.pt")


def test_small_files_only(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_small(tmp_path / "a") == b"12345"
    with pytest.raises(OSError, match="at most 4"):
        read_small(tmp_path / "a", limit=4)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_small(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        read_small(tmp_path / "none")
