"""Reverse mode on tensors: `Var` holds a tensor, and with it how to go back to what it was computed from.

Each operation is its result, and for every operand a closure that turns the gradient of the result into the operand's. torch's own autograd
has no part in it. An operand that needs no gradient gets no closure, so a batch of data costs no product on the way back. The closures work
on tensors, not on `Var`s, which is fast and ends at first derivatives: for higher ones take `pullback.vjp` or the `Tape`.

After autograd's own numpy original (Maclaurin, Duvenaud and Adams, 2015), where each operand has a gradient function of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from typing import Any, TypeAlias

import torch
from torch import Tensor

from rungbook.scratch.autograd.walk import backwards
from rungbook.scratch.tensor.broadcasting import unbroadcast

Pull = Callable[[Tensor], Tensor]
Operand: TypeAlias = "Var | Tensor | float"


class _Mode(threading.local):
    recording = True


_mode = _Mode()


class no_graph(ContextDecorator):  # noqa: N801 (a context, used as torch.no_grad is)
    """Within it, or within a function decorated with it, results do not remember where they come from."""

    def __init__(self) -> None:
        self._before: list[bool] = []  # one instance may be entered again before it is left

    def __enter__(self) -> None:
        self._before.append(_mode.recording)
        _mode.recording = False

    def __exit__(self, *exception: object) -> None:
        _mode.recording = self._before.pop()


class Var:
    """A tensor that remembers how it came about.

    Args:
        data: floating point; its memory is shared, torch's gradient is not.
        needs_grad: whether `backward` is to leave a gradient in `grad`. Constants need no Var: tensors and numbers stand beside one in any
            operation.

    Raises:
        TypeError: the data is no floating point tensor, yet a gradient is needed.
    """

    __slots__ = ("data", "edges", "grad", "needs_grad", "op", "version")
    __array_ufunc__ = None  # numpy's arrays would otherwise take a Var for one more number

    def __init__(self, data: Tensor, needs_grad: bool = True) -> None:
        if needs_grad and not (isinstance(data, Tensor) and data.is_floating_point()):
            raise TypeError(f"a Var that needs a gradient holds a floating point tensor, not {getattr(data, 'dtype', type(data).__name__)}")
        self.data = data.detach()
        self.grad: Tensor | None = None
        self.needs_grad = needs_grad
        self.op = ""
        self.edges: tuple[tuple[Var, Pull, int], ...] | None = ()  # operand, way back to it, version of its data; None: used up
        self.version = self.data._version

    # two operands

    def __add__(self, other: Operand) -> Var:
        a, b = self.data, _tensor(other)
        return _result("add", a + b, (self, lambda g: _fit(g, a)), (other, lambda g: _fit(g, b)))

    __radd__ = __add__

    def __sub__(self, other: Operand) -> Var:
        a, b = self.data, _tensor(other)
        return _result("sub", a - b, (self, lambda g: _fit(g, a)), (other, lambda g: _fit(-g, b)))

    def __rsub__(self, other: Tensor | float) -> Var:
        b = self.data
        return _result("sub", _tensor(other) - b, (self, lambda g: _fit(-g, b)))

    def __mul__(self, other: Operand) -> Var:
        a, b = self.data, _tensor(other)
        return _result("mul", a * b, (self, lambda g: _fit(g * b, a)), (other, lambda g: _fit(g * a, b)))

    __rmul__ = __mul__

    def __truediv__(self, other: Operand) -> Var:
        a, b = self.data, _tensor(other)
        y = a / b
        return _result("div", y, (self, lambda g: _fit(g / b, a)), (other, lambda g: _fit(-g * y / b, b)))

    def __rtruediv__(self, other: Tensor | float) -> Var:
        b = self.data
        y = _tensor(other) / b
        return _result("div", y, (self, lambda g: _fit(-g * y / b, b)))

    def __pow__(self, other: Operand) -> Var:
        a, b = self.data, _tensor(other)
        y = a**b
        return _result(
            "pow", y, (self, lambda g: _fit(_power_in_base(g, a, b), a)), (other, lambda g: _fit(_power_in_exponent(g, a, b, y), b))
        )

    def __rpow__(self, other: Tensor | float) -> Var:
        a, b = torch.as_tensor(_tensor(other), dtype=self.data.dtype, device=self.data.device), self.data
        y = a**b
        return _result("pow", y, (self, lambda g: _fit(_power_in_exponent(g, a, b, y), b)))

    def __matmul__(self, other: Var | Tensor) -> Var:
        return _matmul(self, other)

    def __rmatmul__(self, other: Tensor) -> Var:
        return _matmul(other, self)

    # one operand, element by element

    def __neg__(self) -> Var:
        return _result("neg", -self.data, (self, lambda g: -g))

    def __abs__(self) -> Var:
        """`|x|`, with slope 0 at 0."""
        a = self.data
        return _result("abs", a.abs(), (self, lambda g: g * a.sign()))

    def exp(self) -> Var:
        """`e^x`."""
        y = self.data.exp()
        return _result("exp", y, (self, lambda g: g * y))

    def log(self) -> Var:
        """The natural logarithm."""
        a = self.data
        return _result("log", a.log(), (self, lambda g: g / a))

    def sqrt(self) -> Var:
        """The square root."""
        y = self.data.sqrt()
        return _result("sqrt", y, (self, lambda g: g / (2 * y)))

    def tanh(self) -> Var:
        """`(e^x - e^-x) / (e^x + e^-x)`."""
        y = self.data.tanh()
        return _result("tanh", y, (self, lambda g: g * (1 - y * y)))

    def sigmoid(self) -> Var:
        """`1 / (1 + e^-x)`."""
        y = self.data.sigmoid()
        return _result("sigmoid", y, (self, lambda g: g * y * (1 - y)))

    def relu(self) -> Var:
        """`max(0, x)`, with slope 0 at 0."""
        y = self.data.clamp(min=0)
        return _result("relu", y, (self, lambda g: g * y.sign()))  # 0 or 1, in a quarter of the time of a comparison and a choice

    # reductions

    def sum(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Var:
        """The sum over some dimensions, or over all of them if `dim` is None."""
        a = self.data
        return _result("sum", a.sum(dim, keepdim), (self, lambda g: _spread(g, a, dim, keepdim)))

    def mean(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Var:
        """The mean over some dimensions, or over all of them if `dim` is None."""
        a = self.data
        y = a.mean(dim, keepdim)
        return _result("mean", y, (self, lambda g: _spread(g * (y.numel() / a.numel()), a, dim, keepdim)))

    def amax(self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Var:
        """The largest over some dimensions, or over all of them if `dim` is None; those that tie share the gradient."""
        a = self.data
        y = a.amax(() if dim is None else dim, keepdim)

        def pull(g: Tensor) -> Tensor:
            hit = a == _spread(y, a, dim, keepdim)
            share = hit.sum(tuple(range(a.dim())) if dim is None else dim, keepdim=True)
            return _spread(g, a, dim, keepdim) * hit / share

        return _result("amax", y, (self, pull))

    def logsumexp(self, dim: int = -1, keepdim: bool = False) -> Var:
        """`log(sum(e^x))` over a dimension."""
        a = self.data
        y = a.logsumexp(dim, keepdim)
        return _result("logsumexp", y, (self, lambda g: _spread(g, a, dim, keepdim) * (a - _spread(y, a, dim, keepdim)).exp()))

    def softmax(self, dim: int = -1) -> Var:
        """`e^x / sum(e^x)` over a dimension."""
        y = self.data.softmax(dim)
        return _result("softmax", y, (self, lambda g: y * (g - (g * y).sum(dim, keepdim=True))))

    def log_softmax(self, dim: int = -1) -> Var:
        """`x - log(sum(e^x))` over a dimension."""
        y = self.data.log_softmax(dim)
        return _result("log_softmax", y, (self, lambda g: g - y.exp() * g.sum(dim, keepdim=True)))

    # the same elements in another order

    def reshape(self, *shape: int) -> Var:
        """Another shape of as many elements; one size may be -1."""
        a = self.data
        return _result("reshape", a.reshape(*shape), (self, lambda g: g.reshape(a.shape)))

    def transpose(self, dim0: int, dim1: int) -> Var:
        """Two dimensions exchanged."""
        return _result("transpose", self.data.transpose(dim0, dim1), (self, lambda g: g.transpose(dim0, dim1)))

    def permute(self, *dims: int) -> Var:
        """The dimensions in another order."""
        a = self.data
        back = sorted(range(a.dim()), key=lambda i: dims[i] % a.dim())
        return _result("permute", a.permute(*dims), (self, lambda g: g.permute(*back)))

    @property
    def mT(self) -> Var:  # noqa: N802 (torch's name)
        """The last two dimensions exchanged."""
        return self.transpose(-2, -1)

    def __getitem__(self, index: Any) -> Var:
        a = self.data
        return _result("index", a[index], (self, lambda g: _put(g, a, index)))

    # the way back

    def backward(self, seed: Tensor | None = None, *, keep_graph: bool = False) -> None:
        """Add the gradient of this result to the `grad` of every leaf that it was computed from.

        Args:
            seed: gradient of some loss in this result, of its shape; 1 if this is a single number.
            keep_graph: do not take the graph apart on the way, so that `backward` can be called again.

        Raises:
            RuntimeError: no leaf it depends on needs a gradient, there is no seed, the graph is used up, or data was overwritten.
        """
        if not self.needs_grad:
            raise RuntimeError("backward: this Var depends on none that needs a gradient, or was computed within no_graph")
        if seed is None:
            if self.data.numel() != 1:
                raise RuntimeError(f"backward of shape {tuple(self.shape)} needs a seed of this shape; only a single number goes without")
            seed = torch.ones_like(self.data)
        elif seed.shape != self.shape:
            raise RuntimeError(f"seed {tuple(seed.shape)} must have the result's shape {tuple(self.shape)}")
        taken = {seed.untyped_storage().data_ptr()}
        passed = {self: seed}
        for node in backwards(self, _sources):
            g = passed.pop(node)
            if not node.edges:
                node._keep(g, taken)
                continue
            for source, pull, version in node.edges:
                if version != source.data._version or node.version != node.data._version:
                    raise RuntimeError(
                        f"{node.op}: its result or an operand {tuple(source.shape)} was written to between forward and backward"
                    )
                part = pull(g)
                assert part.shape == source.data.shape, f"{node.op} passes {tuple(part.shape)} to {tuple(source.shape)}"
                passed[source] = passed[source] + part if source in passed else part
            if not keep_graph:
                node.edges = None

    def _keep(self, g: Tensor, taken: set[int]) -> None:
        """Add to `grad`. What closures pass on may be another leaf's too, or one number shown many times: such a tensor is copied."""
        g = g.to(self.data.dtype)
        if self.grad is not None:
            g = self.grad + g
        place = g.untyped_storage().data_ptr()
        self.grad = g.clone(memory_format=torch.contiguous_format) if place in taken or 0 in g.stride() else g
        taken.add(place)

    # what a tensor tells

    @property
    def shape(self) -> torch.Size:
        """The sizes of the dimensions."""
        return self.data.shape

    def dim(self) -> int:
        """The number of dimensions."""
        return self.data.dim()

    def item(self) -> float:
        """The number, of a Var of one element."""
        return self.data.item()

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        origin = f", op={self.op}" if self.op else "" if self.needs_grad else ", needs_grad=False"
        return f"Var({self.data}{origin})"


