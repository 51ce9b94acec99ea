"""Files and functions stay small, and everything public says what it is."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from trees import parsed

FILE_LINES, FUNCTION_LINES = 500, 60
LONGER: dict[str, str] = {}
"""What may be longer, with its reason: "path" for a file, "path:function" for a function. A reason no longer needed fails the test."""


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def too_long(name: str, text: str, tree: ast.Module | None = None) -> set[str]:
    """The file, and its functions, that are over the limits."""
    over = {name} if len(text.splitlines()) > FILE_LINES else set()
    return over | {f"{name}:{f.name}" for f in functions(tree or ast.parse(text)) if lines(f) > FUNCTION_LINES}


def is_public(name: str) -> bool:
    return not name.startswith("_")


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Public classes, functions and methods without a docstring; a method that implements a base class's or a protocol's may do without."""
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    explained = {m.name for c in classes for m in c.body if isinstance(m, ast.FunctionDef) and ast.get_docstring(m)}
    if not ast.get_docstring(tree):
        yield "the module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and is_public(node.name):
            if not ast.get_docstring(node):
                yield node.name
            if isinstance(node, ast.ClassDef) and not node.bases:
                yield from (
                    f"{node.name}.{m.name}"
                    for m in node.body
                    if isinstance(m, ast.FunctionDef) and is_public(m.name) and m.name not in explained and not is_overload(m)
                )


def is_overload(function: ast.FunctionDef) -> bool:
    return any(getattr(d, "id", getattr(d, "attr", "")) in ("overload", "setter") for d in function.decorator_list)


def sources(checkout: Path, *folders: str) -> list[Path]:
    return [p for f in folders for p in sorted((checkout / f).rglob("*.py"))]


def modules(checkout: Path) -> list[str]:
    """Dotted names of all modules of the library."""
    src = checkout / "src"
    return [".".join(p.relative_to(src).with_suffix("").parts).removesuffix(".__init__") for p in sources(checkout, "src")]


def test_size_ratchet(checkout: Path) -> None:
    over = set().union(
        *(too_long(p.relative_to(checkout).as_posix(), p.read_text(), parsed(p)) for p in sources(checkout, "src", "tests", "benchmarks"))
    )
    assert over == set(LONGER), (
        f"over {FILE_LINES} lines or {FUNCTION_LINES} in a function: look for the second idea, or list a reason in LONGER"
    )


def test_public_names_are_documented(checkout: Path) -> None:
    missing = []
    for path in sources(checkout, "src"):
        where = path.relative_to(checkout / "src").as_posix()
        missing += [f"{where}: {name}" for name in undocumented(parsed(path))]
    assert not missing


def test_tests_and_benchmarks_say_what_they_are(checkout: Path) -> None:
    missing = [str(p) for p in sources(checkout, "tests", "benchmarks") if not ast.get_docstring(parsed(p))]
    assert not missing


def test_every_listed_name_exists_and_is_documented(checkout: Path) -> None:
    names = 0
    for module_name in modules(checkout):
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)  # AttributeError names what is missing
            names += 1
            if inspect.isclass(value) or inspect.isroutine(value):
                assert inspect.getdoc(value), f"{module_name}.{name} has no docstring"
    assert names >= 9  # those of rungbook itself


def test_lazy_names_are_the_listed_ones() -> None:
    rungbook = importlib.import_module("rungbook")
    assert sorted(rungbook._HOME) == sorted(rungbook.__all__)
    assert set(rungbook.__all__) <= set(dir(rungbook))
    with pytest.raises(AttributeError, match="no attribute 'Lerner'"):
        _ = rungbook.Lerner


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f():\n" + "    x = 1\n" * 60, {"m.py:f"}),
        ("class A:\n    def g(self):\n" + "        x = 1\n" * 60, {"m.py:g"}),
        ("x = 1\n" * 501, {"m.py"}),
        ("def f():\n" + "    x = 1\n" * 59, set()),
    ],
)
def test_length_is_seen(text: str, expected: set[str]) -> None:
    assert too_long("m.py", text) == expected


def test_a_missing_docstring_is_seen() -> None:
    code = "class A:\n    '''A.'''\n    def f(self): ...\n    def _g(self): ...\ndef h(): ...\ndef _i(): ..."
    assert list(undocumented(ast.parse(code))) == ["the module", "A.f", "h"]
