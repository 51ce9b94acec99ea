"""Pictures as training data: the encoder that travels with a model, and `Data` from arrays of uint8 images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rungbook.data.data import Data, Finding, fingerprint, make_feeds
from rungbook.data.feed import Augment, Inputs, Source, TensorSource
from rungbook.data.split import split_indices
from rungbook.data.target import ClassTarget
from rungbook.data.transforms import named_augment
from rungbook.errors import DataError, UsageError

FEWEST = 20
"""Fewer images than this give no split worth the name."""
UNEVEN = 4.0
"""Largest to smallest class from which on the imbalance is reported."""
CHUNK = 2048


@dataclass
class ImageEncoder:
    """From files or arrays to the images a model takes.

    A picture is cut to its largest centred box of the right shape and scaled; stored as uint8; as model input each channel is
    `(x / 255 - mean) / std`.

    Args:
        size: height and width in pixels.
        channels: 1 (grey) or 3 (red, green, blue).
        mean, std: of each channel over the training images, pixels counted from 0 to 1.
    """

    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    kind: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        if self.channels not in (1, 3) or len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(
                f"{self.channels} channels with {len(self.mean)} means and {len(self.std)} deviations: it must be 1 or 3 of each"
            )
        self._constants: dict[torch.device, tuple[Any, Any]] = {}

    def encode(self, items: Any) -> Tensor:
        """Pictures in stored form: uint8 (n, channels, height, width).

        Args:
            items: paths, arrays (H, W), (H, W, 3) or (channels, H, W) of uint8, or Pillow images; or one uint8 array or tensor
                (n, channels, H, W) or (n, H, W) of any size.

        Raises:
            DataError: E105 a file is missing, E106 it gives no picture, E104 an array is not uint8, E109 it has no such shape.
        """
        from rungbook.data.pil import quiet

        if isinstance(items, Tensor | np.ndarray):
            batch = _stored_form(items)
            if batch.shape[1:] == (self.channels, *self.size):
                return torch.from_numpy(np.array(batch))
            items = list(batch)
        with quiet():
            pictures = [self._one(item, i) for i, item in enumerate(items)]
        if not pictures:
            return torch.zeros((0, self.channels, *self.size), dtype=torch.uint8)
        return torch.from_numpy(np.stack(pictures))

    def _one(self, item: Any, i: int) -> np.ndarray:
        from rungbook.data.pil import BadImage, as_channels, decode, fit

        if isinstance(item, str | Path):
            try:
                pixels = decode(Path(item)).pixels
            except BadImage as error:
                missing = not Path(item).exists()
                raise DataError(
                    "E105" if missing else "E106", f"{item} {'does not exist' if missing else error}.", "Leave it out, or replace it"
                ) from None
        else:
            pixels = _plane(item, i)
        return as_channels(fit(pixels, *self.size), self.channels)

    def prepare(self, x: Inputs) -> Inputs:
        """Stored images (B, C, H, W) -> float32, normalised; on the device of `x`."""
        assert isinstance(x, Tensor)
        scale, shift = self._constants.get(x.device) or self._on(x.device)
        return x.float().mul_(scale).add_(shift)  # in place: two passes, as .float().div_(255) takes

    def _on(self, device: torch.device) -> tuple[Any, Any]:
        scale = [1 / (255 * s) for s in self.std]
        shift = [-m / s for m, s in zip(self.mean, self.std, strict=True)]
        if self.channels == 1:
            self._constants[device] = (scale[0], shift[0])
        else:
            self._constants[device] = (torch.tensor(scale, device=device).view(-1, 1, 1), torch.tensor(shift, device=device).view(-1, 1, 1))
        return self._constants[device]

    def describe(self) -> dict[str, Any]:
        """A JSON object from which `restore` makes the encoder again."""
        return {"kind": self.kind, **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}}

    @classmethod
    def restore(cls, description: dict[str, Any]) -> ImageEncoder:
        """The encoder that `describe` described."""
        d = description
        h, w = d["size"]
        return cls((int(h), int(w)), int(d["channels"]), tuple(map(float, d["mean"])), tuple(map(float, d["std"])))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_constants": {}}  # a worker process makes its own


def image_data(
    name: str,
    x: np.ndarray | Tensor,
    y: Sequence[int] | np.ndarray | Tensor,
    classes: Sequence[str],
    *,
    test: tuple[Any, Any] | None = None,
    valid: float = 0.1,
    test_share: float = 0.1,
    seed: int = 0,
    batch_size: int = 64,
    workers: int = 0,
    augment: str | Augment | None = None,
    image_size: int | tuple[int, int] | None = None,
    groups: Sequence[int] | np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> Data:
    """Images in memory as `Data`: stratified, exact copies on one side, normalised by the training images alone.

    Args:
        name: what the set is called.
        x: uint8 images, (n, H, W) or (n, C, H, W) with C 1 or 3.
        y: class numbers, (n,).
        classes: class names; a label is an index into them.
        test: official test images and labels, kept as they are; then `test_share` must be 0 or is ignored.
        valid, test_share: shares to cut from `x`, 0 for none.
        seed: of the split, the order and the augmentation.
        batch_size: images a training batch.
        workers: worker processes; 0 is fastest for images in memory.
        augment: for training: "flip", "crop", "flip_crop", a function, or None.
        image_size: side, or height and width, in pixels to scale the images to; their own by default.
        groups: images that must stay together, (n,); by default those with equal pixels.
        names: what each image is called in messages.

    Raises:
        DataError: E104 not uint8, E109 no image shape, E102 or E103 a label, E110 one class, E113 too few images.
    """
    images, labels = _stored_form(x), _labels(y, len(x), classes, name)
    if len(images) < FEWEST:
        raise DataError("E113", f"{name} has {len(images)} images, {FEWEST} are needed.", "Add images")
    if len(np.unique(labels)) < 2:
        raise DataError("E110", f'All {len(images):,} images of {name} are of the class "{classes[labels[0]]}".', "Two or more are needed")
    digests = image_digests(images)
    copies = copy_groups(digests)
    official = None if test is None else (_stored_form(test[0]), _labels(test[1], len(test[0]), classes, f"{name} (test)"))
    if official is not None and official[0].shape[1:] != images.shape[1:]:
        raise DataError(
            "E101", f"{name}: test images are {official[0].shape[1:]}, training images {images.shape[1:]} (channels, height, width)."
        )
    test_digests = image_digests(official[0]) if official is not None else []
    size = as_size(image_size) if image_size else images.shape[2:]
    images, official = scaled(images, size), official and (scaled(official[0], size), official[1])
    parts = split_indices(
        len(images),
        valid=valid,
        test=0.0 if official is not None else test_share,
        seed=seed,
        strata=labels,
        groups=copies if groups is None else groups,
    )
    encoder = _encoder_for(images, parts["train"])
    sources: dict[str, Source] = {}
    for part, index in parts.items():
        if len(index):
            called = [names[i] for i in index] if names else None
            sources[part] = TensorSource(torch.from_numpy(images[index]), torch.from_numpy(labels[index]), called)
    if official is not None:
        sources["test"] = TensorSource(torch.from_numpy(np.array(official[0])), torch.from_numpy(official[1]))
    findings = [
        *uneven_classes(labels, classes),
        *_copies_found(digests, labels, classes, copies),
        *_in_test(digests, test_digests),
    ]
    return assemble(
        name,
        classes,
        sources,
        encoder,
        findings=findings,
        facts={"test": "official" if official is not None else "cut", "copies": len(images) - int(copies.max()) - 1},
        mark=fingerprint([b"".join(digests), labels, *parts.values(), b"".join(test_digests), *map(str, classes)]),
        seed=seed,
        batch_size=batch_size,
        workers=workers,
        augment=augment,
    )


def assemble(
    name: str,
    classes: Sequence[str],
    sources: dict[str, Source],
    encoder: ImageEncoder,
    *,
    findings: list[Finding],
    facts: dict[str, Any],
    mark: str,
    seed: int,
    batch_size: int,
    workers: int,
    augment: str | Augment | None,
) -> Data:
    """`Data` from the parts' sources: feeds, and the facts every image set has."""
    changed = named_augment(augment, *encoder.size)
    feeds = make_feeds(sources, batch_size=batch_size, seed=seed, workers=workers, encoder=encoder, augment=changed)
    train = feeds["train"]
    assert train is not None
    counted = {part: np.bincount(source.targets().numpy(), minlength=len(classes)) for part, source in sources.items()}
    common = {
        "kind": "image",
        "shape": [encoder.channels, *encoder.size],
        "samples": {part: len(source) for part, source in sources.items()},
        "class_counts": {str(c): int(sum(counts[i] for counts in counted.values())) for i, c in enumerate(classes)},
        "mean": list(encoder.mean),
        "std": list(encoder.std),
        "augment": repr(changed) if changed else "none",
    }
    return Data(
        name,
        ClassTarget(tuple(map(str, classes))),
        train,
        feeds["valid"],
        feeds["test"],
        encoder=encoder,
        findings=findings,
        facts={**common, **facts},
        fingerprint=mark,
    )


