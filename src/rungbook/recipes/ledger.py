"""The ledger: every measured result as one line of JSON, each with its own SHA-256, so that no figure is edited unnoticed.

A line is kept for good; a later one of the same key takes its place for whoever reads. In a checkout it is `results/ledger.jsonl`; an
installed package reads the copy it came with, and what was measured with it is appended to `ledger.jsonl` among the runs.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import hashlib
import json
import math
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rungbook.errors import DataError, EnvironmentProblem, RungError, UsageError, did_you_mean, nearest
from rungbook.recipes.recipe import find_recipe, list_recipes
from rungbook.recipes.runs import runs_folder
from rungbook.recipes.settings import Settings, parse_settings
from rungbook.recipes.shipped import checkout, shipped
from rungbook.recipes.stamp import NO_RESULT, Stamp, changed

FORMAT = 1
"""Version of a line."""
NAME = "ledger.jsonl"

Results = dict[str, dict[str, dict[str, dict[str, Any]]]]
"""Variant -> split -> metric -> {mean, sd, values}; a single training has the one variant ""."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What was measured of one recipe with certain settings.

    Args:
        key: what is typed after `rung measure`: the recipe and the settings that differ from its own.
        recipe: its name.
        settings: all that can change a result.
        stamp: hashes of what the figures depend on.
        seeds: one training or study each.
        metric, split: of the figure it is told by.
        results: the figures.
        baselines: who -> metric -> mean over the seeds, on test.
        limit: metric -> {value, error}: the best possible, where it is known.
        samples: judged for each figure.
        data: name and fingerprint (of the first seed).
        seconds, cpu_seconds: each seed's wall-clock and processor time. Beside busy neighbours only the second says something.
        threads, device: it was measured with.
        machine: processor, cores, system.
        versions: of Python and of the packages that can change a result.
        date: day of the measurement.
    """

    key: str
    recipe: str
    settings: dict[str, Any]
    stamp: Stamp
    seeds: list[int]
    metric: str
    split: str
    results: Results
    baselines: dict[str, dict[str, float]]
    limit: dict[str, dict[str, float]]
    samples: int
    data: dict[str, str]
    seconds: list[float]
    cpu_seconds: list[float]
    threads: int
    device: str
    machine: dict[str, Any]
    versions: dict[str, str]
    date: str

    def line(self) -> str:
        """The line of the ledger, without its end."""
        body = {"format": FORMAT, **_finite(dataclasses.asdict(self))}
        return _json({**body, "line": _sha(body)})

    def figure(self, variant: str, split: str, metric: str) -> dict[str, Any]:
        """Mean, standard deviation and values. Raises UsageError E201 with the nearest name of what is not there."""
        if variant not in self.results:
            hint = did_you_mean(variant, filter(None, self.results), '"{}"') or "It is one training: leave the variant out."
            raise UsageError("E201", f'{self.key} has no variant "{variant}".', hint)
        splits = self.results[variant]
        for what, name, known in (("split", split, splits), ("metric", metric, splits.get(split, {}))):
            if name not in known:
                raise UsageError("E201", f'{self.key} has no {what} "{name}".', did_you_mean(name, known, '"{}"'))
        return self.results[variant][split][metric]

    def rebuild(self) -> Settings:
        """The recipe as it is now, with the settings of the key. Raises UsageError where it is gone or takes them no more."""
        return recipe_of(self.key)

    def stale(self) -> list[str]:
        """What changed since it was measured, in words; nothing if it is fresh."""
        try:
            return changed(self.stamp, self.settings, self.rebuild())
        except UsageError as error:
            return [error.message.rstrip(".")]


def _finite(value: Any) -> Any:
    """JSON has no word for what is not a number: null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False)


def _sha(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def key_of(recipe: Settings) -> str:
    """What names a recipe with its settings: its own words, without those that change no result."""
    plain: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(recipe) if f.name in NO_RESULT}
    return dataclasses.replace(recipe, **plain).command().removeprefix("rung train ")


def recipe_of(key: str) -> Settings:
    """The recipe of a key or of the words of a command. Raises UsageError E201, E202 as `rung train` does."""
    try:
        name, *words = shlex.split(key)
    except ValueError as error:
        raise UsageError("E201", f'"{key}" names no measurement.', did_you_mean(key, list_recipes())) from error
    cls = find_recipe(name)
    return cls(**parse_settings(cls, words))


@dataclass(frozen=True)
class Damage:
    """A line that is not as it was written.

    Args:
        path: the file.
        number: of the line, from 1.
        why: in words.
        key: it says it has, or "".
    """

    path: Path
    number: int
    why: str
    key: str = ""

    def error(self) -> DataError:
        """As it is told."""
        again = f", and measure again: rung measure {self.key}" if self.key else ", and measure again: rung measure --all"
        back = "Take it back (git checkout), or " if self.path == home() else ""
        fix = f"{back}delete line {self.number}{again}"
        return DataError("E305", f"Line {self.number} of {self.path.name} {self.why}.", fix[0].upper() + fix[1:])


