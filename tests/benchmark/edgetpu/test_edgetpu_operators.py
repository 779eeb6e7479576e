"""Every rule of the table: a smallest model that keeps it, and one that breaks it."""

import numpy as np
import pytest
from edgetpu_models import T, bias, ints, one, weights

from effnet_lite.benchmark.edgetpu import conditions, operators
from effnet_lite.benchmark.edgetpu.check import edgetpu_check
from effnet_lite.benchmark.edgetpu.graph import read_network
from effnet_lite.benchmark.edgetpu.placement import objection

MAP = T((1, 8, 8, 4))
VECTOR = T((1, 16))
FLOAT, WIDE = T((1, 4), "FLOAT32"), T((1, 4), "INT16")
COMPUTED = T((4,), "INT32", scales=0)


def conv(x=MAP, filters=None, biases=None, y=MAP, version=1, **options):
    options = {"dilationWFactor": 1, "dilationHFactor": 1} | options
    filters = filters or weights(4, 3, 3, 4, scales=4)
    return one("CONV_2D", [x, filters, biases or bias(4)], [y], version, **options)


def depthwise(y=MAP, filters=None, **options):
    options = {"dilationWFactor": 1, "dilationHFactor": 1} | options
    return one("DEPTHWISE_CONV_2D", [MAP, filters or weights(1, 3, 3, 4), bias(4)], [y], **options)


def dense(x=VECTOR, filters=None, y=None, **options):
    return one("FULLY_CONNECTED", [x, filters or weights(10, 16), bias(10)],
               [y or T((1, 10))], **options)  # fmt: skip


def joined(*inputs, axis=3, **options):
    return one("CONCATENATION", inputs, [T((1, 8, 8, 8))], axis=axis, **options)


def resized(kind, before, after, channels=4):
    return one(kind, [T((1, *before, channels)), ints(*after)], [T((1, *after, channels))])


def reduced(kind, shape, axes, y=(1, 1, 1, 4)):
    return one(kind, [T(shape), ints(*axes)], [T(y)], keepDims=True)


def lstm(fed=None):
    """As keras_lstm_mnist_ptq has it: 4 + 4 matrices, 4 biases, two states."""
    none = [None] * 3
    return one(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        [T((1, 5, 6)), fed or weights(4, 6), *[weights(4, 6)] * 3, *[weights(4, 4)] * 4, *none,
         *[bias(4)] * 4, None, None, T((1, 4)), T((1, 4), "INT16")],
        [T((1, 5, 4))],
    )  # fmt: skip


def constant(value, shape=(1, 8, 8, 4), zero=0):
    return T(shape, "INT8", np.full(shape, value, np.int8), zero=zero)