def as_size(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of `image_size`, which may be one side for both."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(height, width) < 1:
        raise UsageError("E202", f"image_size is {image_size}, a side has 1 pixel or more.")
    return height, width


def scaled(images: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """uint8 images (n, C, H, W) in another size."""
    if images.shape[2:] == size:
        return images
    from rungbook.data.pil import as_channels, fit

    flat = (image[0] if len(image) == 1 else image.transpose(1, 2, 0) for image in images)
    return np.stack([as_channels(fit(np.ascontiguousarray(plane), *size), images.shape[1]) for plane in flat])


def image_digests(images: np.ndarray | Iterable[np.ndarray]) -> list[bytes]:
    """SHA-256 of each image's pixels."""
    return [hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images]


def copy_groups(digests: Sequence[bytes]) -> np.ndarray:
    """A group number for each image, equal for equal pixels; numbered by first occurrence."""
    number: dict[bytes, int] = {}
    return np.array([number.setdefault(d, len(number)) for d in digests], np.int64)


def pixel_sums(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and sum of squares of each channel of uint8 images (n, C, H, W): whole numbers, so no order of adding changes them."""
    wide = images.astype(np.uint16)
    return images.sum((0, 2, 3), dtype=np.int64), (wide * wide).sum((0, 2, 3), dtype=np.int64)


def moments(sums: np.ndarray, squares: np.ndarray, pixels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel on the scale 0 to 1, to six decimals; a constant channel gets deviation 1."""
    mean = sums / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 0))
    return tuple(round(float(m) / 255, 6) for m in mean), tuple(round(float(s) / 255, 6) if s > 1e-3 else 1.0 for s in std)


def uneven_classes(labels: np.ndarray, classes: Sequence[str]) -> list[Finding]:
    """W208 where the largest class is at least `UNEVEN` times the smallest."""
    counts = np.bincount(labels, minlength=len(classes))
    seen = np.flatnonzero(counts)
    small, large = int(seen[counts[seen].argmin()]), int(seen[counts[seen].argmax()])
    if counts[large] < UNEVEN * counts[small]:
        return []
    n = len(labels)
    return [
        Finding(
            "W208",
            f'class "{classes[small]}" is {counts[small] / n:.1%} of {n:,} images, "{classes[large]}" {counts[large] / n:.1%}: '
            f'always answering "{classes[large]}" scores {counts[large] / n:.1%}',
            "Look at balanced accuracy; class_weights=balanced weights the loss",
            tuple(f"{classes[i]} {counts[i]}" for i in seen.tolist()),
        )
    ]


def _encoder_for(images: np.ndarray, train: np.ndarray) -> ImageEncoder:
    """The encoder for these images, its mean and deviation from the training ones."""
    C, H, W = images.shape[1:]
    sums, squares = np.zeros(C, np.int64), np.zeros(C, np.int64)
    for start in range(0, len(train), CHUNK):
        s, q = pixel_sums(images[train[start : start + CHUNK]])
        sums, squares = sums + s, squares + q
    return ImageEncoder((H, W), C, *moments(sums, squares, len(train) * H * W))


def _copies_found(digests: list[bytes], labels: np.ndarray, classes: Sequence[str], groups: np.ndarray) -> list[Finding]:
    """A note on exact copies, and W210 on those that bear two labels."""
    copies = len(digests) - int(groups.max()) - 1
    if not copies:
        return []
    found = [Finding("note", f"{copies:,} images are exact copies of another; copies stay in one part")]
    first = {int(g): i for i, g in reversed(list(enumerate(groups)))}
    torn = [(first[int(g)], i) for i, g in enumerate(groups) if labels[first[int(g)]] != labels[i]]
    if torn:
        items = tuple(f'image {a} "{classes[labels[a]]}" = image {b} "{classes[labels[b]]}"' for a, b in torn)
        found.append(
            Finding(
                "W210",
                f"{len(torn):,} images have the pixels of another with a different label, e.g. {items[0]}",
                "Correct the labels",
                items,
            )
        )
    return found


def _in_test(digests: list[bytes], test: list[bytes]) -> list[Finding]:
    """W207 where official test images are also among the others."""
    where = {d: i for i, d in enumerate(digests)}
    both = [f"test {j} = image {where[d]}" for j, d in enumerate(test) if d in where]
    if not both:
        return []
    return [
        Finding(
            "W207",
            f"{len(both):,} of {len(test):,} test images are also in training, e.g. {both[0]}",
            "Their share of the score says nothing",
            tuple(both),
        )
    ]


def _stored_form(x: np.ndarray | Tensor) -> np.ndarray:
    """(n, C, H, W) uint8 of what the caller gave."""
    array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    if array.dtype != np.uint8:
        raise DataError(
            "E104", f"Images are {array.dtype}, uint8 from 0 to 255 is needed.", "Values from 0 to 1? (x * 255).astype('uint8')"
        )
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        last = array.ndim == 4 and array.shape[-1] in (1, 3)
        raise DataError(
            "E109",
            f"Images have the shape {array.shape}; (n, height, width) or (n, channels, height, width) with 1 or 3 channels is needed.",
            "They look like height x width x channel: x.transpose(0, 3, 1, 2)" if last else "",
        )
    return array


def _plane(item: Any, i: int) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8 of one array or Pillow image."""
    from PIL import Image

    from rungbook.data.pil import decode_image

    if isinstance(item, Image.Image):
        return decode_image(item)
    array = item.detach().cpu().numpy() if isinstance(item, Tensor) else np.asarray(item)
    if array.dtype != np.uint8:
        raise DataError(
            "E104", f"Image {i} is {array.dtype}, uint8 from 0 to 255 is needed.", "Values from 0 to 1? (x * 255).astype('uint8')"
        )
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or 0 in array.shape:
        raise DataError("E109", f"Image {i} has the shape {array.shape}; (H, W), (H, W, 3) or (3, H, W) is needed.")
    return np.ascontiguousarray(array)


def _labels(y: Any, n: int, classes: Sequence[str], name: str) -> np.ndarray:
    """Class numbers, int64 (n,), each within the classes."""
    labels = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if labels.shape != (n,):
        raise UsageError("E202", f"{name} has {n:,} images, its labels have the shape {labels.shape}: one number for each is needed.")
    if labels.dtype.kind not in "iu":
        raise DataError(
            "E103", f"The labels of {name} are {labels.dtype}; class numbers are whole.", "y.long() in torch, y.astype(int) in NumPy"
        )
    outside = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(outside):
        i = outside[0]
        raise DataError(
            "E102", f"Label {labels[i]} of image {i} in {name}: with {len(classes)} classes 0 to {len(classes) - 1} are allowed."
        )
    return labels.astype(np.int64)
