"""Recipes: what to train on what, how, and what comes of it; and the machinery that carries them out."""
