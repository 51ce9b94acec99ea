"""Images of shapes: drawing against polygons, labels, boxes and masks against their noise, a small network against the limit."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from matplotlib.path import Path
from torch.nn import functional as F

from rungbook.data.load import load_data
from rungbook.data.worlds.registry import make_world
from rungbook.data.worlds.shapes import Shapes
from rungbook.data.worlds.shapes_draw import SHAPES, box_iou, boxes_of, coverage
from rungbook.errors import UsageError
from rungbook.models.registry import create_model

SIDE = 64


def corners(name: str, centre: np.ndarray, radius: float, turn: float) -> np.ndarray:
    """The corners of a shape, (n, 2), from its definition: radius, and what is inside it."""
    at = lambda angles, r: np.stack([np.cos(angles), np.sin(angles)], 1) * np.reshape(r, (-1, 1))
    if name == "square":
        points = at(np.pi / 4 + np.arange(4) * np.pi / 2, 1)
    elif name == "triangle":
        points = at(-np.pi / 2 + np.arange(3) * 2 * np.pi / 3, 1)
    elif name == "star":
        points = at(np.pi / 2 + np.arange(10) * np.pi / 5, [1, 0.4] * 5)
    else:
        arm, long = 0.3, math.sqrt(1 - 0.3**2)
        right = np.array([(arm, -arm), (long, -arm), (long, arm)])
        quarter = [np.array([[0, -1], [1, 0]])] * 4
        points, turned = [], right
        for q in quarter:
            points.append(turned)
            turned = turned @ q.T
        points = np.concatenate(points)
    cos, sin = math.cos(turn), math.sin(turn)
    return centre + radius * points @ np.array([[cos, sin], [-sin, cos]])


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_what_their_names_say(name: str) -> None:
    """Pixels are inside where the polygon of the shape's corners holds them, but for those on the edge."""
    rng = np.random.default_rng(1)
    n, kind = 6, list(SHAPES).index(name)
    centre, radius, turn = rng.uniform(24, 40, (n, 2)), rng.uniform(8, 22, n), rng.uniform(0, 7, n)
    cover = coverage(np.full(n, kind), centre, radius, turn, SIDE)
    assert cover.shape == (n, SIDE, SIDE)
    grid = np.stack(np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5), -1).reshape(-1, 2)
    for i in range(n):
        if name in ("circle", "ring"):
            distance = np.hypot(*(grid - centre[i]).T) / radius[i]
            inside = (distance <= 1) & (distance >= (0.56 if name == "ring" else 0))
            area = np.pi * radius[i] ** 2 * (1 - (0.56**2 if name == "ring" else 0))
        else:
            points = corners(name, centre[i], radius[i], turn[i])
            inside = Path(points).contains_points(grid)
            x, y = points.T
            area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        found = cover[i].reshape(-1) > 0.5
        assert (found != inside).sum() <= 2, "more than rounding at the edge"
        assert cover[i].sum() == pytest.approx(area, rel=0.06 if name == "star" else 0.03)
        if name != "circle":
            assert (found != (np.hypot(*(grid - centre[i]).T) <= radius[i])).sum() > 30, "a circle would have passed"


def test_boxes_are_tight() -> None:
    masks = np.random.default_rng(0).random((20, 9, 11)) < 0.04
    masks[:, 4, 5] = True
    for mask, box in zip(masks, boxes_of(masks), strict=True):
        rows, columns = np.nonzero(mask)
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_box_iou_by_counting_pixels() -> None:
    rng = np.random.default_rng(0)
    low = rng.integers(0, 12, (2, 200, 2))
    boxes = np.concatenate([low, low + rng.integers(0, 12, (2, 200, 2))], -1)
    x, y = np.meshgrid(np.arange(24), np.arange(24))
    held = (
        (x >= boxes[..., 0, None, None])
        & (x < boxes[..., 2, None, None])
        & (y >= boxes[..., 1, None, None])
        & (y < boxes[..., 3, None, None])
    )
    both, either = (held[0] & held[1]).sum((1, 2)), (held[0] | held[1]).sum((1, 2))
    np.testing.assert_allclose(box_iou(*boxes.astype(float)), both / np.maximum(either, 1), atol=1e-12)
    assert (both > 0).sum() > 30


