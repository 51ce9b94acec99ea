"""Carrying out a study: over its seeds, into a run folder, with a table, what is more than chance in it, and a report."""

from __future__ import annotations

import math
import time
from functools import partial
from statistics import mean, stdev
from typing import Any

import torch

from rungbook.data.worlds.registry import is_world
from rungbook.errors import EnvironmentProblem, RungError
from rungbook.plot.variants import variants
from rungbook.recipes.about_data import paragraph, plain
from rungbook.recipes.comparison import compare_all, lower_is_better
from rungbook.recipes.ending import ending
from rungbook.recipes.partner import partners_for, share_out
from rungbook.recipes.prepare import keep_threads
from rungbook.recipes.report import ReportFacts, StudyFacts, write_report
from rungbook.recipes.runs import Run, create_run, looks_at, versions
from rungbook.recipes.speak import course_lines, number, plural, shown_path, with_spread
from rungbook.recipes.study import Found, Study, figures, gather, mean_scores

SPLITS = ("fit", "train", "valid", "test")
SAME_SAMPLES = "The seeds cut the same samples differently; on other samples the differences are less certain than these intervals say."
FIT = "fit: judged on the samples it was fitted to"


@keep_threads()
def carry_out(study: Study, *, label: str, console: Any, run: Run | None = None) -> dict[str, Any]:
    """Do a study in a run folder; gives the result as DESIGN's JSON object, with the figures of every variant beside it.

    Args:
        label: name for the run folder.
        console: rich Console for what a person reads.
        run: the folder of one that was stopped, which is then done again.
    """
    started = time.monotonic()
    study.check()
    partners = partners_for(study)
    torch.set_num_threads(study.threads or 1)
    run = run or create_run(
        label,
        {
            "recipe": study.name,
            "settings": study.settings(),
            "threads": torch.get_num_threads(),
            "device": str(getattr(study, "device", None) or "cpu"),
            "versions": versions(),
            "data": {"name": study.data},
            "looks": 0,
        },
    )
    with run.lock(), ending(run):
        paragraph(console, f"{study.name}: ", first_line(study), style="bold")
        plain(console, f"run {run.name}, {plural(study.seeds, 'seed')} of {study.data}", "dim")
        run.update(status="started")
        with console.status("") as waiting:

            def told(seed: int, one: Found) -> None:
                paragraph(console, f"  seed {seed}: ", figures(one, study.split, study.metric), style="dim", body="dim")

            try:
                found = share_out(study, waiting.update, told, partners=partners)
            except RungError as error:
                again = isinstance(error, EnvironmentProblem)  # a disk can be emptied; all else would fail again
                run.update(status="interrupted" if again else "failed", error=error.describe())
                raise
        result = summarise(study, found)
        result["seconds"] = round(time.monotonic() - started, 2)
        run.update(
            threads=max(torch.get_num_threads(), *(one.threads for one in found)),
            data=found[0].data,
            looks=study.seeds,
            headline=study.metric,
            result={k: v for k, v in result.items() if k != "run"},
        )
        lines = [*verdicts(study, found), *study.together(found), *found[0].sentences]
        write_report(run.path / "report.html", report_facts(study, run, found, result, lines))
        run.update(status="finished")
        tell(console, study, found, lines, looks_at(found[0].data["test"]))
        plain(console, f"report: {shown_path(run.path / 'report.html')}")
        plain(console, f"another seed: {study.command(seed=study.seed + study.seeds)}", "dim")
        return {"run": str(run.path), **result}


def first_line(study: Study) -> str:
    """What the study asks, from its docstring."""
    return (type(study).__doc__ or "").strip().splitlines()[0]


def summarise(study: Study, found: list[Found]) -> dict[str, Any]:
    """Means over the seeds: of the first variant under `valid` and `test`, of all of them under `variants`."""
    together = gather(found)
    table = {
        v: {s: {m: spread(values) for m, values in metrics.items()} for s, metrics in splits.items()} for v, splits in together.items()
    }
    first = next(iter(table))
    result: dict[str, Any] = {"recipe": study.name}
    for split, metrics in table[first].items():
        result[split] = {metric: figure["mean"] for metric, figure in metrics.items()}
    result["baselines"] = mean_scores([f.baselines for f in found])
    result["limit"] = found[0].limit
    result["variants"], result["seeds"] = table, len(found)
    return result


