"""The named recipes, by subject; importing this package enters them all."""

from rungbook.recipes.book import batches, cars, diabetes, dropout, first, folder, honest_split, houses, lines, points, sigmoid, timing

__all__ = ["batches", "cars", "diabetes", "dropout", "first", "folder", "honest_split", "houses", "lines", "points", "sigmoid", "timing"]