# functions of several operands


def cat(parts: list[Var | Tensor], dim: int = 0) -> Var:
    """Several put one after another along a dimension they have."""
    tensors = [_tensor(p) for p in parts]
    sizes = [t.shape[dim] for t in tensors]

    def piece(i: int) -> Pull:
        return lambda g: g.narrow(dim, sum(sizes[:i]), sizes[i])

    return _result("cat", torch.cat(tensors, dim), *((p, piece(i)) for i, p in enumerate(parts)))


def where(condition: Tensor, a: Operand, b: Operand) -> Var:
    """`a` where the condition holds, `b` elsewhere."""
    x, y = _tensor(a), _tensor(b)
    return _result(
        "where",
        torch.where(condition, x, y),
        (a, lambda g: _fit(torch.where(condition, g, 0), x)),
        (b, lambda g: _fit(torch.where(condition, 0, g), y)),
    )


def cross_entropy(logits: Var, target: Tensor) -> Var:
    """Mean over rows of `logsumexp(logits) - logits[target]`; the gradient in the logits is `(softmax - one_hot) / rows`.

    Args:
        logits: (N, C).
        target: (N), class numbers.
    """
    column = target[:, None]  # (N, 1)
    logp = logits.data.log_softmax(-1)

    def pull(g: Tensor) -> Tensor:
        p = logp.exp()
        return p.scatter_add_(1, column, p.new_full(column.shape, -1)).mul_(g / len(target))

    return _result("cross_entropy", -logp.gather(1, column).mean(), (logits, pull))


