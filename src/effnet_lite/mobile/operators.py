"""Which operators the runtime of the Android library knows, and up to which version.

A runtime refuses a whole model for one operator that is newer than itself, and the phone's is
older than the one that converts. The versions are those that the interpreter of TensorFlow 2.16.1
takes, asked with a model of one operator for each of versions 1 to 19; the AAR's has the same
table (tensorflow/lite/core/kernels/register.cc).
"""

from __future__ import annotations

from typing import Any

from effnet_lite.quantize.tflite.file import schema

#: What android_demo/effnetlite brings: name and version on Maven Central.
RUNTIME = ("tensorflow-lite", "2.16.1")

#: newest version → the operators that it is the newest of
_NEWEST = {
    1: "FLOOR HASHTABLE_LOOKUP L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LSH_PROJECTION "
    "RELU_N1_TO_1 RESHAPE SKIP_GRAM EMBEDDING_LOOKUP_SPARSE PRELU NEG SIN EXPAND_DIMS SQRT "
    "SHAPE POW LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT REDUCE_ANY SQUARE ZEROS_LIKE UNIQUE "
    "CEIL ADD_N COS RANK ELU REVERSE_SEQUENCE MATRIX_DIAG MATRIX_SET_DIAG ROUND HARD_SWISH IF "
    "WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND DENSIFY SEGMENT_SUM "
    "CUMSUM CALL_ONCE RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND "
    "HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE "
    "ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM "
    "MULTINOMIAL DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX "
    "UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN BITCAST BITWISE_XOR RIGHT_SHIFT "
    "STABLEHLO_ADD STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_MINIMUM STABLEHLO_SCATTER "
    "STABLEHLO_PAD STABLEHLO_REDUCE_WINDOW STABLEHLO_GATHER DILATE "
    "STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW",
    2: "DEPTH_TO_SPACE L2_NORMALIZATION SPACE_TO_DEPTH DIV SQUEEZE EXP LOG_SOFTMAX GREATER "
    "LESS_EQUAL LOG SUM FAKE_QUANT REDUCE_PROD FLOOR_MOD RANGE LEAKY_RELU SQUARED_DIFFERENCE "
    "SPLIT_V WHERE SELECT_V2 GELU SIGN",
    3: "AVERAGE_POOL_2D EMBEDDING_LOOKUP LOGISTIC MAX_POOL_2D RELU RELU6 RNN SOFTMAX TANH "
    "UNIDIRECTIONAL_SEQUENCE_RNN MEAN BIDIRECTIONAL_SEQUENCE_RNN TOPK_V2 "
    "BIDIRECTIONAL_SEQUENCE_LSTM ARG_MAX LESS GREATER_EQUAL SPARSE_TO_DENSE TILE NOT_EQUAL "
    "RSQRT ARG_MIN REDUCE_MAX REDUCE_MIN FLOOR_DIV MIRROR_PAD REVERSE_V2 QUANTIZE "
    "BROADCAST_TO",
    4: "CONCATENATION LSTM RESIZE_BILINEAR SVDF PAD BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND "
    "UNIDIRECTIONAL_SEQUENCE_LSTM SPLIT MAXIMUM MINIMUM PADV2 SELECT EQUAL PACK UNPACK FILL "
    "RESIZE_NEAREST_NEIGHBOR BATCH_MATMUL",
    5: "ADD DEQUANTIZE SUB TRANSPOSE_CONV ABS GATHER_ND",
    6: "TRANSPOSE CAST SLICE",
    7: "DEPTHWISE_CONV_2D MUL GATHER",
    8: "CONV_2D STRIDED_SLICE",
    11: "FULLY_CONNECTED",
}  # fmt: skip

NEWEST = {kind: version for version, kinds in _NEWEST.items() for kind in kinds.split()}


def custom_operators(tree: Any) -> list[str]:
    """The custom operators of an unpacked model, each once."""
    custom = schema().BuiltinOperator.CUSTOM
    return [_text(code.customCode) for code, builtin in _codes(tree) if builtin == custom]


def unknown_operators(tree: Any) -> list[str]:
    """Builtin operators that the runtime does not know, as ``FULLY_CONNECTED version 12``."""
    s = schema()
    names = {code: name for name, code in vars(s.BuiltinOperator).items() if name[0] != "_"}
    unknown = []
    for code, builtin in _codes(tree):
        kind = names.get(builtin, f"number {builtin}")
        if builtin != s.BuiltinOperator.CUSTOM and code.version > NEWEST.get(kind, 0):
            unknown.append(f"{kind} version {code.version}" if kind in NEWEST else kind)
    return unknown


def _codes(tree: Any) -> list[tuple[Any, int]]:
    codes = tree.operatorCodes or []
    return [(code, max(code.builtinCode, code.deprecatedBuiltinCode)) for code in codes]


def _text(name: bytes | str | None) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or "without a name"
