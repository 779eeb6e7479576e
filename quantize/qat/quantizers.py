"""What tensorflow-model-optimization is told about each layer: our own quantizers and scheme.

Its default scheme is made for Keras models as people write them: it looks for convolutions with
a batch norm and an activation behind, puts min-max observers everywhere, has no idea of a gated
product, and computes with multiples of the scales, whose float32 sums are not those of the file.
Here every scale is known before training (network.py) and layers hand on integers, less their
zero point, as float32 numbers. Products of 8-bit integers add up exactly in them, as they do in
the kernels' int32, and one float32 factor a channel takes a sum to the output's steps, as it does
in XNNPACK: ``q = clip(round(Σ q_in·q_w + b) · s_in·s_w / s_out))`` (arXiv 1712.05877, equation 4).

The classes below say that in the terms of ``quantize_annotate_layer``. Rounding has the gradient
of the identity (arXiv 1308.3432, the straight-through estimator), clipping its own: 0 outside.
"""

from __future__ import annotations

import functools
import types
from typing import Any

from effnet_lite.errors import MissingDependencyError
from effnet_lite.lite.keras import import_tensorflow, import_tf_keras

#: The specification leaves -128 out.
MOST = 127.0


def import_tfmot() -> Any:
    """The module ``tensorflow_model_optimization``.

    Raises:
        MissingDependencyError: It, tf_keras or TensorFlow is not installed.
    """
    import_tf_keras()
    try:
        import tensorflow_model_optimization  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingDependencyError(
            "quantization-aware training", "tensorflow-model-optimization", "convert"
        ) from error
    return tensorflow_model_optimization


@functools.cache
def quantizer_classes() -> types.SimpleNamespace:
    """The classes, which can only be made where tensorflow-model-optimization is installed.

    Returns:
        The quantizers ``Kernel()``, ``Bias(factors)`` and ``Output(factors, low, high)``; the
        ``QuantizeConfig`` ``Rounding(bias, output)``; the layers ``Sum(factors)`` and
        ``Sigmoid(factor)``; ``Scheme()``; and ``scope()``, in which Keras knows their names.

    Raises:
        MissingDependencyError: See :func:`import_tfmot`.
    """
    public, tf = import_tfmot().quantization.keras, import_tensorflow()
    quantizer: Any = public.quantizers.Quantizer
    config: Any = public.QuantizeConfig
    layer_type: Any = import_tf_keras().layers.Layer
    nearest = tf.grad_pass_through(tf.round)

    class Kernel(quantizer):  # type: ignore[misc]
        """A kernel in steps of int8 → whole steps."""

        def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
            return {}

        def __call__(self, inputs: Any, training: bool, weights: Any, **_: Any) -> Any:
            whole = tf.grad_pass_through(lambda x: tf.clip_by_value(tf.round(x), -MOST, MOST))
            return whole(inputs)

        def get_config(self) -> dict[str, Any]:
            return {}

    class Bias(quantizer):  # type: ignore[misc]
        """A bias in steps of the output → whole steps of the sums, ``factors`` of the former."""

        def __init__(self, factors: list[float]) -> None:
            self.factors = factors

        def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
            return {}

        def __call__(self, inputs: Any, training: bool, weights: Any, **_: Any) -> Any:
            factors = tf.constant(self.factors, tf.float64)

            @tf.custom_gradient  # type: ignore[untyped-decorator]
            def rounded(bias: Any) -> Any:
                # In float64: sums have up to 30 bits, float32 has 24.
                whole = tf.cast(tf.round(tf.cast(bias, tf.float64) / factors), tf.float32)
                return whole, lambda upstream: upstream / tf.cast(factors, tf.float32)

            return rounded(inputs)

        def get_config(self) -> dict[str, Any]:
            return {"factors": self.factors}

    class Output(quantizer):  # type: ignore[misc]
        """A result → whole steps from low to high, of which it is 1 / factors.

        With a ``middle``, halves go away from it: an average's from where the integer is 0.
        """

        def __init__(
            self, factors: list[float], low: float, high: float, middle: float | None = None
        ) -> None:
            self.factors, self.low, self.high, self.middle = factors, low, high, middle

        def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
            return {}

        def __call__(self, inputs: Any, training: bool, weights: Any, **_: Any) -> Any:
            scaled = inputs if self.factors == [1.0] else inputs * tf.constant(self.factors)
            clipped = tf.clip_by_value(scaled, self.low, self.high)
            return nearest(clipped) if self.middle is None else self.away(clipped)

        def away(self, inputs: Any) -> Any:
            def rounded(x: Any) -> Any:
                distance = x - self.middle
                return self.middle + tf.sign(distance) * tf.floor(tf.abs(distance) + 0.5)

            return tf.grad_pass_through(rounded)(inputs)

        def get_config(self) -> dict[str, Any]:
            return {
                "factors": self.factors,
                "low": self.low,
                "high": self.high,
                "middle": self.middle,
            }

    class Rounding(config):  # type: ignore[misc]
        """How a layer is rounded: ``bias`` and ``output`` are arguments of their quantizers.

        A layer without ``bias`` has no weights.
        """

        def __init__(self, output: dict[str, Any], bias: dict[str, Any] | None = None) -> None:
            self.output, self.bias = output, bias

        def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
            if self.bias is None:
                return []
            kernel = getattr(layer, kernel_name(layer))
            return [(kernel, Kernel()), (layer.bias, Bias(**self.bias))]

        def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
            if quantize_weights:
                kernel, layer.bias = quantize_weights
                setattr(layer, kernel_name(layer), kernel)

        def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
            return []

        def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
            pass

        def get_output_quantizers(self, layer: Any) -> list[Any]:
            return [Output(**self.output)]

        def get_config(self) -> dict[str, Any]:
            return {"output": self.output, "bias": self.bias}

    class Sum(layer_type):  # type: ignore[misc]
        """Of two tensors, each times its factor."""

        def __init__(self, factors: list[float], **options: Any) -> None:
            super().__init__(**options)
            self.factors = factors

        def call(self, inputs: list[Any]) -> Any:
            one, other = (x * factor for x, factor in zip(inputs, self.factors, strict=True))
            return one + other

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factors": self.factors}

    class Sigmoid(layer_type):  # type: ignore[misc]
        """Of a tensor times a factor."""

        def __init__(self, factor: float, **options: Any) -> None:
            super().__init__(**options)
            self.factor = factor

        def call(self, inputs: Any) -> Any:
            return tf.sigmoid(inputs * self.factor)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factor": self.factor}

    named = (Kernel, Bias, Output, Rounding, Sum, Sigmoid)
    classes = {kind.__name__: kind for kind in named}
    return types.SimpleNamespace(
        **classes, Scheme=_Scheme, scope=lambda: public.quantize_scope(classes)
    )


def kernel_name(layer: Any) -> str:
    """What Keras calls a layer's kernel."""
    return "depthwise_kernel" if hasattr(layer, "depthwise_kernel") else "kernel"


class _Scheme:
    """No layer is rewritten, and none is quantized but those that say how."""

    def get_layout_transformer(self) -> _Scheme:
        return self

    def apply(self, model: Any, layer_quantize_map: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return model, layer_quantize_map

    def get_quantize_registry(self) -> _Scheme:
        return self

    def supports(self, layer: Any) -> bool:
        return False
