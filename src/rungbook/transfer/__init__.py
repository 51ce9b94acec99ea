"""Weights somebody else trained, and what it takes to train on from them: where to get them, new heads, freezing, rates by depth."""
