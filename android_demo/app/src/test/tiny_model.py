"""Makes src/test/resources/tiny.tflite: what the app's tests use in place of a real model.

    python android_demo/app/src/test/tiny_model.py

Needs TensorFlow. One convolution with colour filters, pooling, four classes with labels that are
not ImageNet's, a golden check and the feature map as a second output, in 8 KB. A picture's
brightest channel decides: red is a tractor, green a frog, blue a scarf, grey a cup.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.quantize.tflite.description import Description, WeightsRecord, with_description
from effnet_lite.quantize.tflite.golden import make_golden
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.surgery import with_feature_map_output

SIZE = 32
LABELS = ("tractor", "tree frog", "écharpe", "cup")
OUTPUT = Path(__file__).parent / "resources" / "tiny.tflite"


def main() -> None:
    """Write the file."""
    model = _convert()
    runner = Runner(model)
    info = runner.image_input

    def run(pixels: np.ndarray) -> np.ndarray:
        runner.set_input(pixels.astype(info.dtype))
        runner.invoke()
        return runner.output(0)

    description = Description(
        variant="tiny",
        precision="int8",
        head="softmax",
        classes=len(LABELS),
        preprocessing=Preprocessing(size=SIZE, mean=(0.0,), std=(1.0,)),
        weights=WeightsRecord("none: made by hand"),
        tool_version="0",
        golden=make_golden(run, SIZE, SIZE),
    )
    described = with_description(model, description, LABELS)
    # The labels are a zip behind the flatbuffer, which writing it anew leaves out.
    labels = described[described.index(b"PK\3\4") :]
    OUTPUT.write_bytes(with_feature_map_output(described)[0] + labels)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


def _convert() -> bytes:
    import tensorflow as tf

    # Colours against each other, and brightness, over 8 x 8 pixels.
    filters = np.array([[2, -1, -1], [-1, 2, -1], [-1, -1, 2], [0.4, 0.4, 0.4]]).T
    kernel = np.tile(filters / (64 * 255), (8, 8, 1, 1)).astype(np.float32)
    inputs = tf.keras.Input((SIZE, SIZE, 3), 1)
    conv = tf.keras.layers.Conv2D(4, 8, 8, activation="relu")
    features = conv(inputs)
    dense = tf.keras.layers.Dense(4, activation="softmax")
    network = tf.keras.Model(inputs, dense(tf.keras.layers.GlobalAveragePooling2D()(features)))
    conv.set_weights([kernel, np.zeros(4, np.float32)])
    dense.set_weights([8 * np.eye(4, dtype=np.float32), np.zeros(4, np.float32)])
    random = np.random.default_rng(0)
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [random.integers(0, 2, (1, 4, 4, 3)).repeat(8, 1).repeat(8, 2).astype(np.float32) * 255]
        for _ in range(100)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    model: bytes = converter.convert()
    return model


if __name__ == "__main__":
    main()
