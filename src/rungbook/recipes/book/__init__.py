"""The named recipes, by subject; `rungbook.recipes.places` says which module holds which."""
