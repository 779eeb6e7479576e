"""What each step sees: the same for the same seed, on one device or on several.

Photos come in an endless stream, one epoch's order after the other's. Photo number ``turn`` of
the stream, its crop and its colours depend on the seed and on ``turn`` alone: a run that goes on
after an interruption starts the stream where it was, and workers take their part of each batch.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.lite.keras import import_tensorflow
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.lite.training.augment import Augmentation
from effnet_lite.lite.training.photos import LabelledPhotos

_AHEAD = 4  # batches
_VALIDATION_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Part:
    """Which part of each batch a process makes: that of worker ``index`` of ``count``."""

    index: int = 0
    count: int = 1


@dataclasses.dataclass(frozen=True)
class Batches:
    """Training batches.

    Attributes:
        photos: To draw from.
        classes: How many there are.
        augmentation: What is done to each photo.
        preprocessing: Its mean and std are the network's.
        batch: Photos a step over all devices; the number of devices divides it.
        mixup: α of MixUp (arXiv 1710.09412): λ ~ Beta(α, α) of a photo and 1 - λ of its
            neighbour; 0 for none.
        seed: Of order, crops, colours and mixing.
    """

    photos: LabelledPhotos
    classes: int
    augmentation: Augmentation
    preprocessing: Preprocessing
    batch: int
    mixup: float
    seed: int

    def since(self, step: int, replicas: int = 1, part: Part | None = None) -> Any:
        """A tf.data.Dataset of the batches from ``step`` (from 0) on, without end.

        Args:
            step: The first.
            replicas: Devices that share a batch: each element is the share of one.
            part: Of the batch.

        Yields:
            Images (batch / replicas, size, size, 3) float32, normalised, and targets
            (batch / replicas, classes) float32, which sum to 1.
        """
        tf = import_tensorflow()
        part = part or Part()
        here = self.batch // part.count  # of each step, in this process
        count = len(self.photos)

        def example(place: Any) -> Any:
            turn = place // here * self.batch + part.index * here + place % here
            epoch = turn // count
            seed = tf.stack([tf.constant(self.seed, tf.int64), epoch])
            number = tf.random.experimental.index_shuffle(
                turn % count, tf.cast(seed, tf.int32), count - 1
            )
            pixels = tf.numpy_function(self._load, (number,), tf.uint8, stateful=False)
            pixels.set_shape((None, None, 3))
            view = self.augmentation(pixels, tf.stack([tf.cast(self.seed, tf.int64), turn]))
            label = tf.gather(self.photos.labels, number)
            return view, tf.one_hot(label, self.classes), turn

        return (
            tf.data.Dataset.range(step * here, np.iinfo(np.int64).max)
            .map(example, tf.data.AUTOTUNE, deterministic=True)
            .batch(self.batch // replicas, drop_remainder=True)
            .map(self._finish, 1, deterministic=True)
            .prefetch(_AHEAD)
            .with_options(_options())
        )

    def _load(self, number: Any) -> npt.NDArray[np.uint8]:
        return self.photos.cache.load(self.photos.numbers[int(number)])

    def _finish(self, images: Any, targets: Any, turns: Any) -> Any:
        """Normalise, and mix neighbours."""
        tf = import_tensorflow()
        mean, std = (np.asarray(values, np.float32)
                     for values in (self.preprocessing.mean, self.preprocessing.std))  # fmt: skip
        images = (images - mean) / std
        pairs = images.shape[0] // 2 * 2
        if not self.mixup or not pairs:
            return images, targets

        def share(turn: Any) -> Any:
            # Apart from the seeds of crops, which take the turn itself.
            seed = tf.stack([tf.constant(self.seed, tf.int64), -1 - turn])
            draws = tf.random.stateless_gamma((2,), seed, self.mixup)
            return draws[0] / tf.maximum(tf.reduce_sum(draws), 1e-30)

        # A share below a half would only swap the two, and drown what the photo itself shows.
        shares = tf.map_fn(share, turns, tf.float32)
        shares = tf.maximum(shares, 1 - shares)
        order = np.arange(images.shape[0])
        order[:pairs] ^= 1
        mixed = []
        for values in (images, targets):
            weights = tf.reshape(shares, [-1] + [1] * (len(values.shape) - 1))
            mixed.append(values * weights + tf.gather(values, order) * (1 - weights))
        return tuple(mixed)


def validation_batches(
    photos: LabelledPhotos,
    classes: int,
    preprocessing: Preprocessing,
    replicas: int = 1,
    part: Part | None = None,
) -> Any:
    """A tf.data.Dataset of all validation photos, as deployment sees them.

    Args:
        photos: Prepared: (size, size, 3) uint8 each.
        classes: How many there are.
        preprocessing: Its mean and std are the network's.
        replicas, part: As for :meth:`Batches.since`.

    Yields:
        Images, targets, and weights (N,) that are 0 for what fills the last batch up.
    """
    tf = import_tensorflow()
    part = part or Part()
    share = -(-min(_VALIDATION_BATCH, len(photos)) // replicas)  # of a device in a batch
    batch, here = share * replicas, share * replicas // part.count
    rounds = -(-len(photos) // batch)

    def load(number: Any) -> npt.NDArray[np.float32]:
        return preprocessing.normalize(photos.cache.load(photos.numbers[int(number)]))

    def example(turn: Any) -> Any:
        place = turn // here * batch + part.index * here + turn % here
        number = tf.minimum(place, len(photos) - 1)
        image = tf.numpy_function(load, (number,), tf.float32, stateful=False)
        image.set_shape((preprocessing.size, preprocessing.size, 3))
        weight = tf.cast(place < len(photos), tf.float32)
        return image, tf.one_hot(tf.gather(photos.labels, number), classes), weight

    return (
        tf.data.Dataset.range(rounds * here)
        .map(example, tf.data.AUTOTUNE, deterministic=True)
        .batch(share, drop_remainder=True)
        .prefetch(_AHEAD)
        .with_options(_options())
    )


def _options() -> Any:
    """Each process makes its own part: nothing is left for tf.distribute to divide."""
    tf = import_tensorflow()
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
