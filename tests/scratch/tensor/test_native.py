"""The product in C: any strides, no copy, clear words where there is no compiler, one file for all processes."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rungbook.scratch.tensor import native

covers = ["W02"]


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, and no library loaded before and after."""
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path))
    native.library.cache_clear()
    yield tmp_path / "native"
    native.library.cache_clear()


def compiler(folder: Path, text: str) -> str:
    """A command that stands for a compiler; it goes on to the real one unless told otherwise."""
    path = folder / "compiler"
    path.write_text(f'#!/bin/sh\n{text}\nexec {shutil.which("cc") or "gcc"} "$@"\n')
    path.chmod(0o755)
    return str(path)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(0, 9)] * 3),
    turn=st.tuples(st.booleans(), st.booleans()),
    steps=st.tuples(*[st.integers(1, 3)] * 4),
    wide=st.booleans(),
    threads=st.integers(1, 3),
)
def test_any_strides(
    sizes: tuple[int, int, int], turn: tuple[bool, bool], steps: tuple[int, int, int, int], wide: bool, threads: int
) -> None:
    m, k, n = sizes
    g, dtype = torch.Generator().manual_seed(sum(sizes)), torch.float64 if wide else torch.float32
    views = []
    for (rows, columns), turned, (down, right) in zip(((m, k), (k, n)), turn, (steps[:2], steps[2:]), strict=True):
        whole = torch.randn(columns * right, rows * down, generator=g, dtype=dtype)
        whole = whole.T if turned else whole.reshape(rows * down, columns * right)
        views.append(whole[::down, ::right])
    a, b = views
    expected = a @ b
    for got in (native.plain(a, b), native.blocked(a, b), *([native.parallel(a, b, threads)] if native.has_openmp() else [])):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("sizes", [(70, 130, 300), (3, 65, 257), (129, 1, 513)])
def test_sizes_beyond_a_tile(sizes: tuple[int, int, int]) -> None:
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(sizes[0], sizes[1], generator=g).double(), torch.randn(sizes[1], sizes[2], generator=g).double()
    for form in (native.plain, native.blocked, *([native.parallel] if native.has_openmp() else [])):
        torch.testing.assert_close(form(a, b), a @ b)


def test_a_row_shown_many_times_and_a_noted_sign() -> None:
    row, b = torch.tensor([[1.0, 2.0]]).expand(3, 2), torch.tensor([[1.0], [10.0]])
    assert native.blocked(row, b).tolist() == [[21.0]] * 3
    noted = torch.tensor([[1 + 2j]]).conj().imag  # -2, kept as 2 and a mark
    assert noted.is_neg()
    assert native.plain(noted, torch.ones(1, 1)).tolist() == [[-2.0]]


