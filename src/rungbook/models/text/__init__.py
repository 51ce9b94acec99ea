"""Models for texts."""
