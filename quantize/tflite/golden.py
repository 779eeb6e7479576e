"""A golden check: a few pixels and what the model answered to them when it was made.

Any runtime can replay it, the Android app included, and so find out that its kernels, its
delegate or its preprocessing do something else. The pixels are a coarse grid, enlarged to
the model's input by nearest neighbour, ``pixel(y, x) = grid[y * G // H][x * G // W]`` with
integer division, which every language can do exactly.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError

Pixels = npt.NDArray[np.uint8]

#: Takes (1, H, W, 3) uint8 RGB pixels, gives the output tensor as the model wrote it.
Run = Callable[[Pixels], npt.NDArray[Any]]

# Lite0 int8 recognises some of 100 photos in their 32 x 32 grids (first class 30 to 44 % ahead
# of the second) and hardly any in 16 x 16 ones (4 %).
GRID_SIZE = 32
MAX_GRID_SIZE = 64
_PATTERN_SIZE = 16

# TFLite's built-in int8 kernels and XNNPACK's differ by up to 13 steps on a MobileNetV2 and 27 on
# Lite0, whose check is a softmax where it is steep; where both use XNNPACK, x86 and four ARM cores
# agreed to the bit. Swapped colours are 55 steps and more.
TOLERANCE_STEPS = 32.0

_INTEGERS = ("uint8", "int8", "int16")
_FLOATS = ("float16", "float32")


@dataclasses.dataclass(frozen=True)
class GoldenCheck:
    """Pixels, and the output expected for them.

    Attributes:
        height, width: Of the model's input in pixels.
        grid_size: Side G of the grid.
        grid: G x G x 3 bytes, row by row, RGB; base64.
        dtype: Of the raw output: uint8, int8, int16, float16 or float32.
        output: The output values, little-endian; base64.
        step: One step in the output's own units: 1 for integers; for floats, 1/255 of the
            range of the expected values, which is what 8 bits would resolve.
        tolerance: The largest difference that passes, in steps.
    """

    height: int
    width: int
    grid_size: int
    grid: str
    dtype: str
    output: str
    step: float
    tolerance: float

    def __post_init__(self) -> None:
        if not (1 <= self.height <= 8192 and 1 <= self.width <= 8192):
            raise InputError(f"golden check: an input of {self.height} x {self.width} pixels")
        if not 1 <= self.grid_size <= MAX_GRID_SIZE:
            raise InputError(f"golden check: a grid of {self.grid_size}, at most {MAX_GRID_SIZE}")
        if self.dtype not in _INTEGERS + _FLOATS:
            raise InputError(f"golden check: unknown output type {self.dtype!r}")
        if not (self.step > 0 and self.tolerance >= 0):
            raise InputError("golden check: expected a positive step and tolerance")
        if len(_bytes(self.grid)) != self.grid_size**2 * 3:
            raise InputError(f"golden check: the grid is not {self.grid_size}² RGB pixels")
        size, item = len(_bytes(self.output)), _ITEM_SIZES[self.dtype]
        if size == 0 or size % item:
            raise InputError(f"golden check: {size} bytes of output are no {self.dtype} vector")

    def pixels(self) -> Pixels:
        """The input, (1, height, width, 3) uint8 RGB."""
        grid = np.frombuffer(_bytes(self.grid), np.uint8)
        grid = grid.reshape(self.grid_size, self.grid_size, 3)
        return enlarge(grid, self.height, self.width)

    def expected(self) -> npt.NDArray[Any]:
        """The output vector, as the model wrote it."""
        return np.frombuffer(_bytes(self.output), np.dtype(self.dtype).newbyteorder("<"))


@dataclasses.dataclass(frozen=True)
class GoldenResult:
    """How far a replay strayed.

    Attributes:
        passed: Every output is within the tolerance.
        max_difference_steps: The largest difference; infinite if an output is not a number.
        top1_matches: The highest output is the expected one.
    """

    passed: bool
    max_difference_steps: float
    top1_matches: bool


def make_golden(
    run: Run,
    height: int,
    width: int,
    grids: Sequence[Pixels] | None = None,
    tolerance: float = TOLERANCE_STEPS,
) -> GoldenCheck:
    """Run the model on each grid and keep the one whose first class stands out most.

    Args:
        run: The model; integer outputs must not be dequantized.
        height, width: Of its input in pixels.
        grids: (G, G, 3) uint8 each. Those of a hundred photos (``photo_grid``) make the
            sharpest check; the default, ``default_grids()``, needs none, but a softmax
            answers to them with a few steps everywhere.
        tolerance: In steps. It is lowered to a quarter of the expected values' range, so
            that an output without any content can never pass.

    Raises:
        InputError: A grid of another shape, or an output that is no vector of finite numbers.
    """
    checks = []
    for grid in default_grids() if grids is None else grids:
        if grid.ndim != 3 or grid.shape[0] != grid.shape[1] or grid.shape[2] != 3:
            raise InputError(f"a golden grid is square with 3 channels, found {grid.shape}")
        output = _vector(run(enlarge(grid, height, width)))
        values = output.astype(np.float64)
        spread = float(values.max() - values.min())
        step = 1.0 if output.dtype.name in _INTEGERS else max(spread, 1e-6) / 255
        second, first = np.sort(values)[-2:] if values.size > 1 else (values[0], values[0])
        check = GoldenCheck(
            height=height,
            width=width,
            grid_size=grid.shape[0],
            grid=base64.b64encode(np.ascontiguousarray(grid, np.uint8).tobytes()).decode(),
            dtype=output.dtype.name,
            output=base64.b64encode(
                output.astype(output.dtype.newbyteorder("<")).tobytes()
            ).decode(),
            step=step,
            tolerance=min(tolerance, max(1.0, spread / step / 4)),
        )
        checks.append((float(first - second), check))
    if not checks:
        raise InputError("a golden check needs at least one grid")
    return max(checks, key=lambda pair: pair[0])[1]


def replay(check: GoldenCheck, run: Run) -> GoldenResult:
    """Run a model on the check's pixels and compare.

    Raises:
        InputError: The output has another type or length than the check expects.
    """
    expected, output = check.expected(), np.asarray(run(check.pixels())).reshape(-1)
    if output.dtype.name != check.dtype or output.size != expected.size:
        raise InputError(
            f"the golden check expects {expected.size} {check.dtype} outputs, "
            f"found {output.size} {output.dtype.name}; it belongs to another model"
        )
    if not np.isfinite(output).all():
        return GoldenResult(False, float("inf"), False)
    difference = np.abs(output.astype(np.float64) - expected.astype(np.float64)).max()
    steps = float(difference / check.step)
    top1 = bool(output.argmax() == expected.argmax())
    return GoldenResult(steps <= check.tolerance, steps, top1)


def enlarge(grid: Pixels, height: int, width: int) -> Pixels:
    """A (G, G, 3) grid as (1, height, width, 3) pixels, by nearest neighbour."""
    size = grid.shape[0]
    rows = np.arange(height) * size // height
    columns = np.arange(width) * size // width
    return np.ascontiguousarray(grid[rows][:, columns][np.newaxis])


def photo_grid(pixels: Pixels, size: int = GRID_SIZE) -> Pixels:
    """A photo, (H, W, 3) uint8, as a (G, G, 3) grid of block means, rounded down.

    G is ``size``, or the photo's shorter side where that is less.
    """
    height, width = pixels.shape[:2]
    size = min(size, height, width)
    rows, columns = np.arange(size) * height // size, np.arange(size) * width // size
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.int64), rows), columns, axis=1)
    counts = np.outer(np.diff(rows, append=height), np.diff(columns, append=width))
    means: Pixels = (sums // counts[..., np.newaxis]).astype(np.uint8)
    return means


def default_grids(seed: int = 0, count: int = 8) -> list[Pixels]:
    """``count`` colourful grids, (16, 16, 3) uint8: a gradient each, with random squares."""
    # PCG64 raw integers are the same on every platform and numpy version.
    random = np.random.PCG64(seed)
    y, x = np.mgrid[0:_PATTERN_SIZE, 0:_PATTERN_SIZE]
    grids = []
    for _ in range(count):
        slopes = (random.random_raw(6) % np.uint64(17)).astype(int).reshape(3, 2)
        grid = np.stack([y * down + x * right for down, right in slopes], axis=-1) % 256
        for word in random.random_raw(6):
            row, column, size, *colour = int(word).to_bytes(8, "little")[:6]
            top, left = row % _PATTERN_SIZE, column % _PATTERN_SIZE
            grid[top : top + 2 + size % 8, left : left + 2 + size % 8] = colour
        grids.append(grid.astype(np.uint8))
    return grids


_ITEM_SIZES = {"uint8": 1, "int8": 1, "int16": 2, "float16": 2, "float32": 4}


def _vector(output: npt.NDArray[Any]) -> npt.NDArray[Any]:
    vector = np.asarray(output).reshape(-1)
    if vector.dtype.name not in _ITEM_SIZES or vector.size == 0:
        raise InputError(f"a golden check cannot hold {vector.size} {vector.dtype.name} outputs")
    if not np.isfinite(vector).all():
        raise InputError("the model's output holds NaN or infinities; its weights are broken")
    return vector


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("golden check: damaged base64") from error
