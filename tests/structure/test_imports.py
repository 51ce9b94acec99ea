"""Imports go one way, every imported library is declared, and star imports and torchvision are nowhere."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from trees import parsed

from rungbook.extras import GROUPS

EVERYTHING = {
    "errors",
    "extras",
    "calls",
    "scratch",
    "models",
    "learner",
    "data",
    "plot",
    "transfer",
    "recipes",
    "book",
    "exercises",
    "view",
    "doctor",
    "scale",
    "export",
    "cli",
}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),  # a leaf: messages and exit codes, for all but scratch
    "extras": {"errors"},  # what optional packages are there
    "calls": {"errors"},  # how "name(key=value)" is read, for schedules and worlds
    "scratch": set(),
    "models": {"errors"},
    "plot": {"errors"},  # draws what it is given
    "data": {"errors", "calls", "plot"},
    "learner": {"errors", "calls", "plot"},  # takes model, loss, optimiser and data as arguments
    "scale": {"errors", "learner"},  # gives the Learner what it takes as an argument
    "transfer": {"errors", "extras", "models", "data", "learner"},  # weights somebody trained, and training on from them
    "recipes": {"errors", "models", "data", "learner", "scale", "plot", "scratch", "transfer"},
    "book": EVERYTHING - {"cli"},  # lessons and the site show everything
    "cli": EVERYTHING,
    "__init__": EVERYTHING - {"cli", "view", "book", "exercises"},
}
"""Which parts of rungbook each part may import (DESIGN, section 2); nothing may import cli, and a part not listed here fails the test."""

ONLY_TORCH = {"models": {"torch"}, "scratch": {"torch"}}
"""Parts that use no other library: a model is read beside its paper, not beside a framework."""

DISTRIBUTIONS = {
    "IPython": "ipython",
    "markdown_it": "markdown-it-py",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "typing_extensions": "typing-extensions",
    "xdist": "pytest-xdist",
}
"""Import name -> name on the package index, where they differ."""

BOOK = "src/rungbook/book"
"""What executes lessons and builds the site needs packages of its own."""

HF = "src/rungbook/transfer/hf"
"""What talks to Hugging Face does so where it is called."""

COMES_WITH = {"scipy": "scikit-learn", "requests": "pooch", "urllib3": "requests", "markupsafe": "jinja2"}
"""Libraries used directly that a declared one requires anyway."""

ADDRESS = re.compile(r"rungbook(\.\w+)+(:\w+)?")
"""A module, or "module:name", in a string: what tables of lazily imported things hold."""


def imports(tree: ast.AST, package: str = "") -> Iterator[str]:
    """Every imported dotted name, also inside functions and in tables of addresses; relative ones made absolute in `package`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, *([base] if base else [])])
            yield from (f"{base}.{a.name}" for a in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and ADDRESS.fullmatch(node.value):
            yield node.value.split(":")[0]


def top_names(tree: ast.AST, package: str = "") -> set[str]:
    """First parts of all imported names."""
    return {name.split(".")[0] for name in imports(tree, package)}


def own_parts(tree: ast.AST, package: str = "") -> set[str]:
    """The parts of rungbook that are imported ("" for the package itself)."""
    ours = (name.split(".") for name in imports(tree, package) if name.split(".")[0] == "rungbook")
    return {p[1] if len(p) > 1 else "" for p in ours} - {"__version__"}


def part_of(path: Path, src: Path) -> str:
    return path.relative_to(src).parts[0].removesuffix(".py")


def wrong_direction(part: str, tree: ast.AST, package: str = "") -> set[str]:
    """Imported parts that `part` may not import."""
    return own_parts(tree, package) - MAY_IMPORT.get(part, set()) - {part}


def star_imports(tree: ast.AST) -> list[int]:
    return [n.lineno for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and any(a.name == "*" for a in n.names)]


@pytest.fixture(scope="module")
def src(checkout: Path) -> Path:
    return checkout / "src" / "rungbook"


@functools.cache
def parse(folder: Path) -> dict[Path, ast.Module]:
    return {p: parsed(p) for p in sorted(folder.rglob("*.py"))}


def test_every_part_has_a_rule(src: Path) -> None:
    parts = {part_of(p, src) for p in src.rglob("*.py")}
    assert parts <= set(MAY_IMPORT), f"say in MAY_IMPORT what {sorted(parts - set(MAY_IMPORT))} may import"


def test_direction(src: Path) -> None:
    wrong = {}
    for path, tree in parse(src).items():
        package = ".".join(("rungbook", *path.relative_to(src).parent.parts))
        if found := wrong_direction(part_of(path, src), tree, package):
            wrong[str(path.relative_to(src))] = sorted(found)
    assert not wrong


def test_models_and_scratch_use_torch_only(src: Path) -> None:
    for path, tree in parse(src).items():
        if allowed := ONLY_TORCH.get(part_of(path, src)):
            other = top_names(tree, "rungbook") - set(sys.stdlib_module_names) - allowed - {"rungbook"}
            assert not other, f"{path.relative_to(src)} imports {sorted(other)}"


def test_no_star_imports_and_no_torchvision(checkout: Path) -> None:
    for folder in ("src", "tests", "benchmarks"):
        for path, tree in parse(checkout / folder).items():
            assert not star_imports(tree), f"{path}: star import in lines {star_imports(tree)}"
            assert "torchvision" not in top_names(tree, "rungbook"), f"{path} imports torchvision"
    assert importlib.util.find_spec("torchvision") is None, "torchvision is installed: it breaks transformers and torchmetrics"


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ("learner", "from rungbook.models import registry"),
        ("learner", "def f():\n    import rungbook.data.feed"),
        ("models", "from ..learner import metrics"),
        ("scratch", "from rungbook.errors import UsageError"),
        ("recipes", "from rungbook import cli"),
        ("data", "from importlib import import_module\nimport_module('rungbook.recipes.runs')"),
        ("learner", "import rungbook"),
    ],
)
def test_the_wrong_way_is_seen(part: str, code: str) -> None:
    assert wrong_direction(part, ast.parse(code), f"rungbook.{part}")


