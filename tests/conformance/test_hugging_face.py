"""Models nobody here wrote: transformers' GPT-2, BERT, ViT and ResNet, tiny, swapped; logits and gradients agree in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from agree import close
from torch import nn

from rungbook.scratch.mode import scratch
from rungbook.scratch.swap import swap, swap_report

TOLERANCE = 1e-9


def gpt2() -> tuple[nn.Module, dict[str, Any]]:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=4, attn_implementation="eager")
    ids = torch.randint(0, 50, (3, 12), generator=torch.Generator().manual_seed(0))
    return GPT2LMHeadModel(config), {"input_ids": ids}


def gpt2_sdpa() -> tuple[nn.Module, dict[str, Any]]:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=4, attn_implementation="sdpa")
    ids = torch.randint(0, 50, (3, 12), generator=torch.Generator().manual_seed(0))
    return GPT2LMHeadModel(config), {"input_ids": ids}


def bert() -> tuple[nn.Module, dict[str, Any]]:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, max_position_embeddings=16
    )
    ids = torch.randint(1, 50, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(3, 12, dtype=torch.long)
    mask[1, 8:] = 0
    return BertForSequenceClassification(config), {"input_ids": ids, "attention_mask": mask}


def vit() -> tuple[nn.Module, dict[str, Any]]:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, image_size=16, patch_size=4, num_labels=3
    )
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return ViTForImageClassification(config), {"pixel_values": images}


def resnet() -> tuple[nn.Module, dict[str, Any]]:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=3)
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return ResNetForImageClassification(config), {"pixel_values": images}


CASES: dict[str, Callable[[], tuple[nn.Module, dict[str, Any]]]] = {f.__name__: f for f in (gpt2, gpt2_sdpa, bert, vit, resnet)}


def weighted(logits: torch.Tensor) -> torch.Tensor:
    """A number that every logit takes part in; the models' own losses go through float32."""
    weights = torch.randn(logits.shape, dtype=logits.dtype, generator=torch.Generator().manual_seed(1))
    return (logits.tanh() * weights).sum()


def results(model: nn.Module, inputs: dict[str, Any], context: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    torch.manual_seed(5)
    with context:
        logits = model(**inputs).logits
        loss = weighted(logits)
    loss.backward()
    return logits.detach(), {k: p.grad for k, p in model.named_parameters() if p.grad is not None}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", CASES)
def test_swapped(name: str, training: bool) -> None:
    torch.manual_seed(0)
    model, inputs = CASES[name]()
    model.double().train(training)
    mine = swap(copy.deepcopy(model))
    assert list(mine.state_dict()) == list(model.state_dict())
    report = swap_report(mine)
    assert len(report.swapped) >= 10
    assert not [kind for kind in report.left.values() if hasattr(nn, kind)], "a torch layer has no twin"
    logits, gradients = results(model, inputs, nullcontext())
    for context in (nullcontext(), scratch()):
        got, got_gradients = results(mine, inputs, context)
        close(got, logits, TOLERANCE, "logits")
        assert got_gradients.keys() == gradients.keys()
        for key, value in gradients.items():
            close(got_gradients[key], value, TOLERANCE, f"gradient of {key}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_differentiated_by_the_tape(name: str) -> None:
    from rungbook.scratch.autograd.tape import Tape

    torch.manual_seed(0)
    model, inputs = CASES[name]()
    model.double()
    _, gradients = results(model, inputs, nullcontext())
    mine = swap(model)
    mine.zero_grad()
    torch.manual_seed(5)
    used = [p for k, p in mine.named_parameters() if k in gradients]
    with Tape() as tape, scratch():
        tape.watch(*used)
        loss = weighted(mine(**inputs).logits)
    tape.backward(loss)
    for key, value in gradients.items():
        close(mine.get_parameter(key).grad, value, TOLERANCE, f"gradient of {key}")


@pytest.mark.filterwarnings("ignore")
def test_what_was_not_swapped_is_listed() -> None:
    model, _ = gpt2()
    report = swap_report(swap(model))
    assert set(report.left.values()) == {"Conv1D", "NewGELUActivation"}
    assert "left alone: 8 Conv1D, 2 NewGELUActivation" in str(report)
    with pytest.raises(ValueError, match="10 parts have no twin"):
        swap(gpt2()[0], strict=True)
