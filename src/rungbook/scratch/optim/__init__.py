"""The optimisers of `torch.optim`, and LAMB, LARS and Lion besides; schedules of learning rates are in `lr_scheduler`.

Names, arguments, state and its order are torch's: a `state_dict` loads either way, in the middle of a run. All subclass
`torch.optim.Optimizer`, so that whatever takes one of torch's takes ours.
"""

from rungbook.scratch.optim import lr_scheduler as lr_scheduler
from rungbook.scratch.optim.adafactor import Adafactor
from rungbook.scratch.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam, SparseAdam
from rungbook.scratch.optim.adaptive import Adadelta, Adagrad, RMSprop
from rungbook.scratch.optim.layerwise import LAMB, LARS, Lion
from rungbook.scratch.optim.lbfgs import LBFGS
from rungbook.scratch.optim.muon import Muon
from rungbook.scratch.optim.sgd import ASGD, SGD, Rprop
from rungbook.scratch.optim.stateful import StatefulOptimizer

__all__ = [
    "ASGD",
    "LAMB",
    "LARS",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "StatefulOptimizer",
]
