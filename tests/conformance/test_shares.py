"""Few cases are left out, of all together and of each part, and the table that is shown says what was counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from agree import Counts, as_rows, too_many


def test_listed_shares(counts: dict[str, Counts]) -> None:
    assert not too_many(counts)


def test_listed_shares_are_those_of_the_table(counts: dict[str, Counts], recorded: dict[str, Any], pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--record-twins", default=False):
        return  # they are just being written
    if recorded["torch"] != torch.__version__.partition("+")[0]:
        return  # another torch has other samples; the table says which it is of
    shown = {k: {"passed": v.get("passed"), "listed": v.get("listed")} for k, v in recorded["parts"].items()}
    stale = [name for name, row in as_rows(counts).items() if shown.get(name) != row]
    assert not stale, "pytest tests/conformance --record-twins, then rung twins --write"


def test_too_many_are_noticed() -> None:
    fine, bad = Counts(list("abcdefghij"), {"k": "why"}), Counts(list("abcdefg"), {"k": "why"})
    assert too_many({"fine": Counts([str(i) for i in range(100)], {"k": "why"})}) == []
    assert too_many({"fine": fine, "bad": bad}) == ["bad", "all"]
