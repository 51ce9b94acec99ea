"""Reverse mode on single numbers: the chain rule and nothing else.

An operation on numbers is recorded as what it was computed from and its slope in each: `c = a * b` has slope b in a and slope a in b. The
derivative of a result in any number before it is the sum, over all paths between them, of the product of the slopes along the path. Going
backwards, users before inputs, gets all of these at once, in about as many steps as the computation took: Linnainmaa (1970); Speelpenning
(1980). Numbers are Python floats, and Python's errors are theirs: 1 / 0 raises ZeroDivisionError, log(0) ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from rungbook.scratch.autograd.walk import backwards

Number = int | float


class Value:
    """A number that remembers how it came about.

    Args:
        data: the number.
        label: a name for `listing` and `dot`.
    """

    __slots__ = ("data", "grad", "inputs", "label", "op")

    def __init__(self, data: Number, label: str = "") -> None:
        self.data = float(data)
        self.grad = 0.0
        self.op = ""
        self.label = label
        self.inputs: tuple[tuple[Value, float], ...] = ()  # what it was computed from, with the slope in each

    def __repr__(self) -> str:
        return f"Value({self.data:g}, grad={self.grad:g}{', label=' + repr(self.label) if self.label else ''})"

    def __float__(self) -> float:
        return self.data

    # two numbers

    def __add__(self, other: Value | Number) -> Value:
        other = _value(other)
        return _result("+", self.data + other.data, (self, 1.0), (other, 1.0))

    def __sub__(self, other: Value | Number) -> Value:
        other = _value(other)
        return _result("-", self.data - other.data, (self, 1.0), (other, -1.0))

    def __mul__(self, other: Value | Number) -> Value:
        other = _value(other)
        return _result("*", self.data * other.data, (self, other.data), (other, self.data))

    def __truediv__(self, other: Value | Number) -> Value:
        other = _value(other)
        quotient = self.data / other.data
        return _result("/", quotient, (self, 1 / other.data), (other, -quotient / other.data))

    def __pow__(self, other: Value | Number) -> Value:
        """`x ** y`, with slope `y x^(y-1)` in x and `x^y log x` in y: nan in y where x < 0, for a power of it has no neighbours there."""
        other = _value(other)
        x, y = self.data, other.data
        if x < 0 and not y.is_integer():
            raise ValueError(f"{x:g} ** {y:g} is no real number: a negative base needs a whole exponent")
        power = x**y
        if y == 0:
            in_x = 0.0
        elif x == 0 and y < 1:
            in_x = math.inf
        else:
            in_x = y * x ** (y - 1)
        in_y = power * math.log(x) if x > 0 else 0.0 if x == 0 else math.nan
        return _result("**", power, (self, in_x), (other, in_y))

    def maximum(self, other: Value | Number) -> Value:
        """The larger of two; each has slope 1/2 where they are equal."""
        other = _value(other)
        share = 0.5 if self.data == other.data else float(self.data > other.data)
        return _result("max", max(self.data, other.data), (self, share), (other, 1 - share))

    def minimum(self, other: Value | Number) -> Value:
        """The smaller of two; each has slope 1/2 where they are equal."""
        return -(-self).maximum(-_value(other))

    def __radd__(self, other: Number) -> Value:
        return _value(other) + self

    def __rsub__(self, other: Number) -> Value:
        return _value(other) - self

    def __rmul__(self, other: Number) -> Value:
        return _value(other) * self

    def __rtruediv__(self, other: Number) -> Value:
        return _value(other) / self

    def __rpow__(self, other: Number) -> Value:
        return _value(other) ** self

    # one number

    def __neg__(self) -> Value:
        return _result("neg", -self.data, (self, -1.0))

    def __abs__(self) -> Value:
        """`|x|`, with slope 0 at 0."""
        return _result("abs", abs(self.data), (self, 0.0 if self.data == 0 else math.copysign(1, self.data)))

    def exp(self) -> Value:
        """`e^x`."""
        y = math.exp(self.data)
        return _result("exp", y, (self, y))

    def log(self) -> Value:
        """The natural logarithm."""
        return _result("log", math.log(self.data), (self, 1 / self.data))

    def sqrt(self) -> Value:
        """The square root; its slope at 0 is infinite."""
        y = math.sqrt(self.data)
        return _result("sqrt", y, (self, 0.5 / y if y else math.inf))

    def sin(self) -> Value:
        """The sine of an angle in radians."""
        return _result("sin", math.sin(self.data), (self, math.cos(self.data)))

    def cos(self) -> Value:
        """The cosine of an angle in radians."""
        return _result("cos", math.cos(self.data), (self, -math.sin(self.data)))

    def tanh(self) -> Value:
        """`(e^x - e^-x) / (e^x + e^-x)`."""
        y = math.tanh(self.data)
        return _result("tanh", y, (self, 1 - y * y))

    def sigmoid(self) -> Value:
        """`1 / (1 + e^-x)`, written so that no exponent is positive: e^x overflows a float beyond x = 709."""
        e = math.exp(-abs(self.data))
        y = (1 if self.data >= 0 else e) / (1 + e)
        return _result("sigmoid", y, (self, y * (1 - y)))

    def relu(self) -> Value:
        """`max(0, x)`, with slope 0 at 0."""
        return _result("relu", max(self.data, 0.0), (self, float(self.data > 0)))

    # the way back

    def backward(self, seed: float = 1.0) -> None:
        """Add the derivative of this number, times `seed`, to the `grad` of every number it was computed from, and to its own.

        What is passed on is kept apart from `grad`, which may hold what an earlier call or another result left there.
        """
        passed = {self: seed}
        for node in backwards(self, _sources):
            g = passed.pop(node)
            node.grad += g
            for source, slope in node.inputs:
                passed[source] = passed.get(source, 0.0) + g * slope

    def zero_grad(self) -> None:
        """Set the `grad` of this number and of all it was computed from to 0."""
        for node in backwards(self, _sources):
            node.grad = 0.0

    # pictures

    def listing(self) -> str:
        """The computation as a program, one number a line: `c = a * b`, its value and its gradient."""
        names = self._names()
        lines = []
        for node, name in names.items():
            sources = [names[s] for s, _ in node.inputs]
            if not sources:
                made = "given"
            elif len(sources) == 2 and not node.op.isalpha():
                made = f"{sources[0]} {node.op} {sources[1]}"
            else:
                made = f"{node.op}({', '.join(sources)})"
            lines.append((f"{name} = {made}", f"{node.data:g}", f"{node.grad:g}"))
        widths = [max(len(line[i]) for line in lines) for i in range(3)]
        return "\n".join(f"{a:<{widths[0]}}   value {b:>{widths[1]}}   grad {c:>{widths[2]}}" for a, b, c in lines)

    def dot(self) -> str:
        """The graph in Graphviz's language: numbers as boxes, slopes on the edges."""

        def body() -> Iterator[str]:
            names = self._names()
            number = {node: i for i, node in enumerate(names)}
            for node, name in names.items():
                shown = (node.label or name).replace("\\", "\\\\").replace('"', '\\"')
                yield f'  n{number[node]} [label="{shown}{" | " + node.op if node.op else ""}\\n{node.data:g}, grad {node.grad:g}"];'
                yield from (f'  n{number[source]} -> n{number[node]} [label="{slope:g}"];' for source, slope in node.inputs)

        return "\n".join(["digraph {", "  rankdir=LR; node [shape=box];", *body(), "}"])

    def _names(self) -> dict[Value, str]:
        """Every number it was computed from, inputs first -> its label, or v1, v2, ..."""
        order = list(backwards(self, _sources))[::-1]
        taken = {node.label for node in order}
        free = (name for i in range(1, 2 * len(order) + 2) if (name := f"v{i}") not in taken)
        names: dict[Value, str] = {}
        used: set[str] = set()
        for node in order:
            names[node] = node.label if node.label and node.label not in used else next(free)
            used.add(names[node])
        return names


def _sources(node: Value) -> list[Value]:
    return [source for source, _ in node.inputs]


def _value(x: Value | Number) -> Value:
    return x if isinstance(x, Value) else Value(x)


def _result(op: str, data: float, *inputs: tuple[Value, float]) -> Value:
    node = Value(data)
    node.op, node.inputs = op, inputs
    return node
