"""Rung 2, autograd: derivatives of whatever was computed, four times over.

`Value` is the chain rule on single numbers, `Var` on tensors with its graph in the open, `pullback` as a function of functions and to any
order, `Tape` below torch's own autograd and for any model. `gradcheck` holds all of them to finite differences.
"""

from rungbook.scratch.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from rungbook.scratch.autograd.other_gradients import reverse_gradient, straight_through
from rungbook.scratch.autograd.pullback import grad, hessian, jacobian, jvp, value_and_grad, vjp
from rungbook.scratch.autograd.tape import Tape
from rungbook.scratch.autograd.value import Value
from rungbook.scratch.autograd.var import Var, no_graph

__all__ = [
    "GradcheckError",
    "Tape",
    "Value",
    "Var",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "hessian",
    "jacobian",
    "jvp",
    "no_graph",
    "reverse_gradient",
    "straight_through",
    "value_and_grad",
    "vjp",
]
