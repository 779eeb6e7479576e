"""Models that cannot be timed, each with one clear line, and those that can with care."""

from __future__ import annotations

import hashlib

import bad_models
import numpy as np
import pytest
from c_delegate import Case, ask
from tiny_models import build_tiny_model

from effnet_lite import classify, inspect
from effnet_lite.benchmark.host.inputs import dynamic_inputs, random_inputs
from effnet_lite.errors import InputError
from effnet_lite.quantize.tflite.file import pack, read_model, unpack
from effnet_lite.quantize.tflite.refusal import meaning, one_line
from effnet_lite.quantize.tflite.runtime import Runner, installed_runtimes

#: name → (content, what every runtime's message ends with)
REFUSED = {
    "no inputs": (
        bad_models.no_inputs(),
        "the model has no inputs: there is nothing to feed and nothing to time",
    ),
    "string": (
        bad_models.string_input(),
        "input tensor0 is of type string: random values can be made for integers, floats and "
        "booleans only",
    ),
    "complex": (bad_models.mirror("COMPLEX64"), "is of type complex64: random values can be made "
                "for integers, floats and booleans only"),
    # Running it unfed ends in a segmentation fault.
    "resource": (bad_models.mirror("RESOURCE"), "is of type resource or variant: random values "
                 "can be made for integers, floats and booleans only"),
    "side of 0": (
        bad_models.with_shapes((1, 0, 3)),
        "input tensor0 has the shape (1, 0, 3), which holds nothing: convert the model with sides "
        "of at least 1",
    ),
    "side of -1": (
        bad_models.with_shapes((1, -1, 3)),
        "refuses the model: a tensor has a negative or a far too long side; convert it with fixed "
        "shapes",
    ),
    "side too long": (
        bad_models.with_shapes((2**31 - 1,) * 3),
        "refuses the model: a tensor has a negative or a far too long side; convert it with fixed "
        "shapes",
    ),
    "custom operator": (
        bad_models.unknown_operator("My.Own"),
        "refuses the model: it does not know the custom operator My.Own; use the delegate or the "
        "runtime that brings it",
    ),
    "TensorFlow operator": (
        bad_models.unknown_operator("FlexErf"),
        "refuses the model: it runs TensorFlow operators (Erf) only with the Flex delegate; "
        "convert the model without SELECT_TF_OPS",
    ),
    "operator version": (
        bad_models.unknown_operator("RELU", version=99),
        "refuses the model: it does not know version 99 of the operator RELU; use a newer or "
        "another runtime",
    ),
    "operator number": (
        bad_models.unknown_operator("999"),
        "refuses the model: it does not know the operator number 999; use a newer or another "
        "runtime",
    ),
    "compiled": (
        bad_models.compiled_for_edgetpu(),
        "the model is compiled for the Edge TPU and runs only with its delegate: use --delegate "
        "edgetpu, or on a CPU the .tflite from before edgetpu_compiler",
    ),
    "truncated": (bad_models.truncated(), "copy, download or convert it again"),
}  # fmt: skip

RUNTIMES = [
    # Importing TensorFlow takes longer than all the rest of this file.
    pytest.param(runtime.name, marks=pytest.mark.slow if runtime.name == "tensorflow" else ())
    for runtime in installed_runtimes()
]


@pytest.fixture(scope="session")
def bad(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    for name, (content, _) in REFUSED.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in REFUSED}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_one_clear_line_from_every_runtime(runtime, bad):
    answers = ask(runtime, [Case(path) for path in bad.values()])
    for (name, (_, message)), answer in zip(REFUSED.items(), answers, strict=True):
        assert answer["error"] == "InputError", name
        assert answer["message"].endswith(message), name
        assert "\n" not in answer["message"], name


@pytest.mark.parametrize("name", REFUSED)
def test_no_classifier(name, bad, photo):
    with pytest.raises(InputError) as caught:
        classify(bad[name], [photo])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "truncated"])
def test_they_can_be_looked_at(name, bad):
    assert len(inspect(bad[name]).layers) == 1


@pytest.mark.parametrize("kind", ["STRING", "RESOURCE", "COMPLEX64", "BOOL"])
def test_images_are_numbers(kind, tmp_path, photo):
    path = tmp_path / "a.tflite"
    path.write_bytes(bad_models.mirror(kind, (1, 8, 8, 3)))
    with pytest.raises(InputError, match="expected an image of numbers, found an input of type"):
        classify(path, [photo])


def test_two_inputs_are_timed_but_not_classified(tmp_path, photo):
    model = bad_models.two_inputs()
    runner = Runner(model, threads=1)
    values = random_inputs(runner, seed=0)
    assert (values[0] != values[1]).any()
    runner.set_inputs(values)
    runner.invoke()
    np.testing.assert_array_equal(runner.output(), values[0] + values[1])
    path = tmp_path / "a.tflite"
    path.write_bytes(model)
    with pytest.raises(InputError, match="one input of shape"):
        classify(path, [photo])


