"""What somebody who does everything wrong is told: the thing by name, what was found and needed, one fix, a fixed exit code, no traceback.

Nothing is written into the user's folder, and earlier runs stay as they are.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pictures
import pytest
import tables
from commands import Rung, snapshot
from tables import HEADER, rows, write

from rungbook.errors import CODES


@dataclass(frozen=True)
class Mistake:
    """One thing done wrong.

    Args:
        make: writes what it needs into the user's folder.
        command: what is typed.
        code: the error's.
        exit: the exit code.
        says: parts of message and fix: the object, what was found, what is needed or helps.
        mended: a command that works, made of the fix; "" where the data itself must be mended.
    """

    make: Callable[[Path], object]
    command: str
    code: str
    exit: int
    says: tuple[str, ...]
    mended: str = ""


def nothing(here: Path) -> None:
    """The folder as it is."""


def table(*body: list[object], header: tuple[str, ...] = HEADER) -> Callable[[Path], object]:
    return lambda here: write(here / "t.csv", list(body), header)


def a_pickle(here: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (here / "ran",)

    (here / "w.pt").write_bytes(pickle.dumps(Trap()))


def all_bad(here: Path) -> None:
    for name in ("a", "b"):
        (here / "p" / name).mkdir(parents=True)
        for i in range(12):
            (here / "p" / name / f"{i}.png").write_bytes(b"" if i % 2 else b"\x89PNG\r\n\x1a\n")


def few_bad(here: Path) -> None:
    pictures.folder(here / "p", each=12)
    (here / "p" / "cat" / "empty.jpg").write_bytes(b"")


TINY = "epochs=1 hidden=2"
MISTAKES = {
    "missing path": Mistake(lambda h: table(*rows())(h), "train ./y.csv", "E105", 2, ('"y.csv"', "Did you mean t.csv?")),
    "missing folder": Mistake(nothing, "train ./no/such/t.csv", "E105", 2, ("no/such/t.csv", "no/such does not exist", "ls .")),
    "empty folder": Mistake(lambda h: (h / "p").mkdir(), "train ./p", "E107", 3, ("p has 0 images", "It is empty")),
    "zip beside": Mistake(
        lambda h: [(h / "p").mkdir(), (h / "p" / "x.zip").write_bytes(b"PK")], "train ./p", "E107", 3, ("1 zip file", "Unpack it first?")
    ),
    "a zip": Mistake(lambda h: (h / "p.zip").write_bytes(b"PK"), "train p.zip", "E116", 2, ("p.zip is a .zip file", "Unpack it")),
    "a picture": Mistake(
        lambda h: pictures.save(h / "x.png", pictures.photo(0)), "train x.png", "E116", 2, ("x.png", "a folder of images for each class")
    ),
    "one class only": Mistake(
        lambda h: pictures.folder(h / "p", each=24, classes=("cat",)), "train ./p", "E110", 3, ('one class only, "cat"', "24 images")
    ),
    "no image can be read": Mistake(all_bad, "train ./p", "E106", 3, ("p/a/0.png", "24 of 24 files")),
    "strict about images": Mistake(few_bad, "train ./p --strict", "E106", 3, ("p/cat/empty.jpg is empty (0 bytes)", "leave out --strict")),
    "duplicate header": Mistake(
        table(*rows(), header=("size", "size", "weight", "ok")), "train t.csv --target ok", "E114", 3, ('"size" (columns 1, 2)', "Rename")
    ),
    "constant class": Mistake(
        table(*([*r[:3], "yes"] for r in rows())), "train t.csv --target ok", "E110", 3, ('"ok"', '"yes" in every row')
    ),
    "constant number": Mistake(table(*([*r[:3], 3.5] for r in rows())), "train t.csv --target ok", "E112", 3, ('"ok"', "3.5 in every row")),
    "too few rows": Mistake(table(*rows(19)), "train t.csv --target ok", "E113", 3, ("19 rows", "20")),
    "ragged": Mistake(
        table(*rows(50), *([*r, "x"] for r in rows(10, 1))),
        "train t.csv --target ok",
        "E114",
        3,
        ("10 of 60 rows", "line 52 has 5 fields, the header has 4", "double quotes"),
    ),
    "strict about rows": Mistake(
        table(*rows(), [1, 2]), "train t.csv --target ok --strict", "E114", 3, ("line 62: 2 fields, the header has 4", "leave out --strict")
    ),
    "no target": Mistake(
        table(*rows()),
        "train t.csv",
        "E111",
        3,
        ("ok, size, colour, weight", "rung train t.csv --target ok"),
        f"train t.csv --target ok {TINY}",
    ),
    "wrong target": Mistake(
        table(*rows()), "train t.csv --target okk", "E111", 3, ('no column "okk"', '--target "ok"'), f'train t.csv --target "ok" {TINY}'
    ),
    "only an identifier": Mistake(
        table(*([i, r[3]] for i, r in enumerate(rows())), header=("id", "ok")),
        "train t.csv --target ok",
        "E112",
        3,
        ("no column", "--keep"),
    ),
    "empty file": Mistake(lambda h: (h / "t.csv").write_bytes(b""), "train t.csv --target ok", "E114", 3, ('"t.csv" is empty',)),
    "unknown recipe": Mistake(nothing, "train digts", "E201", 2, ('"digts"', "rung train digits")),
    "a data set's name": Mistake(
        nothing, "train iris", "E201", 2, ('"iris" is a data set', "rung train mlp data=iris"), "train mlp data=iris epochs=1"
    ),
    "a model's name": Mistake(nothing, "train conv_net", "E201", 2, ('"conv_net" is a model', "rung train digits model=conv_net")),
    "a recipe that needs a path": Mistake(nothing, "train images", "E201", 2, ('"images"', "rung train PATH")),
    "a folder without its path": Mistake(lambda h: (h / "photos").mkdir(), "train photos", "E203", 2, ('"photos"', "rung train ./photos")),
    "a file without its ending": Mistake(table(*rows()), "train t", "E201", 2, ("a file t.csv", "rung train ./t.csv")),
    "unknown key": Mistake(
        nothing, "train digits epoch=3", "E201", 2, ('no setting "epoch"', "epochs=..."), "train softmax_regression epochs=1"
    ),
    "key as an option": Mistake(nothing, "train digits --epochs 3", "E201", 2, ("--epochs", "key=value", "epochs=VALUE")),
    "option as a key": Mistake(table(*rows()), "train t.csv --target ok keep=size", "E201", 2, ('"keep"', "Say --keep size")),
    "blanks round the sign": Mistake(nothing, "train digits epochs 3", "E201", 2, ('"epochs"', "without blanks: epochs=15")),
    "misspelt option": Mistake(nothing, "train t.csv --targett x", "E201", 2, ("--targett", "Did you mean --target?")),
    "misspelt verb": Mistake(nothing, "trian digits", "E201", 2, ("trian", "train")),
    "word for a number": Mistake(nothing, "train digits epochs=many", "E202", 2, ('epochs is "many"', "a whole number", "epochs=15")),
    "out of range": Mistake(nothing, "train digits dropout=1.5 lr=-1", "E202", 2, ("dropout", "below 1", "lr", "above 0", "2 settings")),
    "unknown model": Mistake(nothing, "train digits model=lnet", "E201", 2, ('"lnet"', "Did you mean lenet?")),
    "unknown schedule": Mistake(nothing, "train digits schedule=cosin", "E201", 2, ("cosin", "cosine")),
    "model of another kind": Mistake(nothing, "train digits model=bag", "E202", 2, ("bag takes texts", "digits holds images", "lenet")),
    "images wanted, a table given": Mistake(
        nothing, "train lenet data=iris", "E202", 2, ("lenet takes images", "iris holds rows of a table", "mlp")
    ),
    "a size of images for a table": Mistake(nothing, "train mlp data=iris image_size=8", "E201", 2, ('no option "image_size"',)),
    "picture too small": Mistake(nothing, "train lenet image_size=8", "E202", 2, ("image_size (8, 8)", "12 pixels")),
    "no device": Mistake(nothing, "train digits device=cuda:77", "E202", 2, ("cuda:77", "device=")),
    "nothing to judge on": Mistake(nothing, "train digits test=0", "E202", 2, ("test=0", "test=0.1")),
    "nothing to train on": Mistake(nothing, "train digits valid=0.5 test=0.5", "E202", 2, ("valid=0.5 test=0.5", "below 1")),
    "batch larger than the data": Mistake(
        nothing,
        "train digits batch_size=5000",
        "E115",
        2,
        ("5,000", "1,437 rows", "batch_size=1437"),
        "train digits batch_size=1437 epochs=1 widths=4",
    ),
    "target of images": Mistake(
        lambda h: pictures.folder(h / "p"), "train ./p --target x", "E201", 2, ("--target is for a table", "Leave out")
    ),
    "data twice": Mistake(table(*rows()), "train t.csv --target ok data=digits", "E201", 2, ("t.csv is the data already",)),
    "no weights file": Mistake(nothing, "train digits weights=./w.pt", "E105", 2, ("w.pt",)),
    "a pickle for weights": Mistake(
        a_pickle, "train softmax_regression weights=./w.pt", "E302", 2, ("w.pt was refused", "nothing in it was run")
    ),
    "data of an unknown name": Mistake(nothing, "data digit", "E201", 2, ('"digit"', "digits"), "data digits"),
    "data of a folder without its path": Mistake(lambda h: (h / "x").mkdir(), "data x", "E203", 2, ("rung data ./x",)),
    "no run": Mistake(nothing, "predict 1", "E201", 2, ('no run "1"', "rung train digits")),
    "nothing to resume": Mistake(nothing, "resume", "E204", 2, ("No run waits", "rung train digits")),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(rung: Rung, name: str) -> None:
    mistake = MISTAKES[name]
    mistake.make(rung.here)
    before = snapshot(rung.here)
    answer = rung(mistake.command)
    assert answer.code == mistake.exit, answer.text
    assert mistake.code in answer.err
    assert "Traceback" not in answer.out + answer.err
    assert "E701" not in answer.err
    for part in mistake.says:
        assert part in answer.text, f"{part!r} is not in {answer.text!r}"
    assert "fix:" in answer.err, "every error ends in one thing to do"
    assert snapshot(rung.here) == before, "nothing was written where the user works"
    assert not list(rung.runs.glob("*")), "no run is left of it"

    answered = rung(mistake.command + " --json")
    assert answered.code == mistake.exit
    assert len(answered.out.splitlines()) == 1
    problem = answered.json
    assert set(problem) <= {"error", "title", "message", "fix", "exit"}
    assert (problem["error"], problem["exit"]) == (mistake.code, mistake.exit)
    assert problem["error"] in CODES
    assert problem["fix"]
    if mistake.mended:
        rung.quick()
        mended = rung(mistake.mended)
        assert mended.code == 0, mended.text


def test_debug_shows_the_traceback(rung: Rung) -> None:
    silent, loud = rung("train digits epochs=x"), rung("train digits epochs=x --debug")
    assert (silent.code, loud.code) == (2, 2)
    assert "Traceback" not in silent.err
    assert "Traceback" in loud.err
    assert 'epochs is "x"' in loud.err


def test_earlier_runs_are_untouched(rung: Rung) -> None:
    rung.quick()
    assert rung("train softmax_regression epochs=1").code == 0
    before = snapshot(rung.runs)
    for command in (
        "train softmax_regression epochs=x",
        "train ./no",
        "train digits batch_size=9999",
        "predict 7",
        "runs delete 7",
        "resume",
    ):
        assert rung(command).code in (2, 3)
    assert snapshot(rung.runs) == before


def test_unreadable_images_are_left_out_and_listed(rung: Rung) -> None:
    rung.quick()
    pictures.folder(rung.here / "p", each=14)
    (rung.here / "p" / "cat" / "empty.jpg").write_bytes(b"")
    raw = pictures.encoded(pictures.photo(5), "JPEG")
    (rung.here / "p" / "dog" / "cut.jpg").write_bytes(raw[: len(raw) // 2])
    (rung.here / "p" / "dog" / "notes.png").write_bytes(b"not a picture")
    before = snapshot(rung.here)
    answer = rung("train ./p epochs=1 widths=4 image_size=8")
    assert answer.code == 0
    (run,) = rung.runs.iterdir()
    listed = (run / "bad_files.txt").read_text()
    for name, reason in (("cat/empty.jpg", "empty"), ("dog/cut.jpg", "ends too early"), ("dog/notes.png", "")):
        assert name in listed
        assert reason in listed
    assert f"listed in {run / 'bad_files.txt'}" in answer.text
    assert "3 of 31 image files" in answer.text
    assert snapshot(rung.here) == before
    assert rung("train ./p epochs=1 --strict").code == 3, "the same data is refused if asked"


def test_few_ragged_rows_are_left_out_by_line(rung: Rung) -> None:
    rung.quick()
    body = rows(58)
    write(rung.here / "t.csv", [*body[:10], [1, 2], *body[10:], ["a", "b", "c", "d", "e"]])
    answer = rung("train t.csv --target ok epochs=1 hidden=2")
    assert answer.code == 0
    assert "line 12: 2 fields, the header has 4" in answer.text
    (run,) = rung.runs.iterdir()
    assert "line 61: 5 fields" in (run / "bad_rows.txt").read_text()
    assert not (run / "bad_files.txt").exists()


@pytest.mark.parametrize(
    ("encoding", "mark", "said"),
    [("utf-8", b"\xef\xbb\xbf", ""), ("latin-1", b"", "read as Latin-1"), ("utf-16-le", b"\xff\xfe", "read as UTF-16-LE")],
)
def test_encodings(rung: Rung, encoding: str, mark: bytes, said: str) -> None:
    body = [[r[0], str(r[1]).replace("red", "grün"), *r[2:]] for r in rows()]
    write(rung.here / "t.csv", body, ("größe", "farbe", "gewicht", "ok"), encoding=encoding, mark=mark)
    answer = rung("data t.csv --target ok --json")
    assert answer.code == 0
    assert answer.json["facts"]["used"] == ["größe", "farbe", "gewicht"], "the mark is no part of the first name"
    assert said in answer.text


def test_an_all_missing_column_is_left_out(rung: Rung) -> None:
    write(rung.here / "t.csv", [[*r[:3], "", r[3]] for r in rows()], ("size", "colour", "weight", "gone", "ok"))
    answer = rung("data t.csv --target ok")
    assert answer.code == 0
    assert 'column "gone" has no values: left out' in answer.text
    assert "not used gone" in answer.text


def test_a_recipe_that_is_a_folder_too(rung: Rung) -> None:
    rung.quick()
    (rung.here / "softmax_regression").mkdir()
    answer = rung("train softmax_regression epochs=1")
    assert answer.code == 0
    assert "say ./softmax_regression" in answer.err
    assert rung("train ./softmax_regression").code == 3, "an empty folder"


def test_leaks_are_left_out_and_can_be_kept(rung: Rung) -> None:
    body = [[*r, 2 * float(str(r[3])) + 1] for r in tables.numbers()]
    write(rung.here / "t.csv", body, ("size", "colour", "weight", "price", "price_eur"))
    answer = rung("data t.csv --target price")
    assert answer.code == 1
    assert 'column "price_eur" predicts the target exactly' in answer.text
    assert "--keep price_eur" in answer.text
    kept = rung("data t.csv --target price --keep price_eur --json")
    assert kept.code == 0
    assert "price_eur" in kept.json["facts"]["used"]


def test_nan_ends_a_run_that_cannot_be_resumed(rung: Rung) -> None:
    rung.quick()
    answer = rung("train softmax_regression epochs=2 lr=1e30 optimizer=sgd schedule=constant weight_decay=1000 --json")
    assert answer.code == 1
    assert answer.json["error"] == "E501"
    assert "step" in answer.json["message"]
    again = rung("resume 1")
    assert again.code == 2
    assert "would fail again" in again.text
    assert "lr=1e+29" in again.text
    assert rung("resume").code == 2, "and none is offered"


def test_a_run_folder_that_cannot_be_made(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    (rung.here / "file").write_text("")
    monkeypatch.setenv("RUNG_RUNS", str(rung.here / "file" / "runs"))
    answer = rung("train softmax_regression epochs=1 --json")
    assert answer.code == 4
    assert answer.json["error"] == "E405"
    assert "RUNG_RUNS" in answer.json["fix"]
