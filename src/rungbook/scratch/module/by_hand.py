"""Forward and backward of a small network by hand, three times over: as functions, as layers, on a base class.

The network is linear, ReLU, linear, and the mean squared error of its one output, 784-50-1 in fastai's course (2019, lesson 8), whose
refactoring this follows. Each step back is a formula of its own: `d loss / d input` from `d loss / d output`. Read in this order, `Module`
and autograd are what is left to do: the functions repeat themselves, the layers remember, the base class does what all of them did.

Letters: N samples, I and O features in and out.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

# 1. functions: the value, and below it the way back


def linear(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """`x w + b`: (N, I) -> (N, O), with w (I, O) and b (O)."""
    return x @ w + b


def linear_backward(x: Tensor, w: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients in x, w and b from that in the result: `g w.T`, `x.T g`, and the sum of g over samples.

    The second is the sum over samples of outer products: `einsum("ni,no->io", x, g)`.
    """
    return g @ w.mT, x.mT @ g, g.sum(0)


def relu(x: Tensor, shift: float = 0.0) -> Tensor:
    """`max(0, x) - shift`; half of a positive x's mean as shift brings the mean back to about 0."""
    return x.clamp(min=0) - shift


def relu_backward(x: Tensor, g: Tensor) -> Tensor:
    """The gradient where x is above 0; a shift does not change it."""
    return g * (x > 0)


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean of squared differences of (N, 1) and (N): the 1 must go first, or (N, 1) - (N) is a matrix."""
    return (output.squeeze(-1) - target).square().mean()


def mse_backward(output: Tensor, target: Tensor) -> Tensor:
    """`2 (output - target) / N`: (N, 1)."""
    return 2 * (output.squeeze(-1) - target)[:, None] / len(target)


def network(x: Tensor, target: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The loss, and its gradients in x, w1, b1, w2, b2.

    Args:
        x: (N, I).
        target: (N).
        w1, b1, w2, b2: (I, H), (H), (H, 1), (1) for H hidden units.
    """
    before = linear(x, w1, b1)  # (N, H)
    hidden = relu(before)
    output = linear(hidden, w2, b2)  # (N, 1)
    loss = mse(output, target)
    g = mse_backward(output, target)  # (N, 1)
    g, g_w2, g_b2 = linear_backward(hidden, w2, g)  # (N, H)
    g = relu_backward(before, g)
    g, g_w1, g_b1 = linear_backward(x, w1, g)  # (N, I)
    return loss, (g, g_w1, g_b1, g_w2, g_b2)


# 2. layers: each remembers what its way back needs


class ReLULayer:
    """`relu` that remembers its input."""

    def __call__(self, x: Tensor) -> Tensor:
        self.x = x
        return relu(x)

    def backward(self, g: Tensor) -> Tensor:
        """The gradient in the input."""
        return relu_backward(self.x, g)


class LinearLayer:
    """`linear` that remembers its input, and keeps the gradients of its weights."""

    def __init__(self, w: Tensor, b: Tensor) -> None:
        self.w, self.b = w, b

    def __call__(self, x: Tensor) -> Tensor:
        self.x = x
        return linear(x, self.w, self.b)

    def backward(self, g: Tensor) -> Tensor:
        """The gradient in the input; those of the weights are kept."""
        g, self.w_grad, self.b_grad = linear_backward(self.x, self.w, g)
        return g


# 3. a base class: what every layer above does beside its formula


class Layer:
    """Remembers inputs and output of `forward`, and hands them to `pull`, which a layer writes."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        self.inputs = inputs
        self.output = self.forward(*inputs)
        return self.output

    def forward(self, *inputs: Any) -> Tensor:
        """The value."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def pull(self, g: Tensor, *inputs: Any) -> Tensor:
        """The gradient in the first input from that in the output; gradients of weights are left in `grads`."""
        raise NotImplementedError(f"{type(self).__name__} has no pull")

    def backward(self, g: Tensor) -> Tensor:
        """The gradient in the first input of the last call."""
        return self.pull(g, *self.inputs)

    def step(self, lr: float) -> None:
        """Move weights against their gradients; without weights there is nothing to do."""


class Linear(Layer):
    """`x w + b`.

    Args:
        w: (I, O).
        b: (O).
    """

    def __init__(self, w: Tensor, b: Tensor) -> None:
        self.weights = [w, b]
        self.grads: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, *self.weights)

    def pull(self, g: Tensor, x: Tensor) -> Tensor:
        g, *self.grads = linear_backward(x, self.weights[0], g)
        return g

    def step(self, lr: float) -> None:
        self.weights = [w - lr * g for w, g in zip(self.weights, self.grads, strict=True)]


class ReLU(Layer):
    """`max(0, x)`."""

    def forward(self, x: Tensor) -> Tensor:
        return relu(x)

    def pull(self, g: Tensor, x: Tensor) -> Tensor:
        return relu_backward(x, g)


class Sigmoid(Layer):
    """`1 / (1 + e^-x)`, with slope `y (1 - y)`: at most a quarter, and next to nothing once it is saturated."""

    def forward(self, x: Tensor) -> Tensor:
        e = (-x.abs()).exp()
        return (x >= 0) / (1 + e) + (x < 0) * e / (1 + e)

    def pull(self, g: Tensor, x: Tensor) -> Tensor:
        return g * self.output * (1 - self.output)


class MSE(Layer):
    """The mean squared error of (N, 1) and (N)."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return mse(output, target)

    def pull(self, g: Tensor, output: Tensor, target: Tensor) -> Tensor:
        return g * mse_backward(output, target)


class Model:
    """Layers one after another, and a loss at their end.

    Args:
        layers: in order.
        loss: of the last output and a target.
    """

    def __init__(self, layers: list[Layer], loss: Layer) -> None:
        self.layers, self.loss = layers, loss

    def predict(self, x: Tensor) -> Tensor:
        """The last layer's output."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        return self.loss(self.predict(x), target)

    def backward(self) -> Tensor:
        """Every layer's gradients, and that in x."""
        g = self.loss.backward(self.loss.output.new_ones(()))
        for layer in reversed(self.layers):
            g = layer.backward(g)
        return g

    def step(self, lr: float) -> None:
        """One step of gradient descent."""
        for layer in self.layers:
            layer.step(lr)