@dataclass
class Ledger:
    """What was measured, by key, and the lines that cannot be trusted."""

    entries: dict[str, Entry] = field(default_factory=dict)
    damaged: list[Damage] = field(default_factory=list)

    def get(self, key: str) -> Entry:
        """The line of a key, however its settings are ordered. Raises UsageError E201 with the nearest key."""
        if key in self.entries:
            return self.entries[key]
        try:
            same = key_of(recipe_of(key))
        except RungError:
            hint = did_you_mean(key, self.entries, '"{}"')
        else:
            if same in self.entries:
                return self.entries[same]
            near = nearest(same, [k for k in self.entries if k.split(" ")[0] == same.split(" ")[0]])
            hint = f'Did you mean "{near[0]}"? Or measure it: rung measure {same}' if near else f"Measure it: rung measure {same}"
        raise UsageError("E201", f'The ledger has no line "{key}".', hint or "Measure one: rung measure digits")


def home() -> Path:
    """The file that measurements are appended to."""
    root = checkout()
    return root / "results" / NAME if root else runs_folder() / NAME


def sources() -> list[Path]:
    """The files that are read, in order: what came with the package, then what was measured here."""
    return list(dict.fromkeys([shipped(NAME), home()]))


def read_ledger(*paths: Path) -> Ledger:
    """Everything that was measured; damaged lines are listed and not used.

    Args:
        paths: files; by default `sources()`. One that is not there holds nothing.

    Raises:
        EnvironmentProblem: E405 a file cannot be read; E304 a later rungbook wrote a line.
    """
    ledger = Ledger()
    for path in paths or sources():
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise EnvironmentProblem("E405", f"{path} cannot be read: {error.strerror}.", f"See its rights: ls -l {path}") from error
        *lines, last = raw.split(b"\n")
        for number, line in enumerate([*lines, *([last] if last else [])], 1):
            try:
                entry = parse_line(line)
            except ValueError as error:
                ledger.damaged.append(Damage(path, number, str(error), _says_key(line)))
            else:
                ledger.entries.pop(entry.key, None)
                ledger.entries[entry.key] = entry
    return ledger


def load_ledger(*paths: Path) -> Ledger:
    """As `read_ledger`, but a damaged line is refused. Raises DataError E305 naming it."""
    ledger = read_ledger(*paths)
    if ledger.damaged:
        raise ledger.damaged[0].error()
    return ledger


@functools.cache  # lines are never changed, and each quote of a lesson reads the ledger anew
def parse_line(line: bytes) -> Entry:
    """A line as it was written. Raises ValueError in words for any other, EnvironmentProblem E304 for one of a later format."""
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("is cut off or is no JSON") from error
    if not isinstance(body, dict) or "line" not in body:
        raise ValueError("has no checksum")
    given = body.pop("line")
    if isinstance(body.get("format"), int) and body["format"] > FORMAT:
        raise EnvironmentProblem(
            "E304", f"The ledger has a line of format {body['format']}, this rungbook reads up to {FORMAT}.", "pip install -U rungbook"
        )
    if given != _sha(body):
        raise ValueError("was changed after it was measured: its SHA-256 is another")
    fields = {f.name for f in dataclasses.fields(Entry)}
    if set(body) - {"format"} != fields:
        raise ValueError(f"has other fields than a measurement: {', '.join(sorted(set(body) - {'format'} ^ fields))}")
    if _json({**body, "line": given}).encode() != line:
        raise ValueError("is not written as rungbook writes it")
    return Entry(**{k: v for k, v in body.items() if k != "format"})


def _says_key(line: bytes) -> str:
    try:
        key = json.loads(line)["key"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return key if isinstance(key, str) and not set(key) & set("\n\r`$;&|<>\\") else ""


def check_writable(path: Path | None = None) -> None:
    """Refuse before anything is measured what could not be written down afterwards.

    Raises:
        EnvironmentProblem: E405 the file, or the folder it would lie in, cannot be written.
    """
    path = home() if path is None else path
    folder = next(f for f in path.parents if f.exists())
    for place in (folder, path if path.exists() else folder):
        if not os.access(place, os.W_OK) or (place == folder) != place.is_dir():
            raise EnvironmentProblem("E405", f"{path} cannot be written: {place} stands in the way.", f"See its rights: ls -ld {place}")


def append(entry: Entry, path: Path | None = None) -> Path:
    """Add a line at the end, whole or not at all, also where two processes measure at once; gives the file.

    Raises:
        EnvironmentProblem: E401 the disk is full, E405 the file cannot be written.
    """
    from filelock import FileLock

    path = home() if path is None else path
    content = entry.line().encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            _append(path, content)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"The ledger {path} needs {len(content):,} bytes more, and the disk is full; it is as it was."
            raise EnvironmentProblem("E401", message, f"Free some space, then: rung measure {entry.key}") from error
        raise EnvironmentProblem(
            "E405", f"{path} cannot be written: {error.strerror or error}.", f"See its rights: ls -ld {path}"
        ) from error
    return path


def _append(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        end = os.lseek(descriptor, 0, os.SEEK_END)
        if end:
            os.lseek(descriptor, end - 1, os.SEEK_SET)
            if os.read(descriptor, 1) != b"\n":
                content = b"\n" + content  # a line that was cut off must not swallow this one
        try:
            written = 0
            while written < len(content):
                written += os.write(descriptor, content[written:])
            os.fsync(descriptor)
        except BaseException:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)


__all__ = [
    "Damage",
    "Entry",
    "Ledger",
    "append",
    "check_writable",
    "home",
    "key_of",
    "load_ledger",
    "parse_line",
    "read_ledger",
    "recipe_of",
    "sources",
]
