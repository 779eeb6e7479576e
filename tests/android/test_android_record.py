"""The Android app's benchmark record is one of ours: read as such, and shown by ``report``.

``benchmark_record.json`` in the app's test resources is what its Kotlin writes: the JVM test
``MeasurementTest`` compares the two, this one reads it with Python's reader. So each side runs
without the other's tools, and neither can change alone. Where the Android build has run here, the
record of its end-to-end test is read as well.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effnet_lite.benchmark.records import SCHEMA, Measurement
from effnet_lite.benchmark.report.documents import read_documents
from effnet_lite.benchmark.report.reading import read_speeds, read_timings

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "android_demo/app/src/test/resources/benchmark_record.json"
#: What ``BenchmarkActivityTest`` leaves in the build's folder.
BUILT = ROOT / "build/android/benchmark_record.json"


@pytest.fixture(params=[SAMPLE, BUILT], ids=["sample", "built"])
def record_file(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    if path == BUILT and not path.exists():
        pytest.skip("the Android build has not run here")
    return path


def _record(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text("utf-8"))
    (record,) = document["records"]
    assert isinstance(record, dict)
    return record


def test_it_has_the_keys_of_python_in_their_order(record_file: Path) -> None:
    document = json.loads(record_file.read_text("utf-8"))
    assert set(document) == {"records", "comparisons", "profiles", "failures", "made_by"}
    record = _record(record_file)
    ours = [field.name for field in dataclasses.fields(Measurement)]
    assert list(record) == [*ours, "noisy"]
    assert record["schema"] == SCHEMA
    assert record["noisy"] == bool(record["noise"])


def test_its_values_have_the_types_of_python(record_file: Path) -> None:
    record = _record(record_file)
    hints = typing.get_type_hints(Measurement)
    for name, kind in hints.items():
        assert _fits(record[name], kind), f"{name}: {record[name]!r} is no {kind}"


def test_python_makes_the_same_record_of_it(record_file: Path) -> None:
    record = _record(record_file)
    fields = {key: value for key, value in record.items() if key != "noisy"}
    tuples = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    measurement = Measurement(**(fields | tuples))
    assert json.loads(json.dumps(measurement.to_json())) == record


def test_its_figures_are_those_of_its_times(record_file: Path) -> None:
    import numpy as np

    record = _record(record_file)
    times = record["times_ms"]
    assert len(times) == record["runs"] >= 50
    assert record["warmup"] >= 5
    for key, percent in (("p10_ms", 10), ("p50_ms", 50), ("p90_ms", 90), ("p99_ms", 99)):
        # Times are rounded to 4 decimals, the percentile was not.
        assert record[key] == pytest.approx(np.percentile(times, percent), abs=1e-4)
    assert record["mean_ms"] == pytest.approx(np.mean(times), abs=1e-4)
    assert record["min_ms"] == pytest.approx(min(times), abs=1e-4)
    assert record["throughput_per_s"] == pytest.approx(1000 / record["mean_ms"])


def test_the_report_reads_it_as_a_measurement_of_the_app(record_file: Path) -> None:
    (entry,) = read_documents([record_file])
    assert entry.kind == "benchmark"
    assert entry.command == "org.effnetlite.demo"
    (timing,) = read_timings(entry.node())
    assert read_speeds(entry.node(), [timing]) == []
    record = _record(record_file)
    assert timing.setting.kind == "app"
    assert str(timing.setting).startswith("measurement of the app on ")
    assert timing.p50_ms == record["p50_ms"]
    assert len(timing.sha256) == 64


def test_the_report_command_makes_a_page_of_it(
    record_file: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("plotly")
    page = tmp_path / "report.html"
    answer = cli("report", record_file, "--output", page)
    assert answer.code == 0, answer.err
    text = page.read_text("utf-8")
    assert "measurement of the app on " in text
    assert _record(record_file)["device"] in text


def _fits(value: object, kind: Any) -> bool:
    """Whether a value of JSON may stand for one of a field; whole numbers are reals, too."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, one) for one in inside)
    if origin is tuple:
        if not isinstance(value, list) or (inside[-1] is not ... and len(value) != len(inside)):
            return False
        return all(_fits(entry, inside[0]) for entry in value)
    if origin is dict:
        return isinstance(value, dict)
    if kind is types.NoneType:
        return value is None
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))
