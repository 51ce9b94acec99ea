"""The report tells the result, needs nothing from outside, and runs nobody's script."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import os
import re
import subprocess
import time
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rungbook.book.slides import find_browser
from rungbook.data.data import Finding
from rungbook.errors import EnvironmentProblem
from rungbook.plot import judge
from rungbook.plot.style import label
from rungbook.recipes.report import Example, ReportFacts, plain, render, write_report

VOID = {"meta", "img", "br"}
CANARY = "document.documentElement.dataset.ran=1"


def payloads() -> list[str]:
    """Strings that run the canary where a page puts them in unescaped, one way or another."""
    contexts = ["{}", '">{}', "'>{}", "</title>{}", "</style>{}", "</script>{}", "--!>{}", "]]>{}", "</textarea>{}", "{{{{7*7}}}}{}"]
    elements = [
        f"<script>{CANARY}</script>",
        f"<ScRiPt >{CANARY}</sCrIpT>",
        f"<img src=x onerror={CANARY}>",
        f"<svg onload={CANARY}>",
        f"<svg><script>{CANARY}</script></svg>",
        f'<body onload="{CANARY}">',
        f"<input autofocus onfocus={CANARY}>",
        f"<details open ontoggle={CANARY}>",
        f"<iframe srcdoc='<script>parent.{CANARY}</script>'>",
        f"<math><mtext><img src=x onerror={CANARY}></mtext></math>",
    ]
    odd = [
        f'" onmouseover="{CANARY}" autofocus onfocus="{CANARY}" x="',
        f"javascript:{CANARY}",
        f"<a href='javascript:{CANARY}'>x</a>",
        f"&lt;script&gt;{CANARY}&lt;/script&gt;",
        f"<scr\x00ipt>{CANARY}</script>",
        f"\ufeff<script>{CANARY}</script>",
        f"\u202e<script>{CANARY}</script>",
        f"<style onload={CANARY}></style>",
        f"<meta http-equiv=refresh content='0;url=javascript:{CANARY}'>",
        f"<base href='javascript:{CANARY}//'>",
        f"\ud800<script>{CANARY}</script>",
        f"%3Cscript%3E{CANARY}%3C/script%3E",
    ]
    return [c.format(e) for c, e in itertools.product(contexts, elements)] + odd


class Page(HTMLParser):
    """Elements, attributes and visible text of a page; fails on elements left open or closed twice."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.tags if t == tag]


def digits_facts(n: int = 180) -> ReportFacts:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 10, n)
    logits = rng.normal(0, 1, (n, 10))
    logits[np.arange(n), truth] += 4
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    pixels = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ReportFacts(
        name="003-digits",
        recipe="digits",
        target="digit",
        classes=[str(i) for i in range(10)],
        test={"accuracy": float((p.argmax(1) == truth).mean()), "log_loss": 0.21, "confusion_matrix": torch.zeros(2, 2)},
        valid={"accuracy": 0.95},
        baselines={"random_forest": {"accuracy": 0.5}, "majority": {"accuracy": 0.1}},
        limit={"accuracy": 0.99},
        truth=torch.tensor(truth),
        prediction=torch.tensor(p),
        history=[{"epoch": e, "train_loss": 2 / e, "valid_loss": 2.2 / e, "valid_accuracy": 1 - 1 / e, "lr": 0.1 / e} for e in range(1, 9)],
        errors=[Example("3", "8", 0.9, 2.5, f"sample {i}", pixels[i]) for i in range(4)],
        samples=[Example("4", image=pixels[i]) for i in range(4, 8)],
        findings=[Finding("note", "split 80/10/10"), Finding("W207", "2 exact copies", "One side.", ("row 12", "row 981"))],
        facts={"samples": 1797, "shape": (8, 8)},
        settings={"lr": 0.003, "clip": None, "compile": False},
        versions={"torch": "2.13.0", "threads": 2, "seed": 0},
        looks=1,
        commands={"Predict": "rung predict runs/003-digits new.png"},
        folds={"accuracy": [0.9, 0.92, 0.94]},
    )


