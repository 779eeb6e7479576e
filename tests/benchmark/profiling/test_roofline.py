"""What the machine can do at most."""

from __future__ import annotations

import numpy as np
import pytest

from effnet_lite.benchmark.inspection import inspect
from effnet_lite.benchmark.profiling.roofline import SHAPES, Peaks, matrix_product, measure_peaks
from effnet_lite.quantize.tflite.runtime import Runner, find_runtime

PEAKS = Peaks({"int8": 400.0, "float32": 100.0}, 100.0, 20.0, 1, "made up")


@pytest.mark.parametrize(
    ("dtype", "madds", "moved", "ms"),
    [
        ("int8", 200_000_000, 1000, 1.0),  # 0.4·10⁹ operations at 400·10⁹ a second
        ("float32", 200_000_000, 1000, 4.0),
        ("int8", 0, 1_000_000, 0.01),  # 10⁶ bytes at 10¹¹ a second
        ("", 200_000_000, 1_000_000, 0.01),
    ],
)
def test_least_time(dtype, madds, moved, ms):
    assert PEAKS.least_ms(dtype, madds, moved) == pytest.approx(ms)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_the_measured_file_is_a_matrix_product(dtype, tmp_path):
    rows, inner, columns = SHAPES[0]
    path = tmp_path / "product.tflite"
    path.write_bytes(matrix_product(dtype, rows, inner, columns))
    (layer,) = inspect(path).layers
    assert (layer.kind, layer.madds, layer.dtype) == ("CONV_2D", rows * inner * columns, dtype)
    runner = Runner(path.read_bytes(), 1, find_runtime("litert"))
    random = np.random.default_rng(0)
    values = random.integers(-127, 128, (1, rows, 1, inner)).astype(dtype)
    output = runner.run(values).astype(np.float64)
    assert output.std() > 1
    assert np.mean(np.abs(output) == 127) < 0.01 or dtype == "float32"


@pytest.mark.parametrize("threads", [1, 2])
def test_peaks(threads):
    found = measure_peaks(("int8",), threads, find_runtime("litert"), seconds=0.001)
    assert list(found.gops) == ["int8"]
    assert found.gops["int8"] > 0.01
    assert found.cache_gb_per_s > 0.01
    assert found.memory_gb_per_s > 0.01
    assert found.threads == threads
    assert "litert" in found.how
