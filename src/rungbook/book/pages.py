"""Pages made from registries: the book by rungs, the recipes with their measured lines, the API, the bibliography."""

from __future__ import annotations

import inspect
from pathlib import Path

from rungbook.book.lesson import RUNGS, lessons

API: dict[str, dict[str, tuple[str, ...]]] = {
    "Training": {
        "rungbook": (),
        "learner": ("learner.learner", "learner.callback", "learner.metrics", "learner.schedule", "learner.checkpoint"),
        "callbacks": (
            "learner.callbacks.best",
            "learner.callbacks.ema",
            "learner.callbacks.interrupt",
            "learner.callbacks.progress",
            "learner.callbacks.record",
            "learner.callbacks.saving",
        ),
        "data": ("data.load", "data.data", "data.split", "data.feed"),
        "augment": tuple(
            f"data.augment.{name}" for name in ("named", "policy", "flip_crop", "geometry", "grid", "boxes", "colour", "blur", "erase")
        ),
        "worlds": ("data.worlds.world", "data.worlds.line", "data.worlds.blobs", "data.worlds.density", "data.worlds.shapes"),
        "models": ("models.registry", "models.vision.lenet", "models.vision.conv_net", "models.tabular.mlp"),
        "transfer": (
            *(f"transfer.{name}" for name in ("create", "published", "normalisation", "heads", "freezing", "rates", "fitting")),
            *(f"transfer.hf.{name}" for name in ("export", "trainer")),
        ),
    },
    "By hand": {
        "scratch.tensor": tuple(f"scratch.tensor.{name}" for name in ("matmul", "broadcasting", "strided", "einsum", "windows", "stable")),
        "scratch.autograd": tuple(f"scratch.autograd.{name}" for name in ("value", "var", "pullback", "tape", "gradcheck")),
        "scratch.functional": ("scratch.functional",),
        "scratch.nn": ("scratch.nn", "scratch.nn.init"),
        "scratch.optim": ("scratch.optim", "scratch.optim.lr_scheduler"),
        "scratch.data": ("scratch.data",),
        "scratch.module": ("scratch.module.module", "scratch.module.parameter", "scratch.module.containers", "scratch.module.hooks"),
        "exchange": ("scratch.swap", "scratch.mode"),
    },
}
"""Part of the API -> page -> modules shown on it, below `rungbook`."""


def generated(root: Path) -> dict[str, str]:
    """Path in the source of the site -> text.

    Args:
        root: the checkout.
    """
    return {
        "book/index.md": book(),
        "recipes.md": recipes(),
        "bibliography.md": bibliography(root / "docs" / "bibliography.bib"),
        **api(),
    }


def book() -> str:
    """The lessons by rungs, each with its question."""
    lines = ["# The book", "", "Every page below was run as it stands, on two cores and without a network, when this site was built."]
    known = lessons()
    for rung, about in RUNGS.items():
        of_rung = [one for one in known if one.rung == rung]
        if not of_rung:
            continue
        lines += ["", f"## Rung {rung}: {about.lower()}", ""]
        for one in of_rung:
            lines += [f"**[{one.number}. {one.title}]({one.name}.ipynb)** ({one.minutes} minutes)", "", one.question, ""]
        tree = [f"{one.number}. {one.title} <{one.name}>" for one in of_rung]
        lines += ["```{toctree}", ":hidden:", f":caption: Rung {rung}", "", *tree, "```"]
    return "\n".join([*lines, ""])


def recipes() -> str:
    """Each recipe: what it is, how to run it, what was measured."""
    from rungbook.recipes.ledger import load_ledger
    from rungbook.recipes.quotes import fresh, table
    from rungbook.recipes.recipe import RECIPES, load_recipes

    load_recipes()
    ledger = load_ledger()
    lines = [
        "# Recipes",
        "",
        "What `rung train NAME` trains, and what was measured of it: mean and standard deviation over the seeds, beside the best",
        "baseline, the limit where it is known, and what a course reports.",
    ]
    for name, cls in sorted(RECIPES.items()):
        keys = [key for key, entry in sorted(ledger.entries.items()) if entry.recipe == name]
        said = inspect.cleandoc(cls.__doc__ or "").split("\nArgs:")[0].strip()
        lines += ["", f"## {name}", "", said, "", "```sh", f"rung train {name}", "```"]
        if cls.covers:
            lines += ["", f"Covers {', '.join(cls.covers)}."]
        if keys:
            lines += ["", table([fresh(ledger, key) for key in keys])]
    return "\n".join([*lines, ""])


def api() -> dict[str, str]:
    """An index and a page for each group of modules, read from their docstrings."""
    pages = {}
    index = [
        "# API",
        "",
        "From the docstrings. Parts by hand have torch's names and places: `torch.nn.Linear` is `rungbook.scratch.nn.Linear`.",
    ]
    for part, groups in API.items():
        index += ["", f"## {part}", "", "```{toctree}", *(page.replace(".", "_") for page in groups), "```"]
        for page, modules in groups.items():
            title = page if page.startswith("rungbook") else f"rungbook.{page}" if "." in page else page.capitalize()
            text = [title, "=" * len(title), ""]
            for module in [f"rungbook.{m}" for m in modules] or ["rungbook"]:
                if module != title:
                    text += [module, "-" * len(module), ""]
                text += [f".. automodule:: {module}", "   :members:", "   :show-inheritance:", ""]
                text += ["   :imported-members:", ""] if _gathers(module) else []
            pages[f"api/{page.replace('.', '_')}.rst"] = "\n".join(text)
    return {"api/index.md": "\n".join([*index, ""]), **pages}


def _gathers(module: str) -> bool:
    """Whether a module's names are defined elsewhere, as a package's are."""
    import importlib

    return hasattr(importlib.import_module(module), "__path__")


def bibliography(path: Path) -> str:
    """Every work that lessons and docstrings rest on, under the key they link to."""
    from pybtex.backends.markdown import Backend
    from pybtex.database import parse_file
    from pybtex.style.formatting.plain import Style

    entries = parse_file(str(path))
    formatted = Style(sorting_style="author_year_title", abbreviate_names=True).format_bibliography(entries)
    backend = Backend()
    lines = ["# Bibliography", "", f"{len(entries.entries)} works."]
    for entry in formatted:
        lines += ["", f"({entry.key})=", entry.text.render(backend)]
    return "\n".join([*lines, ""])


__all__ = ["API", "api", "bibliography", "book", "generated", "recipes"]
