"""The matrix product in C, called from Python without copying a number.

The source is `matmul.c`, beside this file. The machine's own compiler turns it into a shared library when it is first asked for; the
library stays in the user's cache folder under a name that says what it was made from, so the next process only loads it. ctypes then
hands C the address of each tensor's first element and its strides, which is all that a tensor is below its Python class.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("matmul.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-fPIC", "-shared", "-std=gnu11")
OPENMP = "-fopenmp"
COMPILE_SECONDS = 120.0
"""A compiler that takes longer than this for two pages hangs."""
WORTH_A_THREAD = 1 << 20
"""Products of numbers below which another thread costs more to wake and to wait for, tens of microseconds, than it saves."""


class _Problem(ctypes.Structure):
    """`problem` of the C file: three addresses, three sizes, four strides."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("a", "b", "c")] + [
        (name, ctypes.c_ssize_t) for name in ("m", "k", "n", "a_row", "a_column", "b_row", "b_column")
    ]


def cache_folder() -> Path:
    """Where compiled libraries are kept: `RUNG_CACHE`, or `rungbook` in the user's cache folder."""
    if folder := os.environ.get("RUNG_CACHE"):
        return Path(folder).expanduser() / "native"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "rungbook" / "native"


def find_compiler() -> list[str]:
    """The command that compiles C: `$CC`, else the first of cc, gcc and clang on the PATH.

    Raises:
        RuntimeError: there is none.
    """
    if command := shlex.split(os.environ.get("CC", "")):
        if shutil.which(command[0]) is None:
            raise RuntimeError(
                f"the C compiler that $CC names, {command[0]!r}, is not there; unset CC to use one of {', '.join(COMPILERS)}"
            )
        return command
    for name in COMPILERS:
        if path := shutil.which(name):
            return [path]
    raise RuntimeError(
        f"no C compiler: $CC is not set and none of {', '.join(COMPILERS)} is on the PATH. Install one (Debian: apt install gcc, macOS: "
        "xcode-select --install), or use the forms in Python, rungbook.scratch.tensor.matmul"
    )


def compile_library(compiler: Sequence[str], flags: Sequence[str], folder: Path) -> Path:
    """The shared library made from `matmul.c`, compiled unless it is in the folder already.

    Several processes may do so at once: each writes to a name of its own and renames the finished file.

    Args:
        compiler: command, as ["gcc"].
        flags: of the compiler; they, its version and the source are in the file's name as a hash.
        folder: made if missing, for nobody else to write to: what lies in it is run.

    Raises:
        RuntimeError: the compiler cannot be run or fails, with its own words; or the folder cannot be used.
    """
    source = SOURCE.read_bytes()
    version = _run([*compiler, "--version"])
    made_by = "\0".join([*compiler, *flags, version, platform.machine(), platform.system()])
    key = hashlib.sha256(source + made_by.encode()).hexdigest()[:20]
    library = folder / f"matmul-{key}.so"
    if not library.exists():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix="compiling-") as own:
                fresh = Path(own) / "matmul.so"
                _run([*compiler, *flags, str(SOURCE), "-o", str(fresh)])
                fresh.replace(library)
        except OSError as error:
            raise RuntimeError(f"the folder for compiled code cannot be used: {error}. Set RUNG_CACHE to one you can write to") from error
    return library


def _load(compiler: Sequence[str], flags: Sequence[str], folder: Path) -> ctypes.CDLL:
    """The library, made anew if the kept one is damaged."""
    path = compile_library(compiler, flags, folder)
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        path.unlink(missing_ok=True)
        return ctypes.CDLL(str(compile_library(compiler, flags, folder)))


