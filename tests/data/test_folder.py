"""Image folders: layout, splits, copies, unreadable files, memory or files."""

from __future__ import annotations

import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pictures
import pytest
import torch
from pictures import folder, photo, save
from PIL import Image

from rungbook.data.data import Data, Finding
from rungbook.data.feed import TensorSource
from rungbook.data.folder import ImageFiles, folder_data, scan_folder
from rungbook.data.layout import find_layout
from rungbook.data.scan import near_copies, scan
from rungbook.errors import DataError, RungError


def codes(data: Data) -> list[str]:
    return [f.code for f in data.findings]


def found(data: Data, part: str) -> Finding:
    """The one finding whose message has `part`."""
    (finding,) = [f for f in data.findings if part in f.message]
    return finding


def names(data: Data, part: str) -> list[str]:
    feed = data.splits()[part]
    return [feed.source.name(i) for i in range(feed.samples)]


def test_class_folders(tmp_path: Path) -> None:
    data = folder_data(folder(tmp_path / "pets", each=20), valid=0.2, test=0.1)
    assert data.name == "pets"
    assert data.classes == ("cat", "dog")
    assert data.facts["samples"] == {"train": 28, "valid": 8, "test": 4}
    assert data.facts["shape"] == [3, 40, 40]
    assert data.findings == []
    together = [n for part in data.splits() for n in names(data, part)]
    assert sorted(together) == [f"{c}/{i:03d}.png" for c in ("cat", "dog") for i in range(20)]
    for part, feed in data.splits().items():
        assert [c == "dog/" for c in (n[:4] for n in names(data, part))] == feed.source.targets().bool().tolist()
    x, _ = data.one_batch()
    assert x.shape == (28, 3, 40, 40)
    assert float(x.mean()) == pytest.approx(0, abs=1e-4)


def test_progress_is_shown_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the captured stream for a terminal
    folder_data(folder(tmp_path), show=True)
    shown = capsys.readouterr()
    assert "looking at images" in shown.err
    assert not shown.out


def test_pixels_are_those_of_the_files(tmp_path: Path) -> None:
    data = folder_data(folder(tmp_path), image_size=(40, 48), valid=0, test=0)
    x, _ = data.train.source.fetch(slice(0, 24))
    assert np.array_equal(x[13].permute(1, 2, 0).numpy(), photo(1001))


@pytest.mark.parametrize("valid_name", ["valid", "val", "Validation"])
def test_given_parts(tmp_path: Path, valid_name: str) -> None:
    for part, seed in (("train", 0), (valid_name, 50), ("test", 80)):
        folder(tmp_path, part=part, seed=seed)
    data = folder_data(tmp_path)
    assert data.facts["samples"] == {"train": 24, "valid": 24, "test": 24}
    assert all(n.startswith(f"{valid_name}/") for n in names(data, "valid"))
    assert data.facts["test"] == "given"


def test_missing_part_is_cut_from_train_and_said(tmp_path: Path) -> None:
    folder(tmp_path, part="train", each=30)
    folder(tmp_path, part="val", seed=50)
    data = folder_data(tmp_path, test=0.1)
    assert data.facts["samples"] == {"train": 54, "valid": 24, "test": 6}
    assert "no test part is given: 6 of the 60 images of train" in found(data, "no test").message
    assert folder_data(tmp_path, test=0).facts["samples"] == {"train": 60, "valid": 24}


def test_one_folder_around_it(tmp_path: Path) -> None:
    folder(tmp_path / "archive" / "pets")
    assert folder_data(tmp_path).classes == ("cat", "dog")
    folder(tmp_path / "other" / "data", part="train")
    assert folder_data(tmp_path / "other").classes == ("cat", "dog")


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    folder(tmp_path, classes=("train", "bus"))
    assert folder_data(tmp_path).classes == ("bus", "train")


