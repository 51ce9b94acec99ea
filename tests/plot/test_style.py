"""Pictures are the same bytes each time, carry no style of their own, and keep strangers' names harmless."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG

from rungbook.plot import style
from rungbook.plot.style import Picture, draw, label, number, spoken

HOSTILE = [
    "<script>x()</script>",
    '"><img src=x onerror=x()>',
    "$a_1^2$ \\frac{",
    "_hidden",
    "&lt;b&gt;",
    'style="a: b"',
    "日本語",
    "a\x00b\x1b[31m\u202ec\ufffe",
    "\ud800",
]


class Elements(HTMLParser):
    """Tags and attributes in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def example(names: list[str]) -> Picture:
    def paint(ax: Axes) -> None:
        ax.plot([1, 2, 3], [1, 4, 2], color=style.TRAIN)
        ax.set_xticks([1, 2, 3][: len(names)], names[:3])
        ax.set_title(" ".join(names))

    return draw(paint, "a line " + " ".join(names))


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return sum(
        w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for w, c in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
    )


@pytest.mark.parametrize("colour", style.CLASSES)
@pytest.mark.parametrize("page", ["#ffffff", style.DARK_PAGE])
def test_series_stand_out_on_light_and_dark(colour: str, page: str) -> None:
    light, dark = sorted((luminance(colour), luminance(page)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_same_data_same_bytes_whatever_the_users_settings() -> None:
    first = example(["a", "b"]).data
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert example(["a", "b"]).data == first
    assert example(["a", "c"]).data != first


def test_style_is_in_attributes_and_text_is_text() -> None:
    picture = example(["first", "second"])
    assert isinstance(picture.data, str)
    elements = Elements(picture.data)
    assert {tag for tag, _ in elements.tags} <= {"svg", "g", "path", "text", "tspan", "defs", "clippath", "use", "rect"}
    assert not any("style" in attributes or any(a.startswith("on") for a in attributes) for _, attributes in elements.tags)
    assert "first" in elements.text
    assert elements.tags[0][1]["aria-label"] == "a line first second"
    assert "currentColor" in picture.data
    assert f"var(--train, {style.TRAIN})" in picture.data
    assert style.INK not in picture.data
    assert not re.search(r"\b(19|20)\d\d-\d\d-\d\d", picture.data)


def test_every_reference_has_its_target() -> None:
    picture = example(["a", "b"])
    assert isinstance(picture.data, str)
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', picture.data))
    ids = re.findall(r' id="([^"]+)"', picture.data)
    assert used
    assert {a or b for a, b in used} == set(ids)
    assert len(ids) == len(set(ids))
    other = example(["a", "c"])
    assert isinstance(other.data, str)
    assert not set(ids) & set(re.findall(r' id="([^"]+)"', other.data))  # both may stand in one page


def test_a_hatch_keeps_its_pattern() -> None:
    hatched = draw(lambda ax: ax.bar([0], [1], hatch="//"), "one hatched bar").html()
    (pattern,) = re.findall(r'<pattern[^>]* id="([^"]+)"', hatched)
    assert f'fill="url(#{pattern})"' in hatched


@pytest.mark.parametrize("name", HOSTILE)
def test_strangers_names_stay_text(name: str) -> None:
    shown = label(name)
    picture = example([shown])
    assert isinstance(picture.data, str)
    elements = Elements(picture.data)
    assert not {tag for tag, _ in elements.tags} & {"script", "img", "b"}
    assert shown in elements.text
    assert shown in str(elements.tags[0][1]["aria-label"])
    picture.data.encode()


def test_labels_are_short_one_line_and_keep_their_end() -> None:
    assert label("a\n\tb   c") == "a b c"
    assert label("species number 17", 14) == "species n…r 17"
    assert len(label("x" * 1000)) == 24
    assert label("") == "(empty)"
    assert label("می\u200cروم \U0001f469\u200d\U0001f52c") == "می\u200cروم \U0001f469\u200d\U0001f52c"
    assert not re.search("[\x00-\x1f\u202a-\u202e\u2066-\u2069]", label("a\x00\u202eb\u2066"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.97222, "0.9722"),
        (12.345, "12.35"),
        (41230.4, "41,230"),
        (1.2e-5, "1.2e-05"),
        (0.0, "0"),
        (-2.5, "-2.5"),
        (100.0, "100"),
        (3e12, "3e+12"),
        (float("nan"), "not a number"),
        (float("-inf"), "minus infinite"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_metric_names_in_words() -> None:
    assert spoken("balanced_accuracy") == "balanced accuracy"
    assert spoken("r2") == "R²"


def test_a_bitmap_is_an_image_with_its_words(tmp_path: Path) -> None:
    picture = Picture(b"123", 'a "quoted" <name>', "png")
    (tag, attributes), *rest = Elements(picture.html("pixels")).tags
    assert (tag, rest) == ("img", [])
    assert attributes["alt"] == 'a "quoted" <name>'
    assert attributes["class"] == "pixels"
    assert attributes["src"] == "data:image/png;base64,MTIz"
    assert picture.save(tmp_path / "x.png").read_bytes() == b"123"


def test_markers_share_their_style_and_look_the_same() -> None:
    def paint(ax: Axes) -> None:
        ax.plot(range(50), range(50), "o", color=style.VALID, alpha=0.5, markeredgewidth=0)

    tags = Elements(str(draw(paint, "points").data)).tags
    groups = [a for t, a in tags if t == "g" and a.get("fill") == f"var(--valid, {style.VALID})"]
    assert len(groups) == 1
    assert groups[0]["fill-opacity"] == "0.5"
    markers = [a for t, a in tags if t == "use" and "fill" not in a and "clip-path" not in a and "stroke" not in a]
    assert len(markers) >= 50


def test_one_drawing_gives_what_savefig_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    def paint(ax: Axes) -> None:
        ax.plot([1, 5, 2], label="a line")
        ax.set(title="A title", xlabel="steps", ylabel="loss")
        ax.legend()

    once = style.sheet([paint] * 3, "x", columns=2)
    print_svg, calls = FigureCanvasSVG.print_svg, 0

    def saved(self: FigureCanvasSVG, filename: io.BytesIO, *, metadata: Any = None, **_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            self.figure.savefig(filename, format="svg", transparent=True, metadata=metadata)
        else:
            print_svg(self, filename, metadata=metadata)

    monkeypatch.setattr(FigureCanvasSVG, "print_svg", saved)
    assert style.sheet([paint] * 3, "x", columns=2) == once
    assert calls > 1, "savefig was used"


def test_a_sheet_holds_several_axes() -> None:
    picture = style.sheet([lambda ax, i=i: ax.set_title(f"number {i}") for i in range(5)], "five", columns=2)
    assert all(f"number {i}" in str(picture.data) for i in range(5))
    width, height = (float(v) for v in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', str(picture.data))[0])
    assert width / height == pytest.approx(2 * 2.0 / (3 * 1.6))
    assert style.sheet([], "none").data


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (1, 1000, ["1", "10", "100", "1,000"]),
        (0.0125, 0.8, ["0.02", "0.05", "0.1", "0.2", "0.5"]),
        (0.3, 0.55, ["0.3", "0.4", "0.5"]),
        (1e-5, 10, ["1e-05", "0.0001", "0.001", "0.01", "0.1", "1", "10"]),
    ],
)
def test_logarithmic_axes_have_plain_labels(low: float, high: float, labels: list[str]) -> None:
    def paint(ax: Axes) -> None:
        ax.plot([low, high], [0, 0])
        ax.set(xscale="log", yticks=[])

    shown = re.findall(r"<text[^>]*>(.*?)</text>", str(draw(paint, "x").data), re.DOTALL)
    assert sorted(shown, key=lambda text: float(text.replace(",", ""))) == labels


def test_labels_a_painter_gives_a_logarithmic_axis_stay() -> None:
    def paint(ax: Axes) -> None:
        ax.plot([1, 100], [0, 0])
        ax.set(xscale="log", yticks=[])
        ax.set_xticks([1, 100], ["one", "hundred"])

    assert re.findall(r"<text[^>]*>(\w+)</text>", str(draw(paint, "x").data)) == ["one", "hundred"]
