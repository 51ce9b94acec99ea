"""What holds for every test: one thread, no network but this machine's own, runs and downloads in a temporary folder."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"  # before torch and numpy are imported; child processes inherit it
os.environ["MPLBACKEND"] = "agg"
os.environ["HF_HUB_OFFLINE"] = "1"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores Ctrl-C, and so do its children

import pytest  # noqa: E402
import torch  # noqa: E402
from xdist.scheduler import LoadScopeScheduling  # noqa: E402

from rungbook.book.offline import go_offline  # noqa: E402

torch.set_num_threads(1)
go_offline()
gc.set_threshold(200_000, 20, 50)  # going through torch's and matplotlib's many objects again and again takes an eighth of the time


SHARED = ("tests/conformance/", "tests/book/")
"""Folders whose tests share what they count or execute."""


class OneProcessEach(LoadScopeScheduling):
    """The tests of a file are done by one of the processes; so are those of a folder that share something."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((shared for shared in SHARED if file.startswith(shared)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneProcessEach:
    """How tests are spread over processes (pytest -n 2)."""
    return OneProcessEach(config, log)


@pytest.fixture(autouse=True, scope="session")
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs and downloads of the tests, and of the commands they start, go to a temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNG_RUNS", str(tmp_path_factory.mktemp("runs")))
        patch.setenv("RUNG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def same_settings() -> Iterator[None]:
    """A test that changes torch's threads or default type would change every test after it."""
    yield
    assert torch.get_num_threads() == 1, "the test left another thread count"
    assert torch.get_default_dtype() == torch.float32, "the test left another default type"
    assert torch.is_grad_enabled(), "the test left gradients off"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, or a skip with its reason."""
    folder = os.environ.get("RUNG_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("RUNG_DATA is not set to a folder of real data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the source tree."""
    return Path(__file__).resolve().parent.parent