def spread(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation (0 for one value) and the values."""
    return {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else 0.0, "values": values}


def verdicts(study: Study, found: list[Found]) -> list[str]:
    """Which variants differ from the first by more than chance; nothing for one seed, which cannot tell."""
    table = {v: splits[study.split][study.metric] for v, splits in gather(found).items() if study.metric in splits.get(study.split, {})}
    first = next(iter(table), "")
    if len(table) < 2 or study.timed:
        return []
    if len(found) < 2:
        return ["One seed shows no spread: which differences are chance cannot be said. Ask for more: seeds=5"]
    on = "" if study.split == "test" else f"on {study.split}, "
    said = [on + c.words for c in compare_all(table, first, metric=study.metric).values()]
    return said if is_world(study.data) else [*said, SAME_SAMPLES]


def cells(study: Study, found: list[Found]) -> tuple[list[str], list[list[str]]]:
    """The table as text: a head and a row a variant, a column a split; then baselines, limit, and what courses report."""
    together, metric = gather(found), study.metric
    splits = [s for s in SPLITS if any(metric in v.get(s, {}) for v in together.values())]
    rows = [[variant, *(_cell(metric, v.get(s, {}).get(metric)) for s in splits)] for variant, v in together.items()]
    said = len(splits) - 1 if "test" in splits else 0

    def beside(name: str, value: float) -> list[str]:
        return [name, *("" for _ in range(said)), _shown(metric, value)] if "test" in splits or len(splits) == 1 else []

    for name, scores in mean_scores([f.baselines for f in found]).items():
        if metric in scores:
            rows.append(beside(name.replace("_", " "), scores[metric]))
    if (found[0].limit or {}).get(metric) is not None:
        rows.append(beside("best possible", (found[0].limit or {})[metric]))
    return ["", *splits], [r for r in rows if r]


def _shown(metric: str, value: float) -> str:
    return "not a number" if math.isnan(value) else number(metric, value)


def _cell(metric: str, values: list[float] | None) -> str:
    if not values:
        return ""
    figure = spread(values)
    return with_spread(metric, figure["mean"], figure["sd"]) if len(values) > 1 else _shown(metric, figure["mean"])


def tell(console: Any, study: Study, found: list[Found], lines: list[str], looks: int) -> None:
    """The table, what differs, what the courses say."""
    from rich.table import Table

    head, rows = cells(study, found)
    table = Table(box=None, header_style="bold", title=study.metric.replace("_", " "), title_justify="left", title_style="bold")
    for i, column in enumerate(head):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if "fit" in head:
        plain(console, FIT, "dim")
    for line in lines:
        paragraph(console, "- ", line)
    for line in course_lines(study.reported, study.data):
        paragraph(console, "course: ", line, body="dim")


def report_facts(study: Study, run: Run, found: list[Found], result: dict[str, Any], lines: list[str]) -> ReportFacts:
    """The study as its report tells it."""
    head, rows = cells(study, found)
    record = run.record()
    unit = plural(study.seeds, "seed")
    caption = f"{study.metric.replace('_', ' ')}, mean ± standard deviation over {unit}"
    table = {v: {s: splits[s][study.metric] for s in head[1:] if study.metric in splits.get(s, {})} for v, splits in gather(found).items()}
    limit = (found[0].limit or {}).get(study.metric)
    overview = partial(variants, table, name=study.metric, limit=limit, positive=lower_is_better(study.metric))
    told = StudyFacts(first_line(study), caption, head, rows, lines, course_lines(study.reported, study.data), overview, found[0].pictures)
    return ReportFacts(
        run.name,
        recipe=study.name,
        data=study.data,
        target="",
        study=told,
        settings={**study.settings(), **{f"variant {v}": changed or "as above" for v, changed in getattr(study, "variants", {}).items()}},
        versions={**record["versions"], "seed": study.seed, "threads": record["threads"], "device": record["device"]},
        commands={"again": study.command(), "with other seeds": study.command(seed=study.seed + study.seeds)},
    )
