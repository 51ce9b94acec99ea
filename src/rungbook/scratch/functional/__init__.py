"""The functions of `torch.nn.functional`, each written out once in tensor operations; `nn` and the losses are built on them.

Names, arguments and defaults are torch's. An argument that is not supported raises NotImplementedError and names itself.
"""

from rungbook.scratch.functional.activation import relu
from rungbook.scratch.functional.linear import linear

__all__ = ["linear", "relu"]
