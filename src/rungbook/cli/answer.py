"""How a command answers: text for people or one JSON line, errors with code and fix, fixed exit codes.

Exit codes: 0 fine, 1 a finding, 2 usage, 3 data, 4 environment, 5 interrupted and resumable, 70 our own fault.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any

INTERRUPTED, OWN_FAULT = 5, 70
TYPER_INTERRUPTED = 130
"""What typer gives back for a KeyboardInterrupt it caught."""
LONG_VERBS = ("train", "resume")
"""Verbs that leave something to resume when they are cut short."""
BLOTTED_FROM = 6
"""Characters from which a word of the user's is taken out of crash reports; shorter ones are no secrets and would riddle the text."""


UNREACHABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENAMETOOLONG, errno.ENOTDIR)
"""What the machine answers where the user's rights or disk, not rungbook, stand in the way."""


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
    """Run the app; gives the exit code. A reader that goes away, as `head` does, is no error."""
    try:
        code = _run(app, arguments)
    except BrokenPipeError:
        code = _unread(arguments)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            _let_go(stream)
    return code


def _run(app: Any, arguments: list[str]) -> int:
    debug, as_json = "--debug" in arguments, "--json" in arguments
    try:
        code = app(arguments, prog_name="rung", standalone_mode=False)
        if code == TYPER_INTERRUPTED:
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # typer and rich make exit code 1 of it
            return _unread(arguments)
        return leaving.code if isinstance(leaving.code, int) else 0
    except KeyboardInterrupt:
        print("stopped; there was nothing to save yet", file=sys.stderr)
        if as_json:
            emit({"status": "interrupted", "exit": INTERRUPTED})
        return INTERRUPTED
    except BrokenPipeError:
        return _unread(arguments)
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _tell(error, as_json)


def _unread(arguments: list[str]) -> int:
    """The exit code where nobody reads the rest: a training was cut short by it and can be resumed, all else has said what it had to."""
    return INTERRUPTED if next((a for a in arguments if not a.startswith("-")), "") in LONG_VERBS else 0


def _let_go(stream: Any) -> None:
    """Send what is left in a stream nowhere, so that Python, which writes it out at its end, has nothing to complain of."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _tell(error: Exception, as_json: bool) -> int:
    from rungbook.errors import CODES, RungError

    if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # typer's own: unknown option, missing argument
        context = getattr(error, "ctx", None)
        usage = context.get_usage() + "\n" if context else ""
        return _say({"error": "E201", "message": error.format_message(), "fix": _usage_fix(error), "exit": 2}, usage, as_json)
    if isinstance(error, RungError):
        return _say(error.describe(), f"{CODES[error.code]}\n", as_json)
    if isinstance(error, OSError) and error.errno in UNREACHABLE:
        where = f'"{error.filename}"' if error.filename else "A file or folder"
        problem = {"error": "E405", "message": f"{where} cannot be used: {error.strerror}.", "fix": "See its rights: ls -ld", "exit": 4}
        return _say(problem, f"{CODES['E405']}\n", as_json)
    report = _crash_report(error)
    message = f"{type(error).__name__} inside rungbook: this is our fault, not yours."
    return _say({"error": "E701", "message": message, "fix": f"Please report it with {report}", "exit": OWN_FAULT}, "", as_json)


def _usage_fix(error: Any) -> str:
    """The right form of an unknown option or verb, where it can be guessed."""
    from rungbook.errors import nearest

    context = getattr(error, "ctx", None)
    verb = context.command_path if context else "rung"
    option = (getattr(error, "option_name", "") or "").lstrip("-")
    if option and verb in ("rung train", "rung resume"):
        from rungbook.recipes.recipe import Recipe

        key = option.replace("-", "_")
        if key in Recipe.__dataclass_fields__ or nearest(key, Recipe.__dataclass_fields__):
            return f"Settings are key=value, without dashes: {verb} ... {(nearest(key, Recipe.__dataclass_fields__) or [key])[0]}=VALUE"
    known = [o.lstrip("-") for p in context.command.params for o in p.opts if o.startswith("--")] if option and context else []
    if near := nearest(option, known):
        return f"Did you mean --{near[0]}?"
    return f"See {verb} --help"


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What would steer the terminal, were a user's word told back as it is."""


def _say(problem: dict[str, Any], before: str, as_json: bool) -> int:
    from rich.markup import escape as as_it_is

    escape = lambda words: as_it_is(CONTROL.sub("\N{REPLACEMENT CHARACTER}", words))

    try:
        if as_json:
            emit(problem)
        out = console(as_json=True)
        if before:
            out.print(escape(before.rstrip()), style="dim")
        out.print(f"[bold red]{problem['error']}[/] {escape(problem['message'])}", soft_wrap=True)
        if problem["fix"]:
            out.print(f"[bold]fix:[/] {escape(problem['fix'])}", soft_wrap=True)
    except (BrokenPipeError, SystemExit):
        pass  # nobody reads it (rich makes a SystemExit of that): the exit code still says it
    return int(problem["exit"])


def _crash_report(error: Exception) -> str:
    """A file with the traceback and versions; words of the command line and of the environment are blotted out of it."""
    import tempfile

    from rungbook.recipes.runs import versions

    text = _blotted("".join(traceback.format_exception(error))) + "\n" + json.dumps(versions()) + "\n"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="rung-crash-", suffix=".txt", delete=False) as f:
            f.write(text)
    except OSError:
        sys.stderr.write(text)
        return "the lines above"
    return f.name


def _blotted(text: str) -> str:
    """The text without the user's own words: an error's message may quote them, and a report is passed on."""
    own = {w for a in sys.argv[1:] for w in (a, *a.split("="))} | set(os.environ.values())
    for word in sorted((w for w in own if len(w) >= BLOTTED_FROM), key=len, reverse=True):
        text = text.replace(word, "[...]")
    return text
