"""Which module holds which recipe, so that a command loads the one it needs and not all of them."""

from __future__ import annotations

from importlib import import_module

HOLDS: dict[str, tuple[str, ...]] = {
    "book.batches": ("batch_sizes", "data_loader"),
    "book.cars": ("cars", "cars_network"),
    "book.cifar": ("cifar10",),
    "book.craft": ("averages", "changed_images", "mixtures", "one_cycle", "smoothed_labels"),
    "book.diabetes": ("diabetes", "diabetes_batch_norm", "diabetes_forest"),
    "book.dropout": ("dropout",),
    "book.fine_tuning": ("fine_tuning",),
    "book.first": ("digits", "fully_connected", "lenet", "mlp", "softmax_regression", "too_long", "two_conv"),
    "book.folder": ("image_folder",),
    "book.honest_split": ("forest", "softmax_twice"),
    "book.houses": ("house_prices",),
    "book.lines": ("line", "line_by_hand", "polynomial", "weight_decay"),
    "book.networks": ("alexnet", "densenet", "googlenet", "nin", "resnet", "vgg", "vit", "xresnet"),
    "book.norms": ("activations", "norms", "starts"),
    "book.points": ("blobs", "wine"),
    "book.residuals": ("residuals",),
    "book.sigmoid": ("sigmoid_lenet",),
    "book.timing": ("timing",),
    "book.transfer": ("transfer",),
    "own": ("images", "table", "text"),
}
"""Module within `rungbook.recipes` -> the names that `@recipe` enters there."""
PLACES = {name: f"rungbook.recipes.{module}" for module, names in HOLDS.items() for name in names}
"""Recipe -> module."""


def fetch(name: str) -> None:
    """Load the module that holds a recipe; does nothing for a name that is not ours."""
    if name in PLACES:
        import_module(PLACES[name])