@pytest.mark.parametrize("options", ["", "side=64, channels=3, objects=5, classes=6", "side=16, classes=6", "side=33, objects=2"])
def test_sample(options: str) -> None:
    world = make_world(f"shapes({options})")
    assert isinstance(world, Shapes)
    one, again, other = world.sample(120, 5), world.sample(120, 5), world.sample(120, 6)
    assert (one.x == again.x).all()
    assert (one.y == again.y).all()
    assert (one.hidden["noisy_masks"] == again.hidden["noisy_masks"]).all()
    assert (one.x != other.x).any()
    K, S, masks, boxes = world.objects, world.side, one.hidden["masks"], one.hidden["boxes"]
    assert (one.x.shape, one.x.dtype) == ((120, world.channels, S, S), np.uint8)
    assert (one.y.shape, one.y.dtype) == ((120,), np.int64)
    assert masks.shape == one.hidden["noisy_masks"].shape == (120, K, S, S)
    assert boxes.shape == one.hidden["noisy_boxes"].shape == (120, K, 4)
    assert one.hidden["labels"].shape == (120, K)
    assert (masks.sum(1) <= 1).all(), "objects overlap"
    assert (np.ptp(boxes.reshape(-1, 2, 2), axis=1) >= 5).all(), "too small to be told apart"
    assert set(one.hidden["labels"].ravel()) == set(range(world.classes))
    inside, outside = masks.any(1), ~masks.any(1)
    pixels = one.x.astype(float).mean(1)
    for image in range(120):
        assert pixels[image][inside[image]].mean() > pixels[image][outside[image]].mean() + 50
    for k in range(1, K):
        larger = (boxes[:, 0, 2:] - boxes[:, 0, :2]).sum(1) > (boxes[:, k, 2:] - boxes[:, k, :2]).sum(1)
        assert larger.mean() > 0.9, "the first object is the largest (a turned square has a larger box, hence not always)"


def test_three_thousand_images_take_well_under_two_seconds() -> None:
    start = time.process_time()
    Shapes().sample(3000)
    assert time.process_time() - start < 1.5


def test_noise_is_what_it_says() -> None:
    world = Shapes(classes=5, flip=0.3, noise=20.0, box_noise=0.8, mask_flip=0.1)
    n = 6000
    drawn = world.sample(n, 3)
    labels, hidden, limits = drawn.hidden["labels"][:, 0], drawn.hidden, world.limits()
    right = drawn.y == labels
    error = math.sqrt(0.21 / n)
    assert abs(right.mean() - limits["accuracy"].value) < 3 * error
    recall = [right[drawn.y == k].mean() for k in range(5)]
    assert abs(np.mean(recall) - limits["balanced_accuracy"].value) < 3 * error
    cells = np.zeros((5, 5))
    np.add.at(cells, (labels, drawn.y), 1)
    off = cells[~np.eye(5, dtype=bool)]
    assert ((off - off.mean()) ** 2 / off.mean()).sum() < 45.3, "0.999 quantile of chi-square with 20 degrees of freedom"
    losses = -np.log(np.where(right, 0.7, 0.3 / 4))
    assert abs(losses.mean() - limits["log_loss"].value) < 3 * losses.std() / math.sqrt(n)
    same = (hidden["masks"] == hidden["noisy_masks"]).mean((1, 2, 3))
    assert abs(same.mean() - limits["pixel_accuracy"].value) < 3 * same.std() / math.sqrt(n)
    far = np.abs(hidden["boxes"] - hidden["noisy_boxes"]).mean((1, 2))
    assert abs(far.mean() - limits["box_mean_absolute_error"].value) < 3 * far.std() / math.sqrt(n)
    assert abs(far.mean() - world.box_noise) > 3 * far.std() / math.sqrt(n), "the standard deviation is not the mean error"
    plain = Shapes(noise=0.0, channels=3).sample(200)
    for image, mask in zip(plain.x, plain.hidden["masks"][:, 0], strict=True):
        assert np.bincount(image[0][~mask]).max() > 0.85 * (~mask).sum(), "one background, but for the tones of the edge"
    corner = Shapes(noise=10.0).sample(3000).x[:, 0, :2, :2].astype(float)
    clear = corner.mean((1, 2)) > 50  # far from 0, where pixels are cut off; the mean says nothing of the spread
    assert math.sqrt(corner[clear].var((1, 2), ddof=1).mean()) == pytest.approx(10, rel=0.05)


