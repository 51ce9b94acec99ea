"""`rung data`: what is in a source, before anything is trained on it."""

from __future__ import annotations

from typing import Annotated

import typer

from rungbook.cli.train import AsJson, Debug

ITEMS = 5
"""Names shown of each finding; --json gives all."""


def data(
    source: Annotated[str, typer.Argument(help="A data set's name (rung list data), or a path: a folder of images, a table.")],
    target: Annotated[str | None, typer.Option("--target", help="Column to predict, for a table.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="Column of text to learn from, for a table.")] = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", help="Column the audit must not leave out.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at an unreadable file or row instead of leaving it out.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Look through a source: counts, copies, leaks, unreadable files. Exit code 1 if there is a finding."""
    import shlex
    from pathlib import Path

    from rungbook.cli.answer import console, emit
    from rungbook.cli.train import command_for
    from rungbook.data.load import as_word, is_path, load_data
    from rungbook.data.named import data_names
    from rungbook.errors import UsageError
    from rungbook.recipes.about_data import headline_of, lines_of, paragraph, plain, print_findings
    from rungbook.recipes.speak import plural

    if not is_path(source) and Path(source).is_dir() and source not in data_names():
        message = f'"{source}" is no data set, but there is a folder of that name.'
        raise UsageError("E203", message, f"Say it as a path: rung data ./{source}")
    found = load_data(source, target=target, text=text, keep=tuple(keep or ()), strict=strict)
    out = console(as_json)
    paragraph(out, f"{found.name}: ", headline_of(found), style="bold")
    for label, line in lines_of(found):
        paragraph(out, f"  {label:<8}  ", line, style="dim")
    print_findings(out, found.findings, items=ITEMS)
    findings = [f for f in found.findings if f.code != "note"]
    out.print(plural(len(findings), "finding") if findings else "no findings", style="bold")
    options = [("target", target), ("text", text), *(("keep", k) for k in keep or ())]
    said = [f"--{k} {shlex.quote(v)}" for k, v in options if v]
    command = " ".join(["rung train", as_word(Path(source)), *said]) if is_path(source) else command_for(source)
    plain(out, f"next: {command}" if command.startswith("rung train") else "next: rung list recipes", "dim")
    if as_json:
        emit(
            {
                "source": source,
                "task": found.task,
                "classes": list(found.classes),
                "samples": {name: feed.samples for name, feed in found.splits().items()},
                "facts": found.facts,
                "findings": [f.describe() for f in found.findings],
                "fingerprint": found.fingerprint,
            }
        )
    return 1 if findings else 0
