"""The report: one page, one file, that says how good a model is, how that was found out and where it fails.

Everything in it may come from a stranger (class, file and column names, cells, texts): the template escapes all of it, the page forbids
scripts and everything from outside by its own policy, and its style is allowed by hash alone. It holds no clock times.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from torch import Tensor

from rungbook.data.data import Finding
from rungbook.learner.checkpoint import write_atomically
from rungbook.learner.metrics import METRICS
from rungbook.plot import curves as lines
from rungbook.plot import images, judge
from rungbook.plot.style import Picture, label, number, spoken
from rungbook.recipes.drawing import Sketch, drawn
from rungbook.recipes.interval import interval

HEADLINES = ("accuracy", "root_mean_squared_log_error", "r2", "root_mean_squared_error", "mean_absolute_error", "perplexity", "log_loss")
"""Which metric comes first if none is named: the first of these that was measured."""
MATRIX = 2000
"""Up to this many classes are counted against each other: 2000 x 2000 counts take 32 MB."""
CURVES, CLASS_ROWS, COLUMNS, HISTORY_ROWS = 6, 50, 10, 200
"""At most so many curves, classes in the table, columns of an example row, epochs in the table; more is said, not shown."""


@dataclass
class Example:
    """One sample as a person can look at it.

    Args:
        truth: the right answer in words or numbers.
        prediction: the model's answer; "" for a sample that is only shown.
        probability: which the model gave its answer, or None.
        loss: of this sample, or None.
        name: its file or row.
        image: (C, H, W), uint8 or float; else `text`, else `row` (column -> cell) is shown.
    """

    truth: str = ""
    prediction: str = ""
    probability: float | None = None
    loss: float | None = None
    name: str = ""
    image: Tensor | None = None
    text: str = ""
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class StudyFacts:
    """What a study tells: a table of variants, what is more than chance in it, pictures.

    Args:
        question: what it asks.
        caption: of the table.
        head, rows: the table as text.
        sentences: what was found.
        courses: what courses report, a sentence a figure.
        overview: the table as a picture.
        pictures: what else there is to look at.
    """

    question: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    sentences: Sequence[str] = ()
    courses: Sequence[str] = ()
    overview: Picture | Sketch | None = None
    pictures: Sequence[Picture | Sketch] = ()


@dataclass
class ReportFacts:
    """What a report tells; everything but `name` may be left out and is then not shown.

    Args:
        name: of the run.
        recipe, data, model: what was trained on what.
        task: "classification" or "regression".
        target: what is predicted.
        classes: names, for classification.
        metric: the one in the headline; see `HEADLINES` if "".
        split: what the judged samples are called.
        test, valid: metric -> value; what is not a number is left out.
        baselines: who -> metric -> value, on the same samples as `test`.
        limit: metric -> the best anything can reach there, where that is known.
        truth: of the judged samples, (n,): class numbers, or values in the user's units.
        prediction: of the judged samples: probabilities (n, classes), or values in the user's units (n,).
        history: a row an epoch: epoch, step, lr, train_*, valid_*.
        activations: pictures of what the layers put out in training.
        rates: learning rates in order, or a schedule; else the rows' `lr`.
        lr: base learning rate, by which `rates` are multiplied.
        folds: metric -> scores of the folds.
        errors: worst first.
        errors_split: what the samples they are from are called; valid, because who learns from errors on test chooses on test.
        samples: training samples as the network sees them.
        findings: of the data's audit.
        facts: about the data.
        settings: of the run.
        versions: of the software, and seed, threads, device.
        looks: how many times these test samples were looked at, this time included; 0 if not counted.
        commands: purpose -> command.
        notes: sentences below the scores: what the recipe says of its model, what courses report.
        study: for a study, which has a table of variants instead of one model's figures.
    """

    name: str
    recipe: str = ""
    data: str = ""
    model: str = ""
    task: str = "classification"
    target: str = "class"
    classes: Sequence[str] = ()
    metric: str = ""
    split: str = "test"
    test: Mapping[str, Any] = field(default_factory=dict)
    valid: Mapping[str, Any] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    limit: Mapping[str, float] | None = None
    truth: Any = None
    prediction: Any = None
    history: Sequence[Mapping[str, Any]] = ()
    activations: Sequence[Picture] = ()
    rates: Callable[[float], float] | Sequence[float] | None = None
    lr: float = 1.0
    folds: Mapping[str, Sequence[float]] = field(default_factory=dict)
    errors: Sequence[Example] = ()
    errors_split: str = "valid"
    samples: Sequence[Example] = ()
    findings: Sequence[Finding] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    looks: int = 0
    commands: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    study: StudyFacts | None = None


def write_report(path: str | Path, facts: ReportFacts) -> Path:
    """Write the page of a run, whole or not at all.

    Raises:
        EnvironmentProblem: the file cannot be written.
    """
    path = Path(path)
    write_atomically(path, render(facts).encode("utf-8", "replace"))
    return path


def render(facts: ReportFacts) -> str:
    """The page as HTML text."""
    folder = Path(__file__).parent
    style = (folder / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    content = drawn(_result(facts) | _training(facts) | _judged(facts) | _rest(facts))
    parts = {
        "result": ("Result", content["scores"]),
        "study": ("What was found", content["study"]),
        "training": ("Training", content["curves"]),
        "inside": ("Inside the layers", content["activations"]),
        "judged": (content["judged_heading"], content["judged"]),
        "errors": ("Worst errors", content["errors"]),
        "samples": ("What the network sees", content["samples"]),
        "data": ("Data", content["findings"] or content["data_facts"]),
        "made": ("How it was made", True),
        "use": ("Use it", content["commands"]),
    }
    contents = [(key, heading) for key, (heading, there) in parts.items() if there]
    # a style sheet cannot be escaped; this one is our own file and holds no "</"
    return environment.get_template("report.html.jinja").render(policy=policy, style=Markup(style), contents=contents, **content)


def clean(value: object, width: int = 300) -> str:
    """A stranger's text on one line without control or direction marks; the template escapes it."""
    return label(value, width)


