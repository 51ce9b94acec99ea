"""The data block: layouts of files as people have them, steps in the wrong order, names that do not fit."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pictures import folder, photo, save
from torch import nn

import rungbook
from rungbook.data.block import Items
from rungbook.data.data import Data
from rungbook.data.folder import folder_data, merged_groups
from rungbook.data.target import NumberTarget
from rungbook.errors import DataError, RungError, UsageError

covers = ["D03"]


def names(data: Data, part: str) -> list[str]:
    feed = data.splits()[part]
    return [feed.source.name(i) for i in range(feed.samples)]


@pytest.fixture
def imagenette(tmp_path: Path) -> Path:
    """train/n0144.../*.JPEG and val/..., with a table of noisy labels beside, as Imagenette unpacks."""
    root = tmp_path / "imagenette2-160"
    for part, each in (("train", 14), ("val", 5)):
        for k, wnid in enumerate(("n01440764", "n02102040", "n02979186")):
            for i in range(each):
                save(root / part / wnid / f"{wnid}_{part}{i}.JPEG", photo(1000 * k + i + 500 * (part == "val")))
    (root / "noisy_imagenette.csv").write_text("path,noisy_labels_0\n")
    return root


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """images/Abyssinian_1.jpg ..., annotations/trainval.txt and test.txt with a name, class number, species and breed a line."""
    root = tmp_path / "pets"
    lists: dict[str, list[str]] = {"trainval": ["# file class species breed"], "test": []}
    for k, breed in enumerate(("Abyssinian", "american_bulldog", "Bengal")):
        for i in range(12):
            save(root / "images" / f"{breed}_{i}.jpg", photo(100 * k + i))
            lists["test" if i % 4 == 0 else "trainval"].append(f"{breed}_{i} {k + 1} 1 1")
    (root / "annotations").mkdir()
    for name, lines in lists.items():
        (root / "annotations" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return root


def test_imagenette(imagenette: Path) -> None:
    data = Items.from_folder(imagenette, suffixes=[".JPEG"]).split_by_folder(valid="val").label_by_folder().images(size=16).data()
    assert data.classes == ("n01440764", "n02102040", "n02979186")
    assert data.facts["samples"] == {"train": 38, "valid": 15, "test": 4}
    assert all(n.startswith("val/") for n in names(data, "valid"))
    assert all(n.startswith("train/") for n in names(data, "test"))
    assert data.facts["shape"] == [3, 16, 16]
    assert data.name == "imagenette2-160"
    none = Items.from_folder(imagenette).split_by_folder(valid="val", test=0.0).label_by_folder().data()
    assert set(none.splits()) == {"train", "valid"}


def test_it_is_what_folder_data_gives(imagenette: Path) -> None:
    """One machinery: the same files by the same rules are the same data, bit for bit."""
    ours = Items.from_folder(imagenette).split_by_folder().label_by_folder().images(size=16, augment="flip_crop").data(batch_size=8, seed=3)
    theirs = folder_data(imagenette, image_size=16, augment="flip_crop", batch_size=8, seed=3)
    assert names(ours, "valid") == names(theirs, "valid")
    assert ours.encoder is not None
    ours = Items.from_folder(imagenette).split_by_folder().label_by_folder().images(size=16, augment="flip_crop").data(batch_size=8)
    theirs = folder_data(imagenette, image_size=16, augment="flip_crop", batch_size=8)
    assert ours.fingerprint == theirs.fingerprint
    for (xa, ya), (xb, yb) in zip(ours.train.batches(1), theirs.train.batches(1), strict=True):
        assert torch.equal(xa, xb)
        assert torch.equal(ya, yb)


def test_pets(pets: Path) -> None:
    lists = pets / "annotations"
    items = Items.from_folder(pets / "images").split_by_file(train=lists / "trainval.txt", test=lists / "test.txt", valid=0.2, seed=1)
    data = items.label_by_name(r"^(.+)_\d+\.jpg$").data()
    assert data.classes == ("Abyssinian", "Bengal", "american_bulldog")
    assert data.facts["samples"] == {"train": 22, "valid": 5, "test": 9}
    assert sorted(names(data, "test")) == sorted(f"{b}_{i}.jpg" for b in ("Abyssinian", "american_bulldog", "Bengal") for i in (0, 4, 8))
    y = data.train.source.targets().tolist()
    assert [data.classes[k] for k in y] == [n.rsplit("_", 1)[0] for n in names(data, "train")]


def test_table_of_labels(tmp_path: Path) -> None:
    rows = []
    for i in range(30):
        save(tmp_path / "x" / f"{i:02d}.png", photo(i))
        rows.append(f"{i:02d},{'odd' if i % 2 else 'even'},{i / 10:.1f},{i % 3}")
    rows.append("77,odd,1.5,0")
    (tmp_path / "labels.csv").write_text("id,kind,angle,digit\n" + "\n".join(rows) + "\n")
    items = Items.from_folder(tmp_path / "x").split_by_share(0.2, 0.1, seed=4)
    data = items.label_by_table(tmp_path / "labels.csv", file="id", label="kind").data()
    assert data.classes == ("even", "odd")
    for part in data.splits():
        assert [int(n[:2]) % 2 for n in names(data, part)] == data.splits()[part].source.targets().tolist()
    assert any("1 rows of labels.csv without an image, e.g. 77" in f.message for f in data.findings)
    digits = items.label_by_table(tmp_path / "labels.csv", file="id", label="digit").data()
    assert digits.classes == ("0", "1", "2")
    (tmp_path / "labels.csv").write_text("id,kind,angle,digit\n" + "\n".join(rows[:25]) + "\n")
    with pytest.raises(DataError, match=r'E102 5 of 30 images have no row in .*labels.csv \(column "id"\), e\.g\. 25\.png.*missing="drop"'):
        items.label_by_table(tmp_path / "labels.csv", file="id", label="kind")
    fewer = items.label_by_table(tmp_path / "labels.csv", file="id", label="kind", missing="drop").data()
    assert sum(fewer.facts["samples"].values()) == 25
    from_table = Items.from_table(tmp_path / "labels.csv", file="id", folder=tmp_path / "x", suffix=".png")
    assert [f.name for f in from_table.files] == [f"{i:02d}.png" for i in range(25)]


def test_numbers_are_predicted_and_learned(tmp_path: Path) -> None:
    """Brightness from the picture: a linear model finds it, in the units of the table."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(120):
        level = int(rng.integers(20, 236))
        save(tmp_path / "x" / f"{i}.png", np.clip(rng.normal(level, 8, (16, 16, 3)), 0, 255).astype(np.uint8))
        rows.append(f"x/{i}.png,{100 + 2.5 * level}")
    (tmp_path / "lux.csv").write_text("file,lux\n" + "\n".join(rows) + "\n")
    data = Items.from_table(tmp_path / "lux.csv", file="file").split_by_share(0.2, 0.2).label_by_table(
        tmp_path / "lux.csv", file="file", label="lux"
    ).images(size=8).data(batch_size=16)  # fmt: skip
    assert isinstance(data.target, NumberTarget)
    assert (data.task, data.target.name) == ("regression", "lux")
    assert "class_counts" not in data.facts
    truth = {row.split(",")[0]: float(row.split(",")[1]) for row in rows}
    encoded = data.train.source.targets()
    assert encoded.shape == (data.facts["samples"]["train"], 1)
    assert data.target.values(encoded).tolist() == pytest.approx([truth[n] for n in names(data, "train")], abs=1e-3)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 1))
    learner = rungbook.Learner(model, data, F.mse_loss, torch.optim.Adam, lr=3e-3, metrics=[])
    learner.fit(20)
    assert data.test is not None
    x, y = next(data.test.batches())
    with torch.no_grad():
        error = (data.target.decode(model(x)) - data.target.values(y)).abs().mean()
    spread = data.target.values(y).std()
    assert error < 0.1 * spread


def test_group_stays_in_one_part(tmp_path: Path) -> None:
    for patient in range(20):
        for i in range(4):
            save(tmp_path / ("a" if patient % 2 else "b") / f"p{patient:02d}_{i}.png", photo(100 * patient + i))
    save(tmp_path / "a" / "p99_0.png", photo(0))  # the same picture as of patient 0: both patients stay together
    for rule in (r"^p(\d+)_", lambda file: file.name[1:3]):
        data = Items.from_folder(tmp_path).split_by_group(rule, 0.25, 0.25, seed=2).label_by_folder().data()
        where: dict[str, set[str]] = {}
        for part in data.splits():
            for name in names(data, part):
                where.setdefault(name.split("/p")[1][:2], set()).add(part)
        assert all(len(parts) == 1 for parts in where.values())
        assert where["99"] == where["00"]
        assert min(data.facts["samples"].values()) >= 12
    by_share = Items.from_folder(tmp_path).split_by_share(0.25, 0.25, seed=2).label_by_folder().data()  # the control
    torn: dict[str, set[str]] = {}
    for part in by_share.splits():
        for name in names(by_share, part):
            torn.setdefault(name.split("/p")[1][:2], set()).add(part)
    assert sum(len(parts) > 1 for parts in torn.values()) > 10


def test_merged_groups_follow_chains() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 7, 40):
        a, b = rng.integers(0, n, n), rng.integers(0, n, n)
        together = (a[:, None] == a) | (b[:, None] == b)
        for _ in range(n):
            together = together @ together  # the closure, by hand
        merged = merged_groups(a, b)
        assert np.array_equal(merged[:, None] == merged, together)


def test_split_by_function_and_keep(tmp_path: Path) -> None:
    folder(tmp_path, each=20)
    items = Items.from_folder(tmp_path).keep(lambda file: file.stem != "019")
    data = (
        items.split_by_function(lambda file: {"0": "train", "1": "val"}[file.stem[1]] if file.stem != "018" else None)
        .label_by_folder()
        .data()
    )
    assert data.facts["samples"] == {"train": 18, "valid": 16, "test": 2}
    assert any("2 images that were left out by the function" in f.message for f in data.findings)
    with pytest.raises(UsageError, match=r"E202 split_by_function: the function raised KeyError for .*000.png"):
        items.split_by_function(lambda file: {}[file.name])
    with pytest.raises(UsageError, match="E202 split_by_function gave 'training set'"):
        items.split_by_function(lambda file: "training set")


def test_label_by_function(tmp_path: Path) -> None:
    folder(tmp_path, each=15)
    split = Items.from_folder(tmp_path).split_by_share(0.2)
    assert split.label_by_function(lambda file: int(file.stem) % 3).classes == ("0", "1", "2")
    assert split.label_by_function(lambda file: float(file.stem)).values is not None
    assert split.label_by_function(lambda file: int(file.stem), task="regression", name="number").data().target.name == "number"
    with pytest.raises(DataError, match=r"E103 label_by_function: the label of .*000.png is \"cat\""):
        split.label_by_function(lambda file: file.parent.name, task="regression")
    with pytest.raises(DataError, match=r"E111 label_by_function: 2 of 30 images have no label, e.g. .*cat/003.png"):
        split.label_by_function(lambda file: None if file.stem == "003" else "x")
    with pytest.raises(DataError, match=r'E112 "value" is 1\.5 for all 30 images'):
        split.label_by_function(lambda file: 1.5).data()


def test_steps_leave_what_they_were_made_of(tmp_path: Path) -> None:
    items = Items.from_folder(folder(tmp_path / "x", each=12))
    split = items.split_by_share(0.25)
    labelled = split.label_by_folder()
    assert items.parts is None
    assert split.labels is None
    assert str(labelled) == f"24 images in {tmp_path / 'x'}; split: 25% valid, 10% test; 2 classes: cat, dog"
    assert rungbook.Items is Items


def _first(root: Path) -> Items:
    return Items.from_folder(root)


WRONG = {
    "label before split": (lambda i: i.label_by_folder(), "E202", r"label_by_folder comes after a split.*\(0\.1\)\.label_by_folder"),
    "no split": (lambda i: i.data(), "E202", r"not split yet"),
    "no label": (lambda i: i.split_by_share(0.1).data(), "E202", r"no labels yet"),
    "two splits": (lambda i: i.split_by_share(0.1).split_by_folder(), "E202", "split already"),
    "two labels": (lambda i: i.split_by_share(0.1).label_by_folder().label_by_name("."), "E202", "label_by_name comes after the labels"),
    "keep after labels": (lambda i: i.split_by_share(0.1).label_by_folder().keep(bool), "E202", "keep comes after the labels"),
    "nothing kept": (lambda i: i.keep(lambda f: False), "E107", "None of the 24 files is kept"),
    "shares": (lambda i: i.split_by_share(0.6, 0.4), "E202", "valid and test take 1 of the images"),
    "negative share": (lambda i: i.split_by_share(-0.1), "E202", "A share is -0.1"),
    "no such folder": (lambda i: i.split_by_folder(train="dogs"), "E107", r'below a folder "dogs" .*train="dog"'),
    "no train": (lambda i: i.split_by_folder(), "E107", 'No image lies below a folder "train" of .*photos; I see cat, dog'),
    "one group": (lambda i: i.split_by_group(lambda f: 1), "E202", "All 24 files are of one group"),
    "no list": (lambda i: i.split_by_file("valid.txt"), "E105", "The list for valid, valid.txt, is not there"),
    "empty list": (lambda i: i.split_by_file([]), "E107", r"The list for valid names no file.*valid=0\.1"),
    "typo in a list": (lambda i: i.split_by_file(["cat/00O.png"]), "E105", r'name 1 of the list for valid: "cat/00O.png" is no image in'),
    "two of that name": (lambda i: i.split_by_file(["001.png"]), "E105", r'"001.png" is the name of 2 files: a path below .* is needed'),
    "in two lists": (lambda i: i.split_by_file(["cat/001"], ["cat/001.png"]), "E202", r"cat/001\.png is listed for valid and for test"),
    "pattern": (lambda i: i.split_by_share(0.1).label_by_name("(.+"), "E202", "is no regular expression"),
    "no match": (lambda i: i.split_by_share(0.1).label_by_name(r"^(\w+)_\d"), "E202", r"24 of 24 names do not match .*, e\.g\. 000\.png"),
    "task": (lambda i: i.split_by_share(0.1).label_by_function(str, task="regresion"), "E202", 'task="regression"'),
    "class only in valid": (
        lambda i: i.split_by_function(lambda f: "train" if f.parent.name == "cat" else "valid").label_by_folder(),
        "E102",
        r'valid has the class "dog" \(12 images, e\.g\. .*dog/000\.png\), of which train has no image',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_said_when_it_cannot_work(case: str, tmp_path: Path) -> None:
    step, code, says = WRONG[case]
    items = Items.from_folder(folder(tmp_path / "photos", each=12))
    with pytest.raises(RungError) as caught:
        step(items)
    assert caught.value.code == code
    assert re.search(says, str(caught.value)), str(caught.value)
    assert caught.value.fix


def test_items_that_are_not_there(tmp_path: Path) -> None:
    folder(tmp_path / "photos", each=1)
    with pytest.raises(UsageError, match=r"E105 There is no folder .*photso\. Did you mean .*photos\?"):
        Items.from_folder(tmp_path / "photso")
    with pytest.raises(DataError, match=r"E107 .* holds no file that ends in \.jpg"):
        Items.from_folder(tmp_path / "photos", suffixes=["jpg"])
    with pytest.raises(UsageError, match=r'E201 "\.jgp" is no kind of image that is read\. Did you mean \.jpg\?'):
        Items.from_folder(tmp_path / "photos", suffixes=[".jgp"])
    with pytest.raises(UsageError, match=r"E105 1 of 2 files are not there, e\.g\. .*cat/7\.png"):
        Items.from_files(["cat/000.png", "cat/7.png"], root=tmp_path / "photos")
    with pytest.raises(UsageError, match=r"E202 1 files are given twice"):
        Items.from_files(["cat/000.png"] * 2, root=tmp_path / "photos")


def test_files_from_anywhere(tmp_path: Path) -> None:
    """Names are relative where they can be; a list may mix folders."""
    files = [*folder(tmp_path / "one", each=10).glob("*/*"), *folder(tmp_path / "two", each=10, seed=70).glob("*/*")]
    data = Items.from_files(files, root=tmp_path / "one").split_by_share(0.2).label_by_folder().data()
    together = {n for part in data.splits() for n in names(data, part)}
    assert {"cat/000.png", (tmp_path / "two" / "cat" / "000.png").as_posix()} <= together
    assert len(together) == 40


def test_a_recipe_trains_on_it(tmp_path: Path) -> None:
    """What the library does with a folder it does with any chain: classes and numbers."""
    from rungbook.recipes.once import train_once
    from rungbook.recipes.recipe import Recipe

    for i in range(48):
        save(tmp_path / f"{'dark' if i % 2 else 'light'}_{i}.png", np.full((12, 12, 3), (40 if i % 2 else 200) + i % 7, np.uint8))
    split = Items.from_folder(tmp_path).split_by_share(0.25, 0.25)
    recipe = Recipe(model="conv_net", epochs=6, batch_size=8, lr=0.01)
    classes = split.label_by_name("^[a-z]+").images(augment="flip").data(batch_size=8)
    assert train_once(recipe, classes).learner.validate()["accuracy"] == 1.0
    numbers = split.label_by_function(lambda file: 1.5 if file.name.startswith("dark") else -1.5, name="shade").data(batch_size=8)
    assert train_once(recipe, numbers).learner.validate()["r2"] > 0.5


def test_unreadable_train_class_is_named(tmp_path: Path) -> None:
    """Folders that name the class in train and valid, whose training files all turn out broken."""
    folder(tmp_path, part="train", classes=("cat", "dog", "fox"))
    folder(tmp_path, part="valid", classes=("cat", "dog", "fox"), seed=500)
    for file in (tmp_path / "train" / "fox").iterdir():
        file.write_bytes(b"")
    for make in (folder_data, lambda root: Items.from_folder(root).split_by_folder().label_by_folder().data()):
        with pytest.raises(DataError, match=r'E102 12 images of the class "fox" in valid, none that can be read in train'):
            make(tmp_path)
