"""Profiles: each operator's time, from the runtime's own profiler in another process."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import bad_models
import numpy as np
import pytest
from small_variants import LITE, B

from effnet_lite.benchmark.host import child
from effnet_lite.benchmark.inspection import inspect
from effnet_lite.benchmark.profiling import litert_profiler, process
from effnet_lite.benchmark.profiling.layer_work import read_work
from effnet_lite.benchmark.profiling.litert_profiler import (
    Event,
    ProfiledModel,
    library_of,
    version_of,
)
from effnet_lite.benchmark.profiling.process import Task
from effnet_lite.benchmark.profiling.profile import LayerTime, Profile, profile, why_not
from effnet_lite.benchmark.profiling.report import kind_table, layer_table, notes
from effnet_lite.benchmark.profiling.roofline import Peaks
from effnet_lite.errors import EffnetLiteError, InputError, UsageError
from effnet_lite.quantize.graph import WEIGHTED
from effnet_lite.quantize.tflite.runtime import Runtime, find_runtime

LIBRARY = find_runtime("litert")
PEAKS = Peaks({"int8": 400.0}, 100.0, 20.0, 1, "made up")


def quick(model, **options):
    return profile(model, **{"runs": 4, "warmup": 1, "peaks": False} | options)


@pytest.mark.parametrize(
    ("precision", "variant", "kernels"),
    [
        ("int8", LITE, "xnnpack"),
        ("int8", LITE, "builtin"),
        ("int8", B, "xnnpack"),
        ("float32", LITE, "xnnpack"),
        ("float32", B, "builtin"),
        ("float16", B, "xnnpack"),
        ("dynamic", LITE, "xnnpack"),
    ],
)
def test_every_operator_of_the_file_has_its_time(converted, precision, variant, kernels):
    model = converted(precision, variant).output
    found = quick(model, kernels=kernels)
    inspection = inspect(model)
    assert found.sha256 == inspection.sha256
    assert [(layer.number, layer.kind, layer.name, layer.madds) for layer in found.layers] == [
        (layer.number, layer.kind, layer.name, layer.madds) for layer in inspection.layers
    ]
    assert found.layers_ms > 0
    assert sum(layer.share for layer in found.layers) == pytest.approx(1)
    # Small models are mostly what is between the layers; tests/slow has the narrow bound.
    assert 0.1 < found.ratio < 10
    if kernels == "builtin":
        assert not any(layer.kernel or layer.timed_in for layer in found.layers)
    elif precision in ("int8", "float32", "float16"):
        # All but the ends: one operator of XNNPACK for each that multiplies.
        assert all(layer.kernel for layer in found.layers if layer.kind in WEIGHTED)


def test_swish_is_one_operator_in_int8(converted):
    found = quick(converted("int8", B).output)
    fused = [layer for layer in found.layers if layer.timed_in is not None]
    assert fused
    for layer in fused:
        assert layer.kind == "LOGISTIC"
        product = found.layers[layer.timed_in]
        assert product.kind == "MUL"
        assert (layer.ms, layer.bytes) == (0, 0)
        # Read x, write x·σ(x): int8, of one shape.
        shape = inspect(found.model).layers[product.number].shape
        assert product.bytes == 2 * np.prod(shape)
    text = "\n".join(notes(found))
    assert f"{len(fused)} operators together" in text


def test_peaks_threads_and_json(int8_model):
    calls = []
    found = profile(
        int8_model, runs=3, warmup=0, threads=2, cores=(min(os.sched_getaffinity(0)),)
        if hasattr(os, "sched_getaffinity") else (),
        progress=lambda *call: calls.append(call),
    )  # fmt: skip
    assert set(found.peaks.gops) == {"int8"}
    assert found.peaks.threads == 2
    assert calls[0] == (0, 3, "profiling")
    document = json.loads(json.dumps(found.to_json()))
    assert document["peaks"]["gops"]["int8"] > 0
    assert document["kernels"] == "xnnpack"
    assert document["runtime"] == "litert"
    assert document["layers_ms"] == pytest.approx(sum(e["ms"] for e in document["layers"]))
    assert document["ratio"] == pytest.approx(document["layers_ms"] / document["inference_ms"])
    assert sum(kind["layers"] for kind in document["by_kind"]) == len(found.layers)
    for layer in found.layers:
        assert (layer.gops is None) == (layer.madds == 0 or layer.ms < 0.003)
        assert (layer.roof is None) == (layer.ms < 0.003)


def test_bytes_of_a_layer(tmp_path):
    work = read_work(bad_models.two_inputs())
    # Two tensors are read and one is written, all of one shape.
    (size,) = set(work.sizes)
    assert work.bytes_of({0}) == 3 * size


def test_the_profiled_model_computes_the_same(int8_model):
    """In a process of its own: if it crashes, the other tests go on."""
    code = """
