"""A stamp changes with what can change a result, and with nothing else."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rungbook.recipes import stamp as stamps
from rungbook.recipes.recipe import find_recipe
from rungbook.recipes.stamp import canonical, changed, counted, stamp

SOURCE = '''
"""A module."""
from dataclasses import dataclass
from typing import Any, ClassVar
from rungbook.recipes.contrast import Contrast
from rungbook.recipes.settings import Share

SCALE = 2.0


def helper(x: float) -> float:
    """Doubles."""
    return SCALE * x


def unused():
    return 1


@dataclass(frozen=True, kw_only=True)
class Mine(Contrast):
    """What is asked?"""

    variants: ClassVar[dict[str, dict[str, Any]]] = {"off": {"dropout": 0.0}, "on": {"dropout": 0.5}}
    covers: ClassVar[tuple[str, ...]] = ("M12",)
    data: str = "world:line"
    model: str = "mlp"
    dropout: Share = 0.1
    lr: float = 0.001

    def begin(self, model, data) -> None:
        """Says nothing."""
        model.factor = helper(self.lr)

    def paint(self, trained):
        return []
'''


def module(folder: Path, text: str) -> ModuleType:
    """The text as an imported module, always of the same name."""
    path = folder / f"m{len(list(folder.iterdir()))}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("stamped", path)
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    sys.modules["stamped"] = made
    stamps.module_parts.cache_clear()
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def stamped(tmp_path: Path) -> Any:
    """Text -> (stamp, what changed against the original)."""
    first = module(tmp_path, SOURCE).Mine()
    before, settings = stamp(first), counted(first)

    def of(old: str = "", new: str = "") -> list[str]:
        assert old in SOURCE
        now = module(tmp_path, SOURCE.replace(old, new, 1)).Mine()
        return changed(before, settings, now)

    yield of
    sys.modules.pop("stamped", None)
    stamps.module_parts.cache_clear()


CHANGES = {
    "a default": ("dropout: Share = 0.1", "dropout: Share = 0.2", "dropout was 0.1, is 0.2"),
    "a default of the base turned on": ("    lr: float", "    ema: float | None = 0.9\n    lr: float", "ema was off, is 0.9"),
    "a variant's setting": ('"on": {"dropout": 0.5}', '"on": {"dropout": 0.6}', "variants"),
    "a variant's name": ('"on"', '"with"', "variants"),
    "the order of variants": (
        '{"off": {"dropout": 0.0}, "on": {"dropout": 0.5}}',
        '{"on": {"dropout": 0.5}, "off": {"dropout": 0.0}}',
        "variants",
    ),
    "a method": ("helper(self.lr)", "helper(self.lr) + 1", "its code"),
    "a new method": ("    def paint", "    def load(self):\n        return None\n\n    def paint", "its code"),
    "a helper": ("SCALE * x", "SCALE + x", "its code"),
    "a constant of a helper": ("SCALE = 2.0", "SCALE = 3.0", "its code"),
    "a line's depth": ("        model.factor =", "        if model:\n            model.factor =", "its code"),
    "the metric": ("    covers:", '    metric: ClassVar[str] = "log_loss"\n    covers:', "metric"),
    "the world": ('"world:line"', '"world:line(noise=2.0)"', "data was world:line, is world:line(noise=2.0)"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_a_result_is_told(stamped: Any, name: str) -> None:
    old, new, said = CHANGES[name]
    assert said in stamped(old, new)


NEUTRAL = {
    "nothing": ("", ""),
    "the docstring": ("What is asked?", "What is asked, and why?"),
    "a method's docstring": ("Says nothing.", "Says something."),
    "a docstring more": ("    def paint", '    "A string below a field."\n\n    def paint'),
    "a comment": ("    lr: float = 0.001", "    lr: float = 0.001  # as everybody does\n    # and more"),
    "the layout": (
        "model.factor = helper(self.lr)",
        "model.factor = (\n            helper(\n                self.lr,\n            )\n        )",
    ),
    "an annotation": ("def begin(self, model, data) -> None", "def begin(self, model: Any, data: Any) -> object"),
    "quotes": ('"M12"', "'M12'"),
    "what it covers": ('"M12"', '"M11"'),
    "a picture": ("        return []", "        return [1]"),
    "code it does not use": ("return 1", "return 2"),
    "another seed and more threads": ("    lr: float", "    seed: int = 3\n    threads: int | None = 2\n    lr: float"),
    "a switch that is off": ("    lr: float", "    swap: bool = False\n    mine: str | None = None\n    lr: float"),
}


@pytest.mark.parametrize("name", NEUTRAL)
def test_what_changes_nothing_is_not(stamped: Any, name: str) -> None:
    assert stamped(*NEUTRAL[name]) == []


def test_a_subclass_is_another_recipe(tmp_path: Path) -> None:
    made = module(
        tmp_path, SOURCE + "\n\n@dataclass(frozen=True, kw_only=True)\nclass Other(Mine):\n    '''Other.'''\n    lr: float = 0.5\n"
    )
    mine, other = made.Mine(), made.Other()
    assert changed(stamp(mine), counted(mine), other) == ["lr was 0.001, is 0.5", "its code"]


def test_a_worlds_default_counts_though_its_name_does_not_say_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rungbook.data.worlds.line import Line

    @dataclass(frozen=True)
    class Noisier(Line):
        noise: float = 7.0

    one = module(tmp_path, SOURCE).Mine()
    before = stamp(one)
    assert str(Noisier()) == str(Line())
    monkeypatch.setattr(stamps, "make_world", lambda name: Noisier())
    assert changed(before, counted(one), one) == ["the parameters of its world"]


def test_settings_of_a_run_do_not_count() -> None:
    cls = find_recipe("digits")
    assert stamp(cls(seed=4, threads=2, workers=1, device="cpu", checkpoint_seconds=3.0)) == stamp(cls())
    assert stamp(cls(lr=0.1)) != stamp(cls())


def test_the_tree_is_the_same_where_pythons_differ() -> None:
    """Since 3.12 definitions have type_params and f-strings have tokens of their own; 3.13 leaves empty fields out."""
    tree = ast.parse('def f(a: int, *b, c=1) -> str:\n    """Doc."""\n    return f"{a!r:>{c}}" "x" f"{{"\n')
    found = str(canonical(tree.body[0]))
    assert found == str(canonical(ast.parse('def f(a, *b, c = 1): return f"{a!r:>{c}}" "x{{"'.replace("x{{", "x{")).body[0]))
    for field in ("type_params", "ctx", "kind", "type_comment", "returns", "annotation", "lineno", "Doc."):
        assert field not in found
    assert stamps.digest(canonical(tree.body[0])) == "8f534b147b3ad89f", "what Python 3.11.7, 3.12.1 and 3.13.0 gave"


def test_a_module_that_is_not_loaded_is_read_all_the_same() -> None:
    """Recipes are loaded when they are asked for; what was loaded before changes no stamp."""
    code = (
        "import sys; from rungbook.recipes import stamp; name = 'rungbook.recipes.book.squared'; "
        "before = sorted(stamp.module_parts(name)[0]); assert name not in sys.modules; "
        "__import__(name); stamp.module_parts.cache_clear(); assert before and before == sorted(stamp.module_parts(name)[0]); print('same')"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "same\n"
