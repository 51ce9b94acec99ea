"""The same forward code on torch.nn and on our Module: same names, same draws, same outputs and gradients; and it learns."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits

import rungbook.scratch.module as ours
from rungbook.scratch import functional as F
from rungbook.scratch.autograd.faults import TapeError
from rungbook.scratch.autograd.tape import Tape

covers = ["M13", "M14"]

theirs = torch.nn


def lenet(nn: ModuleType) -> Any:
    """LeCun et al. (1998), with ReLU."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, kernel_size=(5, 5), bias=False), nn.Sigmoid(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(16 * 5 * 5, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def gpt(nn: ModuleType, vocabulary: int = 11, T: int = 6, C: int = 12, heads: int = 3, depth: int = 2) -> Any:
    """A GPT-2 with its output weights tied to its embedding, on any namespace with torch.nn's names."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c_attn, self.c_proj, self.drop = nn.Linear(C, 3 * C), nn.Linear(C, C), nn.Dropout(0.1)
            self.register_buffer("mask", torch.ones(T, T).tril().bool(), persistent=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            B, T, _ = x.shape
            q, k, v = (y.view(B, T, heads, -1).transpose(1, 2) for y in self.c_attn(x).split(C, dim=2))  # (B, nh, T, hs)
            scores = (q @ k.mT / math.sqrt(C // heads)).masked_fill(~self.mask[:T, :T], -math.inf)  # (B, nh, T, T)
            return self.drop(self.c_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C)))  # (B, T, C)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.attn, self.ln_2 = nn.LayerNorm(C), Attention(), nn.LayerNorm(C, bias=False)
            self.mlp = nn.ModuleDict({"c_fc": nn.Linear(C, 4 * C), "act": nn.GELU("tanh"), "c_proj": nn.Linear(4 * C, C)})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + self.attn(self.ln_1(x))
            return x + self.mlp["c_proj"](self.mlp["act"](self.mlp["c_fc"](self.ln_2(x))))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte, self.wpe = nn.Embedding(vocabulary, C), nn.Embedding(T, C)
            self.h = nn.ModuleList([Block() for _ in range(depth)])
            self.scales = nn.ParameterList([nn.Parameter(torch.ones(C)) for _ in range(depth)])
            self.ln_f, self.head = nn.LayerNorm(C), nn.Linear(C, vocabulary, bias=False)
            self.head.weight = self.wte.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))  # (B, T, C)
            for block, scale in zip(self.h, self.scales, strict=True):
                x = block(x) * scale
            return self.head(self.ln_f(x))  # (B, T, vocabulary)

    return GPT()


def pixels() -> torch.Tensor:
    return torch.randn(3, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def tokens() -> torch.Tensor:
    return torch.randint(0, 11, (2, 5), generator=torch.Generator().manual_seed(0))


MODELS = {"lenet": (lenet, pixels), "gpt": (gpt, tokens)}


def both(name: str) -> tuple[Any, Any, torch.Tensor]:
    make, inputs = MODELS[name]
    models = []
    for nn in (theirs, ours):
        torch.manual_seed(0)
        models.append(make(nn).double())
    return *models, inputs()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("train", [True, False])
def test_same_code_same_results(name: str, train: bool) -> None:
    torch_model, model, x = both(name)
    assert list(model.state_dict()) == list(torch_model.state_dict())
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in torch_model.named_parameters()]
    assert [n for n, _ in model.named_modules()] == [n for n, _ in torch_model.named_modules()]
    assert [n for n, _ in model.named_buffers()] == [n for n, _ in torch_model.named_buffers()]
    assert repr(model) == repr(torch_model)
    for key, value in torch_model.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), f"{key} is drawn otherwise"
    outputs = []
    for m in (torch_model, model):
        torch.manual_seed(1)  # for dropout
        outputs.append(m.train(train)(x))
        (outputs[-1] ** 2).mean().backward()
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-9, atol=1e-9)
    for p, q in zip(model.parameters(), torch_model.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_the_tape_differentiates_it(name: str) -> None:
    _, model, x = both(name)
    model.eval()
    expected = torch.autograd.grad((model(x) ** 2).mean(), list(model.parameters()))
    tape = Tape()
    tape.watch(*model.parameters())
    with tape:
        loss = (model(x) ** 2).mean()
    tape.backward(loss)
    torch.testing.assert_close([p.grad for p in model.parameters()], list(expected), rtol=1e-9, atol=1e-9)


def test_hooks_on_gradients_are_refused_under_the_tape() -> None:
    layer = ours.Linear(1, 1)
    layer.register_full_backward_hook(lambda *of: None)
    with Tape(), pytest.raises(TapeError, match="Linear has hooks"):
        layer(torch.ones(1))
    with torch.no_grad():
        layer(torch.ones(1))  # nothing is differentiated, so nothing is missed


@pytest.mark.parametrize("name", MODELS)
def test_checkpoints_go_both_ways(name: str) -> None:
    torch_model, model, x = both(name)
    with torch.no_grad():
        for p in torch_model.parameters():
            p.mul_(1.5)
    assert not torch.equal(model.eval()(x), torch_model.eval()(x))
    assert model.load_state_dict(torch_model.state_dict()) == ([], [])
    torch.testing.assert_close(model(x), torch_model(x), rtol=1e-9, atol=1e-9)
    model.apply(lambda m: m.weight.data.add_(0.1) if isinstance(m, ours.Linear) else None)
    torch_model.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(x), torch_model(x), rtol=1e-9, atol=1e-9)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)


def log_softmax(x: torch.Tensor) -> torch.Tensor:
    """`x - logsumexp(x)`, the largest taken out first."""
    top = x.amax(-1, keepdim=True)
    return x - top - (x - top).exp().sum(-1, keepdim=True).log()


def nll(logp: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -logp[torch.arange(len(target)), target].mean()


def test_cross_entropy_by_hand() -> None:
    x = torch.randn(5, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 50
    y = torch.tensor([0, 3, 9, 9, 1])
    torch.testing.assert_close(nll(log_softmax(x), y), torch.nn.functional.cross_entropy(x, y))
    torch.testing.assert_close(F.cross_entropy(x, y), torch.nn.functional.cross_entropy(x, y))
    naive = nll((x.exp() / x.exp().sum(-1, keepdim=True)).log(), y)
    assert nll(log_softmax(x * 100), y).isfinite()
    assert naive.isfinite()
    assert not nll(((x * 100).exp() / (x * 100).exp().sum(-1, keepdim=True)).log(), y).isfinite()


class SGD:
    """The textbook's: `p -= lr * p.grad`."""

    def __init__(self, parameters: Any, lr: float) -> None:
        self.parameters, self.lr = list(parameters), lr

    @torch.no_grad()
    def step(self) -> None:
        for p in self.parameters:
            p -= p.grad * self.lr

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = None


