"""What the Edge TPU runs: one table of operators and their constraints, each with its source.

``OPERATORS`` is the table; an operator that is not in it stays on the CPU. ``GENERAL`` and
``GENERAL_LAST`` hold for every operator; one's own constraint of the same condition replaces
the general one. Where the documentation and what the compiler really did disagree, the compiler
wins, and the row says so.

Sources:
    docs          coral.ai/docs/edgetpu/models-intro, "Supported operations" (compiler 16)
    requirements  the same page, "Model requirements"
    #N            issue N of github.com/google-coral/edgetpu
    observed: X   what the compiler left outside its custom operator in Coral's model X

Where nobody has published a limit, ``conditions.py`` sets one between what was seen to be
mapped and what was not; its source says "assumed".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from effnet_lite.benchmark.edgetpu import conditions as c
from effnet_lite.benchmark.edgetpu.conditions import Verdict
from effnet_lite.benchmark.edgetpu.graph import Operation

DOCS = "coral.ai/docs/edgetpu/models-intro, supported operations"
REQUIREMENTS = "coral.ai/docs/edgetpu/models-intro, model requirements"

#: The compiler's own words for where an operator runs, as its log has them.
MAPPED = "Mapped to Edge TPU"
NOT_SUPPORTED = "Operation not supported"
VERSION = "Operation version not supported"
DATA_TYPE = "Operation is working on an unsupported data type"
RANK = "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"
NOT_CONSTANT = "Filter, bias, or other param is not constant at compile-time"
LIMITATION = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
SECOND_SEGMENT = "More than one subgraph is not supported"


def issue(number: int) -> str:
    """An issue thread of Coral's repository as a source."""
    return f"google-coral/edgetpu#{number}"


def observed(model: str) -> str:
    """A pair of a model and the compiler's output of it as a source."""
    return f"observed: compiler output of {model}"


@dataclasses.dataclass(frozen=True)
class Constraint:
    """What must hold of an operator.

    Attributes:
        text: What is required, in a few words.
        source: Where that is said or seen.
        holds: True, or what was found in place of it.
        status: The compiler's words.
        advice: What to change in the model; empty where there is nothing better to say.
    """

    text: str
    source: str
    holds: Callable[[Operation], Verdict]
    status: str = LIMITATION
    advice: str = ""


@dataclasses.dataclass(frozen=True)
class Operator:
    """A row of the table.

    Attributes:
        source: That it runs on the Edge TPU at all.
        constraints: In the order in which they are asked.
        settings: Inputs that are axes, shapes and the like: int32, and no parameters.
    """

    source: str
    constraints: tuple[Constraint, ...] = ()
    settings: tuple[int, ...] = ()


_WHOLLY = "stay in 8 bits from input to output: what is float or int32 is computed on the CPU"

#: Of every operator.
GENERAL = (
    Constraint("shapes are fixed", REQUIREMENTS, c.static, advice=(
        "fix every shape, batch 1 above all: a dynamic batch makes the compiler refuse the file")),
    Constraint("activations are quantized to 8 bits", REQUIREMENTS, c.eight_bit, DATA_TYPE),
)  # fmt: skip
#: Of every operator that keeps its own.
GENERAL_LAST = (
    Constraint("only the three innermost sides are longer than 1", REQUIREMENTS, c.three_sides,
               RANK, "use batch 1, and at most three sides longer than 1"),
)  # fmt: skip

