"""The named recipes, by subject; importing this package enters them all."""

from rungbook.recipes.book import cars, diabetes, dropout, first, folder, honest_split, houses, lines, points, timing

__all__ = ["cars", "diabetes", "dropout", "first", "folder", "honest_split", "houses", "lines", "points", "timing"]
