"""A text as a next-character task: given the `context` characters before, which one follows?

Bengio, Ducharme, Vincent, Jauvin 2003, "A neural probabilistic language model", section 2, on characters instead of words. The windows
are views of one sequence of ids, so a million of them take no more memory than the text.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rungbook.data.data import Data, fingerprint, make_feeds
from rungbook.data.feed import Source, TensorSource
from rungbook.data.local import files_of
from rungbook.data.registry import Download
from rungbook.data.target import ClassTarget
from rungbook.errors import DataError, UsageError


def load(download: Download, *, valid: float = 0.1, test: float = 0.1, **options: Any) -> Data:
    """A downloaded text as `character_data`."""
    (path,) = files_of(download).values()
    return character_data(download.name, path.read_text(encoding="utf-8"), valid=valid, test=test, **options)


def character_data(
    name: str,
    text: str,
    *,
    context: int = 16,
    valid: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    batch_size: int = 64,
    workers: int = 0,
) -> Data:
    """Windows of a text and the character after each.

    The parts are stretches of the text, train first and test last: cut at random, windows of one part would overlap those of another.

    Args:
        name: what the set is called.
        text: all of it.
        context: characters a window.
        valid, test: shares of the text, 0 for none.
        seed: of the order in training.
        batch_size: windows a batch.
        workers: worker processes; 0 is fastest here.

    Returns:
        Inputs (B, context) int64 ids, targets (B,) ids; an id counts the characters of the text in sorted order.

    Raises:
        DataError: E113 a part would hold no window.
    """
    alphabet = "".join(sorted(set(text)))
    number = {c: i for i, c in enumerate(alphabet)}
    sources = _windows(torch.tensor([number[c] for c in text], dtype=torch.int64), context, valid, test, name)
    feeds = make_feeds(sources, batch_size=batch_size, seed=seed, workers=workers)
    train = feeds["train"]
    assert train is not None
    return Data(
        name,
        ClassTarget(tuple(alphabet), "next character"),
        train,
        feeds["valid"],
        feeds["test"],
        facts={
            "kind": "characters",
            "characters": len(text),
            "alphabet": alphabet,
            "context": context,
            "samples": {p: len(s) for p, s in sources.items()},
        },
        fingerprint=fingerprint([text, str((valid, test, context))]),
    )


def _windows(ids: Tensor, context: int, valid: float, test: float, name: str) -> dict[str, Source]:
    """The windows of each part that was asked for."""
    if min(valid, test) < 0 or valid + test >= 1 or context < 1:
        raise UsageError(
            "E202", f"valid={valid}, test={test}, context={context}: shares are 0 or more and together below 1, a context 1 or more."
        )
    first, second = round(len(ids) * (1 - valid - test)), round(len(ids) * (1 - test))
    sources: dict[str, Source] = {}
    for part, share, stretch in (("train", 1.0, ids[:first]), ("valid", valid, ids[first:second]), ("test", test, ids[second:])):
        if not share:
            continue
        if len(stretch) <= context:
            message = f"{name}: the {part} part has {len(stretch)} characters, a window needs {context} and one more."
            raise DataError("E113", message, "Use a smaller context")
        sources[part] = TensorSource(stretch[:-1].unfold(0, context, 1), stretch[context:])
    return sources
