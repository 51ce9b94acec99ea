"""What a training says to the person in front of it: the data, the start, what it will need, the result beside its baselines."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from rungbook.data.data import Data
from rungbook.learner.callback import Callback
from rungbook.recipes.interval import wilson

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner
    from rungbook.recipes.runs import Run
    from rungbook.recipes.session import Work

HEADLINE = {"classification": "accuracy", "regression": "r2"}
"""The metric of the last line; a logarithmic target is judged by `root_mean_squared_log_error`."""


def headline(data: Data) -> str:
    """Name of the metric that a result is told by."""
    return "root_mean_squared_log_error" if getattr(data.target, "log", False) else HEADLINE[data.task]


def describe_data(console: Any, run: Run, data: Data) -> None:
    """What was read, what was found in it, where the run is kept."""
    parts = ", ".join(f"{name} {feed.samples:,}" for name, feed in data.splits().items())
    what = f"{len(data.classes)} classes" if data.classes else f'numbers "{data.target.name}"'
    console.print(f"[bold]{escape(data.name)}[/]: {what}; {parts}")
    for finding in data.findings:
        colour = "" if finding.code == "note" else "[yellow]"
        tail = "" if not colour else "[/]"
        console.print(
            f"  {colour}{finding.code if colour else '-'} {escape(finding.message)}{tail}"
            + (f"  {escape(finding.fix)}" if finding.fix else "")
        )
    console.print(f"run {escape(run.name)}", style="dim")


def describe_start(work: Work) -> None:
    """Model, budget, and whether the untrained model is as ignorant as it should be."""
    learner, data = work.learner, work.data
    parameters = sum(p.numel() for p in learner.model.parameters())
    name, threads = work.recipe.model, _threads()
    budget = f"{work.epochs} epochs of {len(data.train)} batches of {data.train.batch_size}"
    work.console.print(
        f"model {name}, {parameters:,} parameters; {budget}; {work.recipe.optimizer}, lr {learner.lr:g}; {learner.device}, {threads}"
    )
    loss = learner.validate(metrics=[])["loss"]
    line = f"before training: valid loss {loss:.3f}"
    if data.classes:
        expected = math.log(len(data.classes))
        verdict = "ok" if loss < 1.5 * expected + 0.3 else "[yellow]high: the start is far from even odds[/]"
        line += f", even odds give ln {len(data.classes)} = {expected:.3f}  {verdict}"
    work.console.print(line)


def _threads() -> str:
    import torch

    n = torch.get_num_threads()
    return f"{n} thread{'s' if n > 1 else ''}"


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
        self._said, self._begun, self._from = False, time.monotonic(), None

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


def describe_result(work: Work, result: dict[str, Any], looks: int) -> None:
    """The result beside its baselines and limit, and what to do next."""
    data, console, run = work.data, work.console, work.run
    assert data.test is not None
    metric = headline(data)
    metric = metric if metric in result["test"] else HEADLINE[data.task]
    value, n = result["test"][metric], data.test.samples
    line = f"[bold]test {metric} {number(metric, value)}[/]"
    if metric == "accuracy":
        low, high = wilson(round(value * n), n)
        line += f" (95% interval {100 * low:.1f}-{100 * high:.1f}, {n:,} samples)"
    console.print(line)
    others = [f"{name} {number(metric, scores[metric])}" for name, scores in result["baselines"].items() if metric in scores]
    if others:
        console.print("baselines: " + ", ".join(others))
    if result.get("limit"):
        console.print("limit: " + ", ".join(f"{k} {number(k, v)}" for k, v in result["limit"].items()))
    if folds := result.get("folds"):
        told = [
            f"{who} {number(metric, m[metric]['mean'])} +- {number(metric, m[metric]['sd'])}" for who, m in folds.items() if metric in m
        ]
        console.print("5-fold (mean +- sd over folds): " + ", ".join(told))
    if looks > 1:
        console.print(f"[yellow]this test split has been looked at {looks} times; choose on valid, or the figure grows too good[/]")
    console.print(f"report: {run.path / 'report.html'}", soft_wrap=True)
    console.print(f"use it: rung predict {run.name}" + (" INPUT" if not data.encoder or data.encoder.kind != "array" else ""))