def vjp(f: Callable[..., Var], *inputs: Any) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor | None, ...]]]:
    """Value of a function of Vars, and what turns a gradient in the value into gradients in the inputs: the form `gradcheck` takes.

    Args:
        f: from Vars to a Var.
        inputs: floating point tensors become Vars, anything else is passed on as it is.

    Returns:
        The value, and a function from its gradient to one of each input: zeros where it has no influence, None for what became no Var.
    """
    given = [Var(x) if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs]
    out = f(*given)

    def pullback(g: Tensor) -> tuple[Tensor | None, ...]:
        leaves = [x for x in given if isinstance(x, Var)]
        for leaf in leaves:
            leaf.grad = None
        if out.needs_grad:
            out.backward(g, keep_graph=True)
        return tuple((torch.zeros_like(x.data) if x.grad is None else x.grad) if isinstance(x, Var) else None for x in given)

    return out.data, pullback


# how results are made, and what several ways back share


def _result(op: str, data: Tensor, *edges: tuple[Any, Pull]) -> Var:
    out = Var.__new__(Var)
    out.data, out.grad, out.op = data, None, op
    out.version = data._version
    if _mode.recording:
        out.edges = tuple([(x, pull, x.data._version) for x, pull in edges if isinstance(x, Var) and x.needs_grad])
    else:
        out.edges = ()
    out.needs_grad = bool(out.edges)
    return out


