"""A learner's own parts in torch's place: what works, and what is said of each mistake."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from commands import Rung
from torch import nn

from rungbook.errors import UsageError
from rungbook.learner.learner import Interrupted
from rungbook.recipes.mine import blamed, constructor_arguments, put_layers, read_mine, split_word
from rungbook.recipes.once import train_once
from rungbook.recipes.recipe import find_recipe
from rungbook.recipes.settings import parse_settings

LAYER = """
import math
import torch
from torch import nn
CALLS = []

class MyLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x):
        CALLS.append(x.shape)
        return x @ self.weight.t() + self.bias

class Unlike(nn.Linear):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs + 1)

class Breaks(nn.Linear):
    def forward(self, x):
        return x @ self.weight

class Refuses(nn.Module):
    def __init__(self, inputs):
        super().__init__()

def not_a_layer(x):
    return x

def my_relu(x, inplace=False):
    CALLS.append("relu")
    return torch.where(x > 0, x, 0.0)

class MyLoss(nn.Module):
    def forward(self, output, target):
        CALLS.append("loss")
        return -output.log_softmax(1).gather(1, target[:, None]).mean()

class MySGD(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self):
        CALLS.append("step")
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad
"""
LATE = """
import torch
from torch import nn

class Nothing(nn.Linear):
    def forward(self, x):
        super().forward(x)

class Short(nn.Linear):
    def forward(self, x):
        return super().forward(x)[:, :-1]

class Cut(nn.Linear):
    def forward(self, x):
        return super().forward(x).detach()

class Leaves(nn.Linear):
    def forward(self, x):
        raise SystemExit(3)

class TooMany(nn.Linear):
    def forward(self, x, y):
        return x

class NoLoss(nn.Module):
    def forward(self, output, target):
        return output.sum().item()

class Each(nn.Module):
    def forward(self, output, target):
        return -output.log_softmax(1).gather(1, target[:, None])

class Careless(torch.optim.Optimizer):
    def __init__(self, params, lr):
        self.params = list(params)

def prints(x, inplace=False):
    print(x.shape)
