"""What torch.nn stands on, by hand: `Module`, `Parameter`, containers, and on them the layers of a LeNet and a GPT.

The names are torch.nn's, so a model written against a namespace `nn` runs on either: `make(torch.nn)`, `make(rungbook.scratch.module)`.
"""

from rungbook.scratch.module.containers import ModuleDict, ModuleList, ParameterList, Sequential
from rungbook.scratch.module.hooks import Handle
from rungbook.scratch.module.layers import (
    GELU,
    AvgPool2d,
    Conv2d,
    Dropout,
    Embedding,
    Flatten,
    LayerNorm,
    Linear,
    MaxPool2d,
    ReLU,
    Sigmoid,
)
from rungbook.scratch.module.module import Module
from rungbook.scratch.module.parameter import Parameter
from rungbook.scratch.module.state import IncompatibleKeys

__all__ = [
    "GELU",
    "AvgPool2d",
    "Conv2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "Handle",
    "IncompatibleKeys",
    "LayerNorm",
    "Linear",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterList",
    "ReLU",
    "Sequential",
    "Sigmoid",
]
