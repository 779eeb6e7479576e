"""From a photo on disk to the pixels a model takes: one implementation for everything.

Calibration, evaluation and classification call these functions; the Android library and
the model's embedded record restate them as data.

The rule is that of the reference (tensorflow/tpu ``efficientnet/preprocessing.py``): a
central square crop of ``int(shorter_side · size / (size + 32))`` pixels, then a bicubic
resize to ``size``. Its output equals the reference pixels of Lite0-2 in every byte.
"""

from __future__ import annotations

import dataclasses
import math
import os
import threading
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from effnet_lite.errors import InputError, UsageError
from effnet_lite.files import check_readable
from effnet_lite.lite.variants import Variant

CROP_PADDING = 32
# Below the smallest published size the reference's fixed padding would crop ever more away.
MIN_CROP_FRACTION = 0.875
MAX_SIZE = 8192
MAX_PIXELS = 200_000_000  # a 200-megapixel phone photo is real, more is a decompression bomb

RESIZE_METHODS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}

Pixels = npt.NDArray[np.uint8]

_pillow_limit = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What happens to a photo before the model sees it.

    Attributes:
        size: Side of the square input in pixels.
        crop_fraction: Side of the central square crop over the photo's shorter side (0-1];
            rounded down to whole pixels.
        resize: ``bicubic``, ``bilinear`` or ``nearest``; antialiased as in Pillow.
        mean, std: ``(pixel - mean) / std`` turns pixels (0-255) into a float model's input;
            one value, or one a channel. A quantized input has them folded into its scale
            and zero point.
    """

    size: int
    crop_fraction: float = 0.875
    resize: str = "bicubic"
    mean: tuple[float, ...] = (127.0,)
    std: tuple[float, ...] = (128.0,)

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_SIZE or not 0 < self.crop_fraction <= 1:
            raise UsageError(
                f"preprocessing needs a size of 1 to {MAX_SIZE} and a crop_fraction above 0 "
                f"and at most 1, got size {self.size}, crop_fraction {self.crop_fraction:g}"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, 3) or not all(math.isfinite(value) for value in values):
                raise UsageError(f"{name} takes 1 or 3 finite numbers, got {values}")
        if min(self.std) <= 0:
            raise UsageError(f"std must be above 0, got {self.std}")
        if self.resize not in RESIZE_METHODS:
            raise UsageError(
                f"resize must be one of {', '.join(RESIZE_METHODS)}, got {self.resize!r}"
            )

    def pixels(self, path: str | os.PathLike[str]) -> Pixels:
        """Load, crop and resize a photo: uint8 RGB of shape (size, size, 3)."""
        return self.fit(load_image(path))

    def fit(self, image: Pixels) -> Pixels:
        """Crop and resize RGB pixels (H, W, 3) to (size, size, 3)."""
        height, width = image.shape[:2]
        crop = max(1, int(self.crop_fraction * min(height, width)))
        left, top = (width - crop + 1) // 2, (height - crop + 1) // 2
        square = Image.fromarray(image[top : top + crop, left : left + crop])
        resized = square.resize((self.size, self.size), RESIZE_METHODS[self.resize])
        return np.asarray(resized)

    def normalize(self, pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """What a float model takes: ``(pixel - mean) / std`` as float32, same shape."""
        mean, std = (np.asarray(values, np.float32) for values in (self.mean, self.std))
        normalized: npt.NDArray[np.float32] = (pixels.astype(np.float32) - mean) / std
        return normalized


def preprocessing_for(variant: Variant) -> Preprocessing:
    """The preprocessing of a variant's row, for its size."""
    fraction = max(MIN_CROP_FRACTION, variant.size / (variant.size + CROP_PADDING))
    family = variant.family
    return Preprocessing(
        size=variant.size,
        crop_fraction=fraction,
        mean=(family.input_mean,),
        std=(family.input_std,),
    )


def load_image(path: str | os.PathLike[str]) -> Pixels:
    """Decode a photo as a viewer would show it: uint8 RGB of shape (H, W, 3).

    EXIF orientation is applied; grey, palette, CMYK and 16-bit images become 8-bit RGB;
    transparent pixels are laid over white.

    Raises:
        InputError: Missing, empty, truncated, not an image, or too large to decode.
    """
    path = Path(path)
    check_readable(path, "a photo (JPEG, PNG, WebP, …)")
    try:
        with warnings.catch_warnings():
            # Of sizes, where MAX_PIXELS rules, and of damaged EXIF, which loses no pixel.
            warnings.simplefilter("ignore")
            with _open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise InputError(_too_large(path, image.width * image.height))
                image.load()
                return np.asarray(_to_rgb(ImageOps.exif_transpose(image), path))
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is not an image in a format this Pillow knows; expected a photo "
            "(JPEG, PNG, WebP, …)"
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(_too_large(path, None)) from error
    except InputError:
        raise
    # Pillow's decoders answer broken files with nearly any exception: OSError for
    # truncated data, SyntaxError for PNG chunks, ValueError, struct.error, …
    except MemoryError as error:
        raise InputError(_too_large(path, None)) from error
    except Exception as error:
        raise InputError(f"{path} cannot be decoded ({error}); the file is damaged") from error


def _open(path: Path) -> Image.Image:
    # Pillow refuses at twice its own limit, 179 million pixels, inside open().
    with _pillow_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow clips 16-bit grey to 255 when it converts; scale it instead.
        wide = np.asarray(image).astype(np.int64)
        image = Image.fromarray(np.clip(wide // 257, 0, 255).astype(np.uint8))
    if image.mode == "F":
        raise InputError(f"{path} holds floating-point pixels; save it with 8 or 16 bits first")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _too_large(path: Path, pixels: int | None) -> str:
    size = f"has {pixels:,} pixels" if pixels else "is too large to decode"
    return f"{path} {size}; at most {MAX_PIXELS:,} are accepted, so resize it first"
