"""Which operator of the file has the time of which operator of XNNPACK."""

from __future__ import annotations

import pytest

from effnet_lite.benchmark.profiling.litert_profiler import Event
from effnet_lite.benchmark.profiling.xnnpack_ops import Node, assign
from effnet_lite.errors import InputError

GEMM, DEPTHWISE = "Fully Connected (NC, QS8, QC8W) GEMM", "Convolution (NHWC, QC8) DWConv"


def chain(*kinds):
    """Each reads what the one before wrote; tensor 0 is the input."""
    return [Node(kind, (number,), (number + 1,)) for number, kind in enumerate(kinds)]


def xnnpack(*names):
    return [Event(name, number, True, 1) for number, name in enumerate(names)]


def operator(number, name="?"):
    return Event(name, number, False, 1)


def events_of(owners):
    return [owner.events for owner in owners]


def test_one_to_one():
    owners = assign(
        chain("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "HARD_SWISH"),
        xnnpack(GEMM, DEPTHWISE, "Max Pooling (NHWC, S8)", "HardSwish (NC, F32)"),
    )
    assert events_of(owners) == [[0], [1], [2], [3]]


def test_built_in_kernels_name_their_operator():
    assert events_of(assign(chain("CONV_2D", "ADD"), [operator(0), operator(1)])) == [[0], [1]]
    # The node of a delegate that does not tell its operators comes behind the file's.
    with pytest.raises(InputError, match="--delegate none"):
        assign(chain("CONV_2D", "ADD"), [operator(2, "TfLiteXNNPackDelegate")])


def test_between_parts_others_run():
    owners = assign(
        chain("QUANTIZE", "CONV_2D", "AVERAGE_POOL_2D", "FULLY_CONNECTED", "SOFTMAX"),
        [operator(0), *xnnpack(GEMM), operator(2), *xnnpack("Static Reshape (NC)", GEMM),
         operator(4)],
    )  # fmt: skip
    assert events_of(owners) == [[0], [1], [2], [3, 4], [5]]


def test_two_parts_beside_each_other():
    """TFLite runs what is ready first, so that the second branch's start is in the first part."""
    nodes = [
        Node("CONV_2D", (0,), (1,)),
        Node("CUSTOM", (1,), (2,)),
        Node("CONV_2D", (2,), (3,)),
        Node("DEPTHWISE_CONV_2D", (0,), (4,)),
        Node("ADD", (3, 4), (5,)),
    ]
    events = [*xnnpack(GEMM, DEPTHWISE), operator(1), *xnnpack(GEMM, "Add (ND)")]
    assert events_of(assign(nodes, events)) == [[0], [2], [3], [1], [4]]


SWISH = [
    Node("CONV_2D", (0,), (1,)),
    Node("LOGISTIC", (1,), (2,)),
    Node("MUL", (1, 2), (3,)),
    Node("LOGISTIC", (3,), (4,)),
    Node("CONV_2D", (3,), (5,)),
    Node("MUL", (4, 5), (6,)),
]


def test_swish_may_be_one_operator():
    owners = assign(SWISH, xnnpack(GEMM, "Invalid Unary Op", "Sigmoid (NC)", GEMM, "Multiply (ND)"))
    assert events_of(owners) == [[0], [], [1], [2], [3], [4]]
    assert [owner.timed_in for owner in owners] == [None, 2, None, None, None, None]


def test_swish_may_be_two():
    names = (GEMM, "Sigmoid (NC)", "Multiply (ND)", "Sigmoid (NC)", GEMM, "Multiply (ND)")
    owners = assign(SWISH, xnnpack(*names))
    assert events_of(owners) == [[0], [1], [2], [3], [4], [5]]


def test_constants_are_computed_when_loading():
    nodes = [Node("DEQUANTIZE", (), (9,)), Node("CONV_2D", (0, 9), (1,))]
    owners = assign(nodes, xnnpack(GEMM))
    assert events_of(owners) == [[], [0]]
    assert owners[0].timed_in is None


def test_padding_and_clamps_are_fused():
    owners = assign(chain("PAD", "CONV_2D", "RELU6", "ADD"), xnnpack(GEMM, "Add (ND)"))
    assert events_of(owners) == [[], [0], [], [1]]
    assert [owner.timed_in for owner in owners] == [1, None, 1, None]


@pytest.mark.parametrize(
    "events",
    [
        xnnpack(GEMM),
        xnnpack(GEMM, "Sigmoid (NC)"),
        xnnpack(GEMM, GEMM, "Add (ND)"),
        xnnpack(GEMM) + xnnpack("Add (ND)"),
        [],
    ],
)
def test_what_does_not_line_up(events):
    with pytest.raises(InputError, match="cannot be told apart"):
        assign(chain("CONV_2D", "ADD"), events)