def test_folders_within_a_class_and_hidden_files(tmp_path: Path) -> None:
    folder(tmp_path)
    save(tmp_path / "cat" / "more" / "deep" / "x.PNG", photo(77))
    save(tmp_path / "cat" / ".hidden.png", photo(78))
    save(tmp_path / "dog" / ".cache" / "y.png", photo(79))
    (tmp_path / "dog" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "dog" / "notes.txt").write_text("x")
    (tmp_path / "dog" / "README").write_text("x")
    save(tmp_path / "loose.png", photo(80))
    (tmp_path / "empty").mkdir()
    layout = find_layout(tmp_path)
    assert len(layout.files) == 25
    assert layout.hidden == 3
    data = folder_data(tmp_path)
    assert data.classes == ("cat", "dog")
    assert set(found(data, "other files").items) == {"1 .txt", "1 no suffix"}
    assert "1 images beside" in found(data, "not used").message
    assert "empty/, which holds no images" in found(data, "not used").message


def test_test_folder_without_classes(tmp_path: Path) -> None:
    folder(tmp_path, part="train", each=30)
    save(tmp_path / "test" / "1.png", photo(99))
    data = folder_data(tmp_path)
    assert "1 images in test/ without a class folder" in found(data, "not used").message
    assert data.facts["samples"]["test"] == 6


def test_unreadable_files_are_listed_and_left_out(tmp_path: Path) -> None:
    folder(tmp_path, each=20)
    good = (tmp_path / "cat" / "000.png").read_bytes()
    (tmp_path / "cat" / "bad1.jpg").write_bytes(b"")
    (tmp_path / "cat" / "bad2.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "dog" / "bad3.png").write_bytes(pictures.bomb())
    (tmp_path / "dog" / "odd.jpg").write_bytes(pictures.encoded(photo(5, grey=True), "PNG"))
    data = folder_data(tmp_path)
    finding = found(data, "cannot be read")
    assert finding.code == "W209"
    assert "3 of 44" in finding.message
    assert [i.split()[0] for i in finding.items] == ["cat/bad1.jpg", "cat/bad2.png", "dog/bad3.png"]
    assert "is empty (0 bytes)" in finding.items[0]
    assert sum(data.facts["samples"].values()) == 41
    assert data.facts["unreadable"] == 3
    assert "dog/odd.jpg (named .jpg, holds PNG)" in found(data, "another format").items
    with pytest.raises(DataError, match=r"E106.*bad1\.jpg is empty \(0 bytes\) \(3 of 44 files\)"):
        folder_data(tmp_path, strict=True)


def test_exact_copies_stay_together(tmp_path: Path) -> None:
    folder(tmp_path, each=30)
    for i in range(20):
        Image.open(tmp_path / "cat" / f"{i:03d}.png").save(tmp_path / "cat" / f"copy{i:03d}.bmp")  # equal pixels in another format
    data = folder_data(tmp_path, valid=0.2, test=0.2)
    assert found(data, "20 exact copies").code == "note"
    assert "W207" not in codes(data)
    where = {n: part for part in data.splits() for n in names(data, part)}
    assert all(where[f"cat/{i:03d}.png"] == where[f"cat/copy{i:03d}.bmp"] for i in range(20))


def test_copies_across_given_parts(tmp_path: Path) -> None:
    folder(tmp_path, part="train")
    folder(tmp_path, part="test", seed=50)
    shutil.copy(tmp_path / "train" / "cat" / "003.png", tmp_path / "test" / "cat" / "leak.png")
    finding = found(folder_data(tmp_path), "in two of train, valid and test")
    assert finding.code == "W207"
    assert set(finding.items[0].split(" = ")) == {"train/cat/003.png", "test/cat/leak.png"}


def test_same_picture_in_two_classes(tmp_path: Path) -> None:
    folder(tmp_path)
    shutil.copy(tmp_path / "cat" / "003.png", tmp_path / "dog" / "wrong.png")
    assert found(folder_data(tmp_path), "in two classes").items == ("cat/003.png = dog/wrong.png",)


def test_near_copies(tmp_path: Path) -> None:
    folder(tmp_path, each=40)
    image = Image.open(tmp_path / "cat" / "003.png")
    image.save(tmp_path / "cat" / "again.jpg", quality=60)
    image.resize((24, 20)).save(tmp_path / "cat" / "small.png")
    finding = found(folder_data(tmp_path), "nearly like another")
    assert finding.items == ("cat/003.png ~ cat/again.jpg", "cat/003.png ~ cat/small.png")


def test_near_copies_leave_flat_and_different_pictures() -> None:
    flat = np.full((30, 16, 16), 200, np.uint8)
    assert near_copies(flat, np.arange(30)) == []
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (300, 16, 16), np.uint8)
    assert near_copies(noise, np.arange(300)) == []
    noise[7] = np.clip(noise[4].astype(int) + 2, 0, 255)
    assert near_copies(noise, np.arange(300)) == [(4, 7)]


