"""What training does to a photo, in TensorFlow, from a seed: same seed, same pixels.

A random crop, mirrored every other time, of other colours; then two operations of a
RandAugment-like policy (arXiv 1909.13719). Pixels are float32, 0-255, RGB.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from effnet_lite.lite.keras import import_tensorflow

OPERATIONS = 2  # of the policy, on each photo
GREY = 127.0  # what comes in from outside the photo
_TRIES = 10
_RATIOS = (3 / 4, 4 / 3)
# Of the most that the policy does, at magnitude 10.
_DEGREES, _SHEAR, _SHIFT, _FACTOR = 30.0, 0.3, 0.3, 0.9
_BITS, _SOLARIZE = 4.0, 192.0


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How strongly; see :class:`effnet_lite.lite.training.config.TrainingConfig`.

    Attributes:
        size: Side of the result in pixels.
        crop, colour, magnitude: As there.
    """

    size: int
    crop: float
    colour: float
    magnitude: float

    def __call__(self, photo: Any, seed: Any) -> Any:
        """A view of the photo.

        Args:
            photo: (H, W, 3) uint8.
            seed: (2,) integers.

        Returns:
            (size, size, 3) float32.
        """
        tf = import_tensorflow()
        seeds = tf.unstack(tf.random.split(seed, 4), num=4)
        image = self._cropped(photo, seeds[0])
        image = tf.cond(_uniform(seeds[1], ())[()] < 0.5, lambda: image[:, ::-1], lambda: image)
        if self.colour:
            image = self._coloured(image, seeds[2])
        if self.magnitude:
            image = self._policy(image, seeds[3])
        return tf.ensure_shape(image, (self.size, self.size, 3))

    def _cropped(self, photo: Any, seed: Any) -> Any:
        """Of random area and shape; the first of ten draws that lies within the photo."""
        tf = import_tensorflow()
        draws = _uniform(seed, (4, _TRIES))
        shape = tf.shape(photo)
        height, width = (tf.cast(side, tf.float32) for side in (shape[0], shape[1]))
        area = (self.crop + (1 - self.crop) * draws[0]) * height * width
        low, high = (math.log(ratio) for ratio in _RATIOS)
        ratio = tf.exp(low + (high - low) * draws[1])
        widths, heights = tf.round(tf.sqrt(area * ratio)), tf.round(tf.sqrt(area / ratio))
        fits = (widths <= width) & (heights <= height) & (widths >= 1) & (heights >= 1)
        first = tf.argmax(tf.cast(fits, tf.int32))
        side = tf.minimum(height, width)  # a square, where none fits
        crop_width = tf.where(fits[first], widths[first], side)
        crop_height = tf.where(fits[first], heights[first], side)
        top = tf.floor(draws[2, first] * (height - crop_height + 1))
        left = tf.floor(draws[3, first] * (width - crop_width + 1))
        top, left, tall, wide = (tf.cast(v, tf.int32) for v in (top, left, crop_height, crop_width))
        cropped = tf.slice(photo, tf.stack([top, left, 0]), tf.stack([tall, wide, 3]))
        resized = tf.image.resize(cropped, (self.size, self.size), "bicubic")
        return tf.clip_by_value(resized, 0.0, 255.0)

    def _coloured(self, image: Any, seed: Any) -> Any:
        tf = import_tensorflow()
        factors = 1 + self.colour * (2 * _uniform(seed, (3,)) - 1)
        image = image * factors[0]
        image = _blend(tf.reduce_mean(_grey(image)), image, factors[1])
        return _blend(_grey(image), image, factors[2])

    def _policy(self, image: Any, seed: Any) -> Any:
        tf = import_tensorflow()
        draws = _uniform(seed, (OPERATIONS, 3))
        for number in range(OPERATIONS):
            which, how, sign = tf.unstack(draws[number], num=3)
            # As strong as the magnitude says, give or take a half of it.
            strength = tf.minimum(self.magnitude / 10 * (0.5 + how), 1.0)
            signed = tf.where(sign < 0.5, -strength, strength)
            branches = [_bound(operation, image, strength, signed) for operation in POLICY.values()]
            index = tf.cast(which * len(branches), tf.int32)
            image = tf.switch_case(index, branches)
        return image


def _bound(
    operation: Callable[[Any, Any, Any], Any], image: Any, strength: Any, signed: Any
) -> Callable[[], Any]:
    return lambda: operation(image, strength, signed)


def _uniform(seed: Any, shape: tuple[int, ...]) -> Any:
    return import_tensorflow().random.stateless_uniform(shape, seed)


def _grey(image: Any) -> Any:
    """(…, 1): ITU-R 601-2 luma."""
    tf = import_tensorflow()
    return tf.reduce_sum(image * [0.299, 0.587, 0.114], -1, keepdims=True)


