"""The conditions of ``operators.py``: what is asked of one operator.

A condition answers True where it holds, and otherwise what it found, to be told to the user.
Limits that nobody has published lie between what was seen to be mapped and what was not; the
names say which.
"""

from __future__ import annotations

import math

from effnet_lite.benchmark.edgetpu.graph import Operation, TensorView

#: True, or what was found in place of it.
Verdict = bool | str

#: Bytes that an operator holds as a whole: a resize is mapped to 0.5 MB, not from 5 MB on.
HELD = 2 * 2**20
#: Side lengths of an output to those of its input: mapped up to 2, not mapped from 15 on.
UPSCALE = 8
#: Places that MEAN goes over: mapped at 64 x 128, not mapped at 256 x 128 = 2^15.
MEAN_PLACES = 2**15 - 1
_SURE_MEAN_PLACES = 64 * 128
#: Values of a TRANSPOSE: those of a picture of 224 x 224 are not mapped, it seems.
TRANSPOSED = 100_000
#: Values of a SOFTMAX, as documented.
SOFTMAX = 16_000

# Inputs of an LSTM that the file leaves open, but that are state and not input.
_STATES = {"UNIDIRECTIONAL_SEQUENCE_LSTM": (18, 19)}
_NONE = 0  # ActivationFunctionType
_ACTIVATION_NAMES = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
# Where the one computed input is, if it is not the first.
_SOURCE = {"SPLIT": 1, "TRANSPOSE_CONV": 2}


def static(operation: Operation) -> Verdict:
    """No side of any length."""
    for tensor in (*filter(None, operation.inputs), *operation.outputs):
        if tensor.dynamic:
            return f"{tensor.name} has a side of any length"
    return True


def eight_bit(operation: Operation) -> Verdict:
    """What is computed, and what is computed from, is int8 or uint8 with a scale.

    Axes and shapes that are no constants are left to :func:`constants`.
    """
    source = operation.input(_SOURCE.get(operation.kind, 0))
    states = [operation.input(number) for number in _STATES.get(operation.kind, ())]
    for tensor in (*operation.activations, *operation.outputs):
        setting = tensor.dtype == "INT32" and tensor is not source
        if setting and tensor in operation.activations:
            continue
        if not tensor.eight_bit and tensor not in states:
            plain = " without a scale" if tensor.dtype in ("INT8", "UINT8") else ""
            return f"{tensor.name} is {tensor.dtype.lower()}{plain}"
    return True


def three_sides(operation: Operation) -> Verdict:
    """Sides before the three innermost are 1."""
    for tensor in (*operation.activations, *operation.outputs):
        if any(side != 1 for side in tensor.shape[:-3]):
            return f"{tensor.name} is {_shape(tensor)}"
    return True


def constants(operation: Operation) -> Verdict:
    """All inputs but the one that is computed; LSTM states aside."""
    source = operation.input(_SOURCE.get(operation.kind, 0))
    states = [operation.input(number) for number in _STATES.get(operation.kind, ())]
    for tensor in operation.inputs:
        if tensor and not tensor.constant and tensor is not source and tensor not in states:
            return f"{tensor.name} is computed"
    return True


def no_fused_activation(operation: Operation) -> Verdict:
    """NONE in the options."""
    found = operation.option("fusedActivationFunction")
    if found == _NONE:
        return True
    name = _ACTIVATION_NAMES[found] if found < len(_ACTIVATION_NAMES) else str(found)
    return f"{name}"


def equal_dilation(operation: Operation) -> Verdict:
    """As the options have it."""
    x, y = operation.option("dilationWFactor", 1), operation.option("dilationHFactor", 1)
    return True if x == y else f"{x} in x and {y} in y"


def not_grouped(operation: Operation) -> Verdict:
    """A filter is as deep as the input."""
    source, weights = operation.input(0), operation.input(1)
    if not source or not weights or not source.shape or not weights.shape:
        return True
    if source.shape[-1] == weights.shape[-1]:
        return True
    return f"{source.shape[-1]} channels and filters of {weights.shape[-1]}"


def axes_without_batch(operation: Operation) -> Verdict:
    """The axes of a reduction, a PACK or a SPLIT are not the first of a batched tensor."""
    if operation.kind == "PACK":
        rank = len(operation.shape)
        axes = [operation.option("axis")]
    else:
        source = operation.input(_SOURCE.get(operation.kind, 0))
        rank = len(source.shape) if source else 0
        settings = operation.input(0 if operation.kind == "SPLIT" else 1)
        axes = settings.integers() if settings else []
    if any(axis % rank == 0 for axis in axes if rank > 1):
        return "axis 0"
    return True


def channels_by_four(operation: Operation) -> Verdict:
    """Where the last axis is reduced."""
    source = operation.input(0)
    if source is None or not source.shape or len(source.shape) - 1 not in _axes(operation):
        return True
    return True if source.shape[-1] % 4 == 0 else f"{source.shape[-1]}"


def few_places(operation: Operation) -> Verdict:
    """Reduced places a channel."""
    source = operation.input(0)
    if source is None:
        return True
    places = math.prod(source.shape[axis] for axis in _axes(operation) if axis < len(source.shape))
    return True if places <= MEAN_PLACES else f"{_shape(source)}, {places:,} places"


