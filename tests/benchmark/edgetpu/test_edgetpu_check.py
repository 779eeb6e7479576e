"""Figures, advice and refusals of the check."""

import json

import pytest
from bad_models import compiled_for_edgetpu, dynamic_batch, truncated
from edgetpu_models import Op, T, bias, graph, ints, one, weights, with_second_subgraph
from small_variants import LITE, B

from effnet_lite.benchmark.edgetpu.check import ON_CHIP_BYTES, edgetpu_check
from effnet_lite.benchmark.edgetpu.graph import read_network
from effnet_lite.benchmark.edgetpu.latency import PUBLISHED, Work, estimate
from effnet_lite.benchmark.edgetpu.placement import place
from effnet_lite.errors import InputError, UsageError


def checked(tmp_path, model, **options):
    path = tmp_path / "model.tflite"
    path.write_bytes(model)
    return edgetpu_check(path, **options)


@pytest.mark.parametrize("variant", [LITE, B])
@pytest.mark.parametrize("head", ["softmax", "logits"])
@pytest.mark.parametrize("input_type", ["uint8", "int8"])
def test_what_convert_emits_runs_wholly(converted, variant, head, input_type):
    model = converted("int8", variant, head=head, input_type=input_type).output
    result = edgetpu_check(model)
    assert result.full
    assert result.mapping.unmapped == {}
    assert result.cut is None
    assert result.advice == ()


@pytest.mark.parametrize("variant", [LITE, B])
def test_float_input_leaves_the_conversions_on_the_cpu(converted, variant):
    result = edgetpu_check(converted("int8", variant, input_type="float32").output)
    assert result.mapping.unmapped == {"QUANTIZE": 1, "DEQUANTIZE": 1}
    assert [line.partition(":")[0] for line in result.advice] == [
        "give the model uint8 input (convert --input uint8)",
        "give the model uint8 output (convert --input uint8)",
    ]


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int16x8"])
def test_other_precisions_do_not_run_on_it(converted, precision):
    result = edgetpu_check(converted(precision).output)
    assert result.mapping.mapped == {}
    assert result.advice == ("quantize the model to 8 bits: effnet-lite convert --int8",)
    assert result.mapping.parameters.cached_bytes == 0


def test_parameters(tmp_path):
    """3 x 3 x 4 x 4 + 4 x 4 and 8 x 10 + 4 x 10 bytes; what is shared counts once."""
    tensors = {
        "x": T((1, 4, 4, 4)), "w": weights(4, 3, 3, 4), "b": bias(4), "y": T((1, 4, 4, 4)),
        "z": T((1, 4, 4, 4)), "shape": ints(1, 64), "flat": T((1, 64)), "w2": weights(10, 64),
        "b2": bias(10), "out": T((1, 10)),
    }  # fmt: skip
    same = {"dilationWFactor": 1, "dilationHFactor": 1}
    ops = [Op("CONV_2D", ["x", "w", "b"], ["y"], same), Op("CONV_2D", ["y", "w", "b"], ["z"], same),
           Op("RESHAPE", ["z", "shape"], ["flat"]),
           Op("FULLY_CONNECTED", ["flat", "w2", "b2"], ["out"])]  # fmt: skip
    model = graph(tensors, ops, ["out"])
    result = checked(tmp_path, model)
    total = 144 + 16 + 640 + 40  # and not the 8 bytes of the shape
    assert result.mapping.parameters.cached_bytes == total
    assert result.mapping.parameters.streamed_bytes == 0
    assert result.mapping.parameters.budget_bytes == ON_CHIP_BYTES
    assert result.edgetpu_madds == 2 * 64 * 36 + 640
    small = checked(tmp_path, model, on_chip_bytes=800)
    assert (small.mapping.parameters.cached_bytes, small.mapping.parameters.streamed_bytes) == (
        800, total - 800,
    )  # fmt: skip
    assert "stream at each inference" in small.advice[0]
    assert small.estimate.high_ms >= result.estimate.high_ms


def test_the_document(converted):
    document = json.loads(json.dumps(edgetpu_check(converted("int8").output).to_json()))
    assert set(document["parameters"]) == {"cached_bytes", "streamed_bytes", "budget_bytes"}
    assert sum(document["mapped"].values()) == len(document["operators"])
    assert document["unmapped"] == {}
    assert document["reasons"] == []
    assert document["full"] is True
    assert document["estimate"]["low_ms"] <= document["estimate"]["high_ms"]
    assert "an estimate" in document["estimate"]["assumptions"]


