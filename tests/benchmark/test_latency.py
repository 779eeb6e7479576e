"""The timing protocol; the times themselves are the machine's business."""

from __future__ import annotations

import json
import math

import pytest

from effnet_lite import benchmark
from effnet_lite.errors import InputError, MissingDependencyError, UsageError
from effnet_lite.files import sha256
from effnet_lite.quantize.tflite import runtime


def test_one_record_a_model(float_model, int8_model):
    records = benchmark([float_model, int8_model], runs=5, min_seconds=0, warmup=1)
    assert [record.model for record in records] == [str(float_model), str(int8_model)]
    for record, path in zip(records, (float_model, int8_model), strict=True):
        assert record.model_sha256 == sha256(path.read_bytes())
        assert (record.runs, record.warmup, record.threads) == (5, 1, 1)
        assert 0 < record.min_ms <= record.p50_ms <= record.p90_ms <= record.p99_ms
        assert record.min_ms <= record.mean_ms
        assert record.init_ms > 0
        assert record.first_run_ms > 0
        assert record.delegate == "xnnpack"


def test_both_bounds_are_reached(int8_model):
    (record,) = benchmark(int8_model, runs=3, min_seconds=0.2, warmup=0)
    assert record.runs * record.mean_ms >= 190  # the clock runs between the runs, too
    (record,) = benchmark(int8_model, runs=30, min_seconds=0, warmup=0)
    assert record.runs == 30


def test_without_the_delegate(int8_model):
    (record,) = benchmark(int8_model, runs=1, min_seconds=0, warmup=0, xnnpack=False)
    assert record.delegate == "none"


def test_the_json_document(int8_model):
    (record,) = benchmark(int8_model, runs=1, min_seconds=0, warmup=0)
    document = json.loads(json.dumps(record.to_json(), allow_nan=False))
    assert {
        "model_sha256", "runtime", "runtime_version", "delegate", "device", "threads", "runs",
        "p50_ms", "p90_ms", "p99_ms", "init_ms", "first_run_ms", "peak_rss_mib",
    } <= set(document)  # fmt: skip


def test_any_input_type(converted, tiny_model, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(tiny_model(quantized=False))
    models = [path, converted("int8", input_type="int8").output, converted("int16x8").output]
    assert len(benchmark(models, runs=1, min_seconds=0, warmup=0)) == 3


def test_progress(int8_model):
    calls = []
    benchmark(
        [int8_model, int8_model],
        runs=1,
        min_seconds=0,
        warmup=0,
        progress=lambda *call: calls.append(call[:2]),
    )
    assert calls == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"threads": -1},
        {"threads": 10**6},
        {"runs": 0},
        {"warmup": -1},
        {"min_seconds": -1},
        {"min_seconds": math.nan},
        {"min_seconds": math.inf},
        {"runtime": "onnx"},
    ],
    ids=str,
)
def test_numbers_out_of_range(int8_model, options):
    with pytest.raises(UsageError):
        benchmark(int8_model, **options)


def test_a_runtime_that_is_not_installed(int8_model, monkeypatch):
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install tflite-runtime"):
        benchmark(int8_model, runtime="tflite-runtime")
    with pytest.raises(MissingDependencyError, match="pip install ai-edge-litert"):
        benchmark(int8_model)


def test_what_is_no_model(photo):
    with pytest.raises(InputError, match="JPEG image"):
        benchmark(photo)
