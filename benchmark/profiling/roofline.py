"""What this machine can do at most: a roofline, measured (Williams et al., CACM 52(4), 2009).

A layer that does ``ops`` operations and moves ``bytes`` needs at least
``max(ops / peak, bytes / bandwidth)`` seconds. Peaks are those of the runtime's own best kernels
on 1x1 convolutions, which are matrix products, not the processor's data sheet. There are two
bandwidths: of what fits a cache, as most layers' tensors do, and of main memory.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np

from effnet_lite.quantize.graph import Graph, Op, Quantization, Tensor
from effnet_lite.quantize.tflite.runtime import Array, Runner, Runtime
from effnet_lite.quantize.tflite.writer import to_flatbuffer

INT8, FLOAT32 = "int8", "float32"

#: (rows, inner size, columns) of the matrix products; which is fastest differs by processor.
SHAPES = ((1024, 256, 256), (784, 512, 512), (256, 1024, 512), (3136, 128, 256))
#: Bytes read, and as many written: what a core's second-level cache holds, and what none does.
CACHE_BYTES, MEMORY_BYTES = 2**18, 2**26
SECONDS = 0.12  # for each shape and size; the best run counts
_LEAST_RUNS = 3


@dataclasses.dataclass(frozen=True)
class Peaks:
    """Measured on this machine.

    Attributes:
        gops: By type of the weights, ``int8`` or ``float32``: 10⁹ operations a second, a
            multiply-add being two.
        cache_gb_per_s, memory_gb_per_s: 10⁹ bytes a second, read and written together.
        threads: That were used.
        how: In words.
    """

    gops: dict[str, float]
    cache_gb_per_s: float
    memory_gb_per_s: float
    threads: int
    how: str

    def least_ms(self, dtype: str, madds: int, bytes_: float) -> float:
        """How long a layer takes at least.

        Args:
            dtype: Of its weights; one that was not measured counts as no limit.
            madds: Its multiply-adds.
            bytes_: Its weights and activations.
        """
        peak = self.gops.get(dtype)
        compute = 2 * madds / peak if peak else 0.0
        return max(compute, bytes_ / self.cache_gb_per_s) / 1e6


def measure_peaks(
    dtypes: Sequence[str], threads: int, runtime: Runtime, seconds: float = SECONDS
) -> Peaks:
    """Takes about a second a type.

    Args:
        dtypes: ``int8``, ``float32``.
        threads: CPU threads.
        runtime: Whose kernels, with XNNPACK, are run.
        seconds: For each matrix product and each size of memory.
    """
    return Peaks(
        gops={dtype: max(_gops(dtype, shape, threads, runtime, seconds) for shape in SHAPES)
              for dtype in dict.fromkeys(dtypes)},
        cache_gb_per_s=_gb_per_s(CACHE_BYTES, threads, seconds),
        memory_gb_per_s=_gb_per_s(MEMORY_BYTES, threads, seconds),
        threads=threads,
        how=f"fastest of {len(SHAPES)} 1x1 convolutions in {runtime}; copies of "
        f"{CACHE_BYTES // 2**10} KiB and {MEMORY_BYTES // 2**20} MiB by NumPy",
    )  # fmt: skip


def matrix_product(dtype: str, rows: int, inner: int, columns: int) -> bytes:
    """A .tflite file with one 1x1 convolution over ``rows`` pixels and seeded weights."""
    random = np.random.default_rng(0)
    graph = Graph()
    weights = random.integers(-127, 128, (columns, 1, 1, inner), np.int8)
    shapes = (1, rows, 1, inner), (1, rows, 1, columns)
    if dtype == INT8:
        step = Quantization.per_tensor(0.05)
        # The sums' standard deviation is about 74²·√inner: they stay within 127 steps.
        out = Quantization.per_tensor(0.05**2 * 74**2 * inner**0.5 / 30)
        bias = Quantization.per_tensor(0.05**2)
        tensors = [
            Tensor("rows", shapes[0], INT8, quantization=step),
            Tensor("matrix", weights.shape, INT8, weights, step),
            Tensor("bias", (columns,), "int32", np.zeros(columns, np.int32), bias),
            Tensor("product", shapes[1], INT8, quantization=out),
        ]
    else:
        tensors = [
            Tensor("rows", shapes[0]),
            Tensor("matrix", weights.shape, FLOAT32, weights.astype(np.float32) / 127),
            Tensor("bias", (columns,), FLOAT32, np.zeros(columns, np.float32)),
            Tensor("product", shapes[1]),
        ]
    for tensor in tensors:
        graph.add_tensor(tensor)
    graph.ops.append(Op("CONV_2D", [0, 1, 2], 3, {}))
    graph.inputs, graph.outputs = [0], [3]
    return to_flatbuffer(graph)


def _gops(
    dtype: str, shape: tuple[int, int, int], threads: int, runtime: Runtime, seconds: float
) -> float:
    runner = Runner(matrix_product(dtype, *shape), threads, runtime)
    rows, inner, columns = shape
    random = np.random.default_rng(0)
    values = random.integers(-127, 128, (1, rows, 1, inner), np.int8)
    runner.set_input(values if dtype == INT8 else values.astype(np.float32) / 127)
    return 2 * rows * inner * columns / _fastest(runner.invoke, seconds) / 1e9


def _gb_per_s(size: int, threads: int, seconds: float) -> float:
    """Each thread copies a part, over and over, so that its start does not count."""
    part = size // threads
    blocks = [(np.ones(part, np.uint8), np.zeros(part, np.uint8)) for _ in range(threads)]
    repeats = max(1, 2**22 // size)

    def copy(block: tuple[Array, Array]) -> None:
        source, target = block
        for _ in range(repeats):
            np.copyto(target, source)

    if threads == 1:
        return 2 * part * repeats / _fastest(lambda: copy(blocks[0]), seconds) / 1e9
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        fastest = _fastest(lambda: list(pool.map(copy, blocks)), seconds)
    return 2 * part * threads * repeats / fastest / 1e9


def _fastest(run: Callable[[], object], seconds: float) -> float:
    """Seconds of the fastest run within a time: what others disturb only gets slower."""
    run()
    best, runs = float("inf"), 0
    end = time.perf_counter() + seconds
    while runs < _LEAST_RUNS or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best, runs = min(best, time.perf_counter() - start), runs + 1
    return best