def test_no_answer_beats_the_limits_of_boxes_and_masks() -> None:
    world = Shapes(box_noise=1.5)
    drawn = world.sample(5000, 7).hidden
    boxes, noisy = drawn["boxes"][:, 0], drawn["noisy_boxes"][:, 0]
    limit = world.limit("box_iou")
    assert 0 < limit.error < 0.002
    best = -math.inf
    for shift in np.linspace(-1.2, 1.2, 9):
        overlap = box_iou(boxes + shift * np.array([-1, -1, 1, 1]), noisy)
        error = math.hypot(overlap.std() / math.sqrt(len(overlap)), limit.error)
        assert overlap.mean() < limit.value + 3 * error
        best = max(best, (overlap.mean() - limit.value) / error)
        if abs(shift) > 1:
            assert overlap.mean() < limit.value - 3 * error
    assert best > -3, "something reaches it"
    assert Shapes(box_noise=0.0).limit("box_iou").value == 1
    mask, seen = drawn["masks"][:, 0], drawn["noisy_masks"][:, 0]
    grown = mask | np.roll(mask, 1, 1) | np.roll(mask, -1, 1)
    for answer, reaches in ((mask, True), (grown, False)):
        same = (answer == seen).mean((1, 2))
        gap = same.mean() - world.limit("pixel_accuracy").value
        assert bool(abs(gap) < 3 * same.std() / math.sqrt(len(same))) == reaches


def beyond(right: np.ndarray, clean: np.ndarray) -> float:
    """How many standard errors a model's hits lie above the true labels' hits on the same noisy labels."""
    gap = right.astype(float) - clean
    return float(gap.mean() / (gap.std() / math.sqrt(len(gap))))


def test_a_small_network_comes_near_the_limit_and_not_above() -> None:
    world = Shapes(side=16)  # the hardest: the smallest shapes have 4 pixels radius
    drawn, fresh = world.sample(5000, 1), world.sample(6000, 2)
    torch.manual_seed(0)
    model = create_model("conv_net", in_channels=1, num_classes=4, image_size=(16, 16), widths=(8, 16, 32), dropout=0.0)
    x, y = torch.from_numpy(drawn.x).float() / 64 - 1, torch.from_numpy(drawn.y)
    epochs, batch = 4, 50
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-2, total_steps=epochs * len(x) // batch)
    for _ in range(epochs):
        for part in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            F.cross_entropy(model(x[part]), y[part]).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        out = torch.cat([model(part) for part in (torch.from_numpy(fresh.x).float() / 64 - 1).split(500)]).log_softmax(1).numpy()
    truth = fresh.hidden["labels"][:, 0]
    right, clean = out.argmax(1) == fresh.y, truth == fresh.y
    limit = world.limit("accuracy").value
    error = math.sqrt(limit * (1 - limit) / len(right))
    assert abs(clean.mean() - limit) < 3 * error
    assert beyond(right, clean) < 3
    assert limit - 0.02 < right.mean() < limit + 3 * error
    assert (out.argmax(1) == truth).mean() > 0.98
    losses = -out[np.arange(len(out)), fresh.y]
    stated = world.limit("log_loss").value
    assert stated - 3 * losses.std() / math.sqrt(len(losses)) < losses.mean() < stated + 0.08
    for wrong in (limit - 0.05, limit + 0.05):  # neither would have passed
        assert not limit - 0.02 < wrong < limit + 3 * error
    assert beyond(np.ones(len(clean)), clean) > 3, "a model that knows the flips would have been caught"


@pytest.mark.parametrize(
    "options",
    [
        "classes=1",
        "classes=7",
        "side=15",
        "side=129",
        "channels=2",
        "objects=0",
        "objects=2",
        "objects=9, side=40",
        "objects=1000, side=128",
        "flip=0.75",
        "flip=-0.1",
        "flip=0.5, classes=2",
        "noise=26.0",
        "box_noise=5.0",
        "box_noise=-1.0",
        "mask_flip=0.5",
    ],
)
def test_impossible_parameters(options: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_world(f"shapes({options})")
    assert caught.value.code == "E202"
    assert options.split("=")[0] in caught.value.message
    assert make_world(caught.value.fix.split('"')[1]).sample(20).x.dtype == np.uint8


def test_picture() -> None:
    world = Shapes(flip=0.2)
    picture, drawn = world.picture(), world.sample(16)
    wrong = (drawn.y != drawn.hidden["labels"][:, 0]).sum()
    assert wrong > 0
    assert picture.alt.split("Wrong labels:")[1].count(" labelled ") == wrong
    assert "none" in Shapes(flip=0.0).picture().alt


def test_as_data() -> None:
    data = load_data("world:shapes(n=200)", image_size=20)
    assert data.classes == ("circle", "square", "triangle", "cross")
    assert data.facts["limit"]["accuracy"] == 0.9
    x, y = data.one_batch(8)
    assert isinstance(x, torch.Tensor)
    assert x.shape == (8, 1, 20, 20)
    assert y.dtype == torch.int64
    assert data.test is not None
    assert len(data.test.source) == 2000
