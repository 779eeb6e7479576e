"""Keras models from the plan: flat functional graphs in keras.applications' layer names.

The input is what :class:`effnet_lite.lite.preprocessing.Preprocessing` makes: normalised
pixels for the Lite family, pixels 0-255 for the B family, which normalises in the graph.
The output is logits; exporting adds the softmax.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError
from effnet_lite.lite.architecture import (
    B_MEAN,
    B_STD,
    BN_EPSILON,
    BN_MOMENTUM,
    Architecture,
    Block,
    architecture,
)
from effnet_lite.lite.keras import import_tensorflow, import_tf_keras
from effnet_lite.lite.variants import Variant, get_variant

NORMALIZATION = "normalization"


class EffNetLite:
    """A network to build: the Keras model for those who bring their own loop.

    ::

        model = EffNetLite("lite0", classes=10, weights="imagenet").build()

    Args:
        variant: A name from the table, a custom one, or a row.
        classes: Outputs of the classifier; 0 gives the feature extractor, whose output is
            the last feature map of shape (batch, size/32, size/32, channels). None means
            the classes of the weights file, 1000 without one.
        size: Side of the input in pixels; None for the variant's own.
        dropout: Rate before the classifier in training; None for the variant's own.
        drop_connect: Stochastic depth's drop rate at the last block, growing linearly from
            0 at the first (arXiv 1603.09382); only in training.
        weights: None or ``random`` (seeded), ``imagenet``, or a file that
            :func:`effnet_lite.lite.weights.read_weights` reads.
        seed: Of the random weights.
    """

    def __init__(
        self,
        variant: str | Variant = "lite0",
        classes: int | None = None,
        size: int | None = None,
        dropout: float | None = None,
        drop_connect: float = 0.2,
        weights: str | os.PathLike[str] | None = None,
        seed: int = 0,
    ) -> None:
        self.variant = get_variant(variant).with_size(size)
        if classes is not None and classes < 0:
            raise InputError(f"classes must be 0 (no head) or more, got {classes}")
        self.dropout = self.variant.dropout if dropout is None else dropout
        for name, rate in (("dropout", self.dropout), ("drop_connect", drop_connect)):
            if not 0 <= rate < 1:
                raise InputError(f"{name} must be at least 0 and below 1, got {rate:g}")
        self.classes = classes
        self.drop_connect = drop_connect
        self.weights = weights
        self.seed = seed

    def build(self) -> Any:
        """The tf_keras functional model, weights loaded.

        Raises:
            InputError: The weights do not fit.
            MissingDependencyError: TensorFlow or tf_keras is not installed.
        """
        from effnet_lite.lite.pretrained import load_weights

        weights = load_weights(self.weights, self.variant, self.classes, self.seed)
        model = build_model(
            architecture(self.variant, weights.classes), self.dropout, self.drop_connect
        )
        set_weights(model, weights.tensors)
        return model


class LayerFactory:
    """The layers that act otherwise in training; a trainer may want its own."""

    def batch_norm(self, name: str) -> Any:
        """With the statistics of the batch in training."""
        layers = import_tf_keras().layers
        return layers.BatchNormalization(momentum=BN_MOMENTUM, epsilon=BN_EPSILON, name=name)

    def dropout(self, rate: float, name: str, shape: tuple[int | None, ...] | None = None) -> Any:
        """Noise of that shape, where 1 means alike along the axis and None as long as it is."""
        return import_tf_keras().layers.Dropout(rate, noise_shape=shape, name=name)

    def after_block(self, block: Block, plan: Architecture) -> Any:
        """A layer behind a block's projection, or None."""
        return None


def build_model(
    plan: Architecture,
    dropout: float = 0.0,
    drop_connect: float = 0.0,
    factory: LayerFactory | None = None,
) -> Any:
    """A tf_keras functional model of the plan with Keras' initial weights.

    Input (batch, size, size, 3) float32; output (batch, classes) logits, or the last
    feature map when ``plan.classes`` is 0.
    """
    keras = import_tf_keras()
    layers = keras.layers
    variant = plan.variant
    make = factory or LayerFactory()
    inputs = x = layers.Input((variant.size, variant.size, 3), name="image")
    if variant.family.name == "b":
        x = layers.Rescaling(1 / 255, name="rescaling")(x)
        x = layers.Normalization(name=NORMALIZATION)(x)
    x = _conv(keras, plan.stem_filters, 3, 2, "stem_conv")(x)
    x = _bn_act(keras, make, x, "stem_bn", variant, "stem_activation")
    for block in plan.blocks:
        rate = drop_connect * block.index / len(plan.blocks)
        x = _block(keras, make, x, block, plan, rate)
    x = _conv(keras, plan.head_filters, 1, 1, "top_conv")(x)
    x = _bn_act(keras, make, x, "top_bn", variant, "top_activation")
    if plan.classes:
        # A VALID average pool over the whole map: every accelerator maps AVERAGE_POOL_2D,
        # not every one maps the MEAN that global pooling becomes.
        x = layers.AveragePooling2D(plan.final_size, padding="valid", name="avg_pool")(x)
        x = layers.Flatten(name="flatten")(x)
        x = make.dropout(dropout, "top_dropout")(x)
        initializer = keras.initializers.VarianceScaling(1 / 3, "fan_out", "uniform")
        x = layers.Dense(plan.classes, kernel_initializer=initializer, name="predictions")(x)
    return keras.Model(inputs, x, name=f"efficientnet_{variant.name}".replace("-", "_"))