def surely_few_places(operation: Operation) -> Verdict:
    """No more than were seen to be mapped."""
    source = operation.input(0)
    if source is None:
        return True
    places = math.prod(source.shape[axis] for axis in _axes(operation) if axis < len(source.shape))
    return True if places <= _SURE_MEAN_PLACES else f"{_shape(source)}"


def one_weight_scale(operation: Operation) -> Verdict:
    """Not one for each output."""
    weights = operation.input(1)
    return True if weights is None or weights.scales <= 1 else f"{weights.scales}"


def default_weights_format(operation: Operation) -> Verdict:
    """Not shuffled."""
    return operation.option("weightsFormat") == 0 or "shuffled weights"


def vector_output(operation: Operation) -> Verdict:
    """All sides but the last are 1."""
    for tensor in operation.outputs:
        if any(side != 1 for side in tensor.shape[:-1]):
            return f"{tensor.name} is {_shape(tensor)}"
    return True


def few_classes(operation: Operation) -> Verdict:
    """As documented."""
    count = operation.outputs[0].elements if operation.outputs else 0
    return True if count <= SOFTMAX else f"{count:,}"


def zero_constants(operation: Operation) -> Verdict:
    """Constant inputs stand for zeros, and there is but one other input."""
    for tensor in operation.constants:
        if len(operation.inputs) != 2:
            return f"the constant {tensor.name} among {len(operation.inputs)} inputs"
        if tensor.data is None or (tensor.data != tensor.zero_point % 256).any():
            return f"values other than zero in {tensor.name}"
    return True


def plain_slice(operation: Operation) -> Verdict:
    """Strides and masks of a STRIDED_SLICE."""
    strides = operation.input(3)
    steps = strides.integers() if strides else []
    if any(step != 1 for step in steps):
        return f"strides {'x'.join(map(str, steps))}"
    for mask in ("ellipsisMask", "newAxisMask"):
        if operation.option(mask):
            return f"{mask}"
    return True


def batch_unpadded(operation: Operation) -> Verdict:
    """The first two of the paddings, which are those of the first side."""
    paddings, source = operation.input(1), operation.input(0)
    before = paddings.integers()[:2] if paddings else []
    if source and len(source.shape) > 1 and any(before):
        return f"{before[0]} before and {before[-1]} behind it"
    return True


def batch_untiled(operation: Operation) -> Verdict:
    """The first of the multiples."""
    multiples, source = operation.input(1), operation.input(0)
    times = multiples.integers()[:1] if multiples else []
    if source and len(source.shape) > 1 and times not in ([], [1]):
        return f"{times[0]} times"
    return True


def batch_stays(operation: Operation) -> Verdict:
    """The first axis of a TRANSPOSE is the first."""
    permutation = operation.input(1)
    order = permutation.integers() if permutation else []
    if len(order) > 4:
        return f"{len(order)} sides"
    return True if order[:1] in ([], [0]) else f"the order {order}"


def small_transpose(operation: Operation) -> Verdict:
    """Unless no value moves."""
    source, permutation = operation.input(0), operation.input(1)
    if source is None or permutation is None or source.elements <= TRANSPOSED:
        return True
    order = [axis for axis in permutation.integers() if 0 <= axis < len(source.shape)]
    longer = [axis for axis in order if source.shape[axis] != 1]
    return True if longer == sorted(longer) else f"{_shape(source)}"


def slope_by_channel(operation: Operation) -> Verdict:
    """All sides of alpha but the last are 1."""
    alpha = operation.input(1)
    if alpha is None or all(side == 1 for side in alpha.shape[:-1]):
        return True
    return f"slopes of {_shape(alpha)}"


def leading_squeeze(operation: Operation) -> Verdict:
    """Only sides before the first longer one are taken away."""
    source = operation.input(0)
    if source is None:
        return True
    kept = list(operation.shape)
    shape = list(source.shape)
    return shape[len(shape) - len(kept) :] == kept or f"{_shape(source)} to {kept}"


def moderate_upscale(operation: Operation) -> Verdict:
    """Of height and width."""
    source = operation.input(0)
    if source is None or len(source.shape) != 4 or len(operation.shape) != 4:
        return True
    for before, after in zip(source.shape[1:3], operation.shape[1:3], strict=True):
        if after > UPSCALE * before:
            return f"{_shape(source)} to {_shape(operation.outputs[0])}"
    return True


def held(operation: Operation) -> Verdict:
    """Bytes of input and output, each; a RESHAPE that only adds or drops sides of 1 moves none."""
    tensors = [*operation.activations, *operation.outputs]
    if operation.kind == "RESHAPE":
        cores = {tuple(side for side in tensor.shape if side != 1) for tensor in tensors}
        if len(cores) == 1:
            return True
    for tensor in tensors:
        if tensor.elements > HELD:
            return f"{tensor.name} is {_shape(tensor)}, {tensor.elements / 2**20:.1f} MiB"
    return True


def _axes(operation: Operation) -> set[int]:
    source, axes = operation.input(0), operation.input(1)
    rank = len(source.shape) if source else 0
    return {axis % rank for axis in (axes.integers() if axes else []) if rank}


def _shape(tensor: TensorView) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
