"""Our exporter writes the operators that TensorFlow's converter makes of the Keras model."""

from __future__ import annotations

import pytest

from effnet_lite import EffNetLite
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.keras import import_tensorflow
from effnet_lite.lite.variants import VARIANTS
from effnet_lite.lite.weights import random_weights
from effnet_lite.quantize.export import export
from effnet_lite.quantize.tflite.file import unpack
from effnet_lite.quantize.tflite.surgery import operator_kinds

pytestmark = pytest.mark.slow

pytest.importorskip("tf_keras")


@pytest.mark.parametrize("name", ["lite0", "b0"])
def test_the_same_operators_in_the_same_order(name):
    row = VARIANTS[name]
    theirs = converter_operators(EffNetLite(row).build(), row.size)
    graph = export(architecture(row), random_weights(row).tensors, "logits")
    ours = [op.kind for op in graph.ops]
    if name == "b0":
        # Ours is one depthwise convolution, which int8 rounds once.
        normalization, *ours = ours
        assert (normalization, theirs[:3]) == ("DEPTHWISE_CONV_2D", ["MUL", "SUB", "MUL"])
        theirs = theirs[3:]
    assert ours == theirs


def converter_operators(model, size):
    tf = import_tensorflow()
    signature = [tf.TensorSpec((1, size, size, 3), tf.float32)]
    function = tf.function(lambda image: model(image, training=False), input_signature=signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], model
    )
    return operator_kinds(unpack(converter.convert()))