def set_weights(model: Any, tensors: dict[str, npt.NDArray[np.float32]]) -> None:
    """Put canonical tensors (``layer/weight``) into a model of :func:`build_model`.

    Raises:
        InputError: A tensor of the model is missing.
    """
    tf = import_tensorflow()
    for variable in model.variables:
        layer, weight = variable.name.removesuffix(":0").split("/")[-2:]
        if layer == NORMALIZATION:
            continue
        try:
            variable.assign(tensors[f"{layer}/{weight}"])
        except KeyError as error:
            raise InputError(f"the weights lack {layer}/{weight}") from error
    if NORMALIZATION in {layer.name for layer in model.layers}:
        layer = model.get_layer(NORMALIZATION)
        layer.adapt_mean.assign(
            tensors.get(f"{NORMALIZATION}/mean", np.asarray(B_MEAN, np.float32))
        )
        variance = tensors.get(
            f"{NORMALIZATION}/variance", np.square(np.asarray(B_STD, np.float32))
        )
        layer.adapt_variance.assign(variance)
        with tf.init_scope():
            layer.finalize_state()  # call() uses copies that only this refreshes


def get_weights(model: Any) -> dict[str, npt.NDArray[np.float32]]:
    """The canonical tensors of a model: what :func:`set_weights` takes."""
    tensors = {}
    for variable in model.variables:
        layer, weight = variable.name.removesuffix(":0").split("/")[-2:]
        if weight != "count":
            tensors[f"{layer}/{weight}"] = variable.numpy()
    return tensors


def _conv(
    keras: Any, filters: int, kernel: int, stride: int, name: str, use_bias: bool = False
) -> Any:
    return keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=_conv_initializer(keras),
        name=name,
    )


def _conv_initializer(keras: Any) -> Any:
    """``efficientnet_model.py: conv_kernel_initializer`` of the reference."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")


def _bn_act(
    keras: Any, make: LayerFactory, x: Any, name: str, variant: Variant, activation: str | None
) -> Any:
    x = make.batch_norm(name)(x)
    if activation is None:
        return x
    if variant.family.activation == "relu6":
        return keras.layers.ReLU(6.0, name=activation)(x)
    return keras.layers.Activation("swish", name=activation)(x)


def _block(
    keras: Any,
    make: LayerFactory,
    inputs: Any,
    block: Block,
    plan: Architecture,
    drop_rate: float,
) -> Any:
    layers, name, x, variant = keras.layers, block.name, inputs, plan.variant
    if block.expands:
        x = _conv(keras, block.expanded, 1, 1, f"{name}_expand_conv")(x)
        x = _bn_act(keras, make, x, f"{name}_expand_bn", variant, f"{name}_expand_activation")
    x = layers.DepthwiseConv2D(
        block.kernel,
        block.stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=_conv_initializer(keras),
        name=f"{name}_dwconv",
    )(x)
    x = _bn_act(keras, make, x, f"{name}_bn", variant, f"{name}_activation")
    if block.se_filters:
        # keepdims: without it the converter writes SHAPE/PACK/RESHAPE that break delegation.
        squeezed = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_se_squeeze")(x)
        reduce = _conv(keras, block.se_filters, 1, 1, f"{name}_se_reduce", use_bias=True)
        squeezed = layers.Activation("swish", name=f"{name}_se_activation")(reduce(squeezed))
        expand = _conv(keras, block.expanded, 1, 1, f"{name}_se_expand", use_bias=True)
        gate = layers.Activation("sigmoid", name=f"{name}_se_gate")(expand(squeezed))
        x = layers.Multiply(name=f"{name}_se_excite")([x, gate])
    x = _conv(keras, block.out_filters, 1, 1, f"{name}_project_conv")(x)
    x = _bn_act(keras, make, x, f"{name}_project_bn", variant, None)
    extra = make.after_block(block, plan)
    if extra is not None:
        x = extra(x)
    if block.residual:
        if drop_rate:
            x = make.dropout(drop_rate, f"{name}_drop", (None, 1, 1, 1))(x)
        x = layers.Add(name=f"{name}_add")([x, inputs])
    return x