"""
QUICK = ["data=digits", "epochs=1", "lr=0.1", "optimizer=sgd", "momentum=0", "weight_decay=0", "final=last"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(LAYER)
    return path


def train(*words: str) -> torch.Tensor:
    recipe = find_recipe("mlp")(**parse_settings(find_recipe("mlp"), [*QUICK, *words]))
    return torch.cat([p.detach().flatten() for p in train_once(recipe).learner.model.parameters()])


@pytest.mark.parametrize("word", ["Linear:{}:MyLinear", "relu:{}:my_relu", "CrossEntropyLoss:{}:MyLoss", "SGD:{}:MySGD"])
def test_the_same_weights_come_out(file: Path, word: str) -> None:
    import sys

    own = train(f"mine={word.format(file)}")
    assert sys.modules["mine_own"].CALLS, "it was used"
    torch.testing.assert_close(own, train(), rtol=1e-4, atol=1e-5)


def test_several_at_once(file: Path) -> None:
    import sys

    train(f"mine=Linear:{file}:MyLinear,SGD:{file}:MySGD,CrossEntropyLoss:{file}:MyLoss")
    calls = sys.modules["mine_own"].CALLS
    assert {"step", "loss"} < set(calls)


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("Linear", "E202", "TORCH_CLASS:FILE:YOUR_CLASS"),
        ("Linear:own.py", "E202", "TORCH_CLASS:FILE:YOUR_CLASS"),
        ("Linaer:{}:MyLinear", "E201", "Linear:..."),
        ("Linear:nowhere.py:MyLinear", "E105", "not there"),
        ("Linear:{}:MyLinaer", "E201", "MyLinear"),
        ("Linear:{}:not_a_layer", "E202", "torch.nn.Module"),
        ("SGD:{}:MyLinear", "E202", "torch.optim.Optimizer"),
        ("relu:{}:CALLS", "E202", "cannot be called"),
    ],
)
def test_words_that_name_nothing_usable(file: Path, word: str, code: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_mine(word.format(file))
    assert refused.value.code == code
    assert said in refused.value.message + refused.value.fix


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("Linear:{}:Unlike", r"has the weights weight \(\d+, 64\).*Linear has weight"),
        ("Linear:{}:Breaks", r"own.py:23 failed in forward: RuntimeError: mat1 and mat2 shapes"),
        ("Linear:{}:Refuses", r"failed when made as Refuses\(64, \d+\): TypeError"),
        ("Conv2d:{}:MyLinear", r"The model has no Conv2d. It is made of"),
        ("Adam:{}:MySGD", r"mine stands for Adam, the recipe trains with SGD"),
        ("MSELoss:{}:MyLoss", r"mine stands for MSELoss, the recipe's loss is cross_entropy"),
    ],
)
def test_parts_that_do_not_fit(file: Path, word: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        train(f"mine={word.format(file)}")
    assert re.search(said, f"{refused.value.message} {refused.value.fix}"), refused.value.message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("mine=Linear:{}:Nothing", r"Nothing in .*late.py returns nothing \(None\) where Linear returns a tensor of shape \(\d+, 256\)"),
        ("mine=Linear:{}:Short", r"returns a tensor of shape \(\d+, 255\) where Linear returns a tensor of shape \(\d+, 256\)"),
        ("mine=Linear:{}:Cut", r"Training with Cut of .*late.py failed: RuntimeError: element 0 of tensors does not require grad"),
        ("mine=Linear:{}:Cut scratch=all", r"Training with Cut of .*late.py failed: UnreachedTensor"),
        ("mine=Linear:{}:Leaves", r"late.py:19 failed in forward: SystemExit: 3"),
        ("mine=Linear:{}:TooMany", r"late.py failed in forward: TypeError.*Look at \S*late.py, or"),
        ("mine=CrossEntropyLoss:{}:NoLoss", r"NoLoss in .*late.py returns a float; a loss is a tensor of one number"),
        ("mine=CrossEntropyLoss:{}:Each", r"Each in .*late.py returns a tensor of shape \(\d+, 1\); a loss is one number"),
        ("mine=SGD:{}:Careless", r"Training with Careless of .*late.py failed: AttributeError"),
        ("mine=relu:{}:prints", r"prints in .*late.py returns nothing \(None\); it must return what torch's does"),
        ("mine=gelu:{}:prints", r"Neither the model nor its loss calls torch's gelu: prints of .* is never used. Leave it out"),
        ("mine=relu:{}:prints scratch=layers,optim", r"scratch=optim leaves them torch's"),
        ("mine=relu:{}:prints scratch=layers", r"torch's relu: prints of .* is never used. .*: scratch= leaves them torch's"),
    ],
)
def test_mistakes_that_show_late_are_theirs(tmp_path: Path, words: str, said: str) -> None:
    path = tmp_path / "late.py"
    path.write_text(LATE)
    with pytest.raises(UsageError) as refused:
        train(*words.format(path).split())
    assert re.search(said, f"{refused.value.message} {refused.value.fix}"), refused.value.message


def test_errors_of_ours_are_not_blamed_on_nobody(file: Path) -> None:
    with pytest.raises(KeyError), blamed():
        raise KeyError
    with pytest.raises(UsageError, match="Training with MyLinear of"), blamed(f"Linear:{file}:MyLinear"):
        raise KeyError
    with pytest.raises(Interrupted), blamed(f"Linear:{file}:MyLinear"):
        raise Interrupted


def test_a_copied_model_calls_its_own_layers(file: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    put_layers(model, *read_mine(f"Linear:{file}:MyLinear"))
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[0].weight.zero_()
        twin[0].bias.zero_()
    assert not twin(torch.ones(1, 2)).any()
    assert model(torch.ones(1, 2)).any()


def test_files_are_looked_at_before_a_run_begins(tmp_path: Path, rung: Rung) -> None:
    (tmp_path / "own.py").write_text("class A(\n")
    for name, said in (("own.py", "own.py:1 failed while it was read: SyntaxError"), ("", "which is a folder"), ("b.py", "not there")):
        answer = rung("train", "mlp", "data=iris", f"mine=Linear:{tmp_path / name}:A")
        assert answer.code == 2
        assert said in answer.text
    assert "no runs" in rung("runs").text.lower()


def test_one_part_in_the_place_of_one(file: Path) -> None:
    with pytest.raises(UsageError, match="mine names Linear 2 times"):
        read_mine(f"Linear:{file}:MyLinear", f"Linear:{file}:Breaks")


def test_a_setting_theirs_does_not_take(file: Path) -> None:
    with pytest.raises(UsageError, match=r"MySGD in .* takes no momentum; the recipe has momentum=0.9"):
        train(f"mine=SGD:{file}:MySGD", "momentum=0.9")


@pytest.mark.parametrize(
    ("text", "said"),
    [("x = 1 +\n", "SyntaxError"), ("\n\nraise RuntimeError('why')\n", "own.py:3 failed while it was read")],
)
def test_files_that_do_not_run(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_mine(f"Linear:{file}:MyLinear")


def test_words() -> None:
    assert split_word("torch.nn.Conv2d:own.py:C") == split_word("nn.Conv2d:own.py:C") == ("Conv2d", Path("own.py"), "C")
    assert split_word("Conv2d:a/b.py:C") == ("Conv2d", Path("a/b.py"), "C")
    assert split_word(r"Conv2d:C:\a\b.py:C")[1:] == (Path(r"C:\a\b.py"), "C")


@pytest.mark.parametrize(
    ("layer", "required", "options"),
    [
        (nn.Linear(3, 4), [3, 4], {}),
        (nn.Linear(3, 4, bias=False), [3, 4], {"bias": False}),
        (nn.Conv2d(1, 6, 5, padding=2), [1, 6, (5, 5)], {"padding": (2, 2)}),
        (nn.Conv2d(4, 8, 3, groups=2, padding_mode="reflect"), [4, 8, (3, 3)], {"groups": 2, "padding_mode": "reflect"}),
        (nn.BatchNorm2d(3, momentum=None), [3], {"momentum": None}),
        (nn.LayerNorm(5, eps=1e-3), [(5,)], {"eps": 1e-3}),
        (nn.MaxPool2d(2), [2], {"stride": 2}),
        (nn.Dropout(0.2), [], {"p": 0.2}),
        (nn.LSTM(3, 4, num_layers=2), [3, 4], {"num_layers": 2}),
    ],
)
def test_what_a_layer_was_made_with(layer: nn.Module, required: list[object], options: dict[str, object]) -> None:
    found = constructor_arguments(layer)
    assert found == (required, options)
    assert repr(type(layer)(*found[0], **found[1])) == repr(layer)


def test_a_shared_layer_stays_shared(file: Path) -> None:
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    assert put_layers(model, *read_mine(f"Linear:{file}:MyLinear")) == 1
    assert model[0] is model[2]
    assert type(model[0]).__name__ == "MyLinear"
    assert torch.equal(model[0].weight, shared.weight)


STOPS = """
import os, signal
from pathlib import Path
from torch import nn

