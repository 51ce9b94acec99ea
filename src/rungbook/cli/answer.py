"""How a command answers: text for people or one JSON line, errors with code and fix, fixed exit codes.

Exit codes: 0 fine, 1 a finding, 2 usage, 3 data, 4 environment, 5 interrupted and resumable, 70 our own fault.
"""

from __future__ import annotations

import json
import math
import sys
import traceback
from pathlib import Path
from typing import Any

INTERRUPTED, OWN_FAULT = 5, 70


def console(as_json: bool = False) -> Any:
    """Where a person reads: standard output, or standard error while standard output belongs to JSON."""
    from rich.console import Console

    return Console(stderr=as_json, highlight=False)


def emit(result: Any) -> None:
    """One line of JSON on standard output; what is not a finite number becomes null."""
    print(json.dumps(_plain({k: v for k, v in result.items() if v is not None} if isinstance(result, dict) else result)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def run_command(app: Any, arguments: list[str]) -> int:
    """Run the app; gives the exit code."""
    debug, as_json = "--debug" in arguments, "--json" in arguments
    try:
        code = app(arguments, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _tell(error, as_json)


def _tell(error: Exception, as_json: bool) -> int:
    from rungbook.errors import CODES, RungError

    if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # typer's own: unknown option, missing argument
        usage = error.ctx.get_usage() + "\n" if getattr(error, "ctx", None) else ""
        return _say({"error": "E201", "message": error.format_message(), "fix": "See rung --help.", "exit": 2}, usage, as_json)
    if isinstance(error, RungError):
        return _say(error.describe(), f"{CODES[error.code]}\n", as_json)
    report = _crash_report(error)
    message = f"{type(error).__name__} inside rungbook: this is our fault, not yours."
    return _say({"error": "E701", "message": message, "fix": f"Please report it with {report}", "exit": OWN_FAULT}, "", as_json)


def _say(problem: dict[str, Any], before: str, as_json: bool) -> int:
    from rich.markup import escape

    if as_json:
        emit(problem)
    out = console(as_json=True)
    if before:
        out.print(escape(before.rstrip()), style="dim")
    out.print(f"[bold red]{problem['error']}[/] {escape(problem['message'])}", soft_wrap=True)
    if problem["fix"]:
        out.print(f"[bold]fix:[/] {escape(problem['fix'])}", soft_wrap=True)
    return int(problem["exit"])


def _crash_report(error: Exception) -> Path:
    """A file with the traceback and versions; nothing of the environment or the arguments gets into it."""
    import tempfile

    from rungbook.recipes.runs import versions

    text = "".join(traceback.format_exception(error)) + "\n" + json.dumps(versions()) + "\n"
    with tempfile.NamedTemporaryFile("w", prefix="rung-crash-", suffix=".txt", delete=False) as f:
        f.write(text)
    return Path(f.name)
