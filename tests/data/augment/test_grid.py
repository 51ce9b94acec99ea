"""Images, masks and boxes are moved by one description, so they cannot come apart."""

from __future__ import annotations

import pytest
import torch
from beside_pillow import pictures
from torch import Tensor

from rungbook.data.augment.boxes import Scene, move_boxes
from rungbook.data.augment.flip_crop import FlipCrop
from rungbook.data.augment.geometry import Affine, Flip, Perspective, Zoom
from rungbook.data.augment.grid import Grid, affine, identity
from rungbook.data.augment.policy import AugMix, RandAugment
from rungbook.data.augment.step import Chain, Step

SIZE = (60, 72)
N = 12
PLAIN: dict[str, Step] = {
    "flip_crop": FlipCrop(padding=6, mode="zero"),
    "flip_both": Flip(),
    "affine": Affine(degrees=40, shift=0.2, scale=1.3, shear=0.2, edge="zero"),
    "perspective": Perspective(),
    "zoom": Zoom(),
    "randaugment": RandAugment(n=1, m=6),
    "chain": Chain(FlipCrop(padding=4, mode="zero"), Affine(edge="zero")),
}


def boxes_at(seed: int) -> Tensor:
    """(N, 2, 4) boxes of whole pixels, some at the border."""
    g = torch.Generator().manual_seed(seed)
    low = torch.stack([torch.randint(0, 50, (N, 2), generator=g), torch.randint(0, 40, (N, 2), generator=g)], 2)
    high = low + torch.randint(8, 20, (N, 2, 2), generator=g)
    return torch.cat([low, high], 2).float()


def drawn(boxes: Tensor) -> Tensor:
    """The boxes as label maps (N, H, W): box 0 as 1, box 1 over it as 2."""
    y, x = torch.arange(SIZE[0])[:, None], torch.arange(SIZE[1])
    masks = torch.zeros(len(boxes), *SIZE, dtype=torch.int64)
    for k in range(boxes.shape[1]):
        x1, y1, x2, y2 = boxes[:, k, :, None, None].unbind(1)
        masks[(x >= x1) & (x < x2) & (y >= y1) & (y < y2)] = k + 1
    return masks


@pytest.mark.parametrize("name", PLAIN)
def test_drawn_boxes_move_as_boxes(name: str) -> None:
    """A box drawn into the mask and moved with it lies within the moved box, and reaches each of its sides."""
    samples, boxes = torch.arange(N) + 100, boxes_at(1)
    for k in range(2):
        one = boxes[:, k : k + 1]
        scene = Scene(pictures(N, size=SIZE), masks=drawn(one), boxes=one)
        moved = PLAIN[name].together(scene, samples, 3, 0)
        assert moved.masks is not None
        assert moved.boxes is not None
        assert moved.present is not None
        assert moved.present.any()
        for mask, box, present in zip(moved.masks, moved.boxes[:, 0], moved.present[:, 0], strict=True):
            seen = mask.nonzero().float()
            if not present:
                assert len(seen) < 0.5 * 20 * 20
                continue
            x1, y1, x2, y2 = box.tolist()
            low, high = seen.amin(0), seen.amax(0) + 1
            assert low[1] >= x1 - 0.5 - 1e-3
            assert low[0] >= y1 - 0.5 - 1e-3
            assert high[1] <= x2 + 0.5 + 1e-3
            assert high[0] <= y2 + 0.5 + 1e-3
            # a corner may fall between pixel centres: the sharper it is, the further the last pixel is from the box's side
            reach = 7.0 if name == "chain" else 5.0  # and the box of a box, turned twice, grows
            assert abs(low[1] - x1) < reach
            assert abs(low[0] - y1) < reach
            assert abs(high[1] - x2) < reach
            assert abs(high[0] - y2) < reach


@pytest.mark.parametrize("name", PLAIN)
def test_masks_move_as_images(name: str) -> None:
    """An image that is constant on a mask's labels stays so: away from borders its pixels are those of the moved mask."""
    samples = torch.arange(N)
    masks = drawn(boxes_at(2))
    images = (masks * 100).to(torch.uint8)[:, None].expand(-1, 3, -1, -1).contiguous()
    step = PLAIN[name]
    if name == "randaugment":
        step = RandAugment(n=1, m=6)
        step.steps[0].names = ("rotate", "shear_x", "translate_y", "identity")
    moved = step.together(Scene(images, masks=masks), samples, 0, 0)
    assert moved.masks is not None
    inner = torch.nn.functional.max_pool2d(moved.masks[:, None].float(), 5, 1, 2) == -torch.nn.functional.max_pool2d(
        -moved.masks[:, None].float(), 5, 1, 2
    )
    same = (moved.images[:, :1].float() - 100 * moved.masks[:, None]).abs() <= 1
    assert inner.float().mean() > 0.5
    assert same[inner].float().mean() > 0.999
    still = (moved.images[:, :1].float() - 100 * masks[:, None]).abs() <= 1
    assert still[inner].float().mean() < 0.999, "masks that stay where they were must not pass"