HERE = Path(__file__).parent
(HERE / "ran").touch()

class MyLinear(nn.Linear):
    def forward(self, x):
        if (HERE / "stop").exists() and self.training:
            (HERE / "stop").unlink()
            os.kill(os.getpid(), signal.SIGINT)
        return super().forward(x)
"""


def test_a_record_alone_never_runs_the_file(tmp_path: Path, rung: Rung) -> None:
    """A run folder may come from anybody; the file it names is run again only if somebody names it again."""
    rung.quick()
    file, ran = tmp_path / "own.py", tmp_path / "ran"
    file.write_text(STOPS)
    (tmp_path / "stop").touch()
    word = f"mine=Linear:{file}:MyLinear"
    assert rung("train", "mlp", "data=iris", "epochs=2", word).code == 5
    assert ran.exists()
    ran.unlink()
    refused = rung("resume")
    assert refused.code == 2
    assert f"only run if you say so. fix: rung resume 001-mlp {word}" in refused.text
    assert not ran.exists()
    assert rung("resume", "1", word).code == 0
    assert ran.exists()
    ran.unlink()
    assert rung("eval", "1").code == 0
    assert rung("runs", "compare", "1", "1").code == 0
    assert not ran.exists(), "a finished run is used with torch's layers: the weights are the same"


def test_figures_of_the_ledger_are_of_rungbooks_parts(file: Path, rung: Rung) -> None:
    answer = rung("measure", "mlp", f"mine=Linear:{file}:MyLinear")
    assert answer.code == 2
    assert "E202 figures in the ledger are of rungbook's own parts" in answer.text


BACKWARD = """
import torch
from torch import nn

class Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        raise IndexError("late")

class Late(nn.Linear):
    def forward(self, x):
        return Backward.apply(super().forward(x))
"""


def test_a_backward_that_the_tape_would_pass_over_is_refused(file: Path) -> None:
    file.write_text(BACKWARD)
    with pytest.raises(UsageError, match=r"own.py has a backward of its own, which a tape never calls"):
        train(f"mine=Linear:{file}:Late", "scratch=autograd")


def test_a_mistake_in_a_backward_is_theirs(file: Path) -> None:
    file.write_text(BACKWARD)
    with pytest.raises(UsageError, match=r"own.py:12 failed while training: IndexError: late"):
        train(f"mine=Linear:{file}:Late")
