"""What a training says to the person in front of it: the data, the start, what it will need, the result beside its baselines."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from rungbook.data.data import Data
from rungbook.learner.callback import Callback
from rungbook.recipes.about_data import headline_of, paragraph, plain, print_findings, splits_of
from rungbook.recipes.exchange import exchange
from rungbook.recipes.interval import wilson
from rungbook.recipes.scores import LOWER_IS_BETTER
from rungbook.recipes.settings import Reported, Settings
from rungbook.recipes.start import describe_origin

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner
    from rungbook.recipes.runs import Run
    from rungbook.recipes.session import Work

HEADLINE = {"classification": "accuracy", "regression": "r2"}
"""The metric of the last line; a logarithmic target is judged by `root_mean_squared_log_error`."""


def headline(data: Data, result: dict[str, Any]) -> str:
    """Name of the metric that a result is told by."""
    logarithmic = getattr(data.target, "log", False) and "root_mean_squared_log_error" in result["test"]
    return "root_mean_squared_log_error" if logarithmic else HEADLINE[data.task]


def describe_data(console: Any, run: Run, data: Data, listed: Path | None = None) -> None:
    """What was read, what was found in it, where the run is kept; `listed` is the file that names what was left out."""
    paragraph(console, f"{data.name}: ", f"{headline_of(data)}; {splits_of(data)}", style="bold")
    print_findings(console, data.findings)
    if listed:
        plain(console, f"        left out, listed in {shown_path(listed)}", "dim")
    plain(console, f"run {run.name}", "dim")


def shown_path(path: Path) -> str:
    """A path as short as it can be written from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def describe_start(work: Work) -> None:
    """Model, budget, and whether the untrained model is as ignorant as it should be."""
    learner, data, console = work.learner, work.data, work.console
    parameters = sum(p.numel() for p in learner.model.parameters())
    console.print(f"model {work.recipe.model}, {parameters:,} parameters; {learner.device}, {_threads()}")
    for line in describe_origin(work.recipe, learner.model):
        plain(console, line)
    if by_hand := exchange(work.recipe).describe(learner.model):
        plain(console, by_hand)
    batches = f"{plural(len(data.train), 'batch', 'batches')} of {data.train.batch_size}"
    console.print(f"{plural(work.epochs, 'epoch')} of {batches}; {work.recipe.optimizer}, learning rate {learner.lr:g}")
    split = "train" if data.valid is None else "valid"
    loss = learner.validate([data.one_batch(data.train.batch_size)] if data.valid is None else None, metrics=[])["loss"]
    line = f"before training: {split} loss {loss:.3f}"
    if data.classes:
        expected = math.log(len(data.classes))
        verdict = "ok" if loss < 1.5 * expected + 0.3 else "[yellow]high: the start is far from even odds[/]"
        line += f", even odds give ln {len(data.classes)} = {expected:.3f}  {verdict}"
    console.print(line)


def plural(n: int, one: str, many: str = "") -> str:
    """ "1 epoch", "2 epochs"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _threads() -> str:
    import torch

    return plural(torch.get_num_threads(), "thread")


class FirstSteps(Callback):
    """Says after the first steps what the whole will take.

    Args:
        console: where to say it.
    """

    order = 70

    def __init__(self, console: Any) -> None:
        self.console = console

    def before_fit(self, learner: Learner) -> None:
        """Begin to count; nothing is said twice."""
        self._said, self._begun = False, time.monotonic()
        self._from: int | None = None

    def before_batch(self, learner: Learner) -> None:
        """Remember where counting began."""
        if self._from is None:
            self._from = learner.step

    def after_report(self, learner: Learner) -> None:
        """Speak once, if the rest takes long enough to matter."""
        if self._said or self._from is None or learner.step == self._from:
            return
        self._said = True
        seconds = (time.monotonic() - self._begun) / (learner.step - self._from) * (learner.plan.steps - learner.step)
        if seconds >= 5:
            self.console.print(f"about {duration(seconds)} to go, {peak_memory() / 1e6:,.0f} MB of memory in use", style="dim")


def first_steps(console: Any) -> Callback:
    """The callback that says what a training will need."""
    return FirstSteps(console)


def duration(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds // 60)}:{int(seconds % 60):02}"


def peak_memory() -> int:
    """Bytes this process has used at most; 0 where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return 0
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def number(metric: str, value: float) -> str:
    """A metric's value as people write it."""
    return f"{100 * value:.1f}%" if "accuracy" in metric else f"{value:.4g}"


