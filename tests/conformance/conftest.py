"""Counts what was compared, and prints it at the end: `pytest tests/conformance`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from agree import Counts

KEY: pytest.StashKey[dict[str, Counts]] = pytest.StashKey()


@pytest.fixture(scope="session")
def counts(pytestconfig: pytest.Config) -> dict[str, Counts]:
    """Part -> what was compared of it in this session."""
    return pytestconfig.stash.setdefault(KEY, {})


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """The shares are judged when all has been compared."""
    items.sort(key=lambda item: item.name.startswith("test_listed_shares"))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One line: how many cases agree, how many are left out."""
    parts = config.stash.get(KEY, {})
    if parts:
        passed, listed = sum(len(c.passed) for c in parts.values()), sum(len(c.listed) for c in parts.values())
        share = listed / max(1, passed + listed)
        terminalreporter.write_line(f"conformance: {len(parts)} parts, {passed:,} cases agree with torch, {listed} left out ({share:.1%})")
