"""`name(key=value, ...)` as people write it in a setting: schedules and worlds are named so."""

from __future__ import annotations

import ast
from typing import Any

from rungbook.errors import UsageError


def parse_call(text: str, what: str, example: str) -> tuple[str, dict[str, Any]]:
    """`name` or `name(key=value, ...)`, with values written as Python literals, as a name and its options.

    Args:
        text: what somebody wrote.
        what: what it should be ("schedule"), for the message.
        example: a right one.

    Raises:
        UsageError: E202 it is neither.
    """
    if "(" not in text:
        return text.strip(), {}
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args and all(k.arg for k in call.keywords):
            options = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
            if len(options) == len(call.keywords):  # of an option given twice one would silently not count
                return call.func.id, options
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    raise UsageError("E202", f"{text!r} is no {what}.", f"Write it as {example}.")