def with_spread(metric: str, value: float, sd: float) -> str:
    """A mean and its standard deviation, with as many decimals as the latter bears; a share in per cent."""
    if not math.isfinite(value):
        return "not a number"
    share = "accuracy" in metric
    scale, unit = (100.0, " %") if share else (1.0, "")
    value, sd = scale * value, scale * sd
    if not sd > 0:
        return f"{value:.1f}{unit}" if share else f"{value:.4g}"
    decimals = 1 - math.floor(math.log10(sd))
    if share:
        decimals = 1 if sd >= 0.05 else min(decimals, 3)
    if decimals > 6 or (not share and abs(value) < 1e-3):
        return f"{value:.3g} ± {sd:.1g}{unit}"
    return f"{value:.{max(decimals, 0)}f} ± {sd:.{max(decimals, 0)}f}{unit}"


def short(metric: str) -> str:
    """A metric's name where there is little room."""
    return "".join(word[0] for word in metric.split("_")) if "_error" in metric else metric.replace("_", " ")


def course_lines(reported: Iterable[Reported], data: str) -> list[str]:
    """What the courses report, what is wrong with it, and on which data it was measured where that is not `data`."""
    return [
        f"{r.source} reports {as_told(r)}"
        + ("" if r.metric == "seconds" else f" on {r.split}")
        + (f" of {r.data}" if r.data and r.data != data else "")
        + (f" for {r.variant}" if r.variant else "")
        + (f"; {r.fault}" if r.fault else "")
        for r in reported
    ]


def as_told(one: Reported) -> str:
    """A course's figure with all its digits: what it tells apart must not be rounded together."""
    return digits_of(one) if one.metric == "seconds" else f"{short(one.metric)} {digits_of(one)}"


def digits_of(one: Reported) -> str:
    """The figure alone: "97.25%", "11,644", "22.7 s"."""
    if one.metric == "seconds":
        return f"{one.value:g} s"
    return f"{100 * one.value:.6g}%" if "accuracy" in one.metric else f"{one.value:,.6g}"


def courses_of(recipe: Settings, test: dict[str, float]) -> list[str]:
    """What courses report of the metrics that a training is judged by; a mean squared error may stand beside its root."""
    judged = {*test, *(["mean_squared_error"] if "root_mean_squared_error" in test else [])}
    return course_lines([r for r in recipe.reported if r.metric in judged], recipe.data)


def describe_result(work: Work, result: dict[str, Any], looks: int) -> None:
    """The result beside its baselines and limit, and what to do next."""
    data, console, run = work.data, work.console, work.run
    assert data.test is not None
    metric = headline(data, result)
    value, n = result["test"][metric], data.test.samples
    line = f"[bold]test {metric} {number(metric, value)}[/]" + (f" by tta={work.recipe.tta}" if work.recipe.tta else "")
    low, high = wilson(round(value * n), n) if metric == "accuracy" else (math.nan, math.nan)
    if metric == "accuracy":
        line += f"  (95% interval {100 * low:.1f}-{100 * high:.1f}, {plural(n, 'sample')})"
    console.print(line)
    _beside(console, metric, result)
    if result.get("limit"):
        paragraph(console, "best possible: ", limits_in_words(result["limit"], result["test"], metric))
    for said in work.recipe.closing(work.learner.model, data):
        plain(console, said)
    for reported in courses_of(work.recipe, result["test"]):
        paragraph(console, "course: ", reported, body="dim")
    if better := outdone(metric, result, (low, high)):
        console.print(f"[yellow]{better} does better on this data[/]; more epochs, another lr or model=... may help")
    if looks > 1:
        console.print(f"[yellow]{too_many_looks(looks)}[/]")
    plain(console, f"report: {shown_path(run.path / 'report.html')}")
    plain(console, f"use it: {usage(run, data.encoder.kind if data.encoder else 'array')}")


