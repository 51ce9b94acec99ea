"""One look for all pictures.

A `Picture` is an inline SVG (or a small bitmap) with a text alternative made from its data. Text and axes take the page's own text colour
(`currentColor`), series a colour-blind safe palette of middle brightness, so one picture serves light and dark pages. Nothing in it depends
on when or where it was drawn: the same data gives the same bytes. Style sits in presentation attributes, never in `style=` or `<style>`,
so a page may forbid inline styles.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAIN, VALID, THIRD, FOURTH = "#0072b2", "#d55e00", "#008a64", "#b4618f"
"""From Okabe and Ito's colour-blind safe palette (jfly.uni-koeln.de/color), green and pink darkened: each has a contrast of at least 3
to white and to the dark page (WCAG 2.2, 1.4.11). A page may set others as --train, --valid, --third and --fourth."""
CLASSES = (TRAIN, VALID, THIRD, FOURTH, "#5743fc", "#d00746", "#1b91b5", "#8a7a00", "#7f7f7f", "#a8643c")
"""Colours of ten classes. Between both pages the band is too narrow for ten that differ for every eye, so classes go by shape too."""
_NAMED = {TRAIN: "train", VALID: "valid", THIRD: "third", FOURTH: "fourth"} | {c: f"class-{i}" for i, c in enumerate(CLASSES[4:], 5)}
INK = "#010203"
"""Stands for the page's text colour while drawing; `currentColor` in the finished picture."""
DARK_PAGE = "#15181c"
ZOOM = 1.3
"""Pixels a point where the page leaves room: 9 points of text look like the page's small print."""

_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"


@dataclass(frozen=True)
class Picture:
    """A picture and what it shows in words.

    Args:
        data: SVG text, or the bytes of a bitmap.
        alt: text alternative, made from the data.
        kind: "svg", "png" or "jpeg".
    """

    data: str | bytes
    alt: str
    kind: str = "svg"

    def html(self, css: str = "") -> str:
        """The picture as an HTML element: inline SVG, or an image of class `css` with its data in the address."""
        if isinstance(self.data, str):
            return self.data
        coded = base64.b64encode(self.data).decode()
        style = f' class="{html.escape(css)}"' if css else ""
        return f'<img{style} src="data:image/{self.kind};base64,{coded}" alt="{html.escape(self.alt)}">'

    def _repr_html_(self) -> str:
        return self.html()

    def save(self, path: str | Path) -> Path:
        """Write the picture to `path`, whose suffix it does not change."""
        path = Path(path)
        # a page brings its own fonts; alone, letters with serifs would be taken
        data = self.data.replace("<svg ", '<svg font-family="sans-serif" ', 1).encode() if isinstance(self.data, str) else self.data
        path.write_bytes(data)
        return path


def _unseen(character: str) -> bool:
    """Control and direction marks, halves of pairs, what XML forbids; the joiners of Persian and of emoji are letters' business."""
    return (unicodedata.category(character) in ("Cc", "Cf", "Cs") and character not in "\u200c\u200d") or character in "\ufffe\uffff"


def label(text: object, width: int = 24) -> str:
    """A name from outside as it can be shown: one line, no control or direction marks, at most `width` characters.

    A longer one loses its middle: names of one kind differ most often at the end.
    """
    words = str(text).encode("utf-8", "replace").decode()  # lone surrogates of undecodable file names
    words = "".join("\N{REPLACEMENT CHARACTER}" if _unseen(c) else c for c in re.sub(r"\s+", " ", words))
    words = words.strip() or "(empty)"
    tail = (width - 1) // 3
    return words if len(words) <= width else f"{words[: width - 1 - tail]}…{words[len(words) - tail :]}"


def spoken(metric: str) -> str:
    """A metric's name as words: "balanced accuracy", "R²"."""
    return "R²" if metric == "r2" else label(metric.replace("_", " "), 60)


