"""Settings of the site; `rung docs build` assembles the pages and runs Sphinx on them."""

project = "rungbook"
author = "The rungbook developers"
copyright = "The rungbook developers, Apache-2.0"
html_title = "rungbook"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx_copybutton"]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
nitpicky = False

# lessons come with their outputs: they are executed once, by rungbook.book.execute
nb_execution_mode = "off"
nb_render_markdown_format = "gfm"
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_dmath_double_inline = True
suppress_warnings = ["mystnb.unknown_mime_type"]

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
html_theme_options = {
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "use_download_button": False,  # each lesson has its own: the notebook without outputs, and the script
    "use_fullscreen_button": False,
}

# everything comes with the site: a reader without a network misses nothing
mathjax_path = "vendor/mathjax/tex-chtml-nofont.js"
mathjax_loading_method = "defer"
copybutton_prompt_text = "$ "
