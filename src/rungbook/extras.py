"""Optional groups of packages: what shows that one is installed, and the error where it is not."""

from __future__ import annotations

from importlib.util import find_spec

from rungbook.errors import EnvironmentProblem

GROUPS = {
    "notebook": ("jupyterlab", "ipykernel"),
    "hf": ("transformers", "huggingface_hub", "accelerate"),
    "book": ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx_copybutton", "pybtex", "nbclient", "ipykernel", "mdit_py_plugins"),
}
"""Group of pyproject.toml -> modules that come with it."""


def require(group: str, what: str, fix: str = 'pip install "rungbook[{group}]"') -> None:
    """To be called before anything is done.

    Args:
        group: name in `GROUPS`.
        what: that wants it, as the beginning of a sentence.
        fix: the command that installs it.

    Raises:
        EnvironmentProblem: E404 a part of the group is not installed; all that are missing are named.
    """
    if missing := [name for name in GROUPS[group] if find_spec(name) is None]:
        raise EnvironmentProblem("E404", f"{what} wants {', '.join(missing)}, which is not installed.", fix.format(group=group))


__all__ = ["GROUPS", "require"]
