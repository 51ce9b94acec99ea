"""Settings of the site; `rung docs build` assembles the pages and runs Sphinx on them."""

import re

project = "rungbook"
author = "The rungbook developers"
copyright = "The rungbook developers, Apache-2.0"
html_title = "rungbook"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx_copybutton"]
exclude_patterns = ["extra"]
html_extra_path = ["extra"]  # notebooks and scripts to take along

# lessons come with their outputs: they are executed once, by rungbook.book.execute
nb_execution_mode = "off"
nb_render_markdown_format = "gfm"
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_dmath_double_inline = True
myst_ref_domains = ["std"]  # [gradient](#gradient) is the glossary's, not a method's

default_role = "code"  # docstrings write code between single ticks
autodoc_typehints = "none"  # the signature has them
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["rungbook.css"]
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None
html_favicon = "_static/favicon.svg"
html_logo = "_static/logo.svg"
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_theme_options = {
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search field is in the sidebar
    "navbar_end": [],
    "show_toc_level": 2,
    "use_download_button": False,  # each lesson has its own: the notebook without outputs, and the script
    "use_fullscreen_button": False,
}

# everything comes with the site: a reader without a network misses nothing
mathjax_path = "vendor/mathjax/tex-svg.js"
mathjax4_config = {
    "output": {"fontPath": "[mathjax]/mathjax-newcm-font"},
    "options": {
        "enableMenu": False,
        # speech would be made by a worker that is not kept here; screen readers get the MathML
        "menuOptions": {"settings": {"enrich": False, "speech": False, "braille": False, "collapsible": False, "assistiveMml": True}},
    },
}
copybutton_prompt_text = "$ "


def plain_docstring(app, what, name, thing, options, lines):
    """Docstrings are plain text with code between ticks: what reStructuredText would take for markup stays a character.

    A block that stands deeper than the paragraph before it is code; a list may follow a paragraph without a blank line.
    """
    shown, before, block = [], "", None
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if block is not None and line.strip() and depth < block:
            block = None
        if block is None and line.strip():
            above = len(before) - len(before.lstrip())
            if before.strip() and not shown[-1].strip() and depth >= above + 4:
                block = depth
                shown += [" " * above + "::", ""]
            elif line.lstrip().startswith("- ") and shown and shown[-1].strip() and not LISTED.match(shown[-1]):
                shown.append("")
        shown.append(line if block is not None else escaped(line))
        before = line if line.strip() else before
    lines[:] = shown


LISTED = re.compile(r"\s*- |\s+\S")
"""A line of a list, or one that goes on with it."""


def escaped(line):
    """A line whose stars, strokes and trailing underscores are characters, but for those between ticks."""
    parts = re.split(r"(`[^`]*`)", line)
    parts[::2] = [re.sub(r"([*|]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def setup(app):
    app.connect("autodoc-process-docstring", plain_docstring, priority=400)  # before napoleon, which writes markup on purpose
