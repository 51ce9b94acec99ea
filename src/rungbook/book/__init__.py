"""The course as software: lessons that run, the site made of them, and the slides.

A lesson imports from here what it shows with; everything else it shows is the library itself.
"""

from rungbook.book.show import Slider, refuses, show, source, table

__all__ = ["Slider", "refuses", "show", "source", "table"]
