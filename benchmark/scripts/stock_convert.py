"""Convert a variant to int8 with TensorFlow's own converter, from our Keras model.

    python benchmark/scripts/stock_convert.py lite0 stock.tflite

What a user of TFLiteConverter gets: full integer kernels, uint8 at both ends, a softmax, a
batch of 1, and the photos of ``convert --calibration samples`` as representative data set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite import EffNetLite
from effnet_lite.errors import EffnetLiteError
from effnet_lite.files import write_bytes
from effnet_lite.lite.keras import import_tensorflow, import_tf_keras
from effnet_lite.lite.preprocessing import preprocessing_for
from effnet_lite.lite.variants import Variant, get_variant
from effnet_lite.quantize.calibration_set import DEFAULT_COUNT, choose


def main(arguments: list[str] | None = None) -> int:
    """Convert; return 1 if that failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("variant")
    parser.add_argument("output", type=Path)
    parser.add_argument("--photos", type=int, default=DEFAULT_COUNT, metavar="N",
                        help="sample photos to calibrate on, default %(default)s")  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        model = stock_model(get_variant(options.variant), options.photos)
        write_bytes(options.output, model, overwrite=True)
    except EffnetLiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def stock_model(variant: Variant, photos: int = DEFAULT_COUNT) -> bytes:
    """The int8 .tflite with ImageNet weights.

    Raises:
        MissingDependencyError: TensorFlow, the weights or the sample photos are not installed.
    """
    tf, keras = import_tensorflow(), import_tf_keras()
    images = choose("samples", photos)
    preprocessing = preprocessing_for(variant)
    network = EffNetLite(variant, weights="imagenet").build()
    model = keras.Sequential([network, keras.layers.Softmax()])
    signature = [tf.TensorSpec((1, variant.size, variant.size, 3), tf.float32)]
    function = tf.function(lambda image: model(image, training=False), input_signature=signature)
    converter: Any = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], model
    )

    def representative() -> Iterator[list[npt.NDArray[np.float32]]]:
        for pixels in images.pixels(preprocessing):
            yield [preprocessing.normalize(pixels)[np.newaxis]]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


if __name__ == "__main__":
    sys.exit(main())