_CONSTANT = Constraint(
    "weights, bias and settings are constants", f"{REQUIREMENTS}; {issue(25)}", c.constants,
    NOT_CONSTANT, "feed weights and settings as constants, not as inputs",
)  # fmt: skip
_NO_FUSED = Constraint(
    "no fused activation", DOCS, c.no_fused_activation,
    advice="put the activation behind the operator, not into it",
)  # fmt: skip
_DILATION = Constraint("the same dilation in x and y", DOCS, c.equal_dilation)
_NOT_BATCH = Constraint("not over the batch", DOCS, c.axes_without_batch)
_VECTOR = Constraint(
    "the output is a vector", f"{DOCS}; {issue(27)}", c.vector_output,
    advice="apply it to one vector at a time, or use a 1x1 CONV_2D",
)  # fmt: skip
_HELD = Constraint(
    f"at most {c.HELD >> 20} MiB in and out", f"{DOCS} (\"might not be mapped for large tensor "
    f"sizes\"); {issue(356)}; the limit is assumed, as for resizing", c.held,
    advice="make the model's input, or this tensor, smaller",
)  # fmt: skip
_RESIZE = (
    _CONSTANT,
    Constraint(
        f"not more than {c.UPSCALE} times as large", f"{DOCS} (\"might not be mapped to the Edge "
        f"TPU to avoid loss in precision\"); x33 is not, "
        f"{observed('deeplabv3_mnv2_dm05_pascal_quant')}", c.moderate_upscale,
        advice="resize in smaller steps or behind the model; a map of 1x1 can be repeated (TILE)",
    ),
    Constraint(
        f"at most {c.HELD >> 20} MiB in and out", f"{DOCS}; {issue(31)}: 128x128x32 maps, "
        f"512x512x32 does not; not 513x513x19 "
        f"{observed('deeplab_mobilenet_edgetpu_slim_cityscapes_quant')}", c.held,
        advice="resize behind the model, or make the input smaller",
    ),
)  # fmt: skip
_POOL = (_NO_FUSED,)
_CONVOLUTION = (
    _CONSTANT, _DILATION,
    Constraint("filters see every channel", f"{issue(631)}: the compiler knows CONV_2D up to "
               "version 5, and grouped ones are version 6", c.not_grouped,
               advice="replace the grouped convolution by plain or depthwise ones"),
)  # fmt: skip
_MEAN = (
    _CONSTANT, _NOT_BATCH,
    Constraint("over channels: a multiple of 4 of them", DOCS, c.channels_by_four),
    Constraint(
        f"over at most {c.MEAN_PLACES} places", f"{issue(461)}: 64x128 maps, 256x128 does not; "
        f"{issue(183)}: 256x256 crashes the compiler", c.few_places,
        advice="use AVERAGE_POOL_2D in place of MEAN (GlobalAveragePooling2D), in two steps where "
        "the map is large",
    ),
)  # fmt: skip
_FULLY_CONNECTED = (
    _CONSTANT,
    Constraint("weights in the default format", DOCS, c.default_weights_format),
    _VECTOR,
)  # fmt: skip
_SOFTMAX = (
    _VECTOR,
    Constraint(f"at most {c.SOFTMAX:,} values", DOCS, c.few_classes,
               advice="leave the softmax out of the model (convert --head logits)"),
)  # fmt: skip
_CONCATENATION = (
    _NO_FUSED,
    Constraint("a constant input is all zeros, with one other input", DOCS, c.zero_constants,
               advice="compute the concatenated constant in the next layer's bias instead"),
)  # fmt: skip
_STRIDED_SLICE = (
    _CONSTANT,
    Constraint("strides of 1, no ellipsis, no new axis", f"{DOCS}; {issue(828)}", c.plain_slice,
               advice="slice without steps: a stride 2 can be a convolution or a pooling of 1"),
)  # fmt: skip
_QUANTIZE = (
    Constraint("from 8 bits to 8 bits", "mapped in uint8 models, left where the input is float "
               f"{observed('movenet_single_pose_lightning_ptq')}", c.eight_bit, LIMITATION,
               _WHOLLY),
)  # fmt: skip
_TRANSPOSE = (
    _CONSTANT,
    Constraint("the batch stays first", f"{issue(193)} (since compiler 16); {issue(274)}",
               c.batch_stays),
    Constraint(f"at most {c.TRANSPOSED:,} values", f"{issue(433)}: not mapped at a model's input; "
               "others are in logs of YOLO models; the limit is assumed", c.small_transpose,
               advice="convert the model to NHWC, which needs no TRANSPOSE at its input"),
)  # fmt: skip

# Rows of the documentation's table that no copy at hand has: the weakest of all.
_UNSEEN = f"{DOCS}, from memory"
_ELEMENTWISE = Operator(DOCS)
_ACTIVATION = Operator(DOCS)

