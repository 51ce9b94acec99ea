"""`rung docs`: build the site and the slides, and look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rungbook.cli.train import AsJson, Debug

app = typer.Typer(help="Build the site and the slides.", no_args_is_help=True)
Out = Annotated[Path | None, typer.Option("--out", help="Folder; build/site of the checkout if left out.")]


@app.command("build")
def build(out: Out = None, as_json: AsJson = False, debug: Debug = False) -> int:
    """Execute the lessons that changed and build all pages; a warning is an error."""
    import shlex
    import time

    from rungbook.book.site import build as build_site
    from rungbook.cli.answer import console, emit
    from rungbook.recipes.about_data import plain

    said, start = console(as_json), time.monotonic()
    with said.status("lessons") as status:
        made = build_site(out, status.update)
    plain(said, f"{made.pages} pages in {time.monotonic() - start:.0f} s: {made.folder / 'index.html'}", "bold")
    slowest = max(made.lesson_seconds, key=lambda name: made.lesson_seconds[name])
    mean = sum(made.lesson_seconds.values()) / len(made.lesson_seconds)
    plain(said, f"lessons: {mean:.0f} s of processor time on average, {slowest} {made.lesson_seconds[slowest]:.0f} s", "dim")
    if not made.pdf:
        plain(said, "no PDF of the slides: it is printed by Chromium, which is not installed", "yellow")
    plain(said, f"next: rung docs serve{f' --out {shlex.quote(str(out))}' if out else ''}", "dim")
    if as_json:
        emit({"folder": made.folder, "pages": made.pages, "lesson_seconds": made.lesson_seconds, "pdf": made.pdf})
    return 0


@app.command("serve")
def serve(
    out: Out = None,
    port: Annotated[int, typer.Option("--port", help="Port of this machine; 0: a free one.", min=0, max=65535)] = 8000,
    debug: Debug = False,
) -> int:
    """Serve the built site to this machine's own browser."""
    from rungbook.book.site import server
    from rungbook.cli.answer import console
    from rungbook.recipes.about_data import plain

    with server(out, port) as serving:
        plain(console(), f"http://127.0.0.1:{serving.server_address[1]}/  (Ctrl-C ends it)", "bold")
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0
