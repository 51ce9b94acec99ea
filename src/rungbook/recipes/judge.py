"""After training: scores on valid and once on test, baselines beside them, folds for small tables, the saved model and the report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rungbook.data.data import Data
from rungbook.data.feed import Feed, RaggedSource
from rungbook.data.target import NumberTarget
from rungbook.learner import checkpoint
from rungbook.learner.callbacks.activations import ActivationStats
from rungbook.plot.activations import activation_pictures
from rungbook.recipes import build
from rungbook.recipes.baseline import Scores, beside
from rungbook.recipes.once import train_once
from rungbook.recipes.per_sample import write_per_sample
from rungbook.recipes.predictor import CARD, model_card
from rungbook.recipes.report import Example, ReportFacts, write_report
from rungbook.recipes.runs import looks_at
from rungbook.recipes.scores import scores
from rungbook.recipes.speak import courses_of, describe_result, headline

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner
    from rungbook.recipes.recipe import Recipe
    from rungbook.recipes.session import Work

SMALL_TABLE = 2000
"""Tables with fewer rows report 5-fold scores besides: one test part of a tenth says little."""
FOLDS = 5


def finish(work: Work) -> dict[str, Any]:
    """Judge the trained model, save it, write the report; gives DESIGN's result object."""
    run, recipe, data, learner = work.run, work.recipe, work.data, work.learner
    assert data.test is not None
    save_final(work)
    result: dict[str, Any] = {"run": str(run.path), "recipe": recipe.name}
    if data.valid is not None:
        result["valid"] = scores(data.target, data.valid.source.targets(), learner.predict(data.valid, tta=recipe.tta))
    output = learner.predict(data.test, tta=recipe.tta)
    truth = data.test.source.targets()
    result["test"] = scores(data.target, truth, output)
    write_per_sample(run.path, data, truth, output)
    result["baselines"] = next(work.others.scores)
    folded = fold_scores(work)
    limit = data.facts.get("limit")
    result["limit"] = {k: v for k, v in limit.items() if k in result["test"]} if limit else None
    result["epochs"] = learner.epoch
    result["parameters"] = sum(p.numel() for p in learner.model.parameters())
    result["seconds"] = round(time.monotonic() - work.started, 2)
    if folded:
        result["folds"] = folded
    run.update(step=learner.step, looks=1, headline=headline(data, result), result={k: v for k, v in result.items() if k != "run"})
    looks = looks_at(data.test_mark())
    write_report(run.path / "report.html", report_facts(work, result, truth, output, looks))
    run.update(status="finished")  # last: a run that is finished has everything
    describe_result(work, result, looks)
    return result


def save_final(work: Work) -> None:
    """The finished model: weights, and how to make it and read its inputs and outputs."""
    card = model_card(work.recipe.model, work.model_options, work.data.encoder, work.data.target)
    checkpoint.save(work.run.final, {"model": work.learner.model.state_dict()}, {CARD: card})


@dataclass
class Others:
    """What stands beside the model: the scores of its baselines, to be asked for in turn, on its split and on each of its folds."""

    scores: Iterator[Scores]
    folds: list[Data]


def others(recipe: Recipe, data: Data) -> Others:
    """The baselines of a training that is about to start, and the folds of a small table."""
    rows = sum(feed.samples for feed in data.splits().values())
    dealt = () if data.folds is None or rows >= SMALL_TABLE else data.folds(FOLDS)
    folds = [build.fit_data(recipe, fold) for fold in dealt]
    return Others(beside([data, *folds], seed=recipe.seed, threads=torch.get_num_threads()), folds)


def fold_scores(work: Work) -> dict[str, Any]:
    """Scores of the same recipe and of its baselines on the same five folds, for a small table; else nothing."""
    recipe = work.recipe
    if not work.others.folds:
        return {}
    collected: dict[str, dict[str, list[float]]] = {"model": {}}
    for data, simple in zip(work.others.folds, work.others.scores, strict=True):
        data.train.batch_size = work.data.train.batch_size
        found = {"model": train_once(recipe, data, lr=work.learner.lr).scores("test")["test"], **simple}
        for who, metrics in found.items():
            for metric, value in metrics.items():
                collected.setdefault(who, {}).setdefault(metric, []).append(value)
    return {who: {m: summary(v) for m, v in metrics.items()} for who, metrics in collected.items()}


