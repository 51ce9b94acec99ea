"""Data: sources, splits and their audit, and feeding a model from them."""
