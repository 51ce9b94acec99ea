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
    strict: Annotated[bool, typer.Option("--strict", help="Stop at an unreadable file instead of leaving it out.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Look through a source: counts, copies, leaks, unreadable files. Exit code 1 if there is a finding."""
    from rich.markup import escape

    from rungbook.cli.answer import console, emit
    from rungbook.data.load import load_data

    found = load_data(source, target=target, text=text, keep=tuple(keep or ()), strict=strict)
    out = console(as_json)
    out.print(f"[bold]{escape(found.name)}[/]: {found.task}" + (f", {len(found.classes)} classes" if found.classes else f' of "{found.target.name}"'))
    out.print("  " + "   ".join(f"{name} {feed.samples:,}" for name, feed in found.splits().items()))
    for key, value in found.facts.items():
        out.print(f"  {key}: {escape(str(value))}", style="dim")
    for finding in found.findings:
        note = finding.code == "note"
        head = "  - " if note else f"  [yellow]{finding.code}[/] "
        out.print(head + escape(finding.message) + (f"  {escape(finding.fix)}" if finding.fix else ""))
        if not note and finding.items:
            more = f", ... ({len(finding.items)} in all)" if len(finding.items) > ITEMS else ""
            out.print("      " + escape(", ".join(finding.items[:ITEMS])) + more, style="dim")
    findings = [f for f in found.findings if f.code != "note"]
    out.print(f"{len(findings)} findings" if findings else "no findings", style="bold")
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
