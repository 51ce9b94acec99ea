"""Training by the tape ends where training by torch's autograd ends, in models made of torch's parts, of ours, and swapped."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rungbook.scratch import functional as ours_functional
from rungbook.scratch import nn as ours
from rungbook.scratch.autograd.tape import Tape
from rungbook.scratch.mode import scratch
from rungbook.scratch.swap import swap

sys.path.insert(0, str(Path(__file__).parents[1]))
from models_for_tests import gpt, lstm_classifier

STEPS = 100


def losses(model: nn.Module, step: Callable[[Tensor, Tensor], Tensor], vocabulary: int, classes: int | None) -> list[float]:
    """Adam on tokens drawn anew at each step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    draws, found = torch.Generator().manual_seed(5), []
    for _ in range(STEPS):
        tokens = torch.randint(0, vocabulary, (4, 7), generator=draws)
        target = tokens[:, 1:] if classes is None else tokens.sum(1) % classes
        optimizer.zero_grad()
        found.append(float(step(tokens[:, :-1], target).detach()))
        optimizer.step()
    return found


def by_torch(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    def step(x: Tensor, y: Tensor) -> Tensor:
        loss = torch.nn.functional.cross_entropy(model(x).flatten(0, -2), y.flatten())
        loss.backward()
        return loss

    return step


def by_tape(model: nn.Module, functional: object) -> Callable[[Tensor, Tensor], Tensor]:
    tape = Tape()
    tape.watch(model)

    def step(x: Tensor, y: Tensor) -> Tensor:
        with tape:
            loss = functional.cross_entropy(model(x).flatten(0, -2), y.flatten())  # type: ignore[attr-defined]
        tape.backward(loss)
        return loss

    return step


MODELS = {
    "gpt": (lambda nn, F: gpt(nn, F), 17, None),
    "lstm": (lambda nn, F: lstm_classifier(nn), 11, 3),
}


@pytest.mark.parametrize("parts", ["torch", "twins", "swapped"])
@pytest.mark.parametrize("name", MODELS)
def test_a_hundred_steps(name: str, parts: str) -> None:
    make, vocabulary, classes = MODELS[name]
    torch.manual_seed(0)
    reference = make(nn, nn.functional).double()
    torch.manual_seed(0)
    model = (make(ours, ours_functional) if parts == "twins" else make(nn, nn.functional)).double()
    model = swap(model) if parts == "swapped" else model
    wanted = losses(reference, by_torch(reference), vocabulary, classes)
    found = losses(model, by_tape(model, nn.functional if parts == "torch" else ours_functional), vocabulary, classes)
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= 1e-9
    assert wanted[-1] != pytest.approx(wanted[0], rel=1e-2), "the steps lead somewhere"


def test_a_lost_term_would_show() -> None:
    """Control: the same hundred steps with one rule that forgets a factor are far from torch's."""
    torch.manual_seed(0)
    reference = gpt(nn, nn.functional).double()
    torch.manual_seed(0)
    model = gpt(nn, nn.functional).double()
    tape = Tape(
        rules={torch.ops.aten.tanh.default: (lambda g, y, x: g,), torch.ops.aten.gelu.default: (lambda g, y, x, approximate="none": g,)}
    )
    tape.watch(model)

    def step(x: Tensor, y: Tensor) -> Tensor:
        with tape:
            loss = nn.functional.cross_entropy(model(x).flatten(0, -2), y.flatten())
        tape.backward(loss)
        return loss

    found, wanted = losses(model, step, 17, None), losses(reference, by_torch(reference), 17, None)
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) > 1e-3


def transformers_model(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """One of Hugging Face's models in a tiny form, with inputs that give a loss."""
    import transformers as hf

    torch.manual_seed(0)
    small = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    ids, images, labels = torch.randint(0, 50, (2, 6)), torch.randn(2, 3, 16, 16, dtype=torch.float64), torch.tensor([0, 1])
    if name == "gpt2":
        config = hf.GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=50, n_positions=8, bos_token_id=0, eos_token_id=0)
        return hf.GPT2LMHeadModel(config), {"input_ids": ids, "labels": ids}
    if name == "bert":
        model = hf.BertForSequenceClassification(hf.BertConfig(vocab_size=50, max_position_embeddings=8, **small))
        return model, {"input_ids": ids, "attention_mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2]), "labels": labels}
    if name == "vit":
        return hf.ViTForImageClassification(hf.ViTConfig(image_size=16, patch_size=8, **small)), {"pixel_values": images, "labels": labels}
    config = hf.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1])
    return hf.ResNetForImageClassification(config), {"pixel_values": images, "labels": labels}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["gpt2", "bert", "vit", "resnet"])
def test_models_nobody_here_wrote(name: str) -> None:
    model, inputs = transformers_model(name)
    model = model.double().train()
    torch.manual_seed(1)
    model(**inputs).loss.backward()
    wanted = {n: p.grad for n, p in model.named_parameters()}
    model.zero_grad()
    buffers = {n: b.clone() for n, b in model.named_buffers()}
    swapped = swap(model)
    with torch.no_grad():
        for n, b in swapped.named_buffers():
            b.copy_(buffers[n])
    tape = Tape()
    tape.watch(swapped)
    torch.manual_seed(1)
    with scratch(), tape:
        loss = swapped(**inputs).loss
    tape.backward(loss, allow_unused=True)
    for n, p in swapped.named_parameters():
        if wanted[n] is None:
            assert p.grad is None, n
        else:
            assert p.grad is not None, n
            assert torch.allclose(p.grad, wanted[n], atol=1e-9), n