def plain(value: Any) -> str:
    """A setting or fact in words."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return str(value)
    if isinstance(value, (float, np.floating)):
        return number(float(value))
    if isinstance(value, Mapping):
        return clean(", ".join(f"{k} {plain(v)}" for k, v in value.items()))
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else list(value)
        return (
            clean(", ".join(plain(v) for v in items[:12]) + (f" and {len(items) - 12} more" if len(items) > 12 else ""))
            if items
            else "none"
        )
    return clean(value)


def _is_share(metric: str) -> bool:
    return metric in ("accuracy", "balanced_accuracy", "f1") or metric.startswith("top_")


def _show(metric: str, value: float, n: int = 0) -> str:
    """A metric's value; shares as a percentage, with a second decimal where there are samples enough for it."""
    if _is_share(metric) and math.isfinite(value):
        return f"{100 * value:.{2 if n >= 5000 else 1}f}%"
    return number(value)


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {str(k): float(v) for k, v in values.items() if isinstance(v, (int, float, np.floating, np.integer)) and not isinstance(v, bool)}


def _higher_is_better(metric: str) -> bool:
    known = METRICS.get(metric)
    return bool(getattr(known, "higher_is_better", not any(word in metric for word in lines.LOWER_IS_BETTER)))


def _headline_metric(facts: ReportFacts) -> str:
    measured = _numbers(facts.test)
    return next((m for m in (facts.metric, *HEADLINES, *measured) if m in measured), "")


def _pair(facts: ReportFacts) -> tuple[np.ndarray, np.ndarray] | None:
    """Truth and prediction where there is one answer a sample, as for tables and images; None for texts that go on and the like."""
    if facts.truth is None or facts.prediction is None or not len(facts.truth):
        return None
    truth, prediction = np.asarray(facts.truth), np.asarray(facts.prediction)
    if facts.task != "classification":
        return (truth.ravel(), prediction.ravel()) if truth.size == prediction.size == len(truth) else None
    fits = truth.ndim == 1 and prediction.ndim == 2 and len(truth) == len(prediction) and prediction.shape[1] <= MATRIX
    return (truth.astype(int), prediction) if fits else None


