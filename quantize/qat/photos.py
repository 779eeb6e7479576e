"""Batches to train on: the same ones for the same seed, whichever step one begins at.

Photos are cut as deployment cuts them, a little to the side and closer or wider, and mirrored
every other time: calibrated ranges know photos, not the colours and patches of strong
augmentation. What a step sees depends on the seed and the step's number alone, so that a
training that goes on after an interruption needs to remember nothing.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from effnet_lite.errors import InputError
from effnet_lite.lite.datasets import Photo
from effnet_lite.lite.preprocessing import RESIZE_METHODS, Pixels, Preprocessing

# Side of a random crop, over the photo's shorter side; deployment's is 0.875 for most sizes.
CROPS = (0.7, 1.0)
# Decoding a camera's photo takes longer than a step: what fits is kept, scaled down.
CACHE_BYTES = 512 * 2**20
THREADS = 2

Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]


@dataclasses.dataclass(frozen=True)
class Example:
    """A photo, and its class as an index of the network's outputs (``NO_LABEL`` without one)."""

    photo: Photo
    label: int


class Batches:
    """Endless batches of random crops.

    Args:
        examples: To draw from, each as often as any other.
        preprocessing: Gives size and resize method.
        size: Photos a batch.
        seed: Of order, crops and mirrorings.
    """

    def __init__(
        self, examples: Sequence[Example], preprocessing: Preprocessing, size: int, seed: int
    ) -> None:
        self.examples = examples
        self.preprocessing = preprocessing
        self.size = size
        self.seed = seed
        self.unreadable: dict[str, str] = {}
        self._cache: dict[int, Pixels] = {}
        self._cached = 0

    def since(self, step: int) -> Iterator[Batch]:
        """The batches from that step on, from 0; the next is made while one is learned from.

        Yields:
            Pixels (size, side, side, 3) uint8, and labels (size,) int32.
        """
        with (
            concurrent.futures.ThreadPoolExecutor(THREADS) as readers,
            concurrent.futures.ThreadPoolExecutor(1) as ahead,
        ):
            coming = ahead.submit(self._batch, step, readers)
            while True:
                step += 1
                batch = coming.result()
                coming = ahead.submit(self._batch, step, readers)
                yield batch

    def _batch(self, step: int, readers: concurrent.futures.Executor) -> Batch:
        first = step * self.size
        found = list(readers.map(self._example, range(first, first + self.size)))
        pixels, labels = zip(*found, strict=True)
        return np.stack(pixels), np.asarray(labels, np.int32)

    def _example(self, turn: int) -> tuple[Pixels, int]:
        count = len(self.examples)
        epoch, place = divmod(turn, count)
        order = np.random.default_rng([self.seed, 0, epoch]).permutation(count)
        for number in np.roll(order, -place):  # the next one for what cannot be read
            pixels = self._load(int(number))
            if pixels is not None:
                rng = np.random.default_rng([self.seed, 1, turn])
                return self._crop(pixels, rng), self.examples[number].label
        name, reason = next(iter(self.unreadable.items()))
        raise InputError(f"none of the {count} photos can be read; {name}: {reason}")

    def _load(self, number: int) -> Pixels | None:
        if number in self._cache:
            return self._cache[number]
        photo = self.examples[number].photo
        if photo.name in self.unreadable:
            return None
        try:
            pixels = _shrunken(photo.load()[1], self._margin())
        except InputError as error:
            self.unreadable[photo.name] = str(error)
            return None
        if self._cached + pixels.nbytes <= CACHE_BYTES:
            self._cached += pixels.nbytes
            self._cache[number] = pixels
        return pixels

    def _margin(self) -> int:
        return math.ceil(self.preprocessing.size / CROPS[0])

    def _crop(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        height, width = pixels.shape[:2]
        side = max(1, round(min(height, width) * rng.uniform(*CROPS)))
        top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
        square = Image.fromarray(pixels[top : top + side, left : left + side])
        size = self.preprocessing.size
        crop = np.asarray(square.resize((size, size), RESIZE_METHODS[self.preprocessing.resize]))
        return crop[:, ::-1] if rng.integers(2) else crop


def _shrunken(pixels: Pixels, shorter: int) -> Pixels:
    """The photo with its shorter side at ``shorter`` pixels, if it was larger."""
    height, width = pixels.shape[:2]
    factor = shorter / min(height, width)
    if factor >= 1:
        return pixels
    size = (max(shorter, round(width * factor)), max(shorter, round(height * factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
