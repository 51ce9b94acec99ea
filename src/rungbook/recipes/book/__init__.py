"""The named recipes, by subject; importing this package enters them all."""

from rungbook.recipes.book import first

__all__ = ["first"]