def test_reasons_are_told_once(tmp_path):
    tensors = dict.fromkeys("xabc", T((1, 4)))
    ops = [Op("ABS", ["x"], ["a"]), Op("ABS", ["a"], ["b"]), Op("RELU", ["b"], ["c"])]
    result = checked(tmp_path, graph(tensors, ops, ["c"]))
    (reason,) = result.mapping.reasons
    assert (reason.operator, reason.count) == ("ABS", 2)
    assert result.mapping.mapped == {"RELU": 1}  # the first segment begins behind them


@pytest.mark.parametrize(
    ("kind", "inputs", "advice"),
    [
        ("MEAN", [T((1, 256, 256, 4)), ints(1, 2)], "AVERAGE_POOL_2D in place of MEAN"),
        ("HARD_SWISH", [T((1, 4))], "RELU6"),
        ("LEAKY_RELU", [T((1, 4))], "PRELU"),
        ("ARG_MAX", [T((1, 4)), ints(1)], "take the largest value behind it"),
        ("TFLite_Detection_PostProcess", [T((1, 4))], "nothing to change"),
        ("SOFTMAX", [T((8, 4))], "1x1 CONV_2D"),
    ],
)
def test_advice(tmp_path, kind, inputs, advice):
    result = checked(tmp_path, one(kind, inputs, [T((1, 1, 1, 4) if kind == "MEAN" else (8, 4))]))
    assert any(advice in line for line in result.advice)


def test_a_dynamic_batch(tmp_path):
    result = checked(tmp_path, dynamic_batch())
    assert not result.full
    assert "the batch to 1" in result.advice[0]
    assert "tensors of any size" in result.warnings[0]


def test_several_subgraphs(tmp_path):
    result = checked(tmp_path, with_second_subgraph(one("RELU", [T((1, 4))], [T((1, 4))])))
    assert result.full
    assert "2 subgraphs" in result.warnings[0]


def test_huge_activations(tmp_path):
    huge = T((1, 4096, 4096, 64))
    result = checked(tmp_path, one("RELU", [huge], [huge]))
    assert "1024.0 MiB" in result.warnings[0]
    absurd = T((2**30, 2**30, 2**30, 2**30))
    assert not checked(tmp_path, one("RELU", [absurd], [absurd])).full


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (truncated(), "damaged or cut short|cut short|damaged"),
        (compiled_for_edgetpu(), "compiled for the Edge TPU already .*edgetpu-custom-op"),
        (graph({"x": T((1, 4))}, [], ["x"]), "has no operators"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "JPEG"),
    ],
)
def test_bad_input(tmp_path, model, message):
    with pytest.raises(InputError, match=message):
        checked(tmp_path, model)


@pytest.mark.parametrize("count", [-1, 2**31])
def test_a_chip_of_another_size(tmp_path, count):
    with pytest.raises(UsageError, match="on the chip must be"):
        checked(tmp_path, one("RELU", [T((1, 4))], [T((1, 4))]), on_chip_bytes=count)


def test_operators_without_inputs_or_shapes():
    """What read_model lets pass, and more, is judged without a traceback."""
    scalar, large = T(()), T((1, 999, 999, 9))
    kinds = ["MEAN", "PAD", "CONCATENATION", "RESHAPE", "RESIZE_BILINEAR", "TRANSPOSE", "SPLIT",
             "CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM", "TILE",
             "PACK", "SQUEEZE", "STRIDED_SLICE", "PRELU", "SOFTMAX", "QUANTIZE"]  # fmt: skip
    for kind in kinds:
        for inputs in ([], [scalar], [None, None], [scalar, ints(0, 7, -9)], [T((1, 2)), ints()],
                       [large, ints(0, 7, -9)], [ints(9), large, large], [large] * 20):  # fmt: skip
            for outputs in ([], [scalar], [T((1, 2, 3, 4, 5))]):
                (placement,) = place(read_network(one(kind, inputs, outputs)))
                assert placement.mapped is (placement.status is None)


@pytest.mark.parametrize("known", PUBLISHED, ids=lambda known: known.model)
def test_the_estimate_holds_published_times(known):
    side = int(known.model.rpartition("(")[2].rstrip(")"))
    streamed = max(0, int(known.parameters * 1e6) - ON_CHIP_BYTES)
    found = estimate(
        Work(int(known.dense_madds * 1e6), int(known.depthwise_madds * 1e6),
             side * side * 3 + 1001 + streamed)
    )  # fmt: skip
    assert found.low_ms <= known.usb_ms <= found.high_ms
    assert found.low_ms <= known.dev_board_ms <= found.high_ms
    assert found.high_ms < 3 * found.low_ms