def test_uneven_classes(tmp_path: Path) -> None:
    folder(tmp_path, classes=("cat",), each=30)
    folder(tmp_path, classes=("fox",), each=3, seed=5000)
    assert 'class "fox" is 9.1% of 33 images' in found(folder_data(tmp_path), "fox").message


def test_grey_only_if_all_are(tmp_path: Path) -> None:
    folder(tmp_path, grey=True)
    assert folder_data(tmp_path).facts["shape"] == [1, 40, 40]
    save(tmp_path / "cat" / "colour.png", photo(99))
    assert folder_data(tmp_path).facts["shape"] == [3, 40, 40]


def test_input_size(tmp_path: Path) -> None:
    for i in range(12):
        for name, side in (("a", 20), ("b", 300)):
            save(tmp_path / name / f"{i}.png", photo(i + side, side, side + 7))
    assert folder_data(tmp_path).facts["shape"] == [3, 48, 48]
    assert folder_data(tmp_path, image_size=32).facts["shape"] == [3, 32, 32]
    shutil.rmtree(tmp_path / "b")
    folder(tmp_path, classes=("c",), seed=7)
    assert folder_data(tmp_path).facts["shape"] == [3, 30, 30]  # the median of twelve times 20 and twelve times 40


@pytest.mark.parametrize("workers", [0, 2])
def test_from_files_equals_from_memory(tmp_path: Path, workers: int) -> None:
    folder(tmp_path, each=20)
    save(tmp_path / "cat" / "grey.png", photo(9, grey=True))
    inside = folder_data(tmp_path, augment="flip_crop", batch_size=8, valid=0.2)
    outside = folder_data(tmp_path, augment="flip_crop", batch_size=8, valid=0.2, max_memory=1000, workers=workers)
    assert isinstance(inside.train.source, TensorSource)
    assert isinstance(outside.train.source, ImageFiles)
    assert outside.fingerprint == inside.fingerprint
    assert outside.encoder == inside.encoder
    for part in inside.splits():
        a, b = inside.splits()[part], outside.splits()[part]
        for epoch in (0, 1):
            for (xa, ya), (xb, yb) in zip(a.batches(epoch), b.batches(epoch), strict=True):
                assert torch.equal(xa, xb)
                assert torch.equal(ya, yb)
    assert outside.train.source.name(0) == inside.train.source.name(0)


def test_scan_folder_gives_what_can_be_judged(tmp_path: Path) -> None:
    folder(tmp_path / "flat", each=3)
    (tmp_path / "flat" / "cat" / "bad.png").write_bytes(b"")
    files, labels = scan_folder(tmp_path / "flat")
    assert [f.name for f in files] == ["000.png", "001.png", "002.png"] * 2
    assert labels == ["cat"] * 3 + ["dog"] * 3
    folder(tmp_path / "parts", part="train", each=3)
    folder(tmp_path / "parts", part="test", each=2)
    assert len(scan_folder(tmp_path / "parts")[0]) == 4


