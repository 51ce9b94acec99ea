"""Channels last, and activations computed again: the same training in another memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kit import Stop, cnn, equal, feed, images, interrupted, learner, weights
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import rungbook
from rungbook.errors import UsageError
from rungbook.learner.callbacks import EMA, KeepBest
from rungbook.learner.learner import Learner
from rungbook.learner.memory import checkpointed
from rungbook.models.registry import create_model
from rungbook.models.vision.entries import VISION

STACKS = [
    *("conv_net", "alexnet", "vgg11_bn", "nin", "googlenet", "resnet18", "resnet50", "se_resnet50", "preact_resnet110", "xresnet18"),
    *("densenet121", "fast_cifar", "convnext_tiny", "vit_ti_16", "mixer_s_16"),
]
"""One of each kind of network that has a stack."""


class Block(nn.Module):
    """Everything that a second pass could get wrong: dropout, running means, and a buffer that forward counts in and reads."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.drop = nn.Dropout(0.4)
        self.register_buffer("passes", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        self.passes += self.training
        return x + self.drop(F.relu(self.norm(self.conv(x)))) / self.passes


def deep() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Sequential(*(Block(4) for _ in range(4))), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )


def step(model: nn.Module, x: Tensor, within: Callable[[], Any]) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients and buffers after forward and backward, with dropout drawn from one seed; last the random number drawn next."""
    torch.manual_seed(1)
    with within():
        output = model(x)
    F.cross_entropy(output, torch.arange(len(x)) % output.shape[1]).backward()
    return [p.grad for p in model.parameters() if p.grad is not None], [*model.buffers(), torch.rand(1)]


@contextmanager
def plainly() -> Any:
    yield


def naive(model: nn.Module) -> Callable[[], Any]:
    """The blocks under torch's checkpoint and nothing else."""

    @contextmanager
    def within() -> Any:
        for block in model[1]:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        yield

    return within


def test_blocks_computed_again_give_the_same_gradients_and_running_means() -> None:
    x = torch.randn(6, 1, 8, 8, dtype=torch.float64)
    plain = deep().double()
    kept, again, careless = (copy.deepcopy(plain) for _ in range(3))
    expected = step(kept, x, plainly)
    torch.testing.assert_close(step(again, x, checkpointed(again)), expected, rtol=0, atol=1e-12)
    gradients, buffers = step(careless, x, naive(careless))
    assert float(buffers[1].sub(expected[1][1]).abs().max()) > 1e-3, "control: torch's checkpoint alone moves the running means twice"
    assert float(buffers[0]) == 3.0
    assert max(float((a - b).abs().max()) for a, b in zip(gradients, expected[0], strict=True)) > 1e-3, "control: and reads another count"


def small(name: str, **changes: Any) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    options = {**VISION[name].small, **changes}
    x = torch.randn(3, options["in_channels"], *options["image_size"], dtype=torch.float64)
    return create_model(name, **options).double(), x


@pytest.mark.parametrize("name", STACKS)
def test_every_kind_of_network(name: str) -> None:
    kept, x = small(name)
    again = copy.deepcopy(kept)
    torch.testing.assert_close(step(again, x, checkpointed(again)), step(kept, x, plainly), rtol=0, atol=1e-12)
    assert not any("forward" in vars(m) for m in again.modules()), "afterwards each part has its own forward"


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(set(VISION) - set(STACKS) - {"lenet", "lenet_sigmoid", "two_conv"}))
def test_every_network(name: str) -> None:
    test_every_kind_of_network(name)


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "vit_ti_16"])
def test_less_is_kept(name: str) -> None:
    def kept(within: Callable[[], Any], model: nn.Module, x: Tensor) -> int:
        seen: dict[int, int] = {}
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}

        def note(t: Tensor) -> Tensor:
            if t.untyped_storage().data_ptr() not in own:
                seen[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t), within():
            output = model(x)
        held = [output]  # while it lives, no address is used twice
        return sum(seen.values()) if held else 0

    model, x = small(name, **({"depths": (3, 3, 3, 3)} if name == "resnet18" else {}))
    assert kept(checkpointed(model), model, x) < 0.7 * kept(plainly, model, x)


def train(model: nn.Module, callbacks: Any = (), **options: Any) -> Learner:
    data = (feed(*images(40)), feed(*images(16, seed=1), shuffle=False))
    return learner(model, data, optimizer=torch.optim.Adam, lr=0.01, callbacks=list(callbacks), **options)