def test_a_star_is_seen() -> None:
    assert star_imports(ast.parse("def f():\n    pass\nfrom torch.nn import *")) == [3]


def declared(checkout: Path, *groups: str) -> set[str]:
    """Names of the core dependencies and of those of `groups`."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(d for g in groups for d in project["optional-dependencies"][g])]
    return {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in lines}


@pytest.mark.parametrize(
    ("folder", "groups"),
    [("src", ()), (BOOK, ("book",)), (HF, ("hf",)), ("lessons", ("hf",)), ("tests", ("test", "book", "hf")), ("benchmarks", ("bench",))],
    ids=["src", "book", "hf", "lessons", "tests", "benchmarks"],
)
def test_every_imported_library_is_declared(checkout: Path, folder: str, groups: tuple[str, ...]) -> None:
    own = {p.stem for p in (checkout / folder).rglob("*.py")} | {"rungbook"}
    own |= {"noisy"} if folder == "lessons" else set()  # lesson 17 writes it
    others = [checkout / group for group in (BOOK, HF) if group != folder]
    files = {path: tree for path, tree in parse(checkout / folder).items() if not any(path.is_relative_to(other) for other in others)}
    used = set().union(*(top_names(t, "rungbook") for t in files.values())) - set(sys.stdlib_module_names) - own
    names = {DISTRIBUTIONS.get(u, u).lower().replace("_", "-") for u in used}
    implied = {n for n in names if COMES_WITH.get(n) in names | declared(checkout, *groups)}
    assert names - implied <= declared(checkout, *groups), (
        f"declare {sorted(names - implied - declared(checkout, *groups))} in pyproject.toml"
    )


def test_groups_that_are_asked_for_are_those_of_pyproject(checkout: Path) -> None:
    for group, modules in GROUPS.items():
        wanted = {DISTRIBUTIONS.get(m, m).lower().replace("_", "-") for m in modules}
        assert wanted <= declared(checkout, group, "notebook"), f"extras.GROUPS names what {group} does not install"


@pytest.mark.parametrize(("name", "bringer"), COMES_WITH.items())
def test_what_comes_with_another_really_does(name: str, bringer: str) -> None:
    required = {re.match(r"[\w.-]+", r)[0].lower() for r in importlib.metadata.requires(bringer) or [] if "extra ==" not in r}
    assert name in required
