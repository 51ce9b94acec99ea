"""Differentiation as a function of functions: a value comes with its pullback, and pullbacks compose.

The pullback of f at x is the linear map that turns a gradient in f(x) into one in x. Those of a few primitives are given below, one a line;
the chain rule says that a composition is pulled back by the pullbacks of its steps in reverse order, and that is all `vjp` does: it runs f
on values that write down which primitive was called on what. Nothing is stored in the values a caller holds, nothing outlives the pullback.

Pullbacks are written in primitives themselves, so they can be differentiated again, to any order: `grad(grad(f))`. Each `vjp` has a level
of its own, and a primitive belongs to the newest among its operands; for those further out it goes on as an ordinary computation.
After Pearlmutter and Siskind, Reverse-mode AD in a functional framework (2008); signatures are those of `torch.func`.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.tensor.broadcasting import unbroadcast

_levels = itertools.count()


class Primitive:
    """A function of tensors that comes with the way back.

    Args:
        forward: from tensors and numbers to a tensor; keyword arguments are settings, not differentiated.
        pulls: for each operand, `pull(g, y, *operands, **settings)`: the operand's gradient from the result's gradient g and the result y,
            written in primitives and operators.
    """

    def __init__(self, forward: Callable[..., Any], *pulls: Callable[..., Any]) -> None:
        self.forward, self.pulls = forward, pulls

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind to the first operand, as a function in a class does."""
        return self if instance is None else partial(self, instance)

    def __call__(self, *operands: Any, **settings: Any) -> Any:
        traces = [x.trace for x in operands if isinstance(x, Traced)]
        if not traces:
            return self.forward(*operands, **settings)
        return max(traces, key=lambda t: t.level).record(self, operands, settings)

    def value_and_pullback(self, *operands: Any, **settings: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        """The result, and what turns a gradient in it into one in each operand."""
        y = self(*operands, **settings)
        return y, lambda g: tuple(pull(g, y, *operands, **settings) for pull in self.pulls)


class Trace:
    """What one `vjp` writes down: which primitive made which value from which others, in order (Wengert, 1964)."""

    def __init__(self) -> None:
        self.level = next(_levels)
        self.calls: list[tuple[int, list[tuple[int, Callable[[Any], Any]]]]] = []
        self._numbers = itertools.count()

    def new(self, value: Any) -> Traced:
        """A value of this trace."""
        return Traced(value, self, next(self._numbers))

    def record(self, primitive: Primitive, operands: Sequence[Any], settings: dict[str, Any]) -> Traced:
        """Call a primitive one level further out, and write down how to pull back through it."""
        plain = [x.value if isinstance(x, Traced) and x.trace is self else x for x in operands]
        y = primitive(*plain, **settings)
        result = self.new(y)

        def way_back(pull: Callable[..., Any]) -> Callable[[Any], Any]:
            return lambda g: pull(g, y, *plain, **settings)

        pairs = zip(operands, primitive.pulls, strict=True)
        back = [(x.number, way_back(pull)) for x, pull in pairs if isinstance(x, Traced) and x.trace is self]
        self.calls.append((result.number, back))
        return result

    def pull(self, grads: dict[int, Any]) -> dict[int, Any]:
        """From gradients of results, by their numbers, to gradients of whatever was not made by a call."""
        grads = dict(grads)
        for made, back in reversed(self.calls):
            if made in grads:
                g = grads.pop(made)
                for source, pull in back:
                    part = pull(g)
                    grads[source] = grads[source] + part if source in grads else part
        return grads


# shapes: what repeats is summed, what is summed repeats


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a tensor, () for a number."""
    return tuple(getattr(x, "shape", ()))


def value_of(x: Any) -> Any:
    """The plain tensor within: for what is decided by a value and has no slope."""
    while isinstance(x, Traced):
        x = x.value
    return x


def fit(g: Any, x: Any) -> Any:
    """Sum a gradient over the dimensions along which an operand was broadcast."""
    return g if shape_of(g) == shape_of(x) else sum_to(g, shape=shape_of(x))


def _summed(x: Tensor, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    return x.sum(dim, keepdim)


def _spread(g: Any, x: Any, dim: int | tuple[int, ...] | None, keepdim: bool) -> Any:
    """Give each element that was reduced the value of its reduction."""
    if not keepdim:
        dims = range(len(shape_of(x))) if dim is None else [dim] if isinstance(dim, int) else dim
        reduced = {d % len(shape_of(x)) for d in dims}
        g = reshape(g, shape=tuple(1 if d in reduced else n for d, n in enumerate(shape_of(x))))
    return expand_to(g, shape=shape_of(x))


def _inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    """The order of dimensions that undoes one."""
    return tuple(sorted(range(len(dims)), key=lambda i: dims[i] % len(dims)))


def _put(g: Tensor, shape: tuple[int, ...], index: Any) -> Tensor:
    """Zeros of a shape, with g added where the index picks; what is picked twice gets both."""
    places = torch.arange(torch.Size(shape).numel(), device=g.device).reshape(shape)[index].flatten()
    return g.new_zeros(torch.Size(shape).numel()).index_add_(0, places, g.flatten()).reshape(shape)


def _ties(y: Any, x: Any, dim: int | tuple[int, ...] | None, keepdim: bool) -> Tensor:
    """Where x is the largest, as shares that sum to 1."""
    x = value_of(x)
    hit = (x == _spread(value_of(y), x, dim, keepdim)).to(x.dtype)
    return hit / hit.sum(tuple(range(x.dim())) if dim is None else dim, keepdim=True)


expand_to = Primitive(lambda x, shape: x.expand(shape), lambda g, y, x, shape: sum_to(g, shape=shape_of(x)))
sum_to: Primitive = Primitive(lambda x, shape: unbroadcast(x, shape), lambda g, y, x, shape: expand_to(g, shape=shape_of(x)))
reshape: Primitive = Primitive(lambda x, shape: x.reshape(shape), lambda g, y, x, shape: reshape(g, shape=shape_of(x)))
permute: Primitive = Primitive(lambda x, dims: x.permute(dims), lambda g, y, x, dims: permute(g, dims=_inverse(dims)))
index = Primitive(lambda x, index: x[index], lambda g, y, x, index: put(g, shape=shape_of(x), index=index))
put: Primitive = Primitive(_put, lambda g, y, x, shape, index: g[index])
summed = Primitive(_summed, lambda g, y, x, dim=None, keepdim=False: _spread(g, x, dim, keepdim))
largest = Primitive(
    lambda x, dim=None, keepdim=False: x.amax(() if dim is None else dim, keepdim),
    lambda g, y, x, dim=None, keepdim=False: _spread(g, x, dim, keepdim) * _ties(y, x, dim, keepdim),
)

# arithmetic


def _in_base(g: Any, y: Any, a: Any, b: Any) -> Any:
    """`g b a^(b-1)`, 0 for b = 0 even where a^(b-1) is infinite."""
    if shape_of(b):
        usable = value_of(b) != 0
        return fit(where(usable, g * b * a ** where(usable, b - 1, 0.0), 0.0), a)
    return fit(g * b * a ** (b - 1) if value_of(b) != 0 else g * 0, a)


def _in_exponent(g: Any, y: Any, a: Any, b: Any) -> Any:
    """`g a^b log a`, 0 where the base is 0."""
    if not isinstance(a, Tensor | Traced):
        a = torch.tensor(a, dtype=y.dtype, device=y.device)
    return fit(g * y * log(where(value_of(a) != 0, a, 1.0)), b)


add = Primitive(operator.add, lambda g, y, a, b: fit(g, a), lambda g, y, a, b: fit(g, b))
sub = Primitive(operator.sub, lambda g, y, a, b: fit(g, a), lambda g, y, a, b: fit(-g, b))
mul = Primitive(operator.mul, lambda g, y, a, b: fit(g * b, a), lambda g, y, a, b: fit(g * a, b))
div = Primitive(operator.truediv, lambda g, y, a, b: fit(g / b, a), lambda g, y, a, b: fit(-g * y / b, b))
power = Primitive(operator.pow, _in_base, _in_exponent)
neg = Primitive(operator.neg, lambda g, y, x: -g)
matrices = Primitive(operator.matmul, lambda g, y, a, b: fit(g @ mT(b), a), lambda g, y, a, b: fit(mT(a) @ g, b))
choice = Primitive(
    lambda a, b, condition: torch.where(condition, a, b),
    lambda g, y, a, b, condition: fit(where(condition, g, 0.0), a),
    lambda g, y, a, b, condition: fit(where(condition, 0.0, g), b),
)

# functions of one number

exp = Primitive(lambda x: x.exp(), lambda g, y, x: g * y)
log = Primitive(lambda x: x.log(), lambda g, y, x: g / x)
sqrt = Primitive(lambda x: x.sqrt(), lambda g, y, x: g / (2 * y))
sin = Primitive(lambda x: x.sin(), lambda g, y, x: g * cos(x))
cos: Primitive = Primitive(lambda x: x.cos(), lambda g, y, x: -g * sin(x))
tanh = Primitive(lambda x: x.tanh(), lambda g, y, x: g * (1 - y * y))
sigmoid = Primitive(lambda x: x.sigmoid(), lambda g, y, x: g * y * (1 - y))
relu = Primitive(lambda x: x.clamp(min=0), lambda g, y, x: g * value_of(y).sign())
absolute = Primitive(operator.abs, lambda g, y, x: g * value_of(x).sign())

# made of these


def transpose(x: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions exchanged."""
    dims = list(range(len(shape_of(x))))
    dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
    return permute(x, dims=tuple(dims))


def mT(x: Any) -> Any:  # noqa: N802 (torch's name)
    """The last two dimensions exchanged."""
    return transpose(x, -2, -1)


def where(condition: Tensor, a: Any, b: Any) -> Any:
    """`a` where the condition holds, `b` elsewhere."""
    return choice(a, b, condition=condition)


def matmul(a: Any, b: Any) -> Any:
    """The matrix product, by torch's rules: a vector on the left is a row, on the right a column, further dimensions are broadcast."""
    rows = reshape(a, shape=(1, *shape_of(a))) if len(shape_of(a)) == 1 else a
    columns = reshape(b, shape=(*shape_of(b), 1)) if len(shape_of(b)) == 1 else b
    y = matrices(rows, columns)
    shape = [*shape_of(y)[:-2], *shape_of(a)[-2:-1], *(shape_of(b)[-1:] if columns is b else ())]
    return y if rows is a and columns is b else reshape(y, shape=tuple(shape))


def mean(x: Any, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Any:
    """The mean over some dimensions, or over all of them if `dim` is None."""
    total = summed(x, dim=dim, keepdim=keepdim)
    return total * (torch.Size(shape_of(total)).numel() / torch.Size(shape_of(x)).numel())


def logsumexp(x: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """`log(sum(e^x))` over a dimension: the largest is taken out first, as a constant, since the result does not depend on it."""
    top = value_of(x).amax(dim, keepdim=True)
    y = log(summed(exp(x - top), dim=dim, keepdim=True)) + top
    return y if keepdim else index(y, index=(slice(None),) * (dim % len(shape_of(x))) + (0,))


def cat(parts: Sequence[Any], dim: int = 0) -> Any:
    """Several put one after another along a dimension: each into zeros of the whole shape, and these are added."""
    if not any(isinstance(p, Traced) for p in parts):
        return torch.cat(list(parts), dim)
    first = shape_of(parts[0])
    ends = list(itertools.accumulate(shape_of(p)[dim] for p in parts))
    before = dim % len(first)
    whole = (*first[:before], ends[-1], *first[before + 1 :])

    def placed(part: Any, end: int) -> Any:
        return put(part, shape=whole, index=(slice(None),) * before + (slice(end - shape_of(part)[dim], end),))

    return sum((placed(p, end) for p, end in zip(parts[1:], ends[1:], strict=True)), placed(parts[0], ends[0]))


def _all_sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes


class Traced:
    """A tensor within a `vjp`: computes as a tensor does, and has it written down.

    Args:
        value: a tensor, or what a `vjp` further out traces.
        trace: that it belongs to.
        number: under which the trace knows it.
    """

    __slots__ = ("number", "trace", "value")
    __array_ufunc__ = None  # numpy's arrays would otherwise take it for one more number

    def __init__(self, value: Any, trace: Trace, number: int) -> None:
        self.value, self.trace, self.number = value, trace, number

    __add__, __sub__, __mul__, __truediv__, __pow__, __neg__, __abs__ = add, sub, mul, div, power, neg, absolute
    __radd__ = lambda self, other: add(other, self)
    __rsub__ = lambda self, other: sub(other, self)
    __rmul__ = lambda self, other: mul(other, self)
    __rtruediv__ = lambda self, other: div(other, self)
    __rpow__ = lambda self, other: power(other, self)
    __matmul__ = matmul
    __rmatmul__ = lambda self, other: matmul(other, self)
    __getitem__ = lambda self, i: index(self, index=i)
    __lt__ = lambda self, other: value_of(self) < value_of(other)
    __le__ = lambda self, other: value_of(self) <= value_of(other)
    __gt__ = lambda self, other: value_of(self) > value_of(other)
    __ge__ = lambda self, other: value_of(self) >= value_of(other)

    exp, log, sqrt, sin, cos, tanh, sigmoid, relu, abs = exp, log, sqrt, sin, cos, tanh, sigmoid, relu, absolute
    mean, logsumexp = mean, logsumexp
    mT = property(mT)  # noqa: N815
    sum = lambda self, dim=None, keepdim=False: summed(self, dim=dim, keepdim=keepdim)
    amax = lambda self, dim=None, keepdim=False: largest(self, dim=dim, keepdim=keepdim)
    reshape = lambda self, *shape: reshape(self, shape=_all_sizes(shape))
    expand = lambda self, *shape: expand_to(self, shape=_all_sizes(shape))
    permute = lambda self, *dims: permute(self, dims=dims)
    transpose = transpose
    softmax = lambda self, dim=-1: (self - logsumexp(self, dim, keepdim=True)).exp()
    log_softmax = lambda self, dim=-1: self - logsumexp(self, dim, keepdim=True)

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    device = property(lambda self: self.value.device)
    dim = lambda self: len(self.shape)
    item = lambda self: value_of(self).item()
    __len__ = lambda self: len(self.value)

    def __repr__(self) -> str:
        return f"Traced({self.value!r}, level={self.trace.level})"


# functions of functions


def leaves(tree: Any) -> Iterator[Any]:
    """What tuples, lists and dicts hold, however deep."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, tuple | list):
        for value in tree:
            yield from leaves(value)
    else:
        yield tree


def rebuilt(tree: Any, new: Iterator[Any]) -> Any:
    """The same tuples, lists and dicts around other leaves."""
    if isinstance(tree, dict):
        return {key: rebuilt(value, new) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        values = [rebuilt(value, new) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return next(new)


def _has_slope(x: Any) -> bool:
    x = value_of(x)
    return isinstance(x, float) or (isinstance(x, Tensor) and x.is_floating_point())


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """The value of a function, and its pullback.

    Args:
        f: of primals; it may return tensors in tuples, lists and dicts, and use what is traced further out.
        primals: tensors, numbers, or tuples, lists and dicts of them; anything but floating point is passed on as it is.
        has_aux: f returns a pair, of which only the first is to be differentiated.

    Returns:
        The value, the pullback, and with `has_aux` the second of the pair. The pullback takes a gradient for each leaf of the value, in the
        same form, and returns a tuple with one for each primal: zeros where it has no influence, None for a leaf without a slope. It can be
        called as often as one likes, and differentiated.

    Raises:
        ValueError: (of the pullback) a gradient has not the shape of its value, or there are too few or too many.
    """
    trace = Trace()
    given = [torch.tensor(x, dtype=torch.float64) if isinstance(x, float) else x for x in leaves(primals)]
    traced = [trace.new(x) if _has_slope(x) else x for x in given]
    out = f(*rebuilt(primals, iter(traced)))
    out, aux = out if has_aux else (out, None)

    def plain(tree: Any) -> Any:
        return rebuilt(tree, iter([x.value if isinstance(x, Traced) and x.trace is trace else x for x in leaves(tree)]))

    def pullback(gradient: Any) -> tuple[Any, ...]:
        results, seeds = list(leaves(out)), list(leaves(gradient))
        if len(results) != len(seeds):
            raise ValueError(f"the value has {len(results)} leaves, the pullback was given {len(seeds)} gradients")
        grads: dict[int, Any] = {}
        for result, seed in zip(results, seeds, strict=True):
            if not isinstance(result, Traced) or result.trace is not trace:
                continue
            if shape_of(seed) != shape_of(result):
                raise ValueError(f"a gradient of shape {shape_of(seed)} was given for a value of shape {shape_of(result)}")
            grads[result.number] = grads[result.number] + seed if result.number in grads else seed
        grads = trace.pull(grads)
        found = [grads.get(t.number, torch.zeros_like(value_of(t))) if isinstance(t, Traced) and t.trace is trace else None for t in traced]
        return rebuilt(primals, iter(found))

    return (plain(out), pullback, plain(aux)) if has_aux else (plain(out), pullback)


def chain(*functions: Callable[..., Any]) -> Callable[..., tuple[Any, Callable[[Any], tuple[Any, ...]]]]:
    """The chain rule in the open: value and pullback of `f3(f2(f1(x)))` from those of each step alone.

    Args:
        functions: the first to be applied first, to any number of arguments; the others to the value before them.
    """

    def composed(*primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        pullbacks = []
        for f in functions:
            value, pullback = vjp(f, *primals)
            primals = (value,)
            pullbacks.append(pullback)

        def back(gradient: Any) -> tuple[Any, ...]:
            for pullback in reversed(pullbacks[1:]):
                (gradient,) = pullback(gradient)
            return pullbacks[0](gradient)

        return primals[0], back

    return composed


def value_and_grad(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., tuple[Any, Any]]:
    """The function that returns the value of f, a single number, and its gradient in the arguments named by position."""

    def both(*primals: Any) -> tuple[Any, Any]:
        value, pullback = vjp(f, *primals)
        if torch.Size(shape_of(value)).numel() != 1:
            raise ValueError(f"grad needs a function with a single number as its value, not shape {shape_of(value)}; take vjp or jacobian")
        gradients = pullback(torch.ones_like(value_of(value)))
        return value, gradients[argnums] if isinstance(argnums, int) else tuple(gradients[i] for i in argnums)

    return both


def grad(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The function that returns the gradient of f, whose value is a single number."""
    both = value_and_grad(f, argnums)
    return lambda *primals: both(*primals)[1]


def jacobian(f: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    """The function that returns all derivatives of f in one tensor argument: the value's shape, then the argument's.

    Each row of it is what the pullback makes of one unit vector.
    """

    def rows(*primals: Any) -> Any:
        value, pullback = vjp(f, *primals)
        plain = value_of(value)
        units = torch.eye(plain.numel(), dtype=plain.dtype, device=plain.device).reshape(-1, *plain.shape)
        argument = shape_of(primals[argnum])
        found = [reshape(pullback(unit)[argnum], shape=(1, *argument)) for unit in units]
        return reshape(cat(found), shape=(*plain.shape, *argument)) if found else plain.new_zeros((*plain.shape, *argument))

    return rows


def hessian(f: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    """The function that returns all second derivatives of f, whose value is a single number, in one tensor argument."""
    return jacobian(grad(f, argnum), argnum)


def jvp(f: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """The value of f, and its derivative along a direction.

    A pullback is linear in the gradient it is given, so its own pullback is the map it transposes: from tangents of the arguments to those
    of the value (Christianson, 1992, for products with second derivatives).
    """
    value, pullback = vjp(f, *primals)
    zeros = rebuilt(value, iter([torch.zeros_like(value_of(x)) if _has_slope(x) else x for x in leaves(value)]))
    _, pushforward = vjp(pullback, zeros)
    return value, pushforward(tangents)[0]