#: Rule → a model that keeps it, one that breaks it, what is said of the latter.
CASES = {
    "8 bits": (one("RELU", [MAP], [MAP]), one("RELU", [FLOAT], [FLOAT]), "in0 is float32"),
    "16 bits": (one("ADD", [MAP, MAP], [MAP]), one("ADD", [WIDE, WIDE], [WIDE]), "in0 is int16"),
    "a scale": (one("RELU", [T((1, 4), "UINT8")], [T((1, 4), "UINT8")]),
                one("RELU", [T((1, 4), scales=0)], [T((1, 4))]), "int8 without a scale"),
    "fixed shapes": (one("RELU", [MAP], [MAP]),
                     one("RELU", [T((1, 4), signature=(-1, 4))], [T((1, 4))]),
                     "side of any length"),
    "three sides": (one("RELU", [T((1, 1, 8, 8, 4))], [MAP]),
                    one("RELU", [T((2, 8, 8, 4))], [T((2, 8, 8, 4))]), "in0 is 2x8x8x4"),
    "conv constants": (conv(), conv(filters=T((4, 3, 3, 4))), "in1 is computed"),
    "conv dilation": (conv(dilationWFactor=2, dilationHFactor=2), conv(dilationWFactor=2),
                      "2 in x and 1 in y"),
    "conv groups": (conv(), conv(filters=weights(4, 3, 3, 2)), "4 channels and filters of 2"),
    "depthwise dilation": (depthwise(), depthwise(dilationHFactor=3), "1 in x and 3 in y"),
    "depthwise constants": (depthwise(), depthwise(filters=T((1, 3, 3, 4))), "in1 is computed"),
    "dense constants": (dense(), dense(filters=T((10, 16))), "in1 is computed"),
    "dense vector": (dense(), dense(x=T((5, 16)), y=T((5, 10))), "out0 is 5x10"),
    "dense format": (dense(), dense(weightsFormat=1), "shuffled"),
    "softmax vector": (one("SOFTMAX", [VECTOR], [VECTOR], beta=1.0),
                       one("SOFTMAX", [T((4, 4))], [T((4, 4))], beta=1.0), "out0 is 4x4"),
    "softmax size": (one("SOFTMAX", [T((1, 16_000))], [T((1, 16_000))]),
                     one("SOFTMAX", [T((1, 16_001))], [T((1, 16_001))]), "16,001"),
    "average pool": (one("AVERAGE_POOL_2D", [MAP], [T((1, 1, 1, 4))], filterWidth=8),
                     one("AVERAGE_POOL_2D", [MAP], [MAP], fusedActivationFunction=1), "RELU"),
    "max pool": (one("MAX_POOL_2D", [MAP], [MAP]),
                 one("MAX_POOL_2D", [MAP], [MAP], fusedActivationFunction=3), "RELU6"),
    "concat": (joined(MAP, MAP), joined(MAP, MAP, fusedActivationFunction=2), "RELU_N1_TO_1"),
    "concat zeros": (joined(MAP, constant(-3, zero=-3)), joined(MAP, constant(1)),
                     "values other than zero"),
    "concat with one other": (joined(MAP, MAP, MAP), joined(MAP, MAP, constant(0)),
                              "among 3 inputs"),
    "mean batch": (reduced("MEAN", (1, 8, 8, 4), (1, 2)), reduced("MEAN", (1, 8, 8, 4), (0,)),
                   "axis 0"),
    "mean negative axis": (reduced("MEAN", (1, 8, 8, 4), (-2,), (1, 8, 1, 4)),
                           reduced("MEAN", (1, 8, 8, 4), (-4,)), "axis 0"),
    "mean channels": (reduced("MEAN", (1, 8, 8, 4), (3,), (1, 8, 8, 1)),
                      reduced("MEAN", (1, 8, 8, 6), (3,), (1, 8, 8, 1)), "6"),
    "mean places": (reduced("MEAN", (1, 64, 128, 3), (1, 2)),
                    reduced("MEAN", (1, 256, 128, 3), (1, 2)), "32,768 places"),
    "mean constants": (reduced("MEAN", (1, 8, 8, 4), (1, 2)),
                       one("MEAN", [MAP, COMPUTED], [T((1, 1, 1, 4))]), "in1 is computed"),
    "sum batch": (reduced("SUM", (1, 8, 8, 4), (1,), (1, 1, 8, 4)),
                  reduced("SUM", (1, 8, 8, 4), (0,)), "axis 0"),
    "max batch": (reduced("REDUCE_MAX", (1, 8, 8, 4), (2,), (1, 8, 1, 4)),
                  reduced("REDUCE_MAX", (1, 8, 8, 4), (0,)), "axis 0"),
    "min batch": (reduced("REDUCE_MIN", (1, 8, 8, 4), (2,), (1, 8, 1, 4)),
                  reduced("REDUCE_MIN", (1, 8, 8, 4), (0,)), "axis 0"),
    "pack": (one("PACK", [T((1, 8)), T((1, 8))], [T((1, 2, 8))], axis=1, valuesCount=2),
             one("PACK", [T((1, 8)), T((1, 8))], [T((2, 1, 8))], axis=0, valuesCount=2), "axis 0"),
    "pad": (one("PAD", [MAP, T((4, 2), "INT32", np.int32([[0, 0], [1, 1], [1, 1], [0, 0]]))],
                [T((1, 10, 10, 4))]),
            one("PAD", [T((1, 8, 8)), T((3, 2), "INT32", np.int32([[1, 0], [0, 0], [0, 0]]))],
                [T((2, 8, 8))]), "1 before and 0 behind"),
    "prelu": (one("PRELU", [MAP, weights(1, 1, 4)], [MAP]),
              one("PRELU", [MAP, weights(8, 8, 4)], [MAP]), "slopes of 8x8x4"),
    "quantize": (one("QUANTIZE", [T((1, 4), "UINT8")], [T((1, 4))]),
                 one("QUANTIZE", [T((1, 4), "FLOAT32")], [T((1, 4))]), "in0 is float32"),
    "reshape size": (one("RESHAPE", [T((1, 1024, 1024, 2)), ints(1, 2**20, 2)], [T((1, 2**20, 2))]),
                     one("RESHAPE", [T((1, 1024, 1024, 3)), ints(1, 2**20, 3)], [T((1, 2**20, 3))]),
                     "3.0 MiB"),
    "reshape that moves nothing": (
        one("RESHAPE", [T((1, 1, 3 * 2**20)), ints(1, 3 * 2**20)], [T((1, 3 * 2**20))]),
        one("RESHAPE", [T((1, 4)), COMPUTED], [T((2, 2))]), "in1 is computed"),
    "bilinear scale": (resized("RESIZE_BILINEAR", (6, 6), (12, 12)),
                       resized("RESIZE_BILINEAR", (1, 1), (33, 33)), "1x1x1x4 to 1x33x33x4"),
    "bilinear size": (resized("RESIZE_BILINEAR", (64, 64), (128, 128), 32),
                      resized("RESIZE_BILINEAR", (256, 256), (512, 512), 32),
                      "out0 is 1x512x512x32"),
    "bilinear identity": (resized("RESIZE_BILINEAR", (33, 33), (33, 33), 19),
                          resized("RESIZE_BILINEAR", (33, 33), (513, 513), 19), "513"),
    "nearest scale": (resized("RESIZE_NEAREST_NEIGHBOR", (40, 40), (80, 80), 128),
                      resized("RESIZE_NEAREST_NEIGHBOR", (4, 4), (4, 64)), "1x4x64x4"),
    "slice": (one("SLICE", [MAP, ints(0, 1, 1, 0), ints(1, 4, 4, 4)], [T((1, 4, 4, 4))]),
              one("SLICE", [MAP, COMPUTED, ints(1, 4, 4, 4)], [T((1, 4, 4, 4))]),
              "in1 is computed"),
    "split": (one("SPLIT", [ints(3), MAP], [T((1, 8, 8, 2))] * 2, numSplits=2),
              one("SPLIT", [ints(0), T((2, 8, 4))], [T((1, 8, 4))] * 2, numSplits=2), "axis 0"),
    "squeeze": (one("SQUEEZE", [T((1, 1, 10))], [T((1, 10))]),
                one("SQUEEZE", [T((5, 1, 10))], [T((5, 10))]), "5x1x10 to [5, 10]"),
    "strides": (one("STRIDED_SLICE", [MAP, ints(0, 1, 0, 0), ints(1, 8, 8, 4), ints(1, 1, 1, 1)],
                    [T((1, 7, 8, 4))]),
                one("STRIDED_SLICE", [MAP, ints(0, 0, 0, 0), ints(1, 8, 8, 4), ints(1, 1, 2, 1)],
                    [T((1, 8, 4, 4))]), "strides 1x1x2x1"),
    "slice masks": (one("STRIDED_SLICE", [MAP, ints(0, 0), ints(1, 8), ints(1, 1)], [MAP],
                        endMask=3),
                    one("STRIDED_SLICE", [MAP, ints(0, 0), ints(1, 8), ints(1, 1)], [MAP],
                        newAxisMask=1), "newAxisMask"),
    "tile": (one("TILE", [T((1, 1, 1, 4)), ints(1, 8, 8, 1)], [MAP]),
             one("TILE", [T((1, 4, 4)), ints(2, 1, 1)], [T((2, 4, 4))]), "2 times"),
    "transpose batch": (one("TRANSPOSE", [MAP, ints(0, 2, 1, 3)], [MAP]),
                        one("TRANSPOSE", [T((1, 1, 4)), ints(2, 1, 0)], [T((4, 1, 1))]),
                        "the order [2, 1, 0]"),
    "transpose size": (one("TRANSPOSE", [T((1, 64, 64, 3)), ints(0, 3, 1, 2)], [T((1, 3, 64, 64))]),
                       one("TRANSPOSE", [T((1, 3, 224, 224)), ints(0, 2, 3, 1)],
                           [T((1, 224, 224, 3))]), "1x3x224x224"),
    "transpose that moves nothing": (
        one("TRANSPOSE", [T((1, 1, 400, 400)), ints(0, 2, 1, 3)], [T((1, 400, 1, 400))]),
        one("TRANSPOSE", [T((1, 1, 2, 3, 4)), ints(0, 1, 3, 2, 4)], [T((1, 1, 3, 2, 4))]),
        "5 sides"),
    "transposed convolution": (
        one("TRANSPOSE_CONV", [ints(1, 16, 16, 4), weights(4, 3, 3, 4), MAP], [T((1, 16, 16, 4))]),
        one("TRANSPOSE_CONV", [ints(1, 16, 16, 4), T((4, 3, 3, 4)), MAP], [T((1, 16, 16, 4))]),
        "in1 is computed"),
    "lstm": (lstm(), lstm(fed=T((4, 6))), "in1 is computed"),
    "expand": (one("EXPAND_DIMS", [VECTOR, ints(1)], [T((1, 1, 16))]),
               one("EXPAND_DIMS", [VECTOR, COMPUTED], [T((1, 1, 16))]), "in1 is computed"),
}  # fmt: skip
GENERAL = (*operators.GENERAL, *operators.GENERAL_LAST)
PLAIN = sorted(
    kind for kind, row in operators.OPERATORS.items() if not row.constraints and not row.settings
)


