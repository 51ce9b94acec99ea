"""Small tables as people have them, written to a folder."""

from __future__ import annotations

import random
from pathlib import Path

HEADER = ("size", "colour", "weight", "ok")
Rows = list[list[object]]


def rows(n: int = 60, seed: int = 0) -> Rows:
    """Rows whose class follows from two numbers."""
    draw = random.Random(seed)
    found: Rows = []
    for _ in range(n):
        size, weight = round(draw.random(), 4), round(draw.gauss(0, 1), 4)
        found.append([size, draw.choice(["red", "blue"]), weight, "yes" if size + 0.3 * weight > 0.5 else "no"])
    return found


def numbers(n: int = 60, seed: int = 0) -> Rows:
    """Rows whose last column is a number that follows from two others."""
    return [[size, colour, weight, round(3 * float(str(size)) + float(str(weight)), 4)] for size, colour, weight, _ in rows(n, seed)]


def texts(n: int = 60, seed: int = 0) -> Rows:
    """Opinions of several words with their label."""
    draw = random.Random(seed)
    good, bad = ["lovely", "great", "warm", "clever"], ["dull", "slow", "cold", "flat"]
    found: Rows = []
    for i in range(n):
        words = good if i % 2 else bad
        text = f"a {draw.choice(words)} film with {draw.choice(words)} people and a {draw.choice(words)} end number {i}"
        found.append([text, "pos" if i % 2 else "neg"])
    return found


def write(path: Path, body: Rows, header: tuple[str, ...] = HEADER, *, encoding: str = "utf-8", mark: bytes = b"") -> Path:
    """A CSV file."""
    lines = [",".join(map(str, row)) for row in [list(header), *body]]
    path.write_bytes(mark + ("\n".join(lines) + "\n").encode(encoding))
    return path
