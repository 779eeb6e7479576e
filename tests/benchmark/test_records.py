"""The record, its JSON and CSV, and the names of a table's rows."""

from __future__ import annotations

import csv
import dataclasses
import json
import math

import pytest
from records import measurement

from effnet_lite.benchmark.records import (
    NO_DIFFERENCE,
    BenchmarkResult,
    Comparison,
    labels,
    verdict,
    write_csv,
)
from effnet_lite.errors import InputError


def test_json_has_what_others_rely_on():
    comparison = Comparison("a", "b", 0, 1, 1.1, (1.05, 1.15), "b is slower")
    result = BenchmarkResult((measurement(),), (comparison,), ("c: gone",))
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert set(document) == {"records", "comparisons", "profiles", "failures"}
    assert {
        "model_sha256", "runtime", "runtime_version", "delegate", "device", "threads", "runs",
        "p50_ms", "p90_ms", "p99_ms", "init_ms", "first_run_ms", "peak_rss_mib", "noisy", "schema",
    } <= set(document["records"][0])  # fmt: skip
    assert {"a", "b", "ratio", "interval", "verdict"} <= set(document["comparisons"][0])
    assert document["failures"] == ["c: gone"]


def test_what_is_not_a_number_is_null():
    result = BenchmarkResult((measurement(mean_ms=math.nan),))
    assert (
        json.loads(json.dumps(result.to_json(), allow_nan=False))["records"][0]["mean_ms"] is None
    )


def test_csv(tmp_path):
    path = tmp_path / "a.csv"
    quiet = measurement(model='a "b", c.tflite', cores=(0, 1), conditions={"governor": "x"})
    noisy = measurement(p50_ms=None, noise=("one", "two"))
    write_csv([quiet, noisy], path)
    first, second = csv.DictReader(path.read_text("utf-8").splitlines())
    assert first["model"] == 'a "b", c.tflite'
    assert float(first["p50_ms"]) == quiet.p50_ms
    assert (first["cores"], first["conditions"], first["noisy"]) == ("0; 1", "governor=x", "false")
    assert (second["p50_ms"], second["noise"], second["noisy"]) == ("", "one; two", "true")
    assert "times_ms" not in first
    with pytest.raises(InputError, match="--overwrite"):
        write_csv([quiet], path)


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        ([], ()),
        ([("x/a.tflite", "litert")], ("a.tflite",)),
        ([("a", "litert"), ("b", "litert")], ("a", "b")),
        ([("x/a", "litert"), ("y/a", "litert")], ("x/a", "y/a")),
        ([("a", "litert", "cpu"), ("a", "litert", "none")], ("a cpu", "a none")),
        ([("a", "litert"), ("a", "litert")], ("a", "a #2")),
        ([("a", "litert", ""), ("a", "litert", "serial")], ("a", "a serial")),
    ],
)
def test_labels(ways, expected):
    assert labels(ways) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.99, 1.01, NO_DIFFERENCE), (1.0, 1.1, NO_DIFFERENCE), (1.01, 1.1, "b is slower"),
     (0.8, 0.99, "b is faster")],
)  # fmt: skip
def test_verdict(low, high, expected):
    assert verdict("b", low, high) == expected


def test_records_are_plain():
    """Every field is JSON: the report and the app read it elsewhere."""
    record = measurement()
    assert json.loads(json.dumps(record.to_json())) is not None
    assert dataclasses.replace(record, noise=("x",)).noisy