@cache
def digits_page() -> str:
    """The page of `digits_facts()`, made once for the tests that only read it."""
    return render(digits_facts())


def numbers_facts() -> ReportFacts:
    rng = np.random.default_rng(0)
    truth = rng.gamma(3, 10, 90)
    predicted = truth + rng.normal(0, 5, 90)
    r2 = 1 - ((predicted - truth) ** 2).mean() / truth.var()
    rows = [Example("30", "41", loss=2.5, name="row 7", row={"area": 51.25, "town": "Bree"})]
    return ReportFacts(
        name="cars",
        task="regression",
        target="MPG",
        test={"r2": r2, "mean_absolute_error": 3.1},
        baselines={"linear": {"r2": r2 - 0.001}},
        truth=truth,
        prediction=predicted,
        errors=rows,
        looks=4,
    )


def visible_text(page: str) -> str:
    return re.sub(r"\s+", " ", " ".join(Page(page).text))


def visible(facts: ReportFacts) -> str:
    return visible_text(render(facts))


def test_result_comes_first_in_plain_words() -> None:
    words = visible_text(digits_page())
    start = words.index("003-digits digits")
    verdict = words[start : start + 400]
    assert re.search(r"of 180 test samples are classified right \(95% interval 9\d\.\d% to \d+\.\d%\)", verdict)
    assert "For comparison: random forest 50.0%, majority 10.0%." in verdict
    assert "The best possible here is 99.0%" in verdict
    assert "first look" in verdict


def test_a_model_no_better_than_its_baseline_is_told_so() -> None:
    facts = digits_facts()
    facts.history, facts.limit = (), None
    facts.baselines = {"random_forest": {"accuracy": 1.0}}
    assert "The simpler random forest is as good or better" in visible(facts)
    facts.baselines = {"random_forest": {"accuracy": float(facts.test["accuracy"]) - 0.003}}
    assert "The random forest lies within that interval: the difference may be chance." in visible(facts)
    facts.baselines = {"random_forest": {"accuracy": 0.5}}
    assert not re.search("simpler|chance", visible(facts))
    errors = numbers_facts()
    errors.metric, errors.baselines = "mean_absolute_error", {"mean": {"mean_absolute_error": 2.0}}
    assert "The simpler mean is as good or better" in visible(errors)  # lower is better here


def test_regression_shows_errors_rows_and_looks() -> None:
    words = visible(numbers_facts())
    assert "The valid samples with the largest loss" in words
    assert re.search(r"R² is 0\.\d+ on 90 test samples \(95% interval 0\.\d+ to 0\.\d+\)", words)
    assert "looked at 4 times" in words
    assert "error of MPG" in words
    assert "Bree" in words
    assert "51.25" in words


def test_only_what_is_known_is_shown() -> None:
    page = Page(render(ReportFacts(name="bare")))
    assert [a["id"] for a in page.all("h2")] == ["made"]
    assert "Result" not in page.text
    assert not page.all("svg")


def test_the_page_stands_alone_and_allows_nothing() -> None:
    text = digits_page()
    page = Page(text)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not {"script", "link", "iframe", "object", "form", "base"} & {t for t, _ in page.tags}
    for _, attributes in page.tags:
        assert "style" not in attributes
        assert all(str(attributes.get(k) or "#").startswith(("#", "data:image/")) for k in ("href", "src"))


def test_a_person_who_cannot_see_it_can_read_it() -> None:
    page = Page(digits_page())
    assert page.tags[0][1] == {"lang": "en"}
    assert all(a["alt"] for a in page.all("img"))
    assert len(page.all("img")) == 8
    assert all(a.get("role") == "img" and len(a["aria-label"] or "") > 20 for a in page.all("svg"))
    assert len(page.all("table")) == len(page.all("caption")) > 3
    assert all(a.get("scope") for a in page.all("th"))
    ids = [a["id"] for _, a in page.tags if a.get("id") and "aria-labelledby" not in a]
    links = [str(a["href"])[1:] for a in page.all("a")]
    assert set(links) <= set(ids)
    assert [a["id"] for a in page.all("h2")] == links


