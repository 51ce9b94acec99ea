"""The named recipes, by subject; importing this package enters them all."""

from rungbook.recipes.book import first, folder, timing

__all__ = ["first", "folder", "timing"]
