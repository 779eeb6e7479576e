"""Finding an interpreter, running models, and refusing what is no image classifier."""

from __future__ import annotations

import numpy as np
import pytest

from effnet_lite.errors import InputError, MissingDependencyError, UsageError
from effnet_lite.quantize.graph import Graph, Tensor
from effnet_lite.quantize.tflite import runtime as module
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.runtime import (
    Runner,
    TensorInfo,
    find_runtime,
    input_codec,
    installed_runtimes,
)
from effnet_lite.quantize.tflite.writer import to_flatbuffer


def test_the_preferred_runtime_comes_first():
    names = [runtime.name for runtime in installed_runtimes()]
    order = ["litert", "tflite-runtime", "tensorflow"]
    assert names == [name for name in order if name in names]
    assert find_runtime().name == names[0]
    assert find_runtime(names[-1]).name == names[-1]


def test_unknown_and_missing_runtimes(monkeypatch):
    with pytest.raises(UsageError, match="unknown runtime 'onnx'"):
        find_runtime("onnx")
    monkeypatch.setattr(module, "installed_runtimes", list)
    with pytest.raises(MissingDependencyError, match="pip install ai-edge-litert"):
        find_runtime()
    with pytest.raises(MissingDependencyError, match="pip install tflite-runtime"):
        find_runtime("tflite-runtime")


def test_native_logs_are_held_back(float_model, capfd):
    Runner(float_model.read_bytes())
    assert capfd.readouterr().err == ""


def test_tensors(int8_model):
    runner = Runner(int8_model.read_bytes(), threads=1)
    (source,), (target,) = runner.inputs, runner.outputs
    assert (source.shape, source.dtype, source.quantized) == ((1, 64, 64, 3), "uint8", True)
    assert target.dequantize(np.asarray([0, 255], np.uint8)).tolist() == [0.0, 255 / 256]
    first = runner.run(np.zeros((1, 64, 64, 3), np.uint8))
    again = runner.run(np.full((1, 64, 64, 3), 255, np.uint8))
    assert first is not again
    assert (first != again).any()  # a copy: the second run did not change the first answer


def elementwise(*shapes):
    """A model that adds its inputs up."""
    graph = Graph()
    graph.inputs = [graph.add_tensor(Tensor(f"in{n}", shape)) for n, shape in enumerate(shapes)]
    operands = (graph.inputs * 2)[:2]
    graph.outputs = [graph.add_op("ADD", operands, "sum", shapes[0])]
    return to_flatbuffer(graph)


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 8, 8, 1)],
        [(2, 8, 8, 3)],
        [(1, 192)],
        [(1, 8, 8, 3), (1, 8, 8, 3)],
    ],
    ids=str,
)
def test_models_that_do_not_take_one_image(shapes):
    model = elementwise(*shapes)
    with pytest.raises(InputError, match="one input of shape"):
        Predictor(model)


def test_models_that_are_not_square():
    with pytest.raises(InputError, match="expected a square input, found 8 x 9"):
        Predictor(elementwise((1, 8, 9, 3)))


def test_codec_by_channel():
    info = TensorInfo("image", (1, 1, 1, 3), "float32", 0.0, 0)
    pixels = np.asarray([[[10, 20, 30]]], np.uint8)
    found = input_codec(info, (0.0, 10.0, 20.0), (1.0, 2.0, 5.0))(pixels)
    assert found.dtype == np.float32
    assert found.tolist() == [[[[10.0, 5.0, 2.0]]]]


def test_codec_clips_what_the_input_cannot_hold():
    # Real values -1…1 in an input whose scale ends at ±0.5.
    info = TensorInfo("image", (1, 1, 1, 3), "int8", 1 / 256, 0)
    pixels = np.asarray([[[0, 127, 255]]], np.uint8)
    assert input_codec(info, (127.0,), (128.0,))(pixels).tolist() == [[[[-128, 0, 127]]]]


def test_one_answer_whatever_the_number_of_threads(int8_model, photo):
    models = [Predictor.open(int8_model, threads=threads) for threads in (1, 2)]
    pixels = models[0].preprocessing.pixels(photo)
    np.testing.assert_array_equal(*(model.raw(pixels) for model in models))