def test_file_that_breaks_later_is_named(tmp_path: Path) -> None:
    data = folder_data(folder(tmp_path), max_memory=1000, workers=0)
    (tmp_path / names(data, "train")[0]).write_bytes(b"")
    with pytest.raises(DataError, match=r"E106 .*\.png is empty"):
        data.train.source.fetch(slice(0, 3))


def _empty(root: Path) -> None:
    pass


def _zips(root: Path) -> None:
    for name in ("a.zip", "b.zip"):
        with zipfile.ZipFile(root / name, "w"):
            pass


def _loose(root: Path) -> None:
    save(root / "1.png", photo(1))


def _one_class(root: Path) -> None:
    folder(root, classes=("cat",), each=30)


def _few(root: Path) -> None:
    folder(root, each=9)


def _all_broken(root: Path) -> None:
    for i in range(30):
        (root / "cat").mkdir(exist_ok=True)
        (root / "cat" / f"{i}.jpg").write_bytes(b"")


def _no_train(root: Path) -> None:
    folder(root, part="test")
    folder(root, part="val")


def _new_class(root: Path) -> None:
    folder(root, part="train")
    folder(root, part="test", classes=("cat", "dogs"))


def _other_files(root: Path) -> None:
    (root / "texts").mkdir()
    (root / "texts" / "a.txt").write_text("x")


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (_empty, "E107", "It is empty"),
        (_zips, "E107", "I see 2 zip files. Unpack them"),
        (_loose, "E107", "1 images, but no class folders"),
        (_other_files, "E107", "I see 1 txt file and 1 folder (texts/)"),
        (_one_class, "E110", 'one class only, "cat" (30 images)'),
        (_few, "E113", "18 usable images, 20 are needed"),
        (_all_broken, "E106", "0.jpg is empty (0 bytes) (30 of 30 files)"),
        (_no_train, "E107", "no train/ to learn from"),
        (_new_class, "E102", 'test has the class "dogs", of which train/ has no image. Is it train/dog?'),
    ],
)
def test_refused_and_said(tmp_path: Path, make, code: str, says: str) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    make(root)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RungError) as caught:
        folder_data(root)
    assert caught.value.code == code
    assert says in str(caught.value)
    assert "photos" in str(caught.value)
    assert caught.value.fix
    assert sorted(tmp_path.rglob("*")) == before  # nothing is written into the user's folder


def test_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(RungError, match=r"E105 There is no folder .*photso\. Did you mean .*photos\?"):
        folder_data(tmp_path / "photso")


def test_fuzzed_files_are_all_accounted_for(tmp_path: Path) -> None:
    folder(tmp_path)
    for seed in range(120):
        raw, suffix = pictures.fuzzed(seed)
        (tmp_path / "cat" / f"fuzz{seed:03d}{suffix}").write_bytes(raw)
    files = find_layout(tmp_path).files
    seen = scan(files, (16, 16), keep=True)
    assert sorted([*seen.good.tolist(), *(i for i, _ in seen.bad)]) == list(range(144))
    assert all(reason for _, reason in seen.bad)
    assert len(seen.bad) > 20
    data = folder_data(tmp_path)
    assert sum(data.facts["samples"].values()) == len(seen.good)


def test_real_photographs(real_data: Path, tmp_path: Path) -> None:
    from rungbook.data.archive import unpack

    root = unpack(real_data / "dogs-vs-cats-1400" / "dogs-vs-cats-1400.zip", tmp_path / "pets", declared_bytes=8_000_000)
    start = time.perf_counter()
    data = folder_data(root, augment="flip_crop")
    assert time.perf_counter() - start < 30  # 2 s on an idle core
    assert data.facts["class_counts"] == {"cat": 700, "dog": 699}
    assert data.facts["samples"]["valid"] == 280
    assert found(data, "nearly like another").items == ("train/dog/dog.180.jpg ~ train/dog/dog.74.jpg",)
