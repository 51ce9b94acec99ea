"""What is said of a folder of pictures: files that give none, classes too small to judge, copies, what was done to pictures."""

from __future__ import annotations

import numpy as np

from rungbook.data.data import Finding
from rungbook.data.layout import Layout
from rungbook.data.scan import Scan, near_copies
from rungbook.data.split import Parts
from rungbook.errors import DataError


def unreadable(layout: Layout, seen: Scan, strict: bool) -> list[Finding]:
    """W209 with every file that gives no picture; E106 if none does, or if `strict`."""
    if not seen.bad:
        return []
    items = tuple(f"{layout.name(i)} {reason}" for i, reason in seen.bad)
    n, total = len(items), len(layout.files)
    if strict or not len(seen.good):
        rest = f" ({n:,} of {total:,} files)" if n > 1 else ""
        raise DataError(
            "E106",
            f"{layout.root / items[0]}{rest}.",
            "Remove or replace it, or leave out --strict" if strict else "Are these image files?",
        )
    return [
        Finding("W209", f"{n:,} of {total:,} image files cannot be read and are left out, e.g. {items[0]}", "Replace or remove them", items)
    ]


def see_each_class(layout: Layout, labels: np.ndarray, classes: tuple[str, ...], parts: Parts, given: np.ndarray) -> list[Finding]:
    """Every class has an image to learn from: one whose images were all dealt elsewhere gives them to train. What is too small is said.

    Raises:
        DataError: E102 the folders or lists put all readable images of a class elsewhere.
    """
    counts = np.bincount(labels, minlength=len(classes))
    for c in np.flatnonzero(np.bincount(labels[parts["train"]], minlength=len(classes)) == 0).tolist():
        of_class = np.flatnonzero(labels == c)
        free = of_class[(given[of_class] == "train") | (given[of_class] == "")]
        if not len(free):
            where = sorted(set(given[of_class].tolist()))
            raise DataError(
                "E102",
                f'{counted(len(of_class), "image", "images")} of the class "{classes[c]}" in {" and ".join(where)}, none that can be read '
                f"in train: the model would never have seen it.",
                f'Add images of "{classes[c]}" to train, or take it out of {where[0]}',
            )
        for part in parts:
            parts[part] = np.sort(np.append(parts[part], free)) if part == "train" else np.setdiff1d(parts[part], free)
    if not len(single := np.flatnonzero(counts == 1)):
        return []
    listed = tuple(classes[c] for c in single.tolist())
    what = f'class "{listed[0]}" has' if len(listed) == 1 else f'{len(listed):,} classes, e.g. "{listed[0]}", have'
    return [
        Finding(
            "W208", f"{what} one image, which is learned from: nothing judges what was learned", "Add images, or remove the folder", listed
        )
    ]


def copies(layout: Layout, seen: Scan, labels: np.ndarray, groups: np.ndarray, parts: Parts) -> list[Finding]:
    """Exact copies, copies across parts and labels, near-copies."""
    part_of = np.empty(len(labels), object)
    for part, index in parts.items():
        part_of[index] = part
    first: dict[int, int] = {}
    same = [(first[g], i) for i, g in enumerate(groups.tolist()) if first.setdefault(g, i) != i]
    across = [(a, b) for a, b in same if part_of[a] != part_of[b]]
    torn = [(a, b) for a, b in same if labels[a] != labels[b]]
    near = near_copies(seen.thumbs, groups)
    near_across = [(a, b) for a, b in near if part_of[a] != part_of[b]]

    def items(pairs: list[tuple[int, int]], sign: str) -> tuple[str, ...]:
        return tuple(f"{layout.name(seen.good[a])} {sign} {layout.name(seen.good[b])}" for a, b in pairs)

    found = []
    if across:
        listed = items(across, "=")
        message = f"{counted(len(across), 'image is', 'images are')} in two of train, valid and test, e.g. {listed[0]}: scores are too good"
        found.append(Finding("W207", message, "Remove the copies, or let rungbook split: put all images into class folders", listed))
    if len(same) > len(across):
        listed = items([p for p in same if p not in set(across)], "=")
        found.append(
            Finding(
                "note", f"{counted(len(listed), 'exact copy', 'exact copies')}, e.g. {listed[0]}: copies stay in one part", items=listed
            )
        )
    if torn:
        listed = items(torn, "=")
        found.append(
            Finding(
                "W210",
                f"{counted(len(torn), 'picture is', 'pictures are')} in two classes, e.g. {listed[0]}"
                if layout.values is None
                else f'{counted(len(torn), "picture has", "pictures have")} two values of "{layout.target}", e.g. {listed[0]}',
                "Remove the wrong ones",
                listed,
            )
        )
    if near:
        listed = items(near, "~")
        look = counted(len(near), "picture looks", "pictures look")
        message = f"{look} nearly like another, {len(near_across):,} across train, valid and test, e.g. {listed[0]}"
        found.append(Finding("W207" if near_across else "note", message, "Look at them; keep one of each", listed))
    return found


def counted(n: int, one: str, many: str) -> str:
    """ "1 picture is", "1,200 pictures are"."""
    return f"{n:,} {one if n == 1 else many}"


def notes(layout: Layout, seen: Scan) -> list[Finding]:
    """What was done to pictures, and what lies in the folder beside them."""
    done: dict[str, list[str]] = {}
    for i, notes in zip(seen.good, seen.notes, strict=True):
        for note in notes:
            done.setdefault("misnamed" if note.startswith("named") else note, []).append(
                layout.name(i) + (f" ({note})" if note.startswith("named") else "")
            )
    say = {
        "turned": "turned upright as the EXIF orientation says",
        "animated": "animated or of several pages: the first one is used",
        "transparent": "with transparency: it becomes white",
        "16 bit": "with 16 bits a pixel: the upper 8 are used",
        "CMYK": "in CMYK, converted to red, green, blue",
        "misnamed": "in another format than the name says; read all the same",
    }
    found = [
        Finding("note", f"{counted(len(items), 'picture', 'pictures')} {say[kind]}", items=tuple(items)) for kind, items in done.items()
    ]
    if layout.other:
        listed = tuple(f"{n} {suffix}" for suffix, n in layout.other.most_common())
        found.append(Finding("note", f"{sum(layout.other.values()):,} other files are passed over ({', '.join(listed[:4])})", items=listed))
    if layout.beside:
        found.append(Finding("note", f"not used: {'; '.join(layout.beside[:4])}", items=tuple(layout.beside)))
    return found
