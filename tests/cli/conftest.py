"""Commands to try and runs to try them on, for the tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for _folder in (".", "../data"):
    sys.path.insert(0, str((Path(__file__).parent / _folder).resolve()))

from measured import place  # noqa: E402, F401
from stage import gallery, rung  # noqa: E402, F401
from zygote import Zygote  # noqa: E402


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Whole commands as processes of their own, which can be killed."""
    with Zygote(tmp_path_factory.mktemp("zygote")) as it:
        yield it
