"""A folder that cannot be written, told with what it is for and which variable names another."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rungbook.errors import EnvironmentProblem


@contextmanager
def writing(folder: Path, what: str, variable: str) -> Iterator[None]:
    """Turn what the system says within the block into E401 (the disk is full) or E405 (anything else).

    Args:
        folder: that is written.
        what: it is for, as "pictures are put".
        variable: of the environment, that names another folder.
    """
    try:
        yield
    except OSError as error:
        code, why = ("E401", "is on a full disk") if error.errno in (errno.ENOSPC, errno.EDQUOT) else ("E405", "cannot be written")
        message = f"The folder {folder}, where {what}, {why}: {error.strerror}."
        raise EnvironmentProblem(code, message, f"Set {variable} to another folder.") from error


__all__ = ["writing"]
