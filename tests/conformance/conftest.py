"""Counts what was compared, and prints it at the end: `pytest tests/conformance`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

for _folder in (".", "../models"):
    sys.path.insert(0, str((Path(__file__).parent / _folder).resolve()))

from agree import Counts, as_rows  # noqa: E402

KEY: pytest.StashKey[dict[str, Counts]] = pytest.StashKey()


FILE = Path(__file__).parents[2] / "results" / "twins.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--record-twins` writes what was counted into results/twins.json."""
    parser.addoption("--record-twins", action="store_true", help="write the counts into results/twins.json")


def record(parts: dict[str, Counts]) -> None:
    """Put the counts into the file, beside the costs that are there."""
    found = json.loads(FILE.read_text()) if FILE.is_file() else {"parts": {}}
    for name, row in as_rows(parts).items():
        found["parts"][name] = {**found["parts"].get(name, {}), **row}
    found = {"torch": torch.__version__.partition("+")[0], **{k: v for k, v in found.items() if k != "torch"}}
    found["parts"] = dict(sorted(found["parts"].items()))
    FILE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


@pytest.fixture(scope="session")
def recorded() -> dict[str, Any]:
    """What results/twins.json holds."""
    return json.loads(FILE.read_text())


@pytest.fixture(scope="session")
def counts(pytestconfig: pytest.Config) -> dict[str, Counts]:
    """Part -> what was compared of it in this session."""
    return pytestconfig.stash.setdefault(KEY, {})


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """The shares are judged when all has been compared."""
    items.sort(key=lambda item: item.name.startswith("test_listed_shares"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process that did a share of the tests sends what it counted to the one that reports."""
    if hasattr(session.config, "workeroutput"):
        parts = session.config.stash.get(KEY, {})
        session.config.workeroutput["conformance"] = {name: (c.passed, c.listed) for name, c in parts.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """Takes up what such a process sent."""
    sent = getattr(node, "workeroutput", {}).get("conformance", {})
    node.config.stash.setdefault(KEY, {}).update({name: Counts(list(passed), dict(listed)) for name, (passed, listed) in sent.items()})


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One line: how many cases agree, how many are left out."""
    parts = config.stash.get(KEY, {})
    if parts:
        passed, listed = sum(len(c.passed) for c in parts.values()), sum(len(c.listed) for c in parts.values())
        share = listed / max(1, passed + listed)
        if config.getoption("--record-twins", default=False):
            record(parts)
        terminalreporter.write_line(f"conformance: {len(parts)} parts, {passed:,} cases agree with torch, {listed} left out ({share:.1%})")