def test_size_time_and_repeatability(tmp_path: Path) -> None:
    facts = digits_facts(10_000)
    photos = torch.randint(0, 256, (36, 3, 14, 14), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    photos = photos.repeat_interleave(16, 2).repeat_interleave(16, 3)
    facts.samples = [Example("cat", image=p) for p in photos[:20]]
    facts.errors = [Example("cat", "dog", 0.9, 3.0, "a.jpg", p) for p in photos[20:]]
    assert render(digits_facts()) == digits_page()  # and the first figure, which also reads the fonts, is drawn
    start = time.process_time()
    path = write_report(tmp_path / "report.html", facts)
    assert time.process_time() - start < 3
    assert path.stat().st_size < 1_500_000
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_images_of_a_group_are_stretched_together() -> None:
    dark, light = torch.zeros(1, 4, 4), torch.ones(1, 4, 4)
    dark[0, 0, 0], light[0, 0, 0] = 0.1, 0.9
    text = render(ReportFacts(name="x", samples=[Example("a", image=dark), Example("b", image=light)]))
    pictures = [base64.b64decode(str(a["src"]).split(",")[1]) for a in Page(text).all("img")]
    lightest = [Image.open(io.BytesIO(p)).getextrema()[1] for p in pictures]
    assert lightest[0] == pytest.approx(26, abs=1)  # on its own it would be 255
    assert lightest[1] == 255


def test_many_classes_columns_and_epochs_stay_readable() -> None:
    rng = np.random.default_rng(0)
    facts = ReportFacts(name="many", classes=[f"kind {i}" for i in range(200)], test={"accuracy": 0.5})
    facts.truth, facts.prediction = rng.integers(0, 200, 900), rng.dirichlet(np.ones(200), 900)
    facts.history = [{"epoch": i, "train_loss": 1 / (i + 1)} for i in range(2000)]
    facts.errors = [Example("1", "2", name=f"row {i}", row={f"column {j}": j for j in range(60)}) for i in range(5)]
    text = render(facts)
    assert len(text) < 200_000
    assert "the 50 of 200 classes found least" in text
    assert "Every 10th epoch" in text


@pytest.mark.parametrize("shape", [(6, 4, 5), (6, 5000)])
def test_answers_that_are_not_one_of_a_few_classes_are_scored_but_not_drawn(shape: tuple[int, ...]) -> None:
    facts = ReportFacts(name="text", test={"perplexity": 4.2}, prediction=np.full(shape, 0.1))
    facts.truth = np.zeros((6, *shape[2:]), int)
    words = visible(facts)
    assert "perplexity is 4.2 on 6 test samples." in words.replace("Perplexity", "perplexity")
    assert "Where it is right" not in words


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="E4"):
        write_report(tmp_path / "no-such-folder" / "report.html", ReportFacts(name="x"))


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "none"), (True, "yes"), (12345, "12345"), (0.00312, "0.0031"), ((8, 8), "8, 8"), ([], "none"), ({"a": 1}, "a 1"), ("x", "x")],
)
def test_settings_in_words(value: object, words: str) -> None:
    assert plain(value) == words


