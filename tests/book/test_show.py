"""What lessons show with: the same call in a script, a notebook and on the site."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rungbook.book import Slider, refuses, show, source, table
from rungbook.book.show import PICTURES
from rungbook.learner.callbacks.activations import ActivationStats
from rungbook.plot.style import Picture, draw
from rungbook.scratch.functional.linear import linear
from rungbook.scratch.nn.linear import Linear


def picture(words: str = "a line") -> Picture:
    return draw(lambda ax: ax.plot([0, 1]), words)


def test_a_script_prints_words_and_saves_pictures_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    show(picture(), "and text", 3)
    assert capsys.readouterr().out == "[picture] a line\nand text\n3\n"
    monkeypatch.setenv(PICTURES, str(tmp_path / "new"))
    show(picture("first"), picture("second"))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["01.svg", "02.svg"]
    assert "02.svg] second" in capsys.readouterr().out


def test_source_is_the_library_s_own_and_may_leave_docstrings_out() -> None:
    whole, bare = source(linear, doc=True), source(linear)
    assert '"""' in whole.code
    assert '"""' not in bare.code
    assert [line for line in whole.code.splitlines() if "return" in line][-1] in bare.code
    assert bare.where.startswith("rungbook/scratch/functional/linear.py, line ")
    assert bare.markdown().count("```") == 2
    compile(source(Linear).code, "Linear", "exec")  # a class without docstrings still is one


def test_a_decorated_function_comes_from_its_own_file() -> None:
    shown = source(ActivationStats._add)  # within torch.no_grad()
    assert "def _add(" in shown.code
    assert shown.where.startswith("rungbook/learner/callbacks/activations.py, line ")


def test_a_body_of_words_alone_keeps_them() -> None:
    from rungbook.errors import UsageError

    assert '"""' in source(UsageError, doc=True).code
    compile(source(type(UsageError("E201", "x"))).code, "UsageError", "exec")


def test_a_table_is_text_and_markdown() -> None:
    made = table([{"what": "a|b", "n": 12345, "x": 0.123456}, {"what": "c", "n": 1, "x": float("nan")}])
    assert str(made).splitlines()[0] == "what  n       x"
    assert "| a\\|b | 12,345 | 0.1235 |" in made.markdown()
    with pytest.raises(ValueError, match="same keys"):
        table([{"a": 1}, {"b": 1}])
    with pytest.raises(ValueError, match="at least one"):
        table([])


def test_a_table_fits_a_terminal_and_loses_no_word() -> None:
    made = table([{"what": "many words that go on and on", "why": "more of them, to no end", "n": 1}, {"what": "few", "why": "", "n": 22}])
    assert made.fitted(200) == str(made)
    for width in (60, 40, 30):
        lines = made.fitted(width).splitlines()
        assert max(map(len, lines)) <= width
        assert sorted(" ".join(lines).split()) == sorted(str(made).split())
    assert made.fitted(1).splitlines()[0].split() == ["what", "why", "n"], "words are not broken, however little room there is"
    assert made.fitted(40).splitlines()[-1].split() == ["few", "22"]


def test_a_slider_shows_one_picture_and_escapes_names() -> None:
    made = Slider("rate <b>", {"0.1": picture("low"), "1 & 2": picture("high")}, start="1 & 2")
    page = made.html()
    assert page.count("data-frame hidden") == 1
    assert "<b>rate &lt;b&gt; = 1 &amp; 2</b>" in page
    assert 'value="1"' in page


def test_refuses_wants_every_wrong_answer_refused() -> None:
    def check(answer: int) -> None:
        assert answer == 2

    refuses(check, 1, 3)
    with pytest.raises(AssertionError, match="check accepts a wrong answer: 2"):
        refuses(check, 1, 2)
    with pytest.raises(TypeError):
        refuses(lambda answer: answer + "x", 1)  # a check that breaks has not refused


def test_the_package_is_light_to_import() -> None:
    code = "import sys, rungbook.book.lesson; print('sphinx' in sys.modules, 'nbclient' in sys.modules, 'IPython' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False False"