#: Every operator that the Edge TPU runs.
OPERATORS: dict[str, Operator] = {
    "ADD": _ELEMENTWISE,
    "AVERAGE_POOL_2D": Operator(DOCS, _POOL),
    "CONCATENATION": Operator(DOCS, _CONCATENATION),
    "CONV_2D": Operator(DOCS, _CONVOLUTION),
    "DEPTHWISE_CONV_2D": Operator(DOCS, (_CONSTANT, _DILATION)),
    "EXPAND_DIMS": Operator(DOCS, (_CONSTANT,), settings=(1,)),
    "FULLY_CONNECTED": Operator(DOCS, _FULLY_CONNECTED),
    "L2_NORMALIZATION": Operator(DOCS),
    "LOGISTIC": _ACTIVATION,
    "MAXIMUM": _ELEMENTWISE,
    "MAX_POOL_2D": Operator(DOCS, _POOL),
    "MEAN": Operator(DOCS, _MEAN, settings=(1,)),
    "MINIMUM": _ELEMENTWISE,
    "MUL": _ELEMENTWISE,
    "PACK": Operator(DOCS, (_NOT_BATCH,)),
    "PAD": Operator(DOCS, (_CONSTANT, Constraint("not of the batch", DOCS, c.batch_unpadded)),
                    settings=(1,)),
    "PRELU": Operator(DOCS, (_CONSTANT, Constraint(
        "one slope a channel", DOCS, c.slope_by_channel,
        advice="share PReLU's slopes over the picture (shared_axes=[1, 2])"))),
    "QUANTIZE": Operator(DOCS, _QUANTIZE),
    "REDUCE_MAX": Operator(DOCS, (_CONSTANT, _NOT_BATCH), settings=(1,)),
    "REDUCE_MIN": Operator(DOCS, (_CONSTANT, _NOT_BATCH), settings=(1,)),
    "RELU": _ACTIVATION,
    "RELU6": _ACTIVATION,
    "RELU_N1_TO_1": _ACTIVATION,
    "RESHAPE": Operator(DOCS, (_CONSTANT, _HELD), settings=(1,)),
    "RESIZE_BILINEAR": Operator(DOCS, _RESIZE, settings=(1,)),
    "RESIZE_NEAREST_NEIGHBOR": Operator(DOCS, _RESIZE, settings=(1,)),
    "RSQRT": Operator(_UNSEEN),
    "SLICE": Operator(DOCS, (_CONSTANT,), settings=(1, 2)),
    "SOFTMAX": Operator(DOCS, _SOFTMAX),
    "SPACE_TO_DEPTH": Operator(DOCS),
    "SPLIT": Operator(DOCS, (_CONSTANT, _NOT_BATCH), settings=(0,)),
    "SQUARED_DIFFERENCE": Operator(_UNSEEN),
    "SQUEEZE": Operator(DOCS, (Constraint(
        "leading sides of 1 only", DOCS, c.leading_squeeze,
        advice="squeeze only sides that stand before all longer ones"),)),
    "STRIDED_SLICE": Operator(DOCS, _STRIDED_SLICE, settings=(1, 2, 3)),
    "SUB": _ELEMENTWISE,
    "SUM": Operator(_UNSEEN, (_CONSTANT, _NOT_BATCH), settings=(1,)),
    "TANH": _ACTIVATION,
    # Not in the documentation's table, but the compiler takes it.
    "TILE": Operator(observed("deeplab_mobilenet_edgetpu_slim_cityscapes_quant"),
                     (_CONSTANT, Constraint("not of the batch", "as for PAD and PACK",
                                            c.batch_untiled), _HELD), settings=(1,)),
    "TRANSPOSE": Operator(f"{DOCS}; {issue(193)}", _TRANSPOSE, settings=(1,)),
    "TRANSPOSE_CONV": Operator(DOCS, (_CONSTANT,), settings=(0,)),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": Operator(
        f"{DOCS} (as LSTM); {observed('keras_lstm_mnist_ptq')}", (_CONSTANT,)),
}  # fmt: skip

#: Operator → what nobody has seen the compiler do, one way or the other: told, not judged.
DOUBTS: dict[str, tuple[Constraint, ...]] = {
    "FULLY_CONNECTED": (Constraint(
        "weights have one scale",
        "tensorflow/tflite-micro#2602: one a channel is of 2024, compiler 16 of 2021",
        c.one_weight_scale,
        advice="convert --recipe default+dense gives them one"),),
    "MEAN": (Constraint(
        "it goes over few places", f"{issue(461)}: 64x128 maps, 256x128 does not; arXiv 2306.12093 "
        "finds EfficientNets fast on Coral", c.surely_few_places,
        advice="AVERAGE_POOL_2D is the safer operator"),),
}  # fmt: skip

#: What to do about operators that are not in the table.
INSTEAD = {
    "ARG_MAX": "leave ARG_MAX out of the model and take the largest value behind it",
    "ARG_MIN": "leave ARG_MIN out of the model and take the smallest value behind it",
    "CAST": _WHOLLY,
    "DEQUANTIZE": _WHOLLY,
    "DIV": "multiply by the reciprocal constant (MUL)",
    "ELU": "replace ELU by RELU, RELU6 or PRELU and fine-tune",
    "GELU": "replace GELU by RELU, or by LOGISTIC and MUL, and fine-tune",
    "HARD_SWISH": "replace HARD_SWISH by RELU6 (as the Lite variants do), or by LOGISTIC and MUL",
    "LEAKY_RELU": "replace LEAKY_RELU by RELU, PRELU, or MAXIMUM of x and a multiple of it",
    "MIRROR_PAD": "pad with zeros (PAD)",
    "SPLIT_V": "split into equal parts (SPLIT), or take SLICEs",
}

#: Operators that belong behind a model: the CPU is the place for them.
POSTPROCESSING = ("TFLite_Detection_PostProcess", "PosenetDecoderOp")

#: Newer than the TensorFlow 2.5 that compiler 16 is built on: it refuses the whole file.
#: Operator → the last version that it knows, and where that was seen.
LAST_VERSIONS = {
    "CONV_2D": (5, issue(631)),
    "TRANSPOSE_CONV": (3, issue(845)),
}
#: The first builtin code that it was seen to refuse ("Op builtin_code out of range"): GELU.
FIRST_UNKNOWN_CODE = (150, issue(818))

#: Bytes of one activation. Convolutions of 3.2 MB (257x257x48) are mapped, observed: compiler
#: output of deeplabv3_mnv2_dm05_pascal_quant; where "large activation tensors" begin is assumed.
LARGEST_ACTIVATION = 8 * 2**20
