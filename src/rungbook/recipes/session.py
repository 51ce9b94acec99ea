"""Carrying out a recipe: data, model, training, judgement, report; and taking up a run where it stopped.

Both `train` and `resume` go through `_carry_out`, so that a continued run is the same run.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rungbook.data.data import Data
from rungbook.errors import NotFinite, RungError, UsageError
from rungbook.learner.callback import Callback
from rungbook.learner.callbacks import Checkpoints, KeepBest, Progress, Recorder, StopOnSignal
from rungbook.learner.callbacks.activations import ActivationStats
from rungbook.learner.callbacks.average import Average
from rungbook.learner.checkpoint import clear_leftovers, full, newest, write_atomically
from rungbook.learner.learner import Interrupted, Learner
from rungbook.learner.optimizing import bare_step
from rungbook.learner.pack import nbytes
from rungbook.recipes import build
from rungbook.recipes.about_data import plain
from rungbook.recipes.effect import refuse, without_effect
from rungbook.recipes.ending import Stopped, ending
from rungbook.recipes.evaluation import moved, read_again, same_data
from rungbook.recipes.judge import Others, finish, others
from rungbook.recipes.mine import blamed, look_at_files, split_word
from rungbook.recipes.prepare import keep_threads, make_model, pick_device, pick_threads, prepare_data
from rungbook.recipes.recipe import Recipe, restore_recipe
from rungbook.recipes.runs import Run, create_run, versions
from rungbook.recipes.settings import Settings
from rungbook.recipes.speak import describe_data, describe_start, first_steps
from rungbook.recipes.start import origin, same_start
from rungbook.recipes.study import Study
from rungbook.recipes.study_run import carry_out as carry_out_study


@dataclass
class Work:
    """One training in progress: what its parts share."""

    run: Run
    recipe: Recipe
    data: Data
    learner: Learner
    model_options: dict[str, Any]
    epochs: int
    others: Others
    console: Any
    started: float


def train(recipe: Settings, *, label: str, console: Any) -> dict[str, Any]:
    """Carry out a recipe in a new run folder, by training its model or as the study it is; gives the result as DESIGN's JSON object.

    Args:
        label: name for the run folder.
        console: rich Console for what a person reads.

    Raises:
        Stopped: somebody asked to stop; the run can be resumed.
        RungError: with a message for the user.
    """
    if isinstance(recipe, Study):
        return carry_out_study(recipe, label=label, console=console)
    assert isinstance(recipe, Recipe)
    return _train(recipe, label, console)


@keep_threads()
def _train(recipe: Recipe, label: str, console: Any) -> dict[str, Any]:
    started = time.monotonic()
    recipe.check()
    look_at_files(*recipe.mine)
    torch.set_num_threads(1)  # until the model is known
    device = pick_device(recipe.device)
    data = prepare_data(recipe)
    model, options = make_model(recipe, data)
    refuse(without_effect(recipe, data))
    threads = pick_threads(recipe, model, data)
    torch.set_num_threads(threads)
    run = create_run(
        label,
        {
            "recipe": recipe.name,
            "settings": recipe.settings(),
            "threads": threads,
            "device": str(device),
            "versions": versions(),
            "data": {"name": data.name, "fingerprint": data.fingerprint, "test": data.test_mark(), "facts": data.facts},
            "looks": 0,
            **({"pretrained": known.describe()} if (known := origin(model)) else {}),
        },
    )
    with run.lock(), ending(run), blamed(*recipe.mine):
        describe_data(console, run, data, bad_files(run, data))
        return _carry_out(run, recipe, data, model, options, console, started, device, None)


@keep_threads()
def resume(run: Run, *, changes: dict[str, Any], console: Any) -> dict[str, Any]:
    """Continue an interrupted run exactly; gives the result as `train` does.

    Args:
        changes: settings somebody gave again; those that differ from the run's are refused, except threads, workers, device, and data
            for the place where the same data now lies, which the run remembers.

    Raises:
        Stopped: somebody asked to stop again.
        UsageError: E204 the run is finished, or a setting differs.
        DataError: E117 the data changed since, E301 every checkpoint is damaged.
    """
    started = time.monotonic()
    recipe = _unfinished(run)
    _own_code(run, recipe, changes)
    if isinstance(recipe, Study):
        _keeps(recipe, changes)
        plain(console, f"{run.name} is a study: it is done again, with the same result")
        return carry_out_study(recipe, label=run.name, console=console, run=run)
    with run.lock(), ending(run), blamed(*recipe.mine):
        record = run.record()
        recipe, threads = _accept_changes(recipe, changes, record)
        torch.set_num_threads(1)
        device = pick_device(recipe.device)
        _say_what_changed(record, threads, device, console)
        began = record.get("pretrained")
        data = read_again(lambda: prepare_data(recipe, began=began), recipe, f"rung resume {run.name} data=PLACE")
        same_data(run, data, f"Put the data back, or start anew: {recipe.command()}")
        moved(run, recipe)
        for folder in (run.path, run.checkpoints):
            clear_leftovers(folder)
        loaded = newest(run.checkpoints) if run.checkpoints.is_dir() else None
        if loaded is None:
            model, options = make_model(recipe, data)
            same_start(model, began, f"Start anew: {recipe.command()}")
        else:
            model, options = make_model(replace(recipe, weights=None), data, began=began or {})
        torch.set_num_threads(threads)
        for refused in loaded.refused if loaded else []:
            plain(console, f"E301 damaged and not used: {refused}", "yellow")
        if loaded is None:
            plain(console, f"{run.name} has no checkpoint yet: it starts again, with the same result")
        else:
            step = loaded.state["position"]["step"]
            plain(console, f"{run.name} from step {step}: weights, optimizer, order, random numbers restored (exact)")
        bad_files(run, data)
        run.update(status="started", threads=threads, device=str(device))
        return _carry_out(run, recipe, data, model, options, console, started, device, loaded.state if loaded else None)


def _unfinished(run: Run) -> Any:
    """The recipe of a run that can go on. Raises UsageError E204 for one that cannot."""
    record = run.record()
    recipe = restore_recipe(record["recipe"], record["settings"])
    if record["status"] not in ("finished", "failed"):
        return recipe
    if record["status"] == "finished":
        use = f"Look at it: {run.path / 'report.html'}" if isinstance(recipe, Study) else f"Use it: rung predict {run.name}"
        raise UsageError("E204", f"{run.name} is finished.", f"{use}, or train another: {recipe.command(seed=recipe.seed + 1)}")
    why = record.get("error", {}).get("message", "it met a number that is not finite.")
    if isinstance(recipe, Study):
        other = f"rung train {recipe.name}"
    else:
        other = recipe.command(lr=1e-4 if recipe.lr == "find" else recipe.lr / 10)
    raise UsageError("E204", f"{run.name} failed and would fail again: {why}", f"Start anew: {other}")


def _own_code(run: Run, recipe: Settings, changes: dict[str, Any]) -> None:
    """A run's record may come from anybody: a file it names is only run if whoever continues the run names it again.

    Raises:
        UsageError: E204 with the command that does.
    """
    named = getattr(recipe, "mine", ())
    if named and changes.get("mine") != named:
        files = sorted({str(split_word(word)[1]) for word in named})
        message = f"{run.name} was trained with code of {', '.join(files)}, which is only run if you say so."
        raise UsageError("E204", message, f"rung resume {run.name} mine={','.join(named)}")


def _say_what_changed(record: dict[str, Any], threads: int, device: torch.device, console: Any) -> None:
    """Warn of what makes the rest of a run differ in the last bits."""
    now = {"threads": threads, "device": str(device), **versions()}
    then = {"threads": record["threads"], "device": record["device"], **record["versions"]}
    for what, old in then.items():
        if now.get(what) != old:
            plain(console, f"{what} was {old} and is {now.get(what, 'gone')}: the result may differ in the last bits", "yellow")


def _keeps(recipe: Settings, changes: dict[str, Any]) -> None:
    """Refuse settings that are not the run's. Raises UsageError E204 naming each."""
    differing = {k: v for k, v in changes.items() if v != getattr(recipe, k)}
    if differing:
        listing = "; ".join(f"{k} was {getattr(recipe, k)}, now {v}" for k, v in differing.items())
        fix = f"Leave them out, or start a new run: {recipe.command(**differing)}"
        raise UsageError("E204", f"A continued run keeps its settings: {listing}.", fix)