def fit(model: Any, x: torch.Tensor, y: torch.Tensor, epochs: int) -> None:
    optimizer = SGD(model.parameters(), lr=0.5)
    g = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=g).split(64):
            nll(log_softmax(model(x[rows])), y[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()


class MLP(ours.Module):
    """Inputs, 50 hidden units, 10 classes."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layers = ours.ModuleList([ours.Linear(inputs, 50), ours.ReLU(), ours.Linear(50, 10)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def accuracy(model: Any, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.no_grad():
        return (model.eval()(x).argmax(1) == y).float().mean().item()


def test_digits_are_learnt_with_everything_by_hand() -> None:
    x, y = digits()
    torch.manual_seed(0)
    model = MLP(64)
    fit(model, x[:1500], y[:1500], epochs=15)
    assert accuracy(model, x[1500:], y[1500:]) > 0.9


def test_mnist_is_learnt_with_everything_by_hand(real_data: Any) -> None:
    import gzip

    read = lambda name, offset: torch.frombuffer(
        bytearray(gzip.decompress((real_data / "mnist" / name).read_bytes())), dtype=torch.uint8, offset=offset
    )
    x, y = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 784)[:22_000] / 255, read("train-labels-idx1-ubyte.gz", 8)[:22_000].long()
    torch.manual_seed(0)
    model = MLP(784)
    fit(model, x[:20_000], y[:20_000], epochs=3)
    assert accuracy(model, x[20_000:], y[20_000:]) > 0.93