def _result(facts: ReportFacts) -> dict[str, Any]:
    """Title, headline, verdict, table of scores."""
    test, valid = _numbers(facts.test), _numbers(facts.valid)
    metric = _headline_metric(facts)
    n = 0 if facts.truth is None else len(facts.truth)
    pair = _pair(facts)
    ends = interval(metric, *pair) if metric and pair else None
    ends = ends if ends and ends[0] <= test[metric] <= ends[1] else None  # not a number, or not of these predictions
    limit = (facts.limit or {}).get(metric)
    subtitle = " · ".join(
        clean(v, 120) for v in (facts.recipe, facts.data, facts.model, f"predicts {facts.target}" if facts.target else "") if v
    )
    out: dict[str, Any] = {
        "name": clean(facts.name, 4000),
        "subtitle": subtitle,
        "split": clean(facts.split),
        "headline": None,
        "scores": None,
    }
    out |= {"verdict": [], "comparison": None, "title": clean(facts.name, 80), "folds": _folds(facts)}
    if not metric:
        return out
    shown = _show(metric, test[metric], n)
    out["title"] = f"{clean(facts.name, 80)}: {spoken(metric)} {shown}"
    out["headline"] = {"value": shown, "what": f"{spoken(metric)} on the {clean(facts.split)} samples"}
    out["verdict"] = _verdict(facts, metric, test[metric], n, ends, limit)
    others = {who: s[metric] for who, s in facts.baselines.items() if metric in s}
    if others or limit is not None:
        out["comparison"] = partial(judge.scores, {"this model": test[metric], **others}, name=metric, interval=ends, limit=limit)
    metrics = [metric, *(m for m in test if m != metric)]
    rows = [["this model", *(_show(m, test[m], n) for m in metrics)]]
    if valid:
        rows.append(["this model, valid", *(_show(m, valid[m]) if m in valid else "" for m in metrics)])
    rows += [[clean(who.replace("_", " ")), *(_show(m, s[m], n) if m in s else "" for m in metrics)] for who, s in facts.baselines.items()]
    if facts.limit:
        rows.append(["best possible", *(_show(m, facts.limit[m], n) if m in facts.limit else "" for m in metrics)])
    caption = f"Measured on {n:,} {clean(facts.split)} samples" if n else f"Measured on the {clean(facts.split)} samples"
    out["scores"] = {"caption": caption, "head": ["", *map(spoken, metrics)], "rows": rows}
    return out


def _verdict(facts: ReportFacts, metric: str, value: float, n: int, ends: tuple[float, float] | None, limit: float | None) -> list[str]:
    """The result in plain sentences, the uncertainty and what a simple method reaches included."""
    shown, split = _show(metric, value, n), clean(facts.split)
    samples = f"{n:,} {split} samples" if n else f"the {split} samples"
    within = f" (95% interval {_show(metric, ends[0], n)} to {_show(metric, ends[1], n)})" if ends else ""
    first = (
        f"{shown} of {samples} are classified right{within}."
        if metric == "accuracy"
        else f"{spoken(metric)} is {shown} on {samples}{within}."
    )
    sentences = [first[0].upper() + first[1:]]
    others = {who: s[metric] for who, s in facts.baselines.items() if metric in s and math.isfinite(s[metric])}
    if others:
        up = _higher_is_better(metric)
        ranked = sorted(others, key=lambda who: others[who], reverse=up)
        listing = ", ".join(f"{clean(who.replace('_', ' '), 60)} {_show(metric, others[who], n)}" for who in ranked)
        sentences.append(f"For comparison: {listing}.")
        best = others[ranked[0]]
        name = clean(ranked[0].replace("_", " "), 60)
        chance = ends is not None and ends[0] <= best <= ends[1]
        if (best >= value) if up else (best <= value):
            tail = " on these samples, though the difference may be chance." if chance else ": prefer it, or train differently."
            sentences.append(f"The simpler {name} is as good or better{tail}")
        elif chance:
            sentences.append(f"The {name} lies within that interval: the difference may be chance.")
    if limit is not None:
        beyond = value > limit if _higher_is_better(metric) else value < limit
        where = "this is beyond it by" if beyond else "this is short of it by"
        chance_of = ", which is chance of these samples" if beyond else ""
        sentences.append(f"The best possible here is {_show(metric, limit, n)}: {where} {number(abs(limit - value))}{chance_of}.")
    if facts.looks == 1:
        sentences.append(f"This is the first look at these {split} samples.")
    elif facts.looks > 1:
        sentences.append(
            f"These {split} samples have been looked at {facts.looks} times; choosing by what was seen makes the figure too good."
        )
    return sentences


