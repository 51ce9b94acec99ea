"""Models for images, (B, C, H, W)."""