def limits_in_words(limit: dict[str, float], test: dict[str, float], metric: str) -> str:
    """The known limits, the headline metric's first, with how far the result is from it."""
    words = [f"{k} {number(k, v)}" for k, v in sorted(limit.items(), key=lambda item: item[0] != metric)]
    if metric in limit and metric in test:
        gap = test[metric] - limit[metric]
        worse = gap > 0 if metric in LOWER_IS_BETTER else gap < 0
        size = f"{100 * abs(gap):.1f} points" if "accuracy" in metric else f"{abs(gap):.2g}"
        where = f"{size} {'short of it' if worse else 'beyond it, which is chance of these samples'}"
        words[0] += f" (this model is {'at it' if size == '0.0 points' else where})"
    return ", ".join(words)


def too_many_looks(looks: int) -> str:
    """Why a test split must not be looked at again and again."""
    return f"this test split has been looked at {looks} times: choose on valid, or the figure grows too good"


def _beside(console: Any, metric: str, result: dict[str, Any]) -> None:
    """The baselines: in a line, or in a table where there are folds."""
    others = {name: scores[metric] for name, scores in result["baselines"].items() if metric in scores}
    folds = result.get("folds", {})
    if metric not in folds.get("model", {}):
        if others:
            paragraph(console, "baselines: ", ", ".join(f"{name} {number(metric, v)}" for name, v in others.items()))
        return
    k = len(folds["model"][metric]["values"])
    console.print(f"  {'':<20}{'test':>10}   {f'{k}-fold mean':>12}   {'sd':>8}", style="dim")
    for who in ("model", *(o for o in others if metric in folds.get(o, {}))):
        mean, sd = (folds[who][metric][key] for key in ("mean", "sd"))
        test = result["test"][metric] if who == "model" else others[who]
        cells = f"{number(metric, test):>10}   {number(metric, mean):>12}   {number(metric, sd):>8}"
        console.print(f"  {'this model' if who == 'model' else who:<20}{cells}", style="bold" if who == "model" else "")


def outdone(metric: str, result: dict[str, Any], interval: tuple[float, float]) -> str:
    """The baseline that does better than the model beyond chance: by two standard errors over the folds, or outside the 95% interval."""
    sign = -1 if metric in LOWER_IS_BETTER else 1
    lead: dict[str, float] = {}
    for name, scores in result["baselines"].items():
        if folds := result.get("folds"):
            theirs, ours = (folds.get(who, {}).get(metric, {}).get("values", []) for who in (name, "model"))
            gaps = [sign * (a - b) for a, b in zip(theirs, ours, strict=True)] if len(theirs) == len(ours) else []
            if len(gaps) > 1 and mean(gaps) > 2 * stdev(gaps) / math.sqrt(len(gaps)):
                lead[name] = mean(gaps)
        elif metric == "accuracy" and scores[metric] > interval[1]:
            lead[name] = scores[metric]
    return max(lead, key=lead.__getitem__) if lead else ""


def usage(run: Run, kind: str) -> str:
    """How a finished run is used."""
    example = {"image": "new.jpg", "table": "new.csv", "one_hot": "new.csv", "text": '"a text"'}.get(kind)
    if example is None:
        return f'in Python, rungbook.load("{run.name}")(array)'
    return f"rung predict {run.name} {example}    try it on test samples: rung predict {run.name}"
