"""Looking at files of unknown origin before they are read: is it a file at all, and can a pickle's reader be kept busy for ever?

torch's `weights_only` reader runs no code, but it hashes what it puts into dicts and sets. A few hundred bytes of pickle make a tuple of a
tuple of ... of two, and hashing that takes 2^depth steps (as the "billion laughs" of XML do). So the nesting is counted first, op by op,
without building anything.
"""

from __future__ import annotations

import pickletools
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import IO, Any

SMALL = 64 << 20
"""Bytes of a JSON file of ours at most; a manifest or run record has some kilobytes."""
MAX_RATIO = 1.1
"""A torch file stores its tensors uncompressed: one that unpacks to more than this share of itself is no torch file."""
MAX_NESTING = 16
"""Tuples in tuples; torch.save nests three deep."""
LEGACY_PICKLES = 5
"""A torch file from before 1.6 begins with so many: magic number, protocol, system, content, storage keys."""
_MARK = -1


def read_small(path: Path, limit: int = SMALL) -> bytes:
    """The bytes of a regular file; OSError for a pipe, a device, or more than `limit` bytes."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path.name} is not a regular file")
    if status.st_size > limit:
        raise OSError(f"{path.name} has {status.st_size:,} bytes, at most {limit:,} are expected")
    return path.read_bytes()


def check_torch_file(path: Path) -> None:
    """Refuse what no torch file is before torch opens it. Raises ValueError."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(i.file_size for i in archive.infolist()) > MAX_RATIO * path.stat().st_size + 65536:
                raise ValueError("it unpacks to far more than its size")
            for member in archive.infolist():
                if member.filename.endswith(".pkl"):
                    with archive.open(member) as stream:
                        check_nesting(stream)
    elif tarfile.is_tarfile(path):
        raise ValueError("it is a tar archive")  # torch's format of 2016, which it would unpack to a temporary folder
    else:
        with path.open("rb") as stream:
            for _ in range(LEGACY_PICKLES):
                check_nesting(stream)


def check_nesting(stream: IO[bytes]) -> None:
    """Raise ValueError if the pickle nests tuples deeper than `MAX_NESTING`, or is none. Reads to its end and no further."""
    stack: list[int] = []  # of each value only how deep its tuples nest, or _MARK
    memo: dict[Any, int] = {}
    for op, argument, _ in pickletools.genops(stream):
        if op.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if op.name == "MEMOIZE" else argument] = _top(stack)
            continue
        if op.name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo.get(argument, 0))
            continue
        taken = _take(stack, op)
        depth = max(taken, default=0) + ("TUPLE" in op.name)
        if depth > MAX_NESTING:
            raise ValueError(f"its tuples nest deeper than {MAX_NESTING}")
        stack += [_MARK if kind is pickletools.markobject else max(depth, 0) for kind in op.stack_after]


def _top(stack: list[int]) -> int:
    if not stack:
        raise ValueError("its pickle takes from an empty stack")
    return stack[-1]


def _take(stack: list[int], op: pickletools.OpcodeInfo) -> list[int]:
    """Pop what an op takes: a fixed number of values, or all down to a mark and some below it."""
    taken: list[int] = []
    kinds = list(op.stack_before)
    if pickletools.markobject in kinds:
        while _top(stack) != _MARK:
            taken.append(stack.pop())
        stack.pop()
        kinds = kinds[: kinds.index(pickletools.markobject)]
    for _ in kinds:
        taken.append(_top(stack))
        stack.pop()
    return taken
