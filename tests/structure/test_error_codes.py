"""Every error code that is raised is explained in `CODES`, and every one explained is raised."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from trees import parsed

from rungbook.errors import CODES, DataError, EnvironmentProblem, NotFinite, RungError, UsageError

WAITING: dict[str, str] = {}
"""Codes with no place yet, and what they wait for."""


def codes_in(tree: ast.AST) -> set[str]:
    """Error codes that stand as strings of their own in a module."""
    constants = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return {c for c in constants if re.fullmatch(r"E\d{3}", c)}


def test_codes_are_used_and_known(checkout: Path) -> None:
    src = checkout / "src" / "rungbook"
    used = set().union(*(codes_in(parsed(p)) for p in src.rglob("*.py") if p.name != "errors.py"))
    assert used <= set(CODES), f"not in CODES: {sorted(used - set(CODES))}"
    assert set(CODES) - used == set(WAITING), "a code is explained but never raised (list it in WAITING), or waits no longer"


def test_codes_are_found_in_code_only() -> None:
    assert codes_in(ast.parse('"""About E101."""\nraise UsageError("E102", "E103 is not one")')) == {"E102"}


def test_exit_codes_are_the_contract() -> None:
    kinds = {RungError: 70, UsageError: 2, DataError: 3, EnvironmentProblem: 4, NotFinite: 1}
    assert {k: k.exit_code for k in kinds} == kinds