def _accept_changes(recipe: Recipe, changes: dict[str, Any], record: dict[str, Any]) -> tuple[Recipe, int]:
    free = {"threads", "workers", "device", "data"}
    _keeps(recipe, {k: v for k, v in changes.items() if k not in free})
    threads = int(changes.get("threads") or record["threads"])
    return replace(recipe, **{k: v for k, v in changes.items() if k in free}), threads


def _carry_out(
    run: Run,
    recipe: Recipe,
    data: Data,
    model: nn.Module,
    options: dict[str, Any],
    console: Any,
    started: float,
    device: torch.device,
    state: dict[str, Any] | None,
) -> dict[str, Any]:
    beside = others(recipe, data)
    learner = build.build_learner(recipe, data, model, device, base_rate(run, recipe))
    if learner.lr == UNKNOWN_RATE:
        begun = time.monotonic()
        build.find_rate(learner)
        console.print(f"learning rate {learner.lr:.2g} (found in {time.monotonic() - begun:.0f} s)")
        run.update(lr=learner.lr)
    work = Work(run, recipe, data, learner, options, build.count_epochs(recipe, data), beside, console, started)
    learner.callbacks += attendants(work)
    room_for_checkpoints(work)
    if state is None:
        describe_start(work)
    try:
        with blamed(*recipe.mine):
            learner.fit(work.epochs, recipe.schedule, state=state)
    except Interrupted:
        raise Stopped(run, learner.step) from None
    except NotFinite as error:
        run.update(status="failed", error=error.describe())
        raise
    except RungError as error:
        run.update(status="interrupted", error=error.describe())
        raise
    return finish(work)