def test_control_another_draw_comes_apart() -> None:
    """What happens when the mask's transform draws for itself, as two pipelines side by side do."""
    masks, step = drawn(boxes_at(2)), PLAIN["affine"]
    images = (masks * 100).to(torch.uint8)[:, None]
    image = step(images, torch.arange(N), 0, 0)
    grid = step.grid(torch.arange(N), 0, 1, SIZE)
    assert grid is not None
    assert ((image[:, 0].float() - 100 * grid.masks(masks)).abs() > 50).float().mean() > 0.05


def test_points_follow_the_matrix() -> None:
    """`points` is the way back of the matrix, and the moves together are the product of each alone."""
    g = torch.Generator().manual_seed(6)
    u = torch.rand(6, 300, generator=g, dtype=torch.float64) * 2 - 1
    moves = {"turn": u[0] * 180, "shear": (u[1] / 2, u[2] / 2), "scale": 2 ** u[3], "shift": (u[4] * 30, u[5] * 30)}
    matrix = affine(SIZE, **moves)  # type: ignore[arg-type]
    points = torch.rand(300, 5, 2, generator=g, dtype=torch.float64) * 60
    moved = torch.cat([Grid(matrix, SIZE, SIZE).points(points), torch.ones(300, 5, 1, dtype=torch.float64)], 2)
    assert torch.allclose((moved @ matrix.mT)[..., :2], points, atol=1e-8)
    each = [affine(SIZE, **{name: value}) for name, value in moves.items()]  # type: ignore[arg-type]
    assert torch.allclose(each[0] @ each[1] @ each[2] @ each[3], matrix, atol=1e-8)
    assert not torch.allclose(each[1] @ each[0] @ each[2] @ each[3], matrix, atol=1e-2), "their order counts"


def test_one_interpolation_keeps_more_than_three() -> None:
    """Turned there and back: by one product of matrices nothing is lost, by one step after the other detail is."""
    x = pictures(8, size=(40, 40))
    there, back = affine((40, 40), turn=torch.full((8,), 30.0)), affine((40, 40), turn=torch.full((8,), -30.0))
    both = Grid(there @ back, (40, 40), (40, 40)).images(x)
    assert (both.int() - x.int()).abs().max() <= 1
    stepwise = Grid(back, (40, 40), (40, 40)).images(Grid(there, (40, 40), (40, 40)).images(x))
    middle = (slice(None), slice(None), slice(12, 28), slice(12, 28))
    assert (stepwise.int() - x.int())[middle].abs().max() > 20


def test_boxes_are_cut_and_dropped() -> None:
    boxes = torch.tensor([[[10, 10, 20, 20], [60, 10, 72, 30], [0, 0, 5, 5], [0, 0, 0, 0]]], dtype=torch.float32)
    matrix = identity(1)
    matrix[0, 0, 2] = -8.0  # everything 8 pixels to the right
    present = torch.tensor([[True, True, True, False]])
    moved, left = move_boxes(boxes, Grid(matrix, SIZE, SIZE), present=present)
    assert moved[0].tolist() == [[18, 10, 28, 20], [68, 10, 72, 30], [8, 0, 13, 5], [0, 0, 0, 0]]
    assert left[0].tolist() == [True, True, True, False]
    _, left = move_boxes(boxes, Grid(matrix, SIZE, SIZE), present=present, least_share=0.5)
    assert left[0].tolist() == [True, False, True, False], "a third of the second is left"
    matrix[0, 0, 2] = -80.0
    moved, left = move_boxes(boxes, Grid(matrix, SIZE, SIZE))
    assert not left.any()
    assert not moved.any()


def test_boxes_behind_the_viewer_are_dropped() -> None:
    matrix = identity(1)
    matrix[0, 2, 0] = -1 / 30  # the horizon stands at x = 30 of the result
    grid = Grid(torch.linalg.inv(matrix), SIZE, SIZE, projective=True)
    _, left = move_boxes(torch.tensor([[[2.0, 2.0, 12.0, 12.0], [40.0, 2.0, 60.0, 12.0]]]), grid)
    assert left.tolist() == [[True, False]]


def test_mask_fill_is_told() -> None:
    masks = drawn(boxes_at(3)).to(torch.uint8)
    grid = Grid(affine(SIZE, shift=(torch.full((N,), 30.0), 0.0)), SIZE, SIZE)
    assert (grid.masks(masks, fill=255)[:, :, :30] == 255).all()
    assert grid.masks(masks, fill=255).dtype == torch.uint8


def test_steps_without_a_place_say_so() -> None:
    scene, samples = Scene(pictures(4, size=SIZE), masks=drawn(boxes_at(1))[:4]), torch.arange(4)
    with pytest.raises(TypeError, match=r"masks and boxes cannot follow; try RandAugment"):
        AugMix().together(scene, samples, 0, 0)
    with pytest.raises(TypeError, match="is no Step"):
        Chain(lambda x, samples, epoch, seed: x).together(scene, samples, 0, 0)