def hostile_facts(names: list[str]) -> ReportFacts:
    """Every name, wherever a name can come from outside."""
    rng = np.random.default_rng(0)
    K = len(names)
    image = torch.zeros(1, 4, 4, dtype=torch.uint8)
    everywhere = dict.fromkeys(names, 0.5)
    facts = ReportFacts(
        name=" ".join(names),
        recipe=names[0],
        data=names[1],
        model=names[2],
        target=names[3],
        split=names[4],
        classes=names,
        test={"accuracy": 0.1, **everywhere},
        valid=everywhere,
        baselines={name: {"accuracy": 0.1, name: 0.1} for name in names},
        truth=rng.integers(0, K, 400),
        prediction=rng.dirichlet(np.ones(K), 400),
        history=[{"epoch": i, **{f"valid_{name}": i * 0.1 for name in names}} for i in (1, 2)],
        folds={name: [0.1, 0.2] for name in names[:10]},
        facts={name: {name: name} for name in names},
        settings={name: [name] for name in names},
        versions={name: name for name in names},
        commands={name: name for name in names},
        findings=[Finding(name, name, name, (name,)) for name in names],
    )
    facts.errors = [Example(name, name, 0.5, 1.0, name, image) for name in names]
    facts.errors += [Example(name, name, 0.5, 1.0, name, text=name) for name in names]
    facts.errors += [Example(name, name, 0.5, 1.0, name, row={name: name, "cell": name}) for name in names]
    facts.samples = [Example(name, name=name, image=image) for name in names]
    return facts


TAGS = (
    "html head meta title style body main header nav section h1 h2 p a ul li div figure figcaption blockquote details summary small span"
    " b br pre code table caption thead tbody tr th td img svg g path text tspan defs clippath use rect"
)
ALLOWED = set(TAGS.split())


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = payloads()
    assert len(names) >= 100
    return write_report(tmp_path_factory.mktemp("hostile") / "report.html", hostile_facts(names))


def test_strangers_names_make_no_elements_and_no_handlers(hostile_page: Path) -> None:
    page = Page(hostile_page.read_text(encoding="utf-8"))
    assert {t for t, _ in page.tags} <= ALLOWED
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on") or a == "style"]
    words = "".join(page.text)
    for name in payloads():
        assert label(name, 300) in words  # shown as it is written


def test_few_classes_put_strangers_names_into_the_matrix() -> None:
    names = payloads()
    for some in (names[i : i + 20] for i in range(0, len(names) - 20, 20)):
        page = Page(judge.confusion(3 * np.eye(20, dtype=int) + np.eye(20, k=1, dtype=int), some).html())
        assert {t for t, _ in page.tags} <= ALLOWED
        assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
        assert label(some[0], 14) in page.text


def browse(page: Path, folder: Path) -> str:
    """The page's elements after a headless browser loaded it and ran what it would run."""
    browser = find_browser()
    if browser is None:
        pytest.skip("no Chromium on this machine: the page is only checked by its elements")
    off = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    off += [
        "--disable-sync",
        f"--user-data-dir={folder / 'profile'}",
        *(["--no-sandbox"] if os.name == "posix" and os.getuid() == 0 else []),
    ]
    command = [browser, "--headless", *off, "--virtual-time-budget=2000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "<body" in done.stdout, done.stderr[-2000:]
    return done.stdout


def ran(dom: str) -> bool:
    return bool(re.search(r"<html[^>]*\sdata-ran=", dom))


def test_no_script_runs_in_a_browser(hostile_page: Path, tmp_path: Path) -> None:
    naive = tmp_path / "naive.html"
    naive.write_text(
        f"<!doctype html><html><body>{''.join(payloads())}</body></html>".encode("utf-8", "replace").decode(), encoding="utf-8"
    )
    assert ran(browse(naive, tmp_path))  # the control: unescaped, they do run
    assert not ran(browse(hostile_page, tmp_path))


def test_the_policy_alone_would_stop_them(hostile_page: Path, tmp_path: Path) -> None:
    head = re.search("<head>.*?</head>", hostile_page.read_text(encoding="utf-8"), re.DOTALL)
    assert head
    policy = re.search("<meta http-equiv.*?>", head[0])
    assert policy
    body = "".join(payloads()).encode("utf-8", "replace").decode()
    forgotten = tmp_path / "forgotten.html"
    forgotten.write_text(f"<!doctype html><html><head>{policy[0]}</head><body>{body}</body></html>", encoding="utf-8")
    assert not ran(browse(forgotten, tmp_path))
