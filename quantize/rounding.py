"""Stage ``round``: weights rounded so that their errors cancel in the layer's output.

Rounding each weight to the nearest integer minimises the error of the weights; what counts
is that of the output, ``‖(W - Ŵ)·X‖²`` over the inputs X that really occur. GPTQ rounds one
input column after the other and moves what it lost into the columns not yet rounded:

    δ = (w_q - ŵ_q) / [U]_qq,   W_{:,j} ← W_{:,j} - δ·[U]_qj  for j > q

with U the upper Cholesky factor of H⁻¹ and H = X·Xᵀ + λI. Frantar et al., "GPTQ" (arXiv
2210.17323), equations 2 and 3 and algorithm 1. Columns are taken in the order of falling
H_qq, so that the ones that matter most are rounded while all others can still compensate.
Depthwise layers have one small H a channel, of the kernel's taps.

Where the integers fall is chance, and each channel has a scale of its own: of several scales,
a little wider each than the weights need, every channel keeps the one whose integers leave the
least error. On Lite1 (measured, 21 scales from 0.9 to 1.1) that takes 0.5 to 3 dB off the error
of depthwise layers and 0.1 to 1.6 dB off that of the others, most where a sum has few inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import ConversionError
from effnet_lite.quantize.graph import CHANNEL_AXIS, WEIGHTED, Array, Op, Quantization
from effnet_lite.quantize.quantizer import quantize_bias
from effnet_lite.quantize.sequential import Walk

# λ as a share of H's mean diagonal; more where H has few samples for its size, so that
# rounding does not follow the chance of a handful of images.
DAMPING = 0.01
ENOUGH_SAMPLES = 4  # for each column
# Input positions that go into H, over all images: many times the size of the matrix, except
# for the deepest layers, where there are no more.
POSITIONS = 20_000
DEPTHWISE_POSITIONS = 5_000
# Scales that each channel tries, in units of the one that its largest weight just fits.
SCALES = tuple(np.linspace(1, 1.1, 11).tolist())
Matrix = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int8]


def round_weights(walk: Walk, op: Op, weights: Array, seed: int = 0) -> None:
    """Round one operator's weights for the inputs that the quantized network feeds it.

    Its integers and scales are changed, and the bias, which keeps its value, with them.

    Args:
        walk: Standing before ``op``.
        op: One of the operators with weights, and not kept in float (mixed.py); others are
            left alone.
        weights: The float weights, in the operator's layout.
        seed: Of the choice of positions.
    """
    if op.kind not in WEIGHTED or walk.graph.tensors[op.output].dtype == "float32":
        return
    tensor, bias = (walk.graph.tensors[index] for index in op.inputs[1:3])
    scales, reals = tensor.scales, bias.reals
    wide = weights.astype(np.float64)
    if op.kind == "DEPTHWISE_CONV_2D":
        taps = weights.shape[1] * weights.shape[2]
        hessians = _tap_hessians(_inputs(walk, op, DEPTHWISE_POSITIONS, seed))
        rounded, scales = round_taps(wide.reshape(taps, -1).T, scales, hessians, SCALES)
        tensor.data = np.ascontiguousarray(rounded.T).reshape(weights.shape)
    else:
        hessian, samples = _column_hessian(_inputs(walk, op, POSITIONS, seed))
        damping = DAMPING * max(1.0, ENOUGH_SAMPLES * len(hessian) / samples)
        matrix = wide.reshape(len(wide), -1)
        # Rows that share a scale cannot each try others.
        tries = SCALES if len(scales) == len(matrix) else (1.0,)
        every = np.broadcast_to(scales, len(matrix))
        rounded, found = round_columns(matrix, every, hessian, tries, damping)
        scales = found[: len(scales)]
        tensor.data = rounded.reshape(weights.shape)
    tensor.quantization = Quantization.per_channel(scales, CHANNEL_AXIS[op.kind])
    quantize_bias(walk.graph, op, reals, tensor.quantization.scale)


def round_columns(
    weights: Matrix,
    scales: Matrix,
    hessian: Matrix,
    tries: tuple[float, ...] = (1.0,),
    damping: float = DAMPING,
) -> tuple[Integers, Matrix]:
    """Round a layer's matrix.

    Args:
        weights: Reals, (outputs, inputs).
        scales: One a row, (outputs,).
        hessian: Σ x·xᵀ over the layer's inputs, (inputs, inputs).
        tries: Factors of ``scales``; each row takes the best.
        damping: λ as a share of the mean diagonal of ``hessian``.

    Returns:
        Integers in -127…127, (outputs, inputs), and their scales, (outputs,).
    """
    order = np.argsort(-np.diag(hessian), kind="stable")
    factor = _inverse_factor(hessian[np.ix_(order, order)][np.newaxis], damping)[0]
    sorted_ = weights[:, order]

    def attempt(scales: Matrix) -> tuple[Integers, Matrix]:
        work = sorted_ / scales[:, np.newaxis]
        rounded = np.empty_like(work)
        errors = np.zeros(len(work))
        columns = work.shape[1]
        block = 64
        for start in range(0, columns, block):
            stop = min(start + block, columns)
            losses = np.empty((len(work), stop - start))
            for column in range(start, stop):
                rounded[:, column] = np.clip(np.rint(work[:, column]), -127, 127)
                loss = (work[:, column] - rounded[:, column]) / factor[column, column]
                losses[:, column - start] = loss
                rest = slice(column + 1, stop)
                work[:, rest] -= np.outer(loss, factor[column, rest])
            work[:, stop:] -= losses @ factor[start:stop, stop:]
            errors += np.einsum("rc,rc->r", losses, losses)
        result = np.empty(work.shape, np.int8)
        result[:, order] = rounded.astype(np.int8)
        return result, errors

    return _best(attempt, scales, tries)


def round_taps(
    weights: Matrix, scales: Matrix, hessians: Matrix, tries: tuple[float, ...] = (1.0,)
) -> tuple[Integers, Matrix]:
    """Round a depthwise layer's kernels, all channels at once.

    Args:
        weights: Reals, (channels, taps).
        scales: One a channel, (channels,).
        hessians: One a channel, (channels, taps, taps).
        tries: Factors of ``scales``; each channel takes the best.

    Returns:
        Integers in -127…127, (channels, taps), and their scales, (channels,).
    """
    order = np.argsort(-np.einsum("cii->ci", hessians), axis=1, kind="stable")
    rows = np.arange(len(order))[:, np.newaxis]
    sorted_ = hessians[rows[..., np.newaxis], order[:, :, np.newaxis], order[:, np.newaxis, :]]
    factor = _inverse_factor(sorted_)

    def attempt(scales: Matrix) -> tuple[Integers, Matrix]:
        work = (weights / scales[:, np.newaxis])[rows, order]
        rounded = np.empty_like(work)
        errors = np.zeros(len(work))
        for tap in range(work.shape[1]):
            rounded[:, tap] = np.clip(np.rint(work[:, tap]), -127, 127)
            loss = (work[:, tap] - rounded[:, tap]) / factor[:, tap, tap]
            work[:, tap + 1 :] -= loss[:, np.newaxis] * factor[:, tap, tap + 1 :]
            errors += loss**2
        result = np.empty(weights.shape, np.int8)
        result[rows, order] = rounded.astype(np.int8)
        return result, errors

    return _best(attempt, scales, tries)


def _best(
    attempt: Callable[[Matrix], tuple[Integers, Matrix]],
    scales: Matrix,
    tries: tuple[float, ...],
) -> tuple[Integers, Matrix]:
    """Of each channel the integers of least error, and their scales.

    Args:
        attempt: Scales (channels,) → integers (channels, weights) and the errors of the
            outputs (channels,), which algorithm 1 gives as ``Σ δ²``, in steps.
        scales, tries: As in :func:`round_columns`.
    """
    found, least = attempt(scales * tries[0])
    least = least * tries[0] ** 2
    chosen = np.full(len(scales), tries[0])
    for factor in tries[1:]:
        integers, errors = attempt(scales * factor)
        better = errors * factor**2 < least
        found[better], chosen[better] = integers[better], factor
        least = np.where(better, errors * factor**2, least)
    # The steps that the file will hold.
    return found, (scales * chosen).astype(np.float32).astype(np.float64)


def _inputs(walk: Walk, op: Op, positions: int, seed: int) -> Iterator[Array]:
    """Each image's input patches at random output positions: (P, kernel, kernel, C) float32.

    In steps of the input's scale, which cancels.
    """
    source = walk.graph.tensors[op.inputs[0]]
    zero_point = int(source.quantized.zero_point[0])
    values = walk.values[op.inputs[0]]
    wanted = max(1, positions // len(values))
    rng = np.random.default_rng(seed)
    if op.kind == "FULLY_CONNECTED":
        for value in values:
            yield value.reshape(1, 1, 1, -1).astype(np.float32) - zero_point
        return
    _, height, width, _ = walk.graph.tensors[op.output].shape
    kernel = walk.graph.tensors[op.inputs[1]].shape[1]
    for value in values:
        chosen = rng.choice(height * width, min(wanted, height * width), replace=False)
        centred = value[0].astype(np.float32) - zero_point
        yield patches(centred, kernel, op.options.get("stride", 1), chosen)


def _column_hessian(inputs: Iterator[Array]) -> tuple[Matrix, int]:
    """H and the number of samples in it."""
    total: Matrix | None = None
    samples = 0
    for values in inputs:
        flat = values.reshape(len(values), -1)
        samples += len(flat)
        product = (flat.T @ flat).astype(np.float64)
        total = product if total is None else total + product
    if total is None:
        raise ConversionError("rounding needs at least one calibration image")
    return total, samples


def _tap_hessians(inputs: Iterator[Array]) -> Matrix:
    total: Matrix | None = None
    for values in inputs:
        count, kernel, _, channels = values.shape
        flat = np.ascontiguousarray(values.reshape(count, kernel**2, channels).transpose(2, 1, 0))
        product = (flat @ np.ascontiguousarray(flat.transpose(0, 2, 1))).astype(np.float64)
        total = product if total is None else total + product
    if total is None:
        raise ConversionError("rounding needs at least one calibration image")
    return total


def _inverse_factor(hessians: Matrix, share: float = DAMPING) -> Matrix:
    """U with H⁻¹ = Uᵀ·U, upper triangular, of each damped H in a stack."""
    size = hessians.shape[-1]
    diagonal = np.einsum("cii->ci", hessians)
    damping = share * diagonal.mean(1) + 1e-10
    damped = hessians + damping[:, np.newaxis, np.newaxis] * np.eye(size)
    # With the rows and columns of H in reverse, H = M·Mᵀ, and U is M⁻¹ turned round again.
    reverse = damped[:, ::-1, ::-1]
    factor = _cholesky(reverse) if len(reverse) > 1 else np.linalg.cholesky(reverse)
    return _invert_lower(factor)[:, ::-1, ::-1]


def _cholesky(matrices: Matrix) -> Matrix:
    """Of a stack of small matrices: vectorised over the stack, not threaded within each."""
    lower = np.zeros_like(matrices)
    for column in range(matrices.shape[-1]):
        left = lower[:, column:, :column]
        rest = matrices[:, column:, column] - (left @ left[:, 0, :, np.newaxis])[..., 0]
        lower[:, column:, column] = rest / np.sqrt(rest[:, :1])
    return lower


def _invert_lower(lower: Matrix) -> Matrix:
    """Inverses of a stack of lower triangular matrices, by halves."""
    size = lower.shape[-1]
    if size == 1:
        return 1 / lower
    half = size // 2
    inverse = np.zeros_like(lower)
    first = inverse[:, :half, :half] = _invert_lower(lower[:, :half, :half])
    second = inverse[:, half:, half:] = _invert_lower(lower[:, half:, half:])
    inverse[:, half:, :half] = -second @ lower[:, half:, :half] @ first
    return inverse


def patches(values: Array, kernel: int, stride: int, positions: Array) -> Array:
    """Input patches of a 'same' convolution at some output positions.

    Args:
        values: (H, W, C).
        kernel, stride: Of the convolution.
        positions: Flat output positions, (P,).

    Returns:
        (P, kernel, kernel, C).
    """
    height, width, _ = values.shape
    out_height, out_width = -(-height // stride), -(-width // stride)
    pads = [
        max((out - 1) * stride + kernel - size, 0)
        for out, size in ((out_height, height), (out_width, width))
    ]
    padded = np.pad(
        values,
        ((pads[0] // 2, pads[0] - pads[0] // 2), (pads[1] // 2, pads[1] - pads[1] // 2), (0, 0)),
    )
    slide: Any = np.lib.stride_tricks.sliding_window_view  # typed differently by numpy 1 and 2
    windows = slide(padded, (kernel, kernel), axis=(0, 1))
    rows, columns = positions // out_width * stride, positions % out_width * stride
    chosen: Array = windows[rows, columns].transpose(0, 2, 3, 1)
    return chosen