def test_training_with_activations_computed_again_is_the_same_bit_for_bit() -> None:
    plain, again = train(deep()), train(deep(), activation_checkpointing=True)
    plain.fit(2)
    again.fit(2)
    assert equal(weights(again.model), weights(plain.model))
    assert again.history == plain.history
    assert again.predict().equal(plain.predict())
    twin = copy.deepcopy(again.model)
    assert not any("forward" in vars(m) for m in twin.modules()), "the model itself is not changed"
    state = interrupted(train(deep(), [Stop(2)], activation_checkpointing=True), 2)
    done = train(deep(), activation_checkpointing=True)
    done.fit(2, state=state)
    assert equal(weights(done.model), weights(plain.model))


def test_channels_last_is_the_same_training_to_rounding() -> None:
    x, y = images(40)
    x = x.double().expand(-1, 3, -1, -1).contiguous()
    data = (feed(x, y), feed(x[:16], y[:16], shuffle=False))
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 2)).double()
    seen: list[bool] = []

    def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))

    options: dict[str, Any] = {"optimizer": torch.optim.AdamW, "lr": 0.01}
    plain = learner(copy.deepcopy(model), data, **options)
    last = learner(copy.deepcopy(model), data, channels_last=True, callbacks=[EMA(0.9), KeepBest()], **options)
    bare = learner(copy.deepcopy(model), data, callbacks=[EMA(0.9), KeepBest()], **options)
    for ours in (plain, bare):
        ours.fit(3)
    last.model[1].register_forward_pre_hook(note)
    last.fit(3)
    assert all(seen)
    assert last.model[0].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last.model.state_dict(), bare.model.state_dict(), rtol=0, atol=1e-12)
    torch.testing.assert_close(last.predict(x), bare.predict(x))
    assert not equal(weights(plain.model), weights(bare.model)), "control: the average was in"
    for key in ("exp_avg", "exp_avg_sq"):
        found = last.optimizer.state[last.model[0].weight][key]
        assert found.stride() == last.model[0].weight.stride(), "fused kernels go through both in the order of memory"


def test_channels_last_under_a_tape() -> None:
    """A fused optimiser goes through weight and gradient in the order of memory: the tape lays gradients out as their weights lie."""
    x, y = images(40)
    data = (feed(x.double(), y), None)
    model = cnn().double()
    model[5].p = 0.0  # the one thing drawn in it
    plain, taped = (
        learner(copy.deepcopy(model), data, lr=0.1, channels_last=tape is not None, tape=tape) for tape in (None, rungbook.Tape())
    )
    for ours in (plain, taped):
        ours.fit(2)
    torch.testing.assert_close(weights(taped.model), weights(plain.model), rtol=0, atol=1e-12)


def test_channels_last_continues_exactly() -> None:
    make = partial(train, channels_last=True)
    whole = make(cnn())
    whole.fit(2)
    state = interrupted(make(cnn(), [Stop(3)]), 2)
    done = make(cnn())
    done.fit(2, state=state)
    assert equal(weights(done.model), weights(whole.model))


@pytest.mark.parametrize("name", ["vit_ti_16", *(pytest.param(n, marks=pytest.mark.soak) for n in STACKS if n != "vit_ti_16")])
def test_compiled_networks_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    model, x = small(name)
    y = torch.arange(3)
    data = (feed(x, y, batch_size=3, shuffle=False), None)
    plain, compiled = (learner(copy.deepcopy(model), data, lr=0.1, compile=c) for c in (False, True))
    plain.fit(2)
    compiled.fit(2)
    torch.testing.assert_close(compiled.model.state_dict(), plain.model.state_dict(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("what", ["activation_checkpointing", "compile"])
def test_not_under_a_tape(what: str) -> None:
    with pytest.raises(UsageError, match=f"{what} and a tape exclude each other") as error:
        train(deep(), tape=rungbook.Tape(), **{what: True})
    assert error.value.fix == f"Leave out {what}, or the tape."


def test_refused() -> None:
    with pytest.raises(UsageError, match="compile and activation_checkpointing exclude each other"):
        train(deep(), compile=True, activation_checkpointing=True)
    with pytest.raises(UsageError, match="LeNet has no stack of blocks"):
        train(create_model("lenet", in_channels=1, num_classes=2), activation_checkpointing=True)