def _folds(facts: ReportFacts) -> dict[str, Any] | None:
    if not facts.folds:
        return None
    k = max(len(s) for s in facts.folds.values())
    rows = []
    for metric, values in facts.folds.items():
        scores = np.asarray(values, float)
        spread = float(scores.std(ddof=1)) if len(scores) > 1 else math.nan
        rows.append(
            [spoken(metric), _show(metric, float(scores.mean())), _show(metric, spread), ", ".join(_show(metric, v) for v in scores)]
        )
    return {"caption": f"Trained {k} times, each time judged on another part", "head": ["", "mean", "deviation", "each"], "rows": rows}


def _training(facts: ReportFacts) -> dict[str, Any]:
    """Curves, and the numbers behind them."""
    history = list(facts.history)
    names = lines.quantities(history)
    pictures = [partial(lines.curve, history, name) for name in names[:CURVES]]
    rates = facts.rates if facts.rates is not None else [r["lr"] for r in history if isinstance(r.get("lr"), (int, float))]
    if callable(rates) or len(set(rates)) > 1:
        pictures.append(partial(lines.lr_curve, lines.sampled(rates), base=facts.lr))
    keys = list(dict.fromkeys(k for row in history for k, v in row.items() if isinstance(v, (int, float)) and not isinstance(v, bool)))
    step = max(1, math.ceil(len(history) / HISTORY_ROWS))
    rows = [[plain(row[k]) if k in row else "" for k in keys] for row in history[::step]]
    caption = "One row an epoch" if step == 1 else f"Every {step}th epoch"
    table = {"caption": caption, "head": [spoken(k) for k in keys], "rows": rows}
    return {"activations": list(facts.activations), "curves": pictures, "history": table}


def _judged(facts: ReportFacts) -> dict[str, Any]:
    """Confusion and calibration, or residuals."""
    out: dict[str, Any] = {"judged": [], "judged_heading": "Where it is right and wrong", "classes_table": None}
    pair = _pair(facts)
    if pair is None:
        return out
    truth, prediction = pair
    if facts.task != "classification":
        out["judged"] = [
            partial(judge.predicted_versus_true, truth, prediction, name=facts.target),
            partial(judge.residuals, truth, prediction, name=facts.target),
        ]
        return out
    K = prediction.shape[1]
    names = [*map(str, facts.classes), *(f"class {i}" for i in range(len(facts.classes), K))]
    counts = np.zeros((K, K), int)
    np.add.at(counts, (truth, prediction.argmax(1)), 1)
    out["judged"] = [partial(judge.confusion, counts, names), partial(judge.calibration, prediction, truth)]
    out["classes_table"] = _class_table(counts, names)
    return out


