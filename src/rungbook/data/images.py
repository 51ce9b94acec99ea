"""Pictures as training data: the encoder that travels with a model, and `Data` from arrays of uint8 images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rungbook.data.augment.named import named_augment
from rungbook.data.data import Data, Finding, fingerprint, make_feeds
from rungbook.data.feed import Augment, Inputs, Source, TensorSource
from rungbook.data.image_audit import also_in_test, copies_found, copy_groups, image_digests, moments, pixel_sums, uneven_classes
from rungbook.data.split import FEWEST, Parts, split_indices
from rungbook.data.target import ClassTarget, Target
from rungbook.errors import DataError, UsageError

CHUNK = 2048
"""Images whose sums are taken together: the working copies stay within a few MB."""


@dataclass(frozen=True)
class Feeding:
    """How batches are made, as `image_data` and `folder_data` take it."""

    seed: int
    batch_size: int
    workers: int
    augment: str | Augment | None


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
        return torch.from_numpy(np.ascontiguousarray(np.stack(pictures)))  # stacking keeps the order of decoded pixels, channels last

    def _one(self, item: Any, i: int) -> np.ndarray:
        from rungbook.data.pil import BadImage, as_channels, decode, fit

        if isinstance(item, str | Path):
            try:
                pixels = decode(Path(item), side=max(self.size)).pixels
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
        test: official test images and labels, kept as they are; `test_share` does not count then.
        valid, test_share: shares to cut from `x`, 0 for none.
        seed: of the split, the order and the augmentation.
        batch_size, workers: images a training batch, worker processes (0 is fastest for images in memory).
        augment: for training: a name of `augment.named`, a function, or None.
        image_size: side, or height and width, in pixels to scale the images to; their own by default.
        groups: images that must stay together, (n,); by default those with equal pixels.
        names: what each image is called in messages.

    Raises:
        DataError: E104 not uint8, E109 no image shape, E102 or E103 a label, E110 one class, E113 too few images.
    """
    images, labels, official = _checked(name, x, y, classes, test)
    digests, test_digests = image_digests(images), image_digests(official[0]) if official else []
    copies = copy_groups(digests)
    if image_size:
        size = as_size(image_size)
        images, official = scaled(images, size), official and (scaled(official[0], size), official[1])
    parts = split_indices(
        len(images),
        valid=valid,
        test=0.0 if official else test_share,
        seed=seed,
        strata=labels,
        groups=copies if groups is None else groups,
    )
    return assemble(
        name,
        ClassTarget(tuple(map(str, classes))),
        _tensor_sources(images, labels, parts, official, names),
        _encoder_for(images, parts["train"]),
        findings=[*uneven_classes(labels, classes), *copies_found(digests, labels, classes, copies), *also_in_test(digests, test_digests)],
        facts={"test": "official" if official else "cut", "copies": len(images) - int(copies.max()) - 1},
        mark=fingerprint([b"".join(digests), labels, *parts.values(), b"".join(test_digests), str(images.shape), *map(str, classes)]),
        feeding=Feeding(seed, batch_size, workers, augment),
    )


def _tensor_sources(images: np.ndarray, labels: np.ndarray, parts: Parts, official: Any, names: Sequence[str] | None) -> dict[str, Source]:
    """The samples of each part, and of the official test set if there is one."""
    sources: dict[str, Source] = {}
    for part, index in parts.items():
        if len(index):
            called = [names[i] for i in index] if names else None
            sources[part] = TensorSource(torch.from_numpy(images[index]), torch.from_numpy(labels[index]), called)
    if official:
        sources["test"] = TensorSource(torch.from_numpy(np.array(official[0])), torch.from_numpy(official[1]))
    return sources


def _checked(
    name: str, x: Any, y: Any, classes: Sequence[str], test: tuple[Any, Any] | None
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Images and labels in stored form, and those of the official test set, or the reason why not."""
    images, labels = _stored_form(x), _labels(y, len(x), classes, name)
    if len(images) < FEWEST:
        raise DataError("E113", f"{name} has {len(images)} images, {FEWEST} are needed.", "Add images")
    if len(np.unique(labels)) < 2:
        raise DataError("E110", f'All {len(images):,} images of {name} are of the class "{classes[labels[0]]}".', "Two or more are needed")
    if test is None:
        return images, labels, None
    official = _stored_form(test[0]), _labels(test[1], len(test[0]), classes, f"{name} (test)")
    if official[0].shape[1:] != images.shape[1:]:
        raise DataError(
            "E101", f"{name}: test images are {official[0].shape[1:]}, training images {images.shape[1:]} (channels, height, width)."
        )
    return images, labels, official


def assemble(
    name: str,
    target: Target,
    sources: dict[str, Source],
    encoder: ImageEncoder,
    *,
    findings: list[Finding],
    facts: dict[str, Any],
    mark: str,
    feeding: Feeding,
) -> Data:
    """`Data` from the parts' sources: feeds, and the facts every image set has."""
    changed = named_augment(feeding.augment, *encoder.size)
    feeds = make_feeds(sources, batch_size=feeding.batch_size, seed=feeding.seed, workers=feeding.workers, encoder=encoder, augment=changed)
    train = feeds["train"]
    assert train is not None
    common: dict[str, Any] = {
        "kind": "image",
        "shape": [encoder.channels, *encoder.size],
        "samples": {part: len(source) for part, source in sources.items()},
        "mean": list(encoder.mean),
        "std": list(encoder.std),
        "augment": repr(changed) if changed else "none",
    }
    if isinstance(target, ClassTarget):
        counts = sum(np.bincount(source.targets().numpy(), minlength=target.outputs) for source in sources.values())
        common["class_counts"] = dict(zip(target.classes, np.asarray(counts).tolist(), strict=True))
    return Data(
        name,
        target,
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


def _encoder_for(images: np.ndarray, train: np.ndarray) -> ImageEncoder:
    """The encoder for these images, its mean and deviation from the training ones."""
    C, H, W = images.shape[1:]
    sums, squares = np.zeros(C, np.int64), np.zeros(C, np.int64)
    for start in range(0, len(train), CHUNK):
        s, q = pixel_sums(images[train[start : start + CHUNK]])
        sums, squares = sums + s, squares + q
    return ImageEncoder((H, W), C, *moments(sums, squares, len(train) * H * W))


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
