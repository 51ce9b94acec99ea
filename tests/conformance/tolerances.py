"""How far a twin may be from torch, in float64, relative to the larger of 1 and torch's own value: the one place where it is said."""

VALUES = 1e-9
GRADIENTS = 1e-8
TRAJECTORY = 1e-10
"""Parameters after 100 optimiser steps."""
