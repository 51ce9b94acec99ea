"""Helpers for layers, as in `torch.nn.utils`."""
