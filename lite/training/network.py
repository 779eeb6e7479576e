"""The network as it is while it trains: noise that a seed decides, statistics over all devices.

Keras' own dropout keeps its random state where no checkpoint reaches it. Here noise is a
function of seed, layer, step and the photo's place in the batch of all devices together, so
that a run that goes on, or that has its batch shared by more devices, sees the same.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from effnet_lite.lite.architecture import BN_EPSILON, Architecture, Block, architecture
from effnet_lite.lite.builder import LayerFactory, build_model
from effnet_lite.lite.keras import import_tensorflow, import_tf_keras
from effnet_lite.lite.training.config import TrainingConfig
from effnet_lite.lite.variants import Variant

# Arxiv 1810.12890, section 4: squares of 7 on the last two resolutions.
_DROP_BLOCK_SIZE = 7


def training_model(
    variant: Variant,
    classes: int,
    config: TrainingConfig,
    step: Callable[[], Any],
    synchronized: bool,
) -> Any:
    """The model that learns.

    Args:
        variant: The network, at the size that it is trained at.
        classes: Outputs.
        config: Rates and seed; filled in for the variant.
        step: Gives the number of the step, an integer tensor.
        synchronized: Batch norms take their statistics over all devices.
    """
    noise = _Noise(config, step, synchronized)
    return build_model(
        architecture(variant, classes), config.dropout or 0.0, config.drop_connect, noise
    )


class _Noise(LayerFactory):
    def __init__(self, config: TrainingConfig, step: Callable[[], Any], synchronized: bool) -> None:
        self.config = config
        self.synchronized = synchronized
        self._step = step
        self._layers = 0

    def batch_norm(self, name: str) -> Any:
        options = {"momentum": self.config.bn_momentum, "epsilon": BN_EPSILON, "name": name}
        if self.synchronized:
            return _classes().SharedBatchNorm(synchronized=True, **options)
        return import_tf_keras().layers.BatchNormalization(**options)

    def dropout(self, rate: float, name: str, shape: tuple[int | None, ...] | None = None) -> Any:
        return _classes().SeededDropout(rate, shape, self._draw(), name=name)

    def after_block(self, block: Block, plan: Architecture) -> Any:
        rate = self.config.drop_block
        if not rate or block.out_size > 2 * plan.final_size:
            return None
        side = min(_DROP_BLOCK_SIZE, max(1, block.out_size // 2 | 1))
        return _classes().DropBlock(rate, side, self._draw(), name=f"{block.name}_drop_block")

    def _draw(self) -> Callable[[Any, tuple[Any, ...]], Any]:
        """A function from (photos here, shape of the rest) to uniform numbers (0-1)."""
        tf = import_tensorflow()
        self._layers += 1
        layer, seed, step = self._layers, self.config.seed, self._step

        def draw(count: Any, rest: tuple[Any, ...]) -> Any:
            context = tf.distribute.get_replica_context()
            replicas, place = context.num_replicas_in_sync, context.replica_id_in_sync_group
            # Two numbers that seed the layer's numbers in this step.
            key = tf.stack([tf.constant(seed * 4096 + layer, tf.int64), tf.cast(step(), tf.int64)])
            numbers = tf.random.stateless_uniform([count * replicas, *rest], key)
            return numbers[place * count : (place + 1) * count]

        return draw


@dataclasses.dataclass(frozen=True)
class _Classes:
    SeededDropout: Any
    DropBlock: Any
    SharedBatchNorm: Any


@functools.cache
def _classes() -> _Classes:
    """Keras layers, made when Keras is there."""
    tf, keras = import_tensorflow(), import_tf_keras()

    class SeededDropout(keras.layers.Layer):  # type: ignore[misc,name-defined]
        """Dropout; with a noise shape of (None, 1, 1, 1) it is stochastic depth."""

        def __init__(self, rate: float, shape: Any, draw: Any, **options: Any) -> None:
            super().__init__(**options)
            self.rate, self.shape, self.draw = rate, shape, draw

        def call(self, inputs: Any, training: Any = None) -> Any:
            if not training or not self.rate:
                return inputs
            sizes = tf.shape(inputs)
            given = self.shape or [None] * len(inputs.shape)
            rest = [sizes[axis] if one is None else one for axis, one in enumerate(given)]
            kept = tf.cast(self.draw(sizes[0], tuple(rest[1:])) >= self.rate, inputs.dtype)
            return inputs * kept / (1 - self.rate)

    class DropBlock(keras.layers.Layer):  # type: ignore[misc,name-defined]
        """Drops squares of a feature map, in all channels of it at once (arXiv 1810.12890)."""

        def __init__(self, rate: float, side: int, draw: Any, **options: Any) -> None:
            super().__init__(**options)
            self.rate, self.side, self.draw = rate, side, draw

        def call(self, inputs: Any, training: Any = None) -> Any:
            if not training:
                return inputs
            sizes, side = tf.shape(inputs), self.side
            high, wide = inputs.shape[1:3]
            inner = (high - side + 1, wide - side + 1)
            # Equation 1: seeds lie where the whole square fits in.
            gamma = self.rate * high * wide / side**2 / (inner[0] * inner[1])
            seeds = tf.cast(self.draw(sizes[0], (*inner, 1)) < gamma, inputs.dtype)
            before, behind = side // 2, side - 1 - side // 2
            around = [[0, 0], [before, behind], [before, behind], [0, 0]]
            dropped = tf.nn.max_pool2d(tf.pad(seeds, around), side, 1, "SAME")
            kept = 1 - dropped
            share = tf.reduce_mean(kept, (1, 2, 3), keepdims=True)
            return inputs * kept / tf.maximum(share, 1e-3)

    class SharedBatchNorm(keras.layers.BatchNormalization):  # type: ignore[misc,name-defined]
        """Statistics of the batch of all devices, as one device's fused kernel has them.

        Keras' own way is E(x²) - E(x)², which loses digits where the mean is large, and moving
        variances that leave out Bessel's correction, n/(n - 1), which the kernel applies.
        """

        def _sync_calculate_mean_and_var(
            self, x: Any, axes: Any, keep_dims: bool, mask: Any = None
        ) -> Any:
            context = tf.distribute.get_replica_context()
            values = tf.cast(x, tf.float32)
            sizes = tf.gather(tf.shape(values), axes)
            here = tf.cast(tf.reduce_prod(sizes), tf.float32)
            count = here * context.num_replicas_in_sync

            def mean_of(numbers: Any) -> Any:
                total = tf.reduce_sum(numbers, axes, keepdims=True)
                return context.all_reduce(tf.distribute.ReduceOp.SUM, total) / count

            mean = mean_of(values)
            variance = mean_of(tf.square(values - mean))
            self._correction = count / tf.maximum(count - 1, 1)
            if not keep_dims:
                mean, variance = tf.squeeze(mean, axes), tf.squeeze(variance, axes)
            return mean, variance

        def _assign_moving_average(
            self, variable: Any, value: Any, momentum: Any, inputs_size: Any
        ) -> Any:
            if variable is self.moving_variance:
                value = value * tf.cast(self._correction, value.dtype)
            return super()._assign_moving_average(variable, value, momentum, inputs_size)

    return _Classes(SeededDropout, DropBlock, SharedBatchNorm)
