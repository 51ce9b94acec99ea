"""Files that are no code and come with rungbook: in a wheel they lie in the package, in a checkout where people edit them."""

from __future__ import annotations

from pathlib import Path

HOMES = {
    "ledger.jsonl": "results/ledger.jsonl",
    "twins.json": "results/twins.json",
    "features.toml": "src/rungbook/features.toml",
    "lessons": "lessons",
}
"""Name in the wheel -> place in the checkout; pyproject.toml has the same for the build."""


def checkout() -> Path | None:
    """The folder of the source tree this package runs from; None where it is installed as a wheel."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / "src" / "rungbook").is_dir() and (root / "pyproject.toml").is_file() else None


def shipped(name: str) -> Path:
    """Where a file or folder that comes with rungbook lies; it may be missing.

    Args:
        name: as in the wheel: "ledger.jsonl", "lessons", "exercises".
    """
    root = checkout()
    return root / HOMES.get(name, name) if root else Path(__file__).resolve().parents[1] / name


__all__ = ["checkout", "shipped"]