def test_dynamic_shapes_are_timed_as_they_are_allocated():
    runner = Runner(bad_models.dynamic_batch(), threads=1)
    assert dynamic_inputs(runner) == [
        "image has the dynamic shape (-1, 8, 8, 3): timed at (1, 8, 8, 3)"
    ]
    assert random_inputs(runner, seed=0)[0].shape == (1, 8, 8, 3)
    sides = Runner(bad_models.with_shapes((1, 1, 1, 3), (1, -1, -1, 3)), threads=1)
    assert len(dynamic_inputs(sides)) == 1
    assert dynamic_inputs(Runner(build_tiny_model(), threads=1)) == []


def test_a_model_larger_than_memory_is_refused(monkeypatch):
    with pytest.raises(InputError, match=r"memory|at most 2 GiB"):
        random_inputs(Runner(bad_models.with_shapes((100_000, 100_000, 3)), threads=1), seed=0)
    monkeypatch.setattr("effnet_lite.benchmark.host.inputs.LARGEST", 2**12)
    with pytest.raises(InputError, match=r"inputs are 0.0 GiB; expected at most"):
        random_inputs(Runner(bad_models.with_shapes((1, 64, 64)), threads=1), seed=0)


@pytest.mark.parametrize(
    ("kind", "digest", "low", "high"),
    [
        ("BOOL", "f76d2218c2415010", 0, 1),
        ("INT8", "9245e7e1cd0b0927", -128, 127),
        ("UINT8", "e91017f46b87029c", 0, 255),
        ("INT16", "7bdbd9de1f4d4a66", -(2**15), 2**15 - 1),
        ("INT32", "1be97c0293d9c72d", 0, 99),
        ("INT64", "6d361a6986bd0275", 0, 99),
        ("UINT64", "6d361a6986bd0275", 0, 99),
        ("FLOAT16", "78218bdf707d6246", -1, 1),
        ("FLOAT32", "bde55ca3747898e8", -1, 1),
        ("FLOAT64", "f5a403235bab15eb", -1, 1),
    ],
)
def test_random_values_are_the_same_on_every_machine(kind, digest, low, high):
    """Golden digests: outputs for them are compared between machines."""
    runner = Runner(bad_models.mirror(kind, (40, 100)), threads=1)
    (values,) = random_inputs(runner, seed=0)
    assert values.dtype.name == kind.lower()
    assert values.shape == (40, 100)
    assert low <= values.min() < values.max() <= high
    assert float(values.max()) - float(values.min()) > 0.9 * (high - low)
    assert hashlib.sha256(values.tobytes()).hexdigest()[:16] == digest
    assert (random_inputs(runner, seed=1)[0] != values).any()
    runner.set_inputs([values])
    runner.invoke()
    np.testing.assert_array_equal(runner.output(), values)


def test_a_scalar_is_a_shape_too():
    runner = Runner(bad_models.with_shapes(()), threads=1)
    (value,) = random_inputs(runner, seed=0)
    assert (value.shape, value.dtype) == ((), np.float32)


def test_what_a_runtime_does_not_take_or_give(tiny):
    runner = Runner(tiny, threads=1)
    with pytest.raises(InputError, match="does not take input image: Cannot set tensor"):
        runner.set_input(np.zeros((1, 8, 8, 3), np.float32))
    indices = bad_models.one_operator(
        "GATHER", [bad_models.Tensor((4,)), bad_models.Tensor((2,), "INT32")],
        [bad_models.Tensor((2,))],
    )  # fmt: skip
    runner = Runner(indices, threads=1)
    runner.set_inputs([np.zeros(4, np.float32), np.full(2, 99, np.int32)])
    with pytest.raises(InputError, match=r"fails while it runs the model: .*gather"):
        runner.invoke()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # Each ended in a segmentation fault in LiteRT 2.3.
        (lambda graph: setattr(graph.operators[0], "inputs", [-1, 1, 2]), "tensor -1, but has 4"),
        (lambda graph: setattr(graph.operators[0], "inputs", [0, -1, 2]), "tensor -1, but has 4"),
        (
            lambda graph: setattr(graph.tensors[0].quantization, "zeroPoint", [-(2**24)]),
            "a zero point of -16777216, beyond 0 to 255",
        ),
    ],
)
def test_what_would_crash_a_runtime_is_not_read(tiny, tmp_path, change, message):
    tree = unpack(tiny)
    change(tree.subgraphs[0])
    path = tmp_path / "a.tflite"
    path.write_bytes(pack(tree))
    with pytest.raises(InputError, match=message):
        read_model(path)


def test_words_of_a_runtime():
    assert meaning("", "litert 9").endswith("perhaps it needs too much memory")
    assert meaning("something\n new", "litert 9") == "litert 9 refuses the model: something new"
    assert len(meaning("long " * 999, "litert 9")) < 400
    assert one_line("it\n fails.Node number 7 (CONV_2D) failed to prepare.") == (
        "it fails.; Node number 7 (CONV_2D) failed to prepare"
    )
