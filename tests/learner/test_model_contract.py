"""The contract of models: a good model keeps it, and each way of breaking it is told by its name."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import rungbook
from rungbook.learner.contract import ContractBroken
from rungbook.learner.model_contract import CHECKS, Case, broken_promises

BATCH = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


class Good(nn.Module):
    """Two layers, batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.drop, self.last = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.drop(self.norm(self.first(x)).relu()))


class OtherStart(Good):
    def __init__(self) -> None:
        super().__init__()
        nn.init.constant_(self.last.bias, random.SystemRandom().random())


class SameStart(Good):
    def __init__(self) -> None:
        super().__init__()
        for p in self.parameters():
            nn.init.constant_(p, 0.1)


class WritesIntoInput(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.relu_())


class FewRows(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:4])


class MixesRows(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


class Idle(Good):
    def __init__(self) -> None:
        super().__init__()
        self.forgotten = nn.Linear(2, 2)


class WrongGradient(Good):
    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.last(self.norm(y.detach() + 0.5 * (y - y.detach())).relu())


class HiddenState(Good):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.rand(1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1 + self.scale)


class Uncertain(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.dropout(x, 0.5))


class Counts(Good):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


class StaysInTraining(Good):
    def train(self, mode: bool = True) -> StaysInTraining:
        super().train(mode)
        self.norm.train()
        return self


class OrderMatters(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.is_contiguous() else 2 * x)


class TooLarge(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 1e30 * 1e30 / 1e30 / 1e30


class SureOfItself(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 1000


class Uphill(Good):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return 2 * y.detach() - y


class NotToPlan(Good):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(8, 3, device="cpu")
        if self.first.weight.is_meta:
            self.more = nn.Linear(2, 2)


class Addressed(Good):
    def extra_repr(self) -> str:
        return f"at {hex(id(self))}"


class Talks(Good):
    def forward(self, x: Tensor) -> Tensor:
        print("forward")
        return super().forward(x)


BROKEN = {
    OtherStart: "one_seed_one_start",
    SameStart: "one_seed_one_start",
    WritesIntoInput: "inputs_are_left_alone",
    FewRows: "outputs_for_any_batch",
    MixesRows: "rows_are_independent",
    Idle: "every_parameter_learns",
    WrongGradient: "gradients_are_slopes",
    HiddenState: "state_goes_round",
    Uncertain: "evaluation_is_certain",
    Counts: "evaluation_is_certain",
    StaysInTraining: "modes_reach_all_parts",
    OrderMatters: "memory_order_does_not_matter",
    TooLarge: "half_precision_is_finite",
    SureOfItself: "starts_ignorant",
    Uphill: "one_step_helps",
    NotToPlan: "planned_without_memory",
    Addressed: "says_what_it_is",
    Talks: "works_in_silence",
}


def test_a_good_model_keeps_every_promise() -> None:
    state = torch.get_rng_state()
    rungbook.check_model(Good, BATCH, parameters=99)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("kind", "promise"), BROKEN.items(), ids=[kind.__name__ for kind in BROKEN])
def test_a_broken_promise_is_named(kind: Callable[[], nn.Module], promise: str) -> None:
    assert promise in dict(broken_promises(Case(kind, (BATCH,))))


def test_every_promise_has_a_model_that_breaks_it() -> None:
    assert set(CHECKS) == {*BROKEN.values(), "counted"}


def test_what_is_wrong_is_told_together() -> None:
    with pytest.raises(ContractBroken, match=r"Good breaks 1 of 17 promises:\n  - counted: 99 parameters, 98 are said"):
        rungbook.check_model(Good, BATCH, parameters=98)
    with pytest.raises(ContractBroken, match="RuntimeError"):
        rungbook.check_model(lambda: nn.Linear(5, 3), BATCH)


def test_what_is_meant_can_be_said() -> None:
    rungbook.check_model(SameStart, BATCH, same_start=True)
    rungbook.check_model(Idle, BATCH, unused=("forgotten.weight", "forgotten.bias"))
    rungbook.check_model(lambda: nn.Linear(6, 1), BATCH, logits=False)