import sys
from pathlib import Path
from effnet_lite.benchmark.host.inputs import random_inputs
from effnet_lite.benchmark.profiling.litert_profiler import ProfiledModel, library_of
from effnet_lite.quantize.tflite.runtime import Runner, find_runtime
model, runtime = Path(sys.argv[1]).read_bytes(), find_runtime("litert")
for kernels in ("xnnpack", "builtin"):
    runner = Runner(model, 1, runtime, default_delegate=kernels == "xnnpack")
    inputs = random_inputs(runner, 0)
    runner.set_inputs(inputs)
    runner.invoke()
    profiled = ProfiledModel(library_of(runtime), runtime, model, inputs, kernels, 1)
    profiled.run()
    expected = runner.output()
    assert expected.any()
    assert (profiled.output(0, expected) == expected).all(), kernels
"""
    command = [sys.executable, "-c", code, str(int8_model)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr[-2000:]


@pytest.mark.parametrize("name", ["no_inputs", "string_input", "unknown_operator", "truncated",
                                  "compiled_for_edgetpu"])  # fmt: skip
def test_what_cannot_run(tmp_path, name):
    path = tmp_path / "model.tflite"
    path.write_bytes(getattr(bad_models, name)())
    with pytest.raises(InputError):
        quick(path)


@pytest.mark.parametrize("name", ["two_inputs", "dynamic_batch"])
def test_what_is_unusual_and_runs(tmp_path, name):
    path = tmp_path / "model.tflite"
    path.write_bytes(getattr(bad_models, name)())
    assert [layer.kind for layer in quick(path).layers] == list(inspect(path).ops)


@pytest.mark.parametrize("options", [{"threads": 0}, {"runs": 0}, {"warmup": -1},
                                     {"kernels": "fast"}, {"cores": (4095,)},
                                     {"kernels": "builtin", "threads": 2}])  # fmt: skip
def test_wrong_options(int8_model, options):
    with pytest.raises(UsageError):
        quick(int8_model, **options)


def test_emulated_times_are_none(int8_model, monkeypatch):
    monkeypatch.setattr(
        "effnet_lite.benchmark.profiling.profile.emulated", lambda: "aarch64 emulated on x86_64"
    )
    with pytest.raises(EffnetLiteError, match="say nothing"):
        quick(int8_model)


# Without the profiler


def test_too_old(int8_model, monkeypatch):
    old = Runtime("litert", "2.1.3", "ai_edge_litert.interpreter")
    monkeypatch.setattr("effnet_lite.benchmark.profiling.profile.find_runtime", lambda name: old)
    with pytest.raises(EffnetLiteError, match=r"2\.1\.3 .* expected ai-edge-litert 2\.1\.4"):
        quick(int8_model)
    assert version_of(Runtime("litert", "2.4.0.dev20260101+cpu", "")) == (2, 4, 0)


def test_no_library(tmp_path, monkeypatch):
    (tmp_path / "no_profiler").mkdir()
    (tmp_path / "no_profiler" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EffnetLiteError, match=r"libLiteRt.*no_profiler"):
        library_of(Runtime("litert", "2.3.0", "no_profiler.interpreter"))


def test_missing_function():
    any_library = Path(np.random.mtrand.__file__)
    with pytest.raises(
        EffnetLiteError, match="does not export LiteRtCreateEnvironment and 25 more"
    ):
        litert_profiler._load(any_library, LIBRARY)
    with pytest.raises(EffnetLiteError, match="cannot be loaded"):
        litert_profiler._load(Path(__file__), LIBRARY)


def events_as_if_from(layout, count=2):
    """What a library with this layout of ``ProfiledEventData`` would be understood as."""
    model = ProfiledModel.__new__(ProfiledModel)
    model._runtime, model._profiler = LIBRARY, None

    def number(_, target):
        target._obj.value = count
        return 0

    def events(_, __, room):
        array = (layout * count).from_buffer(room)
        for place, event in enumerate(array):
            event.tag, event.type, event.elapsed, event.index = b"ADD", 2, 7, place
            event.subgraph = event.source = event.start = 0
        return 0

    model._functions = {"LiteRtGetNumProfilerEvents": number, "LiteRtGetProfilerEvents": events}
    return model._events()


def test_layout_of_events():
    fields = dict(litert_profiler._Event._fields_)

    def layout(**changes):
        merged = list((fields | changes).items())
        return type("Layout", (ctypes.Structure,), {"_fields_": merged})

    assert events_as_if_from(layout()) == [Event("ADD", 0, False, 7), Event("ADD", 1, False, 7)]
    with pytest.raises(EffnetLiteError, match="another layout"):
        events_as_if_from(layout(memory=ctypes.c_int64 * 7))
    with pytest.raises(EffnetLiteError, match="another layout"):
        events_as_if_from(layout(memory=ctypes.c_int64 * 5))
    with pytest.raises(InputError, match="more operators"):
        events_as_if_from(layout(), count=2048)


TASK = Task("folder/model.tflite", "xnnpack", 1, 1, 0, 0)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV on model.tflite;"),
        ("import os; os.write(2, b'INFO: x\\nno such thing\\nINFO: y'); os._exit(3)",
         r"exited with 3 \(no such thing\) on model.tflite"),
        ("import os; os.close(0); os._exit(4)", "exited with 4"),
    ],
)  # fmt: skip
def test_a_crash_is_one_line(monkeypatch, code, message):
    monkeypatch.setattr(child, "_CODE", code)
    with pytest.raises(EffnetLiteError, match=message) as caught:
        process.run(TASK)
    assert "\n" not in str(caught.value)
    assert "time without a profile" in str(caught.value)


def test_a_hanging_process_is_ended(monkeypatch):
    monkeypatch.setattr(child, "_CODE", "import time; time.sleep(600)")
    with pytest.raises(EffnetLiteError, match="hung and was ended"):
        process.run(TASK, silence=0.3)


def test_the_process_ends_with_its_parent(int8_model):
    task = {"model": str(int8_model), "kernels": "builtin", "threads": 1, "runs": 10**9,
            "warmup": 0, "seed": 0, "cores": [], "peaks": []}  # fmt: skip
    with subprocess.Popen(
        child.command(process.__name__),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as started:  # fmt: skip
        started.stdin.write(json.dumps(task).encode() + b"\n")
        started.stdin.flush()
        assert json.loads(started.stdout.readline())["done"] == 0
        started.stdin.close()
        assert started.wait(30) == 1


def test_a_disturbed_operator_does_not_look_slow():
    quiet = [[1.0, 3.0]] * 9
    times = process._typical([*quiet, [9.0, 3.0], [1.0, 30.0]])
    assert times == pytest.approx([1.0, 3.0])
    # Where every run is disturbed, the sum says so.
    times = process._typical([[9.0, 3.0], [1.0, 11.0]] * 4)
    assert sum(times) == pytest.approx(12)
    assert process._typical([[0.0], [0.004]] + [[0.0]] * 6) == pytest.approx([0.0005])


def test_why_not():
    assert why_not("litert") is why_not("litert", "none") is None
    assert "--runtime litert" in why_not("tensorflow")
    assert "--runtime litert" in why_not("tflite-runtime")
    assert "--delegate cpu or none" in why_not("litert", "edgetpu")
    assert why_not("litert", "cpu", 2) is None
    assert "--threads 1" in why_not("litert", "none", 2)


# The tables


def layer(number, kind, ms, madds=0, **changes):
    given = {"number": number, "kind": kind, "name": f"layer{number}", "ms": ms, "share": ms / 4,
             "madds": madds, "bytes": 2048, "gops": 2 * madds / ms / 1e6 if madds else None,
             "roof": 0.25}  # fmt: skip
    return LayerTime(**(given | changes))


FOUND = Profile(
    "a/b.tflite", "0" * 64, "litert", "2.3.0", "xnnpack", "A processor", 1, 5, 50,
    (layer(0, "ADD", 0.5), layer(1, "CONV_2D", 1.5, 30_000_000), layer(2, "CONV_2D", 2.0, 10)),
    4.1, PEAKS,
)  # fmt: skip


def test_tables():
    header, rows = layer_table(FOUND, 2)
    assert [row[:4] for row in rows] == [["layer2", "CONV_2D", "2.000", "50.0%"],
                                         ["layer1", "CONV_2D", "1.500", "37.5%"]]  # fmt: skip
    assert rows[1][4:] == ["30.0", "2", "40", "25%"]
    assert {len(row) for row in rows} == {len(header)}
    header, rows = kind_table(FOUND)
    assert rows == [["CONV_2D", "2", "3.500", "87.5%", "30.0", "4", "17"],
                    ["ADD", "1", "0.500", "12.5%", "-", "2", "-"]]  # fmt: skip
    assert {len(row) for row in rows} == {len(header)}


def test_notes():
    lines = notes(FOUND)
    assert lines[0].endswith("4.10 ms: 97.6% explained")
    assert "int8 400 GOP/s, caches 100 GB/s, memory 20 GB/s on 1 thread(s) (made up)" in lines[1]
    gap = Profile(**{name: getattr(FOUND, name) for name in FOUND.__dataclass_fields__}
                  | {"inference_ms": 6.0, "peaks": None})  # fmt: skip
    assert "more than 10% off" in notes(gap)[1]