def found(model):
    (operation,) = read_network(model).operations
    return objection(operation)


@pytest.mark.parametrize("name", CASES)
def test_rule(name):
    good, bad, said = CASES[name]
    assert found(good) is None
    broken = found(bad)
    assert broken is not None
    assert said in broken.reason
    assert broken.source
    assert broken.status in (operators.LIMITATION, operators.DATA_TYPE, operators.RANK,
                             operators.NOT_CONSTANT)  # fmt: skip


@pytest.mark.parametrize("kind", PLAIN)
def test_operators_without_conditions(kind):
    count = 2 if kind in ("ADD", "MAXIMUM", "MINIMUM", "MUL", "SQUARED_DIFFERENCE", "SUB") else 1
    assert found(one(kind, [MAP] * count, [MAP])) is None
    assert found(one(kind, [T((1, 4), "INT32", scales=0)] * count, [T((1, 4))])) is not None


@pytest.mark.parametrize(
    "kind",
    ["ABS", "ARG_MAX", "BATCH_MATMUL", "DEPTH_TO_SPACE", "DIV", "GATHER", "HARD_SWISH",
     "LEAKY_RELU", "MIRROR_PAD", "PADV2", "POW", "UNPACK"],
)  # fmt: skip
def test_operators_that_are_not_in_the_table(kind):
    broken = found(one(kind, [MAP], [MAP]))
    assert broken.status == operators.NOT_SUPPORTED
    assert broken.reason == f"{kind} is no operator of the Edge TPU"


