"""The folder a site is put into: what is there of others stays, and what an earlier build left behind goes."""

from __future__ import annotations

from pathlib import Path

from rungbook.errors import EnvironmentProblem, UsageError

MARK = ".rungbook-site"
"""File that says a folder is a site of ours; it lists what was put there, a path a line."""


def reserve(out: Path) -> None:
    """Make the folder of a site, or see that it is one, before anything is done.

    Raises:
        UsageError: E201 it holds something else. EnvironmentProblem: E405 it cannot be made or written.
    """
    if out.exists() and not (out / MARK).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError("E201", f"{out} holds something else than a site and stays as it is.", "Name an empty or a new folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()
    except OSError as error:
        fix = "Name a folder you may write: rung docs build --out FOLDER"
        raise EnvironmentProblem("E405", f"The folder {out} cannot be made or written: {error.strerror}.", fix) from error


def publish(built: Path, out: Path) -> None:
    """Copy what has changed into a reserved folder, and take away what an earlier build put there and this one did not make.

    Args:
        built: folder with everything that is to be there.
        out: the folder. Cut short, the next build finishes the work: the list names every file before it is touched.
    """
    now = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
    before = set((out / MARK).read_text(encoding="utf-8").split("\n")) - {""}
    _list(out, before | now)
    for name in now:
        data, path = (built / name).read_bytes(), out / name
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    for name in before - now:
        if ".." not in Path(name).parts and not Path(name).is_absolute():
            (out / name).unlink(missing_ok=True)
    for folder in sorted((path for path in out.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    _list(out, now)


def _list(out: Path, names: set[str]) -> None:
    (out / MARK).write_text("\n".join(sorted(names)) + "\n", encoding="utf-8")


__all__ = ["publish", "reserve"]
