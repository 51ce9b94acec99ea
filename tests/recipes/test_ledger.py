"""The ledger: a line is found again, an edited one is found out, and a recipe that has changed makes its line stale."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import tomllib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from measured import drawn, edited, resigned

from rungbook.errors import DataError, EnvironmentProblem, UsageError
from rungbook.recipes import ledger, shipped
from rungbook.recipes.ledger import Entry, append, home, key_of, load_ledger, parse_line, read_ledger, recipe_of, sources
from rungbook.recipes.recipe import RECIPES


def filled(place: Path, *entries: Entry) -> Path:
    for entry in entries:
        append(entry)
    return place / "results" / "ledger.jsonl"


def test_a_line_is_read_as_it_was_written(place: Path) -> None:
    entry = drawn()
    path = filled(place, entry)
    assert load_ledger().entries == {"draw_test": entry}
    assert path.read_bytes() == entry.line().encode() + b"\n"
    assert (
        load_ledger().get("draw_test").figure("sharp", "test", "accuracy")["values"] == entry.results["sharp"]["test"]["accuracy"]["values"]
    )
    assert not any(word in path.read_text() for word in (str(Path.home()), os.uname().nodename, str(place)))


def test_a_later_line_takes_the_place_of_an_earlier(place: Path) -> None:
    path = filled(place, drawn(2), drawn(2, shift=0.1), drawn(3))
    assert len(path.read_text().splitlines()) == 3
    assert {k: len(e.seeds) for k, e in load_ledger().entries.items()} == {"draw_test": 3, "draw_test shift=0.1": 2}


EDITS: dict[str, Any] = {
    "a mean": lambda b: b["results"]["sharp"]["test"]["accuracy"].update(mean=0.99),
    "a value": lambda b: b["results"]["sharp"]["test"]["accuracy"]["values"].__setitem__(0, 0.99),
    "a setting": lambda b: b["settings"].update(shift=0.5),
    "a stamp": lambda b: b["stamp"].update(code="0" * 16),
    "a seed left out": lambda b: b["seeds"].pop(),
    "a baseline": lambda b: b["baselines"]["majority"].update(accuracy=0.0),
    "the date": lambda b: b.update(date="2020-01-01"),
    "a field more": lambda b: b.update(note="better"),
    "no checksum": lambda b: b.pop("line"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_line_is_named(place: Path, name: str) -> None:
    path = filled(place, drawn(2), drawn(2, shift=0.1), drawn(2, shift=0.2))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = edited(lines[1], EDITS[name])
    path.write_bytes(b"".join(lines))
    with pytest.raises(DataError, match=r"Line 2 of ledger\.jsonl (was changed|has no checksum)") as error:
        load_ledger()
    assert error.value.code == "E305"
    assert "delete line 2, and measure again: rung measure draw_test shift=0.1" in error.value.fix
    found = read_ledger()
    assert list(found.entries) == ["draw_test", "draw_test shift=0.2"], "the others can still be read"
    assert [d.number for d in found.damaged] == [2]


def test_unedited_lines_pass(place: Path) -> None:
    path = filled(place, drawn(2))
    path.write_bytes(edited(path.read_bytes(), lambda b: None))
    assert len(load_ledger().entries) == 1


@pytest.mark.parametrize("kept", [1, 40, -2])
def test_a_line_that_is_cut_off_is_named_and_swallows_nothing(place: Path, kept: int) -> None:
    path = filled(place, drawn(2), drawn(2, shift=0.1))
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:kept])
    append(drawn(2, shift=0.2))
    found = read_ledger()
    assert [(d.number, d.why) for d in found.damaged] == [(2, "is cut off or is no JSON")]
    assert list(found.entries) == ["draw_test", "draw_test shift=0.2"]


@pytest.mark.parametrize("line", [b"", b"{}", b"[1]", b"null", b"[" * 100_000, b"\xff\xfe", b'{"line": 3}', b'{"line": "x", "format": 1}'])
def test_what_is_no_line_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_line(line)


def test_other_bytes_with_the_same_meaning_are_refused(place: Path) -> None:
    line = drawn(2).line().encode()
    for other in (line.replace(b": ", b":", 1), line.replace(b'{"format": 1, ', b'{"format": 1, "format": 1, ', 1), line + b" "):
        with pytest.raises(ValueError, match="as rungbook writes it"):
            parse_line(other)


def test_a_line_of_a_later_rungbook_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "FORMAT", 2)
        line = drawn(2).line().encode()
    with pytest.raises(EnvironmentProblem, match="format 2, this rungbook reads up to 1"):
        parse_line(line)


def test_a_changed_recipe_is_stale(place: Path) -> None:
    entry = drawn(2)
    assert entry.stale() == []
    original = RECIPES["draw_test"]

    @dataclass(frozen=True, kw_only=True)
    class Shifted(original):  # type: ignore[misc, valid-type]
        """Another default."""

        name: ClassVar[str] = "draw_test"
        shift: float = 0.3

    RECIPES["draw_test"] = Shifted
    assert "shift was 0.0, is 0.3" in entry.stale()
    RECIPES["draw_test"] = original
    assert entry.stale() == []
    del RECIPES["draw_test"]
    assert entry.stale() == ['There is no recipe "draw_test"']


def test_a_changed_variant_is_stale(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cls: Any = RECIPES["width_test"]
    entry = dataclasses.replace(drawn(2), key="width_test", recipe="width_test", stamp=ledger_stamp(cls()), settings=ledger_settings(cls()))
    assert entry.stale() == []
    monkeypatch.setattr(cls, "variants", {**cls.variants, "64 units": {"hidden": (65,)}})
    assert entry.stale() == ["variants"]


def ledger_stamp(recipe: Any) -> dict[str, str]:
    from rungbook.recipes.stamp import stamp

    return stamp(recipe)


def ledger_settings(recipe: Any) -> dict[str, Any]:
    from rungbook.recipes.stamp import counted

    return counted(recipe)


def test_keys_are_what_is_typed(place: Path) -> None:
    cls = RECIPES["width_test"]
    assert key_of(cls()) == "width_test"
    assert key_of(cls(seed=3, threads=2, lr=0.02, data="digits")) == "width_test data=digits lr=0.02"
    spoken = key_of(cls(data="world:blobs(classes=4, n=300)"))
    assert spoken == "width_test data='world:blobs(classes=4, n=300)'"
    assert recipe_of(spoken).data == "world:blobs(classes=4, n=300)"
    with pytest.raises(UsageError, match="names no measurement"):
        recipe_of("digits 'data")


def test_a_line_is_found_however_its_settings_are_ordered(place: Path) -> None:
    filled(place, drawn(2, shift=0.1, data="mnist"))
    found = load_ledger()
    assert found.get("draw_test shift=0.10 data=mnist").key == "draw_test data=mnist shift=0.1"
    with pytest.raises(UsageError, match=r'no line "draw_tset data=mnist shift=0.1"') as error:
        found.get("draw_tset data=mnist shift=0.1")
    assert error.value.fix == 'Did you mean "draw_test data=mnist shift=0.1"?'
    with pytest.raises(UsageError) as error:
        found.get("width_test")
    assert error.value.fix == "Measure it: rung measure width_test"


@pytest.mark.parametrize(
    ("asked", "found", "fix"),
    [
        (("shrp", "test", "accuracy"), 'no variant "shrp"', 'Did you mean "sharp"?'),
        (("sharp", "tset", "accuracy"), 'no split "tset"', 'Did you mean "test"?'),
        (("sharp", "test", "acuracy"), 'no metric "acuracy"', 'Did you mean "accuracy"?'),
        (("", "test", "accuracy"), 'no variant ""', "Known: "),
    ],
)
def test_a_figure_that_is_not_there(place: Path, asked: tuple[str, str, str], found: str, fix: str) -> None:
    with pytest.raises(UsageError, match=found) as error:
        drawn(2).figure(*asked)
    assert fix in error.value.fix


def test_what_is_not_finite_is_written_as_null(place: Path) -> None:
    table = {"a": {"test": {"accuracy": {"mean": None, "sd": None, "values": [float("nan"), 0.5]}}}}
    path = filled(place, dataclasses.replace(drawn(2), results=table))
    assert "NaN" not in path.read_text()
    assert load_ledger().entries["draw_test"].results["a"]["test"]["accuracy"]["values"] == [None, 0.5]


def test_outside_a_checkout(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "site" / "ledger.jsonl"
    wheel.parent.mkdir()
    old = drawn(2)
    wheel.write_bytes(resigned(old, date="2020-01-01") + resigned(old, key="draw_test shift=0.1"))
    monkeypatch.setattr(ledger, "checkout", lambda: None)
    monkeypatch.setattr(ledger, "shipped", lambda name: wheel)
    monkeypatch.setenv("RUNG_RUNS", str(tmp_path / "mine"))
    assert home() == tmp_path / "mine" / "ledger.jsonl"
    assert sources() == [wheel, home()]
    before = wheel.read_bytes()
    assert append(old) == home()
    assert wheel.read_bytes() == before
    assert {k: e.date == old.date for k, e in load_ledger().entries.items()} == {"draw_test shift=0.1": True, "draw_test": True}


def test_what_comes_with_the_package_is_found_in_a_wheel_too(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {k.removeprefix("rungbook/"): v for v, k in build.items()}.items() <= shipped.HOMES.items()
    in_checkout = {name: shipped.shipped(name) for name in (*shipped.HOMES, "lessons")}
    assert in_checkout["ledger.jsonl"] == checkout / "results" / "ledger.jsonl"
    assert in_checkout["lessons"] == checkout / "lessons"
    monkeypatch.setattr(shipped, "checkout", lambda: None)
    assert shipped.shipped("ledger.jsonl") == checkout / "src" / "rungbook" / "ledger.jsonl"
    assert shipped.shipped("features.toml") == in_checkout["features.toml"]


def test_a_disk_that_is_full_leaves_the_ledger_as_it_was(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled(place, drawn(2))
    before, write = path.read_bytes(), os.write

    def half(descriptor: int, content: bytes) -> int:
        if len(content) < 500:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[: len(content) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(EnvironmentProblem, match="the disk is full; it is as it was") as error:
            append(drawn(2, shift=0.1))
    assert error.value.code == "E401"
    assert path.read_bytes() == before


def test_a_folder_for_a_ledger(place: Path) -> None:
    (place / "results" / "ledger.jsonl").mkdir(parents=True)
    for act in (lambda: append(drawn(2)), lambda: read_ledger()):
        with pytest.raises(EnvironmentProblem) as error:
            act()
        assert error.value.code == "E405"


def _append_many(path: Path, entry: Entry, name: str, times: int) -> None:
    for i in range(times):
        append(dataclasses.replace(entry, key=f"{name} shift={i}"), path)


def test_two_processes_write_whole_lines(place: Path) -> None:
    entry = dataclasses.replace(drawn(2), data={"name": "x" * 50_000, "fingerprint": ""})  # far above what a pipe would take at once
    path = place / "results" / "ledger.jsonl"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append_many, args=(path, entry, name, 20)) for name in ("one", "two")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads: the children run nothing that has any
        for worker in workers:
            worker.start()
    for worker in workers:
        worker.join(60)
    found = read_ledger(path)
    assert not found.damaged
    assert len(found.entries) == 40
    assert len(path.read_bytes().splitlines()) == 40


def test_every_line_of_the_projects_own_ledger_is_whole(checkout: Path) -> None:
    assert sources() == [checkout / "results" / "ledger.jsonl"]
    found = load_ledger()
    assert found.entries
    for line in (checkout / "results" / "ledger.jsonl").read_text(encoding="utf-8").splitlines():
        assert set(json.loads(line)["machine"]) == {"cpu", "cores", "system"}
    for entry in found.entries.values():
        assert len(entry.seeds) > 1
        assert entry.figure(
            next(v for v in entry.results if entry.metric in entry.results[v].get(entry.split, {})), entry.split, entry.metric
        )