@pytest.mark.parametrize("kind", ["TFLite_Detection_PostProcess", "PosenetDecoderOp", "MyOwn"])
def test_custom_operators(kind):
    broken = found(one(kind, [MAP], [T((1, 4), "FLOAT32")]))
    assert (broken.status, "custom operator" in broken.reason) == (operators.DATA_TYPE, True)
    assert ("nothing to change" in broken.advice) is (kind in operators.POSTPROCESSING)


def test_the_table_is_complete_and_sourced():
    from effnet_lite.quantize.tflite.file import schema

    known = vars(schema().BuiltinOperator)
    for kind, row in operators.OPERATORS.items():
        assert kind in known
        assert row.source
        for constraint in row.constraints:
            assert constraint.text
            assert constraint.source
    for kind in operators.INSTEAD:
        assert kind in known
        assert kind not in operators.OPERATORS
    # Every condition of the module is part of a rule that a case breaks.
    broken = {
        constraint.holds
        for _, model, _ in CASES.values()
        for operation in read_network(model).operations
        for constraint in (*GENERAL, *operators.OPERATORS[operation.kind].constraints)
        if constraint.holds(operation) is not True
    }
    used = {
        constraint.holds
        for row in operators.OPERATORS.values()
        for constraint in (*GENERAL, *row.constraints)
    }
    assert used <= broken, {one.__name__ for one in used - broken}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (conv(version=6), "knows CONV_2D up to version 5"),
        (one("TRANSPOSE_CONV", [ints(1, 8, 8, 4), weights(4, 3, 3, 4), MAP], [MAP], version=4),
         "knows TRANSPOSE_CONV up to version 3"),
        (one("GELU", [MAP], [MAP]), "older than GELU"),
    ],
)  # fmt: skip
def test_what_compiler_16_is_too_old_for(tmp_path, model, said):
    path = tmp_path / "new.tflite"
    path.write_bytes(model)
    result = edgetpu_check(path)
    assert result.mapping.mapped == {}
    assert any(said in line for line in result.warnings)


def test_versions_that_it_knows(tmp_path):
    path = tmp_path / "known.tflite"
    path.write_bytes(conv(version=5))
    assert edgetpu_check(path).full


def test_doubts_are_told_and_not_judged(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(dense(filters=weights(10, 16, scales=10)))
    result = edgetpu_check(path)
    assert result.full
    assert "weights have one scale" in result.warnings[0]
    path.write_bytes(dense())
    assert edgetpu_check(path).warnings == ()
    path.write_bytes(reduced("MEAN", (1, 112, 112, 32), (1, 2), (1, 1, 1, 32)))
    result = edgetpu_check(path)
    assert result.full
    assert "AVERAGE_POOL_2D" in result.warnings[0]


def test_limits_lie_between_what_was_seen():
    assert 128 * 128 * 32 < conditions.HELD < 513 * 513 * 19
    assert 2 <= conditions.UPSCALE < 15
    assert 112 * 112 < conditions.MEAN_PLACES < 256 * 128
    assert conditions.TRANSPOSED < 3 * 224 * 224