def _sources(node: Var) -> list[Var]:
    if node.edges is None:
        raise RuntimeError(f"{node.op}: this part of the graph was used up by an earlier backward; call that with keep_graph=True")
    return [edge[0] for edge in node.edges]


def _tensor(x: Any) -> Any:
    if isinstance(x, Var):
        return x.data
    if not isinstance(x, Tensor | float | int):
        raise TypeError(f"a Var meets Vars, tensors and numbers, not {type(x).__name__}")
    if isinstance(x, Tensor) and x.requires_grad:
        raise TypeError(f"a tensor {tuple(x.shape)} that requires a gradient of torch gets none beside a Var: wrap or detach it")
    return x


def _fit(g: Tensor, x: Tensor) -> Tensor:
    """Sum a gradient over the dimensions along which an operand was broadcast."""
    return g if g.shape == x.shape else unbroadcast(g, x.shape)


def _spread(g: Tensor, x: Tensor, dim: int | tuple[int, ...] | None, keepdim: bool) -> Tensor:
    """Give each element that was reduced the value of its reduction."""
    if dim is not None and not keepdim:
        for d in sorted(d % x.dim() for d in ((dim,) if isinstance(dim, int) else dim)):
            g = g.unsqueeze(d)
    return g.expand(x.shape)


def _put(g: Tensor, x: Tensor, index: Any) -> Tensor:
    """Zeros, with a gradient added where the index picks; what is picked twice gets both."""
    zeros = torch.zeros_like(x)
    place = zeros[index]
    if place.numel() and place.untyped_storage().data_ptr() == zeros.untyped_storage().data_ptr():
        place.copy_(g)  # plain slices are views, and a view holds no element twice
        return zeros
    positions = torch.arange(x.numel(), device=x.device).reshape(x.shape)[index].flatten()
    return x.new_zeros(x.numel()).index_add_(0, positions, g.flatten()).reshape(x.shape)


def _power_in_base(g: Tensor, a: Tensor, b: Any) -> Tensor:
    """`g b a^(b-1)`, 0 for b = 0 even where a^(b-1) is infinite."""
    slope = b * a ** (b - 1)
    if isinstance(b, Tensor):
        slope = slope.masked_fill(b == 0, 0)
    elif b == 0:
        slope = torch.zeros_like(a)
    return g * slope


def _power_in_exponent(g: Tensor, a: Tensor, b: Tensor, y: Tensor) -> Tensor:
    """`g a^b log a`, 0 where the base is 0 and the exponent not negative."""
    return g * (y * a.log()).masked_fill((a == 0) & (b >= 0), 0)


def _matmul(left: Var | Tensor, right: Var | Tensor) -> Var:
    """The matrix product, by torch's rules: a vector on the left is a row, on the right a column, further dimensions are broadcast."""
    a, b = _tensor(left), _tensor(right)
    if a.dim() == 1:
        return _squeeze(_matmul(left.reshape(1, -1), right), -1 if b.dim() == 1 else -2)
    if b.dim() == 1:
        return _squeeze(_matmul(left, right.reshape(-1, 1)), -1)

    def pull_left(g: Tensor) -> Tensor:
        return _fit(g @ b.mT, a)

    def pull_right(g: Tensor) -> Tensor:
        if b.dim() == 2 < a.dim():  # one weight for a batch of matrices: a single product over all their rows
            return a.reshape(-1, a.shape[-1]).mT @ g.reshape(-1, g.shape[-1])
        return _fit(a.mT @ g, b)

    return _result("matmul", a @ b, (left, pull_left), (right, pull_right))


def _squeeze(x: Var, dim: int) -> Var:
    return _result("squeeze", x.data.squeeze(dim), (x, lambda g: g.unsqueeze(dim)))