def number(value: float) -> str:
    """A measured number in about four digits: 0.9722, 12.35, 41,230, 1.2e-05."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite" if value > 0 else "minus infinite"
    size = abs(value)
    if size and (size < 1e-3 or size >= 1e9):
        return f"{value:.2g}"
    digits = 4 if size < 1 else 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def few_ticks(ax: Axes, which: str = "x") -> None:
    """At most five ticks on the axes named ("x", "y", "xy"), large numbers as 200k or 1.5M, so that labels never run into each other."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    for name in which:
        axis = ax.xaxis if name == "x" else ax.yaxis
        axis.set_major_locator(MaxNLocator(4))
        if max(map(abs, ax.get_xlim() if name == "x" else ax.get_ylim())) >= 10_000:
            axis.set_major_formatter(EngFormatter(sep=""))


def draw(paint: Callable[[Axes], object], alt: str, *, size: tuple[float, float] = (3.6, 2.5)) -> Picture:
    """A picture of one pair of axes.

    Args:
        paint: draws on the axes.
        alt: text alternative.
        size: width and height in inches at 72 points; the page may scale it.
    """
    return sheet([paint], alt, columns=1, size=size)


def sheet(paints: Sequence[Callable[[Axes], object]], alt: str, *, columns: int = 3, size: tuple[float, float] = (2.0, 1.6)) -> Picture:
    """A picture of several pairs of axes, row by row.

    Args:
        paints: draw on their axes.
        alt: text alternative of the whole.
        columns: axes side by side.
        size: width and height of each in inches.
    """
    from rungbook.plot.canvas import svg

    return Picture(inline_svg(svg(paints, max(1, min(columns, len(paints))), size), alt), alt)


def inline_svg(svg: bytes, alt: str) -> str:
    """Matplotlib's SVG as an element to stand in a page: see the module's first lines."""
    root = ElementTree.fromstring(svg)
    width, height = root.get("viewBox", "").split()[2:]
    used = set(re.findall(rb"#([\w.-]+)", svg))
    own = hashlib.sha256(svg).hexdigest()[:8]  # a page holds many pictures: names inside one must not meet another's
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        _share_style(element)
        _move_style(element)
        if _HREF in element.attrib:
            element.set("href", element.attrib.pop(_HREF).replace("#", f"#{own}-"))
        for key, value in element.attrib.items():
            if value.startswith("url(#"):  # a clip path, a hatch
                element.set(key, value.replace("#", f"#{own}-"))
        name = element.attrib.pop("id", None)
        if name is not None and name.encode() in used:
            element.set("id", f"{own}-{name}")
    root.attrib.clear()
    root.attrib.update({"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": alt, "stroke-linejoin": "round"})
    root.attrib.update({"width": f"{float(width) * ZOOM:.0f}", "height": f"{float(height) * ZOOM:.0f}"})
    ElementTree.register_namespace("", _SVG)
    return re.sub(r">\s+<", "><", ElementTree.tostring(root, encoding="unicode"))


def _share_style(element: ElementTree.Element) -> None:
    """A style that all markers of a group have moves to the group: a third of the bytes of a cloud of points."""
    styles = {child.get("style") for child in element}
    if len(element) > 1 and len(styles) == 1 and all(child.tag.endswith("}use") for child in element):
        shared = styles.pop()
        if shared and "style" not in element.attrib and "opacity" not in {part.partition(":")[0].strip() for part in shared.split(";")}:
            element.set("style", shared)  # all but opacity are inherited
            for child in element:
                del child.attrib["style"]


def _move_style(element: ElementTree.Element) -> None:
    """Style to attributes; the drawing ink to the page's; coordinates to tenths of a point."""
    for part in element.attrib.pop("style", "").split(";"):
        key, _, value = (word.strip() for word in part.partition(":"))
        if key and key != "font-family":
            element.set(key, "currentColor" if value == INK else f"var(--{_NAMED[value]}, {value})" if value in _NAMED else value)
    for key in ("d", "x", "y", "transform", "points"):
        if key in element.attrib:
            if "matrix" in element.attrib[key]:
                continue  # factors by which a bitmap is stretched
            value = re.sub(r"-?\d+\.\d{2,}", lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), element.attrib[key])
            element.set(key, " ".join(value.split()))
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
