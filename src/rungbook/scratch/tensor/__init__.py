"""Rung 1, the tensor: what a product, a broadcast, a view and a window are, in loops, in strides and in C."""
