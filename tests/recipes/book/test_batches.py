"""Sizes of a batch with equal epochs, and one network fed in three ways."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from commands import Rung
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from rungbook.recipes.book.batches import BatchSizes, LoaderStudy, difference, textbook_loop
from rungbook.recipes.comparison import compare_all
from rungbook.recipes.study import gather


def test_equal_epochs_are_more_steps_for_smaller_batches() -> None:
    equal = {name: settings for name, settings in BatchSizes.variants.items() if "epochs" not in settings}
    found = type("Equal", (BatchSizes,), {"variants": equal})(seeds=1, epochs=2).find(lambda line: None)
    said = found.sentences[0].removeprefix("steps taken: ")
    assert said == "32: 72; 8: 288; 64: 36; 128: 18; 256: 10; full batch: 2"
    accuracy = {name: splits["train"]["accuracy"] for name, splits in found.results.items()}
    assert accuracy["8"] > accuracy["full batch"] + 0.2, "two steps are no training"


def test_a_full_batch_given_twenty_times_the_epochs_catches_up() -> None:
    study = BatchSizes(seeds=1)
    few = {k: v for k, v in study.variants.items() if k in ("32", "full batch", "full batch, 20 times the epochs")}
    found = type("Few", (BatchSizes,), {"variants": few})(seeds=1).find(lambda line: None)
    loss = {name: splits["valid"]["log_loss"] for name, splits in found.results.items()}
    assert loss["full batch"] > 1.2 * loss["32"]
    assert loss["full batch, 20 times the epochs"] < 0.9 * loss["full batch"]


def test_three_ways_to_the_samples_give_one_result() -> None:
    found = [LoaderStudy(epochs=4, seed=seed).find(lambda line: None) for seed in range(3)]
    table = {name: splits["test"]["accuracy"] for name, splits in gather(found).items()}
    assert set(table) == {"loop by hand", "Learner, DataLoader", "Learner, own feed"}
    assert min(map(min, table.values())) > 0.88
    compared = compare_all(table, "loop by hand", metric="accuracy")
    assert all(not c.better for c in compared.values())
    assert table["loop by hand"] == pytest.approx(table["Learner, DataLoader"], abs=0.003), "the same order of samples"
    assert table["loop by hand"] != table["Learner, own feed"], "control: another order is seen in the last digits"
    apart = float(found[0].sentences[1].split("further than ")[1].split()[0])
    assert apart < 1e-5
    assert "ms" in found[0].sentences[0]


def test_a_loop_with_another_rate_is_told_apart() -> None:
    class Wrong(LoaderStudy):
        def _ways(self, data: Any) -> Any:
            ways = super()._ways(data)
            model = ways["loop by hand"].model
            ways["loop by hand"].epoch = textbook_loop(model, self.loader(data.train), self.lr / 30)
            return ways

    found = [Wrong(epochs=3, seed=seed).find(lambda line: None) for seed in range(3)]
    table = {name: splits["test"]["accuracy"] for name, splits in gather(found).items()}
    assert compare_all(table, "loop by hand", metric="accuracy")["Learner, own feed"].better == "Learner, own feed"


def test_the_textbook_loop_is_adam_on_the_mean_loss() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(12, 3), torch.randint(2, (12,))
    model, twin = nn.Linear(3, 2), nn.Linear(3, 2)
    twin.load_state_dict(model.state_dict())
    loss = textbook_loop(model, DataLoader(TensorDataset(x, y), batch_size=12), 0.1)()
    expected = nn.functional.cross_entropy(twin(x), y)
    assert loss == pytest.approx(expected.item())
    expected.backward()
    with torch.no_grad():
        for p in twin.parameters():
            assert p.grad is not None
            p -= 0.1 * p.grad.sign()  # Adam's first step
    assert difference(model, twin) < 1e-5


def test_what_is_refused(rung: Rung) -> None:
    for words, found in {
        "batch_sizes data=iris": "takes up to 512 samples at once",
        "batch_sizes batch_size=16": "batch_size is what batch_sizes compares",
        "batch_sizes lr=0.1": "lr is what batch_sizes compares",
        "data_loader data=wine": "asks its question of small images",
        "data_loader workers=2": 'has no setting "workers"',
        "data_loader data=world:shapes train_samples=5": "world:shapes has none",
    }.items():
        result = rung("train", *words.split())
        assert result.code == 2, words
        assert found in " ".join(result.err.split()), words