def _class_table(counts: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    hits, true, said = counts.diagonal(), counts.sum(1), counts.sum(0)
    found, kept = hits / np.maximum(true, 1), hits / np.maximum(said, 1)
    order: Iterable[int] = range(len(names))
    caption = "By class: found is the share of a class's samples recognised, right the share of its predictions that are true"
    if len(names) > CLASS_ROWS:
        order = sorted(np.flatnonzero(true).tolist(), key=lambda i: (found[i], -true[i]))[:CLASS_ROWS]
        caption += f"; the {CLASS_ROWS} of {len(names)} classes found least"
    rows = [
        [
            clean(names[i]),
            f"{true[i]:,}",
            f"{found[i]:.1%}" if true[i] else "",
            f"{kept[i]:.1%}" if said[i] else "",
            f"{2 * hits[i] / (true[i] + said[i]):.3f}" if true[i] + said[i] else "",
        ]
        for i in order
    ]
    return {"caption": caption, "open": len(rows) <= 12, "head": ["class", "samples", "found", "right", "F1"], "rows": rows}


def _caption(e: Example) -> str:
    """What an example is and what the model took it for."""
    words = f"true {clean(e.truth, 80)}" if e.prediction else clean(e.truth, 80) if e.truth else ""
    if e.prediction:
        sure = f" ({e.probability:.0%})" if e.probability is not None else ""
        words += f", said {clean(e.prediction, 80)}{sure}"
    return words + (f", loss {number(e.loss)}" if e.loss is not None and e.probability is None else "")


def _examples(group: Sequence[Example]) -> dict[str, Any] | None:
    """Examples by kind: images, texts and rows of a table."""
    if not group:
        return None
    out: dict[str, Any] = {"images": [], "texts": [], "rows": [], "head": []}
    columns = list(dict.fromkeys(str(k) for e in group if e.image is None and not e.text for k in e.row))[:COLUMNS]
    answers = any(e.prediction for e in group)
    floats = [e.image for e in group if e.image is not None and e.image.dtype != torch.uint8]
    stretch = images.value_range(floats)  # one for all, so that dark images stay darker than light ones
    how = "sure" if any(e.probability is not None for e in group) else "loss"
    out["head"] = ["sample", "true", *(["said", how] if answers else []), *map(clean, columns)]
    for e in group:
        if e.image is not None:
            picture: Picture = images.thumbnail(
                images.to_uint8(e.image, stretch), f"{_caption(e)} {clean(e.name, 80) if e.name else ''}".strip() or "sample"
            )
            small = max(e.image.shape[-2:]) <= images.PIXEL_ART
            out["images"].append(
                {"picture": picture, "pixels": small, "caption": _caption(e), "where": clean(e.name, 120) if e.name else ""}
            )
        elif e.text:
            out["texts"].append({"text": clean(e.text, 600), "caption": _caption(e), "where": clean(e.name, 120) if e.name else ""})
        else:
            sure = f"{e.probability:.0%}" if e.probability is not None else number(e.loss) if e.loss is not None else ""
            given = {str(k): plain(v) for k, v in e.row.items()}
            answer = [clean(e.prediction, 80), sure] if answers else []
            out["rows"].append([clean(e.name, 120) if e.name else "", clean(e.truth, 80), *answer, *(given.get(c, "") for c in columns)])
    return out


def _rest(facts: ReportFacts) -> dict[str, Any]:
    """Examples, data, settings, commands."""
    findings = [
        {
            "code": clean(f.code, 20),
            "warning": f.code.startswith("W"),
            "message": clean(f.message, 1000),
            "fix": clean(f.fix, 1000) if f.fix else "",
            "items": ", ".join(clean(i, 120) for i in f.items[:50]) + (f" and {len(f.items) - 50} more" if len(f.items) > 50 else ""),
            "count": f"{len(f.items):,} concerned",
        }
        for f in sorted(facts.findings, key=lambda f: not f.code.startswith("W"))
    ]

    def rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
        return [(clean(str(k).replace("_", " ")), plain(v)) for k, v in values.items()]

    return {
        "errors": _examples(facts.errors),
        "errors_split": clean(facts.errors_split),
        "samples": _examples(facts.samples),
        "findings": findings,
        "data_facts": rows(facts.facts),
        "settings": rows(facts.settings),
        "versions": rows(facts.versions),
        "commands": [(clean(k), clean(v, 1000)) for k, v in facts.commands.items()],
        "notes": [clean(line, 1000) for line in facts.notes],
        "study": _study(facts.study),
    }


def _study(study: StudyFacts | None) -> dict[str, Any] | None:
    """A study's table, sentences and pictures."""
    if study is None:
        return None
    return {
        "question": clean(study.question),
        "caption": clean(study.caption),
        "head": [clean(c) if c else "" for c in study.head],
        "rows": [[clean(c, 120) if c else "" for c in row] for row in study.rows],
        "sentences": [clean(line, 1000) for line in study.sentences],
        "courses": [clean(line, 1000) for line in study.courses],
        "overview": study.overview,
        "pictures": list(study.pictures),
    }