def _blend(one: Any, other: Any, factor: Any) -> Any:
    tf = import_tensorflow()
    return tf.clip_by_value(one + factor * (other - one), 0.0, 255.0)


def _affine(image: Any, a: Any, b: Any, c: Any, d: Any, dx: Any, dy: Any) -> Any:
    """The image whose point (x, y), from its middle, was at (ax + by + dx, cx + dy + dy)."""
    tf = import_tensorflow()
    size = image.shape[0]
    middle = (size - 1) / 2
    transform = tf.stack([a, b, middle - a * middle - b * middle + dx * size,
                          c, d, middle - c * middle - d * middle + dy * size,
                          0.0, 0.0])  # fmt: skip
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=transform[tf.newaxis],
        output_shape=tf.constant((size, size)),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=GREY,
    )
    return tf.reshape(moved, image.shape)


def _rotate(image: Any, strength: Any, signed: Any) -> Any:
    tf = import_tensorflow()
    angle = signed * math.radians(_DEGREES)
    return _affine(image, tf.cos(angle), -tf.sin(angle), tf.sin(angle), tf.cos(angle), 0.0, 0.0)


def _shear_x(image: Any, strength: Any, signed: Any) -> Any:
    return _affine(image, 1.0, signed * _SHEAR, 0.0, 1.0, 0.0, 0.0)


def _shear_y(image: Any, strength: Any, signed: Any) -> Any:
    return _affine(image, 1.0, 0.0, signed * _SHEAR, 1.0, 0.0, 0.0)


def _shift_x(image: Any, strength: Any, signed: Any) -> Any:
    return _affine(image, 1.0, 0.0, 0.0, 1.0, signed * _SHIFT, 0.0)


def _shift_y(image: Any, strength: Any, signed: Any) -> Any:
    return _affine(image, 1.0, 0.0, 0.0, 1.0, 0.0, signed * _SHIFT)


def _saturation(image: Any, strength: Any, signed: Any) -> Any:
    return _blend(_grey(image), image, 1 + _FACTOR * signed)


def _contrast(image: Any, strength: Any, signed: Any) -> Any:
    return _blend(import_tensorflow().reduce_mean(_grey(image)), image, 1 + _FACTOR * signed)


def _brightness(image: Any, strength: Any, signed: Any) -> Any:
    return _blend(0.0, image, 1 + _FACTOR * signed)


def _sharpness(image: Any, strength: Any, signed: Any) -> Any:
    """Away from, or towards, a 3 x 3 blur (Pillow's SMOOTH)."""
    tf = import_tensorflow()
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    kernel = tf.tile(kernel[:, :, tf.newaxis, tf.newaxis], (1, 1, 3, 1))
    padded = tf.pad(image[tf.newaxis], ((0, 0), (1, 1), (1, 1), (0, 0)), "SYMMETRIC")
    smooth = tf.nn.depthwise_conv2d(padded, kernel, (1, 1, 1, 1), "VALID")[0]
    return _blend(smooth, image, 1 + _FACTOR * signed)


def _posterize(image: Any, strength: Any, signed: Any) -> Any:
    tf = import_tensorflow()
    step = 2.0 ** tf.round(_BITS * strength)
    return tf.floor(image / step) * step


def _solarize(image: Any, strength: Any, signed: Any) -> Any:
    tf = import_tensorflow()
    return tf.where(image < 256 - _SOLARIZE * strength, image, 255 - image)


def _autocontrast(image: Any, strength: Any, signed: Any) -> Any:
    tf = import_tensorflow()
    low = tf.reduce_min(image, (0, 1))
    high = tf.reduce_max(image, (0, 1))
    return tf.where(high > low, (image - low) * 255 / tf.maximum(high - low, 1e-3), image)


def _equalize(image: Any, strength: Any, signed: Any) -> Any:
    """Each channel's values spread evenly over 0-255."""
    tf = import_tensorflow()
    channels = []
    for channel in range(3):
        values = tf.cast(image[..., channel], tf.int32)
        counts = tf.histogram_fixed_width(values, (0, 256), 256)
        ranks = tf.cumsum(tf.cast(counts, tf.float32), exclusive=True)
        ranks += 0.5 * tf.cast(counts, tf.float32)
        channels.append(tf.gather(ranks * 255 / tf.reduce_sum(tf.cast(counts, tf.float32)), values))
    return tf.stack(channels, -1)


#: Name to what it does to an image, with a strength (0-1) and one of random sign.
POLICY: dict[str, Callable[[Any, Any, Any], Any]] = {
    "autocontrast": _autocontrast,
    "brightness": _brightness,
    "contrast": _contrast,
    "equalize": _equalize,
    "posterize": _posterize,
    "rotate": _rotate,
    "saturation": _saturation,
    "sharpness": _sharpness,
    "shear x": _shear_x,
    "shear y": _shear_y,
    "shift x": _shift_x,
    "shift y": _shift_y,
    "solarize": _solarize,
}