@pytest.mark.parametrize(
    ("a", "b", "error", "words"),
    [
        (torch.ones(2, 2, dtype=torch.int64), torch.ones(2, 2), TypeError, "a is torch.int64"),
        (torch.ones(2, 2), torch.ones(2, 2, dtype=torch.float64), TypeError, "one type"),
        (torch.ones(2, 2, requires_grad=True), torch.ones(2, 2), RuntimeError, r"a\.detach\(\)"),
        (torch.ones(2, 2), torch.ones(2, 2, device="meta"), ValueError, "b is .*meta"),
        (torch.ones(2, 2).to_sparse(), torch.ones(2, 2), ValueError, "sparse"),
        (torch.ones(2, 2), torch.ones(2, 2, 2), ValueError, "3 dimensions"),
        (torch.ones(2, 3), torch.ones(2, 3), ValueError, "3 columns.*2 rows"),
    ],
)
def test_refused(a: torch.Tensor, b: torch.Tensor, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        native.blocked(a, b)


def test_every_number_of_threads_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    if not native.has_openmp():
        pytest.skip("the compiler here has no OpenMP")
    monkeypatch.setattr(native, "WORTH_A_THREAD", 1)
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(11, 40, generator=g), torch.randn(40, 30, generator=g)
    for threads in (1, 2, 3, 11, 20):
        torch.testing.assert_close(native.parallel(a, b, threads), a @ b)


def test_threads_below_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        native.parallel(torch.ones(2, 2), torch.ones(2, 2), threads=0)


def test_no_compiler(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(fresh))
    with pytest.raises(RuntimeError, match=r"no C compiler.*apt install gcc"):
        native.plain(torch.ones(1, 1), torch.ones(1, 1))
    monkeypatch.setenv("CC", "no-such-compiler -m64")
    with pytest.raises(RuntimeError, match="no-such-compiler"):
        native.plain(torch.ones(1, 1), torch.ones(1, 1))


def test_a_failing_compiler_is_quoted(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", compiler(tmp_path, '[ "$1" = --version ] || { echo "matmul.c:1: no such instruction" >&2; exit 3; }'))
    with pytest.raises(RuntimeError, match=r"failed \(3\)(.|\n)*no such instruction"):
        native.plain(torch.ones(1, 1), torch.ones(1, 1))
    assert [p for p in fresh.iterdir() if p.suffix == ".so"] == []


def test_a_compiler_without_openmp(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = compiler(tmp_path, 'for x in "$@"; do [ "$x" != -fopenmp ] || { echo "unsupported option" >&2; exit 1; }; done')
    monkeypatch.setenv("CC", refusing)
    a = torch.ones(2, 2)
    assert not native.has_openmp()
    assert native.blocked(a, a).tolist() == [[2.0, 2.0], [2.0, 2.0]]
    with pytest.raises(RuntimeError, match=r"without OpenMP(.|\n)*unsupported option"):
        native.parallel(a, a)


def test_compiled_once_and_kept(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("CC", compiler(tmp_path, f'echo "$1" >> {log}'))
    native.plain(torch.ones(1, 1), torch.ones(1, 1))
    (kept,) = fresh.iterdir()
    native.library.cache_clear()  # as a new process would find it
    native.plain(torch.ones(1, 1), torch.ones(1, 1))
    assert log.read_text().split() == ["--version", "-O3", "--version"]
    assert list(fresh.iterdir()) == [kept]
    other = native.compile_library([str(tmp_path / "compiler")], [*native.FLAGS, "-DOTHER"], fresh)
    assert other != kept


def test_a_damaged_library_is_made_again(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openmp = native.has_openmp()
    (whole,) = fresh.iterdir()
    damaged = tmp_path / "other" / "native" / whole.name  # a place that this process has loaded nothing from
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(whole.read_bytes()[:100])
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "other"))
    native.library.cache_clear()
    assert native.plain(torch.ones(1, 1), torch.ones(1, 1)).item() == 1
    assert native.has_openmp() == openmp
    assert damaged.stat().st_size == whole.stat().st_size


def test_a_folder_that_cannot_be_used(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "file"))
    with pytest.raises(RuntimeError, match=r"cannot be used: .*Set RUNG_CACHE"):
        native.plain(torch.ones(1, 1), torch.ones(1, 1))


def test_several_at_once(fresh: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    slow = compiler(tmp_path, f'[ "$1" = --version ] || {{ echo "$1" >> {log}; sleep 0.3; }}')
    with ThreadPoolExecutor(3) as pool:  # each waits for a compiler of its own, as processes would
        made = list(pool.map(lambda _: native.compile_library([slow], [*native.FLAGS, "-O0"], fresh), range(3)))
    assert len(log.read_text().split()) == 3  # nobody found the file of another
    assert list(fresh.iterdir()) == list(set(made))  # one library, and nothing half made
    assert ctypes.CDLL(str(made[0])).has_openmp() == 0


def test_where_it_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "own"))
    assert native.cache_folder() == tmp_path / "own" / "native"
    monkeypatch.delenv("RUNG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.cache_folder() == tmp_path / "rungbook" / "native"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert native.cache_folder() == Path.home() / ".cache" / "rungbook" / "native"
