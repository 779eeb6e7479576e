"""A record as a quiet machine gives it."""

from __future__ import annotations

from effnet_lite.benchmark.records import Measurement


def measurement(**changes):
    given = {
        "model": "out/a.tflite", "model_sha256": "0" * 64, "runtime": "litert",
        "runtime_version": "2.3.0", "delegate": "cpu", "device": "A processor",
        "device_kind": "host", "threads": 1, "processes": 5, "warmup": 5, "runs": 5,
        "mean_ms": 4.1, "mean_interval": (4.0, 4.2), "p10_ms": 3.9, "p50_ms": 4.0, "p90_ms": 4.5,
        "p99_ms": 5.0, "min_ms": 3.8, "throughput_per_s": 243.9, "init_ms": 8.0,
        "first_run_ms": 6.0, "peak_rss_mib": 69.0, "times_ms": (3.8, 3.9, 4.0, 4.2, 4.6),
    }  # fmt: skip
    return Measurement(**(given | changes))
