"""Random weights, as Keras would initialise them, without TensorFlow."""

from __future__ import annotations

import hashlib
import math
import zlib

import numpy as np
import numpy.typing as npt

from effnet_lite.lite.architecture import Layer, architecture
from effnet_lite.lite.variants import Variant
from effnet_lite.lite.weights.contents import Tensors, Weights

# Standard deviation of a standard normal cut at ±2, keras VarianceScaling.
_TRUNCATED_STD = 0.87962566103423978


def random_weights(variant: Variant, classes: int = 1000, seed: int = 0) -> Weights:
    """Untrained weights, the same for the same seed.

    Kernels follow keras.applications ``efficientnet.py``: convolutions a normal cut at two
    standard deviations with variance 2/fan_out, the classifier uniform with variance
    1/(3·fan_out). Biases are 0, batch norms do nothing. A tensor's numbers depend on the
    seed, its name and its shape alone.
    """
    tensors: Tensors = {}
    for layer in architecture(variant, classes).layers():
        for name, shape in layer.tensors().items():
            tensors[name] = _initial(layer, name, shape, seed)
    digest = hashlib.sha256()
    for name, array in tensors.items():
        digest.update(name.encode())
        digest.update(array.tobytes())
    return Weights(tensors, classes, False, f"random-{seed}", digest.hexdigest(), "random")


def _initial(layer: Layer, name: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
    if name.endswith(("gamma", "moving_variance")):
        return np.ones(shape, np.float32)
    if not name.endswith("kernel"):
        return np.zeros(shape, np.float32)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    # Keras reads a depthwise kernel (k,k,channels,1) as having one output.
    fan_out = math.prod(shape[:-2]) * shape[-1]
    if layer.kind == "dense":
        limit = math.sqrt(1 / fan_out)
        return rng.uniform(-limit, limit, shape).astype(np.float32)
    values = rng.standard_normal(shape, np.float32)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(int(outside.sum()), np.float32)
    return values * np.float32(math.sqrt(2 / fan_out) / _TRUNCATED_STD)