UNKNOWN_RATE = math.inf
"""Stands for the learning rate that is still to be found."""


def base_rate(run: Run, recipe: Recipe) -> float:
    """The learning rate as set, or as found when the run began."""
    return float(run.record().get("lr", UNKNOWN_RATE)) if recipe.lr == "find" else recipe.lr


def attendants(work: Work) -> list[Callback]:
    """The callbacks that watch and save a training without changing it."""
    run = work.run
    saving = Checkpoints(run.checkpoints, work.recipe.checkpoint_seconds)
    watching: list[Callback] = [ActivationStats()] if work.recipe.watch else []
    return [*watching, Recorder(run.path), StopOnSignal(), Progress(work.console), first_steps(work.console), saving]


def room_for_checkpoints(work: Work) -> None:
    """Refuse to start what could not be saved. Raises EnvironmentProblem E401 with needed and free bytes."""
    import shutil

    needed = 3 * checkpoint_bytes(work)  # two generations and the one being written
    if shutil.disk_usage(work.run.path).free < needed:
        raise full(work.run.path, needed)


def checkpoint_bytes(work: Work) -> int:
    """Estimated size of a checkpoint: weights, what the optimiser keeps of each, copies that callbacks hold, names, random numbers."""
    learner = work.learner
    state, params = learner.model.state_dict(), learner.params
    copies = 1 + sum(isinstance(c, KeepBest | Average) for c in learner.callbacks)
    numbers, tensors = optimizer_keeps(learner.make_optimizer)
    entries = copies * len(state) + tensors * len(params)
    return int(copies * nbytes(state) + numbers * sum(p.numel() * p.element_size() for p in params) + 175 * entries) + 19_000


def optimizer_keeps(make: Any) -> tuple[float, int]:
    """How many numbers an optimiser remembers for each weight, in how many tensors: read off one step of a tiny one."""
    n = 4096
    p = nn.Parameter(torch.zeros(n))
    optimizer = make([p], lr=0.0)
    p.grad = torch.zeros(n)
    bare_step(optimizer)()
    kept = [t for t in optimizer.state[p].values() if isinstance(t, torch.Tensor)]
    return sum(t.numel() for t in kept) / n, len(kept)


def newest_resumable() -> Run:
    """The newest run that did not finish and that no process is working on. Raises UsageError E204 if there is none."""
    from rungbook.recipes.runs import all_runs

    busy = []
    for run in reversed(all_runs()):
        try:
            status = run.record()["status"]
        except RungError:
            continue
        if status in ("started", "interrupted"):
            if run.holder() is None:
                return run
            busy.append(run.name)
    working = f" ({', '.join(busy)} is being trained right now)" if busy else ""
    raise UsageError("E204", f"No run waits to be continued{working}.", "Start one: rung train digits")


def bad_files(run: Run, data: Data) -> Path | None:
    """List the files or rows left out (W209) in the run folder; the user's own folder is never written to."""
    left_out = [f for f in data.findings if f.items and f.code == "W209"]
    if not left_out:
        return None
    path = run.path / ("bad_files.txt" if data.encoder and data.encoder.kind == "image" else "bad_rows.txt")
    text = "".join(f"# {f.message}\n" + "".join(f"{item}\n" for item in f.items) for f in left_out)
    write_atomically(path, text.encode("utf-8", "surrogateescape"))
    return path
