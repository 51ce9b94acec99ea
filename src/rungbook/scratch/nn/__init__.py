"""The layers and losses of `torch.nn`, each a `torch.nn.Module` that sits in torch's containers and loads torch's checkpoints.

Names, arguments, attributes, parameters, their order and their seeded initial values are torch's.
"""

from rungbook.scratch.nn.activation import ReLU
from rungbook.scratch.nn.linear import Linear

__all__ = ["Linear", "ReLU"]