def _run(command: Sequence[str]) -> str:
    """What a command prints; RuntimeError with its words if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=COMPILE_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"the C compiler could not be run: {error}") from error
    if done.returncode:
        raise RuntimeError(f"the C compiler failed ({done.returncode}): {shlex.join(command)}\n{done.stderr.strip()[-2000:]}")
    return done.stdout


@functools.cache
def library() -> tuple[ctypes.CDLL, str]:
    """The loaded library, and why it has no OpenMP ("" if it has).

    Raises:
        RuntimeError: there is no compiler, it fails, or what it made cannot be loaded.
    """
    compiler, folder = find_compiler(), cache_folder()
    try:
        loaded, without = _load(compiler, (*FLAGS, OPENMP), folder), ""
    except (RuntimeError, OSError) as error:  # clang often comes without OpenMP's header or library
        without = str(error)
        try:
            loaded = _load(compiler, FLAGS, folder)
        except OSError as second:
            raise RuntimeError(f"the compiled library cannot be loaded: {second}") from second
    if not loaded.has_openmp():
        without = without or f"{shlex.join(compiler)} ignores {OPENMP}"
    for width in ("f32", "f64"):
        for form in ("plain", "blocked", "parallel"):
            function = getattr(loaded, f"{form}_{width}")
            function.restype = None
            function.argtypes = [ctypes.POINTER(_Problem)] + ([ctypes.c_int] if form == "parallel" else [])
    return loaded, without


def has_openmp() -> bool:
    """Whether the product on several cores can be used here; compiles on first use."""
    return not library()[1]


def _call(form: str, a: Tensor, b: Tensor, *more: int) -> Tensor:
    """Check two matrices and hand their addresses and strides to a C function."""
    for name, x in (("a", a), ("b", b)):
        if x.dim() != 2:
            raise ValueError(f"{name} {tuple(x.shape)} has {x.dim()} dimensions, a matrix has 2")
        if x.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"{name} is {x.dtype}, the C forms know torch.float32 and torch.float64")
        if x.device.type != "cpu" or x.layout != torch.strided:
            raise ValueError(f"{name} is {x.layout} on {x.device}, C needs plain memory of this machine's processor")
        if x.requires_grad and torch.is_grad_enabled():
            raise RuntimeError(f"{name} wants a gradient and C keeps no record of what it does: give {name}.detach()")
    if a.dtype != b.dtype:
        raise TypeError(f"a is {a.dtype} and b {b.dtype}: both must be of one type")
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"a {tuple(a.shape)} has {a.shape[1]} columns, b {tuple(b.shape)} has {b.shape[0]} rows: they must be as many")
    a, b = a.resolve_neg(), b.resolve_neg()  # a sign that is only noted on the tensor is not in its memory
    (m, k), n = a.shape, b.shape[1]
    c = torch.zeros(m, n, dtype=a.dtype)
    problem = _Problem(a.data_ptr(), b.data_ptr(), c.data_ptr(), m, k, n, *a.stride(), *b.stride())
    getattr(library()[0], f"{form}_{'f32' if a.dtype == torch.float32 else 'f64'}")(ctypes.byref(problem), *more)
    return c


def plain(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` by the same three loops as in Python.

    Args:
        a: (m, k), float32 or float64, of any strides.
        b: (k, n), of the same type.

    Returns:
        (m, n).

    Raises:
        ValueError, TypeError: what is given is no pair of matrices that C can read.
        RuntimeError: one of them wants a gradient, or C cannot be compiled here.
    """
    return _call("plain", a, b)


def blocked(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` tile by tile, so that what is read often stays near: as `plain`, and sums in the same order, four rows at a time."""
    return _call("blocked", a, b)


def parallel(a: Tensor, b: Tensor, threads: int | None = None) -> Tensor:
    """`a @ b` as `blocked`, each core with rows of its own.

    Args:
        a, b: as for `plain`.
        threads: at most so many cores, torch's own number by default; no more than a has rows, nor than there is work for.

    Raises:
        RuntimeError: the compiler has no OpenMP.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads ({threads}) must be at least 1")
    if why := library()[1]:
        raise RuntimeError(f"the C library was compiled without OpenMP, use native.blocked: {why}")
    wanted, rows = threads or torch.get_num_threads(), a.shape[0] if a.dim() else 1
    worth = math.prod(a.shape) * b.shape[-1] // WORTH_A_THREAD if b.dim() else 1
    return _call("parallel", a, b, max(1, min(wanted, rows, worth)))
