"""Test-time augmentation: means of probabilities, versions that are what they say, and no trace."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from kit import cnn, equal, feed, images, learner, rows, weights
from torch import nn

from rungbook.errors import UsageError
from rungbook.learner.learner import Learner
from rungbook.learner.pack import digest
from rungbook.learner.random_state import get_random_state
from rungbook.learner.tta import VERSIONS, tta


def trained(**options: object) -> Learner:
    ours = learner(cnn(), (feed(*images(48)), feed(*images(40, seed=1), shuffle=False)), optimizer=torch.optim.Adam, lr=0.01, **options)
    ours.fit(3)
    return ours


def test_probabilities_are_averaged() -> None:
    ours = trained()
    x, y = images(40, seed=1)
    ours.model.eval()
    with torch.no_grad():
        one, two = ours.model(x), ours.model(x.flip(3))
    mean = (one.softmax(1) + two.softmax(1)) / 2
    output = ours.predict(tta="flip")
    torch.testing.assert_close(output.softmax(1), mean)
    torch.testing.assert_close(output.exp().sum(1), torch.ones(40), msg="they are logarithms of probabilities")
    judged = ours.validate(tta="flip")
    assert judged["loss"] == pytest.approx(float(F.nll_loss(mean.log(), y)), rel=1e-5)
    assert judged["accuracy"] == pytest.approx(float((mean.argmax(1) == y).double().mean()))
    assert float((output.softmax(1) - ((one + two) / 2).softmax(1)).abs().max()) > 1e-5, "control: the mean of logits is another answer"
    assert float((output.softmax(1) - ours.predict().softmax(1)).abs().max()) > 1e-3, "control: without it the answer is another"


def test_versions_are_the_image_mirrored_and_shifted() -> None:
    x = torch.arange(32 * 48, dtype=torch.float32).reshape(1, 1, 32, 48)
    counts = {name: len(views) for name, views in VERSIONS.items()}
    assert counts == {"flip": 2, "crop": 5, "flip_crop": 10}
    for name, views in VERSIONS.items():
        seen = [view(x) for view in views]
        assert seen[0].equal(x), name
        assert {v.shape for v in seen} == {x.shape}
        assert len({digest(v) for v in seen}) == len(seen), "each another"
    down_right = VERSIONS["crop"][4](x)
    assert down_right[:, :, 2:, 2:].equal(x[:, :, :-2, :-2]), "2 of 32 pixels"
    assert VERSIONS["crop"][1](x)[:, :, :-2, :-2].equal(x[:, :, 2:, 2:])
    assert VERSIONS["flip_crop"][9](x).equal(down_right.flip(3))


def test_it_leaves_no_trace() -> None:
    ours = trained(metrics=["accuracy", "f1"])
    ours.model[0].eval()  # modes are put back one by one
    before = (digest(ours.state_dict()), digest(get_random_state()["torch"]), [m.training for m in ours.model.modules()])
    plain = ours.predict()
    for versions in VERSIONS:
        ours.predict(tta=versions)
        ours.validate(tta=versions)
    after = (digest(ours.state_dict()), digest(get_random_state()["torch"]), [m.training for m in ours.model.modules()])
    assert after == before
    assert ours.predict().equal(plain)


def test_training_does_not_know_of_it() -> None:
    plain, watched = trained(), trained()
    watched.validate(tta="flip_crop")
    plain.fit(1)
    watched.fit(1)
    assert equal(weights(plain.model), weights(watched.model))


def test_a_model_that_knows_left_from_right_suffers() -> None:
    """Averaging helps only where the change leaves the class alone: the classes here are left and right."""
    x, y = images(200)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    side = torch.where(torch.arange(8) < 4, 1.0, -1.0).repeat(8)
    model[1].weight.data.copy_(torch.stack([-side, side]))
    model[1].bias.data.zero_()
    ours = learner(model, (feed(x, y), feed(x, y, shuffle=False)))
    assert ours.validate()["accuracy"] == 1.0
    assert ours.validate(tta="flip")["accuracy"] < 0.7


def test_numbers_are_averaged_as_they_are() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 1)).eval()
    x = images(6)[0]
    expected = (model(x) + model(x.flip(3))) / 2
    torch.testing.assert_close(tta(model, "flip", classes=False)(x), expected)
    ours = learner(model, ([(x, x.mean((1, 2, 3))[:, None])], None), loss=F.mse_loss, metrics=["r2"])
    torch.testing.assert_close(ours.predict(x, tta="flip"), expected.detach())


def test_no_probability_is_lost() -> None:
    """A class that one version is sure against keeps half of what the other gives it, in float32 and in float64."""
    logits = torch.tensor([[0.0, 500.0]])
    answers = iter([logits, -logits, logits.double(), -logits.double()])
    sure = tta(lambda x: next(answers))
    for _ in range(2):
        output = sure(torch.zeros(1, 1, 4, 4))
        torch.testing.assert_close(output.softmax(1), torch.full((1, 2), 0.5, dtype=output.dtype))
    assert output.dtype == torch.float64
    torch.testing.assert_close(tta(lambda x: logits)(torch.zeros(1, 1, 4, 4)), logits.log_softmax(1))
    assert bool(torch.isinf(logits.softmax(1).log()).any()), "control: the logarithm of the mean loses it"


def test_refused() -> None:
    with pytest.raises(UsageError, match=r"(?s)flipp.*tta=flip") as error:
        learner().predict(tta="flipp")  # type: ignore[arg-type]
    assert error.value.code == "E201"
    with pytest.raises(UsageError, match="a sample here is 6"):
        learner(data=(feed(*rows()), feed(*rows(), shuffle=False))).validate(tta="flip")
    with pytest.raises(UsageError, match="cannot be shifted"):
        tta(nn.Flatten(), "crop")(torch.zeros(2, 1, 1, 5))
