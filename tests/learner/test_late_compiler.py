"""torch's compiler stays away from trainings that compile nothing, and is asked as before once it is there."""

import subprocess
import sys
import textwrap

import pytest

LEARNER = """
from rungbook.learner.late_compiler import ANSWER
from rungbook.learner.learner import Learner
from rungbook.data.feed import TensorSource, Feed
x, y = torch.randn(8, 3), torch.randn(8, 1)
feed = Feed(TensorSource(x, y), batch_size=4)
learner = Learner(nn.Linear(3, 1), (feed, None), nn.functional.mse_loss, torch.optim.Adam, lr=0.1, metrics=(), device="cpu")
learner.fit(2)
optimizer = learner.optimizer
optimizer.load_state_dict(optimizer.state_dict())
"""
MUON = """
from functools import partial
from rungbook.learner.optimizing import bare_step, make_optimizer
from rungbook.learner.split_optimizer import SplitOptimizer
from torch.optim import SGD, AdamW, Muon
model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 1))
optimizer = make_optimizer(partial(SplitOptimizer, hidden=Muon, rest=AdamW), model, list(model.parameters()), 0.1)
model(torch.randn(2, 3)).sum().backward()
bare_step(optimizer)()
"""
BEFORE_A_RUN = """
from rungbook.recipes.prepare import pick_threads, prepare_data
from rungbook.recipes.recipe import find_recipe
from rungbook.recipes.session import optimizer_keeps
recipe = find_recipe("digits")()
data = prepare_data(recipe)
pick_threads(recipe, nn.Sequential(nn.Flatten(), nn.Linear(data.one_batch(1)[0][0].numel(), 10)), data)
assert optimizer_keeps(torch.optim.AdamW)[1] == 3
"""
CASES = {
    "learner": (LEARNER, False),
    "rate finder": (LEARNER + "learner.find_lr(steps=5)", False),
    "Muon and AdamW": (MUON, False),
    "what comes before a run": (LEARNER + BEFORE_A_RUN, False),
    "torch by itself": ("optimizer = torch.optim.Adam([nn.Parameter(torch.ones(1))])", True),
}


def python(code: str) -> str:
    code = "import sys, torch\nfrom torch import nn\n" + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("code", "loaded"), CASES.values(), ids=CASES)
def test_what_loads_it(code: str, loaded: bool) -> None:
    assert python(code + "\nprint('torch._dynamo' in sys.modules)").strip() == str(loaded)


def test_it_is_asked_once_it_is_there() -> None:
    ask = """
    plain = torch.optim.Optimizer.zero_grad.__wrapped__
    stand_in = getattr(plain, ANSWER)
    import torch._dynamo
    optimizer.zero_grad()
    now = getattr(plain, ANSWER)
    print(now is not stand_in, getattr(now, "_torchdynamo_disable", False))
    step = torch.compile(lambda x: x.sin() + 1, backend="eager")
    optimizer.zero_grad()
    print(torch.allclose(step(x), x.sin() + 1))
    """
    assert python(LEARNER + textwrap.dedent(ask)).split() == ["True"] * 3
