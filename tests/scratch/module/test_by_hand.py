"""Backward by hand: all three stages have autograd's gradients; a curve is fitted; and what goes wrong with gradients, shown."""

from __future__ import annotations

import pytest
import torch

from rungbook.scratch.module import by_hand as B

covers = ["F07", "F08", "F16"]

N, INPUTS, HIDDEN = 20, 784, 50


def problem() -> tuple[torch.Tensor, ...]:
    """x, target, and weights drawn as He et al. (2015) draw them."""
    g = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(shape, dtype=torch.float64, generator=g)
    return draw(N, INPUTS), draw(N), draw(INPUTS, HIDDEN) * (2 / INPUTS) ** 0.5, draw(HIDDEN), draw(HIDDEN, 1) / HIDDEN**0.5, draw(1)


def autograd() -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    x, target, *weights = problem()
    leaves = [t.requires_grad_() for t in (x, *weights)]
    w1, b1, w2, b2 = leaves[1:]
    output = torch.relu(leaves[0] @ w1 + b1) @ w2 + b2
    loss = torch.nn.functional.mse_loss(output[:, 0], target)
    return loss.detach(), torch.autograd.grad(loss, leaves)


def as_functions() -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    return B.network(*problem())


def as_layers() -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    x, target, w1, b1, w2, b2 = problem()
    first, between, last = B.LinearLayer(w1, b1), B.ReLULayer(), B.LinearLayer(w2, b2)
    output = last(between(first(x)))
    g = first.backward(between.backward(last.backward(B.mse_backward(output, target))))
    return B.mse(output, target), (g, first.w_grad, first.b_grad, last.w_grad, last.b_grad)


def on_a_base_class() -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    x, target, w1, b1, w2, b2 = problem()
    model = B.Model([first := B.Linear(w1, b1), B.ReLU(), last := B.Linear(w2, b2)], B.MSE())
    loss = model(x, target)
    return loss, (model.backward(), *first.grads, *last.grads)


@pytest.mark.parametrize("stage", [as_functions, as_layers, on_a_base_class])
def test_gradients_are_autograds(stage: object) -> None:
    torch.testing.assert_close(stage(), autograd(), rtol=1e-12, atol=1e-14)


def test_the_weights_gradient_is_a_sum_of_outer_products() -> None:
    x, _, w1, *_ = problem()
    g = torch.randn(N, HIDDEN, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    _, by_product, _ = B.linear_backward(x, w1, g)
    torch.testing.assert_close(by_product, (x[:, :, None] * g[:, None, :]).sum(0))
    torch.testing.assert_close(by_product, torch.einsum("ni,no->io", x, g))


def test_the_error_that_broadcasts() -> None:
    output, target = torch.zeros(3, 1), torch.tensor([1.0, 2.0, 3.0])
    assert (output - target).shape == (3, 3)  # without squeeze
    assert B.mse(output, target).item() == pytest.approx(14 / 3)


def test_the_shifted_relu_keeps_the_mean_near_zero() -> None:
    x, _, w1, *_ = problem()
    before = B.linear(x, w1, torch.zeros(HIDDEN, dtype=torch.float64))
    assert B.relu(before).mean() > 0.4
    assert B.relu(before, shift=0.5).mean().abs() < 0.15


@pytest.mark.parametrize("layer", [B.Sigmoid(), B.ReLU()])
def test_activations(layer: B.Layer) -> None:
    x = torch.tensor([-800.0, -2.0, 0.5, 800.0], dtype=torch.float64, requires_grad=True)
    expected = torch.sigmoid(x) if isinstance(layer, B.Sigmoid) else torch.relu(x)
    torch.testing.assert_close(layer(x.detach()), expected.detach())
    (grad,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(layer.backward(torch.ones(4, dtype=torch.float64)), grad)


def test_a_layer_writes_both_ways() -> None:
    for call in (lambda: B.Layer()(torch.ones(1)), lambda: B.Layer().pull(torch.ones(1))):
        with pytest.raises(NotImplementedError, match="Layer has no"):
            call()


def test_a_noisy_parabola_is_fitted() -> None:
    """y = 3 x^2 + 2 + N(0, 5) on [-10, 10), standardised; gradient descent whose rate rises linearly at first."""
    g = torch.Generator().manual_seed(0)
    x = torch.arange(-10, 10, 0.1, dtype=torch.float64)
    y = 3 * x**2 + 2 + 5 * torch.randn(len(x), dtype=torch.float64, generator=g)
    inputs, target = (x / 10)[:, None], (y - y.mean()) / y.std()
    draw = lambda *shape: torch.randn(shape, dtype=torch.float64, generator=g)
    layers = [B.Linear(4 * draw(1, 16), draw(16)), B.Sigmoid(), B.Linear(draw(16, 1) / 4, torch.zeros(1, dtype=torch.float64))]
    model = B.Model(layers, B.MSE())
    for i in range(600):
        loss = model(inputs, target)
        model.backward()
        model.step(lr=0.5 * min(1, (i + 1) / 50))
    assert loss < 0.05  # 1 is the mean's error, 25 / var(y) = 0.003 that of the noise
    assert model.predict(inputs).shape == (len(x), 1)


# what goes wrong with gradients: Karpathy, Yes you should understand backprop (2016)


def test_a_saturated_sigmoid_passes_nothing() -> None:
    slopes = []
    for size in (0.1, 10.0):
        layer = B.Sigmoid()
        layer(size * torch.linspace(-3, 3, 50, dtype=torch.float64))
        slopes.append(layer.backward(torch.ones(50, dtype=torch.float64)).mean())
    assert slopes[0] > 0.24
    assert slopes[1] < 0.02


def test_ten_sigmoids_shrink_a_gradient_a_millionfold() -> None:
    x = torch.zeros(1, dtype=torch.float64)
    layers = [B.Sigmoid() for _ in range(10)]
    for layer in layers:
        x = layer(x)
    g = torch.ones(1, dtype=torch.float64)
    for layer in reversed(layers):
        g = layer.backward(g)
    assert g < 1e-6
    assert g > 0


def test_a_dead_relu_stays_dead() -> None:
    x, target, w1, b1, w2, b2 = problem()
    model = B.Model([first := B.Linear(w1, b1 - 1000), B.ReLU(), B.Linear(w2, b2)], B.MSE())
    for _ in range(3):
        model(x, target)
        model.backward()
        model.step(lr=0.1)
    assert first.grads[0].abs().max() == 0
    assert torch.equal(first.weights[1], b1 - 1000)


@pytest.mark.parametrize(("largest", "grows"), [(1.2, True), (0.8, False)])
def test_gradients_through_time_grow_or_vanish_with_the_matrix(largest: float, grows: bool) -> None:
    g = torch.Generator().manual_seed(0)
    w = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=g)).Q * largest
    steps = [B.Linear(w, torch.zeros(8, dtype=torch.float64)) for _ in range(50)]
    h = torch.randn(1, 8, dtype=torch.float64, generator=g)
    for step in steps:
        h = step(h)
    gradient = torch.ones(1, 8, dtype=torch.float64)
    for step in reversed(steps):
        gradient = step.backward(gradient)
    assert gradient.norm().item() == pytest.approx(8**0.5 * largest**50)
    assert (gradient.norm() > 1e3) == grows
