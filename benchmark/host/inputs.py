"""What to feed a model that is only timed: random numbers of its inputs' shapes and types."""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError
from effnet_lite.quantize.tflite.runtime import Array, Runner, TensorInfo

LARGEST = 2**31  # bytes, all inputs together
#: Wide integers are indices or lengths, and a table has no entry for most of them: TensorFlow's
#: benchmark_model takes the same range (tools/utils.cc, CreateRandomTensorData).
INDICES = 100

_TYPES = re.compile("bool|u?int(8|16|32|64)|float(16|32|64)")


def random_inputs(runner: Runner, seed: int) -> list[Array]:
    """A value for each input in the file's order, the same on every machine for a seed.

    Floats are -1 to 1, integers of 8 and 16 bits anything, wider ones 0 to 99.

    Raises:
        InputError: No inputs, one of a type that is no number, a side of 0, or too large.
    """
    if not runner.inputs:
        raise InputError("the model has no inputs: there is nothing to feed and nothing to time")
    for info in runner.inputs:
        _check(info)
    size = sum(math.prod(info.shape) * np.dtype(info.dtype).itemsize for info in runner.inputs)
    if size > LARGEST:
        raise InputError(
            f"the model's inputs are {size / 2**30:.1f} GiB; expected at most "
            f"{LARGEST / 2**30:g} GiB"
        )
    random = np.random.default_rng(seed)
    return [_values(random, info) for info in runner.inputs]


def dynamic_inputs(runner: Runner) -> list[str]:
    """A line for each input whose shape is not fixed: what it is, and what it is timed at."""
    return [
        f"{info.name} has the dynamic shape {info.signature}: timed at {info.shape}"
        for info in runner.inputs
        if any(side < 0 for side in info.signature)
    ]


def _check(info: TensorInfo) -> None:
    if not _TYPES.fullmatch(info.dtype):
        raise InputError(
            f"input {info.name} is of type {info.kind}: random values can be made for integers, "
            "floats and booleans only"
        )
    if 0 in info.shape:
        raise InputError(
            f"input {info.name} has the shape {info.shape}, which holds nothing: convert the "
            "model with sides of at least 1"
        )


def _values(random: np.random.Generator, info: TensorInfo) -> npt.NDArray[np.generic]:
    dtype = np.dtype(info.dtype)
    if dtype.kind == "f":
        return np.asarray(random.uniform(-1, 1, info.shape)).astype(dtype)
    if dtype.kind == "b":
        low, high = 0, 1
    elif dtype.itemsize > 2:
        low, high = 0, INDICES - 1
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    # Always drawn as int64: each width has a stream of its own.
    values = random.integers(low, high, info.shape, np.int64, endpoint=True)
    return np.asarray(values).astype(dtype)
