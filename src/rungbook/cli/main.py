"""The command `rung`: the list of verbs, and how errors leave it.

The verbs' files import what they need when they run, so that `rung --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import Annotated, Any

import typer

from rungbook.cli import coverage, data, docs, evaluate, ledger, lesson, listing, measure, predict, resume, runs, train, twins

app = typer.Typer(
    name="rung",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Deep learning, one rung at a time. Start with: [bold]rung train digits[/]",
)

LEARNER = "learner"
app.command("lesson", rich_help_panel=LEARNER)(lesson.lesson)

PRACTITIONER = "practitioner"
app.command("train", rich_help_panel=PRACTITIONER)(train.train)
app.command("resume", rich_help_panel=PRACTITIONER)(resume.resume)
app.command("eval", rich_help_panel=PRACTITIONER)(evaluate.evaluate)
app.command("predict", rich_help_panel=PRACTITIONER)(predict.predict)
app.command("data", rich_help_panel=PRACTITIONER)(data.data)
app.add_typer(runs.app, name="runs", rich_help_panel=PRACTITIONER)
app.command("list", rich_help_panel=PRACTITIONER)(listing.listing)

MAINTAINER = "maintainer"
app.command("measure", rich_help_panel=MAINTAINER)(measure.measure)
app.command("ledger", rich_help_panel=MAINTAINER)(ledger.ledger)
app.command("coverage", rich_help_panel=MAINTAINER)(coverage.coverage)
app.command("twins", rich_help_panel=MAINTAINER)(twins.twins)
app.add_typer(docs.app, name="docs", rich_help_panel=MAINTAINER)


def _version(asked: bool) -> None:
    if asked:
        from rungbook import __version__

        print(f"rungbook {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> int:
    """Options before the verb; without a verb, the list of them."""
    if context.invoked_subcommand is None:
        print(context.get_help())
    return 0


def _waiting_threads() -> None:
    """Set how long a thread of torch's waits awake for its next share of the work, unless the user has.

    A step of a ResNet-20 by two threads, wall time to one thread's on a quiet machine and beside a process that keeps a core busy (medians
    of benchmarks/results/waiting.json): asleep at once 0.98 and 1.17; after 3,000 turns 0.83 and 1.45; after 10,000 turns 0.69 and 2.18;
    after libgomp's own 300,000 turns 0.58 and 2.08, where threads that wait may also keep the core for long from those that work. Most
    trainings have the machine to themselves; the others have `threads=1`.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # for whatever runtime does not know the other
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def _with_helper(words: list[str], **options: Any) -> Any:
    """Run the verb, with a second process beside those that take long."""
    from rungbook.cli.answer import LONG_VERBS
    from rungbook.recipes.helper import helping

    with helping() if words and words[0] in LONG_VERBS else nullcontext():
        return app(words, **options)


def main() -> None:
    """Entry point: run the verb; a mistake of the user's becomes a message and an exit code, never a traceback."""
    _waiting_threads()
    from rungbook.cli.answer import run_command
    from rungbook.recipes.companion import seldom_collect

    seldom_collect()
    sys.exit(run_command(_with_helper, sys.argv[1:]))


if __name__ == "__main__":
    main()