def summary(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation and the single values."""
    t = torch.tensor(values, dtype=torch.float64)
    return {"mean": float(t.mean()), "sd": float(t.std()) if len(values) > 1 else 0.0, "values": values}


def report_facts(work: Work, result: dict[str, Any], truth: Tensor, output: Tensor, looks: int) -> ReportFacts:
    """The run as its report tells it."""
    run, recipe, data, learner = work.run, work.recipe, work.data, work.learner
    classes = data.classes
    record = run.record()
    folds = result.get("folds", {}).get("model", {})
    return ReportFacts(
        run.name,
        recipe=recipe.name,
        data=data.name,
        model=recipe.model,
        task=data.task,
        target=data.target.name,
        classes=classes,
        metric=headline(data, result),
        test=result["test"],
        valid=result.get("valid", {}),
        baselines=result["baselines"],
        limit=result["limit"],
        truth=data.target.values(truth) if isinstance(data.target, NumberTarget) else truth,
        prediction=data.target.decode(output),
        history=learner.history,
        activations=[p for c in learner.callbacks if isinstance(c, ActivationStats) for p in activation_pictures(c.records())],
        rates=learner.plan.schedule,
        lr=learner.lr,
        folds={m: v["values"] for m, v in folds.items()},
        errors=worst_errors(learner, data),
        samples=seen_samples(learner, data),
        findings=data.findings,
        facts=data.facts,
        settings={k: Path(v).name if k in ("data", "weights") and v else v for k, v in recipe.settings().items()},  # reports are passed on
        versions={**record["versions"], "seed": recipe.seed, "threads": record["threads"], "device": record["device"]},
        looks=looks,
        notes=[
            *recipe.closing(learner.model, data),
            *courses_of(recipe, result["test"]),
        ],
        commands={
            "predict": f"rung predict {run.name} INPUT",
            "judge on other data": f"rung eval {run.name} PATH",
            "compare": f"rung runs compare {run.name} OTHER",
        },
    )


def worst_errors(learner: Learner, data: Data, n: int = 12) -> list[Example]:
    """The valid samples with the largest loss: valid, because whoever learns from these errors would be choosing on test."""
    feed = data.valid
    if feed is None:
        return []
    found = []
    for sample in learner.top_losses(n, feed):
        decoded = data.target.decode(sample.output[None])
        if data.classes:
            said = int(decoded[0].argmax())
            truth, answer, probability = data.classes[int(sample.target)], data.classes[said], float(decoded[0, said])
        else:
            assert isinstance(data.target, NumberTarget)
            value = data.target.values(torch.tensor(sample.target).reshape(1, -1))
            truth, answer, probability = f"{float(value[0]):g}", f"{float(decoded[0]):g}", None
        example = Example(truth, answer, probability, sample.loss, sample.name)
        found.append(show(example, feed, sample.index, data))
    return found


def show(example: Example, feed: Feed, i: int, data: Data) -> Example:
    """The example with what can be seen of its sample: picture, words or row."""
    x, _ = feed.source.fetch(slice(i, i + 1))
    if isinstance(feed.source, RaggedSource):
        vocabulary = ["", "?", *getattr(data.encoder, "vocabulary", ())]
        return replace(example, text=" ".join(vocabulary[j] for j in x[0].tolist() if j and " " not in vocabulary[j]))
    if isinstance(x, Tensor) and x.ndim == 4:
        return replace(example, image=x[0])
    cells = getattr(feed.source, "cells", None)
    return replace(example, row=cells(i)) if cells else example


def seen_samples(learner: Learner, data: Data, n: int = 16) -> list[Example]:
    """Training images of the first batch as the network sees them, augmented and normalised."""
    x, y = next(iter(learner.train_feed.batches(0, 0, learner.device)))
    if not isinstance(x, Tensor) or x.ndim != 4 or not data.classes:
        return []
    return [Example(truth=data.classes[int(label)], image=image) for image, label in zip(x[:n].cpu(), y[:n].cpu(), strict=True)]
