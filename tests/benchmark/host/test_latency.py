"""The timing protocol; the times themselves are the machine's business."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from c_delegate import build

from effnet_lite import benchmark
from effnet_lite.benchmark.host import latency
from effnet_lite.benchmark.host.launch import Launch
from effnet_lite.benchmark.host.session import Session, Setup
from effnet_lite.errors import InputError, MissingDependencyError, UsageError
from effnet_lite.files import sha256
from effnet_lite.quantize.tflite import runtime
from effnet_lite.quantize.tflite.runtime import installed_runtimes

QUICK = {"runs": 4, "min_seconds": 0, "warmup": 1, "processes": 2}


def setup_of(model, **changes):
    given = {"model": str(model), "runtime": "litert", "delegate": "cpu", "threads": 1, "warmup": 1}
    return Setup(**(given | changes))


@pytest.fixture(scope="module")
def result(float_model, int8_model):
    return benchmark([float_model, int8_model], **QUICK)


def test_one_record_a_model(result, float_model, int8_model):
    assert [record.model for record in result.records] == [str(float_model), str(int8_model)]
    assert not result.failures
    for record, path in zip(result.records, (float_model, int8_model), strict=True):
        assert record.model_sha256 == sha256(path.read_bytes())
        assert (record.runs, record.warmup, record.threads, record.processes) == (4, 1, 1, 2)
        assert len(record.times_ms) == 4
        assert 0 < record.min_ms <= record.p10_ms <= record.p50_ms <= record.p90_ms
        assert record.p90_ms <= record.p99_ms <= max(record.times_ms) + 1e-3
        low, high = record.mean_interval
        assert record.min_ms - 1e-3 <= low <= record.mean_ms <= high
        assert record.throughput_per_s == pytest.approx(1000 / record.mean_ms)
        assert record.init_ms > 0
        assert record.first_run_ms > 0
        assert record.preprocess_ms > 0
        assert record.preprocess_of == "a 640 x 480 JPEG"
        assert (record.delegate, record.device_kind) == ("cpu", "host")
        assert 0 < record.delegated_ops <= record.ops


def test_memory_is_each_models_own(result, tiny_model, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(tiny_model(quantized=False))
    (small,) = benchmark(path, **QUICK).records
    for record in result.records:
        assert 0 < record.model_rss_mib < record.peak_rss_mib
        assert small.model_rss_mib < record.model_rss_mib


def test_each_is_compared_with_the_first(result, float_model, int8_model):
    (found,) = result.comparisons
    assert (found.a, found.b) == (float_model.name, int8_model.name)
    assert (found.a_index, found.b_index) == (0, 1)
    assert found.interval[0] <= found.ratio <= found.interval[1]


def test_both_bounds_are_reached(int8_model):
    (record,) = benchmark(int8_model, runs=3, min_seconds=0.2, warmup=0, processes=2).records
    assert record.runs * record.mean_ms >= 190
    (record,) = benchmark(int8_model, runs=30, min_seconds=0, warmup=0, processes=3).records
    assert record.runs == 30


def test_one_process_compares_nothing(int8_model):
    found = benchmark([int8_model] * 2, runs=2, min_seconds=0, warmup=0, processes=1)
    assert (len(found.records), found.comparisons) == (2, ())
    assert found.labels == (int8_model.name, f"{int8_model.name} #2")


def test_delegates_are_compared(int8_model):
    found = benchmark(int8_model, delegate=["cpu", "none"], **QUICK)
    assert found.labels == (f"{int8_model.name} cpu", f"{int8_model.name} none")
    assert found.records[1].delegated_ops == 0
    assert found.records[0].ops == found.records[1].ops


def test_an_external_delegate(int8_model, tmp_path):
    library = build(tmp_path / "libd.so")
    names = [one.name for one in installed_runtimes()]
    options = {"fill": "9"}
    found = benchmark(int8_model, runtime=names, delegate=str(library), delegate_options=options,
                      **(QUICK | {"processes": 1}))  # fmt: skip
    for record in found.records:
        assert record.delegate == "libd.so"
        assert record.delegated_ops == record.ops
        assert not any("took over no operator" in reason for reason in record.noise)
    (idle,) = benchmark(int8_model, delegate=str(library), delegate_options={"claim": "none"},
                        **QUICK).records  # fmt: skip
    assert idle.delegated_ops == 0
    assert "libd.so took over no operator" in idle.noise[0]


def test_every_runtime_in_a_process_of_its_own(int8_model):
    names = [one.name for one in installed_runtimes()]
    if len(names) < 2:
        pytest.skip("one runtime is installed")
    found = benchmark(int8_model, runtime=names, **(QUICK | {"processes": 1}))
    assert [record.runtime for record in found.records] == names
    assert not found.failures


def test_the_same_input_gives_the_same_output(result, float_model, int8_model):
    again = benchmark([float_model, int8_model], runs=1, min_seconds=0, warmup=0, processes=1)
    digests = [record.output_sha256 for record in result.records]
    assert [record.output_sha256 for record in again.records] == digests
    other = benchmark(float_model, runs=1, min_seconds=0, warmup=0, processes=1, seed=1)
    assert other.records[0].output_sha256 != digests[0]


def test_any_input_type(converted, tiny_model, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(tiny_model(quantized=False))
    models = [path, converted("int8", input_type="int8").output, converted("int16x8").output]
    assert len(benchmark(models, **(QUICK | {"processes": 1})).records) == 3


def test_a_photo_of_the_users(int8_model, photo):
    (record,) = benchmark(int8_model, image=photo, **(QUICK | {"processes": 1})).records
    assert record.preprocess_of == photo.name
    with pytest.raises(InputError, match="does not exist"):
        benchmark(int8_model, image="nowhere.jpg")
    with pytest.raises(InputError, match=r"not an image|cannot"):
        benchmark(int8_model, image=__file__, **QUICK)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins nothing")
def test_cores(int8_model):
    core = max(os.sched_getaffinity(0))
    (record,) = benchmark(int8_model, cores=[core], **(QUICK | {"processes": 1})).records
    assert record.cores == (core,)
    with pytest.raises(UsageError, match="this process may use"):
        benchmark(int8_model, cores=[4000], **QUICK)


def test_what_fails_leaves_the_others(int8_model, monkeypatch):
    load = latency.Launch.__init__

    def refuse(launch, setup):
        if setup.delegate == "none":
            raise InputError("refused")
        load(launch, setup)

    monkeypatch.setattr(latency.Launch, "__init__", refuse)
    found = benchmark(int8_model, delegate=["cpu", "none"], **QUICK)
    assert [record.delegate for record in found.records] == ["cpu"]
    assert found.failures == (f"{int8_model.name} none: refused",)
    with pytest.raises(InputError, match="refused"):
        benchmark(int8_model, delegate="none", **QUICK)


def test_a_damaged_file_fails_before_the_work(int8_model, tmp_path):
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(int8_model.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"cut short|damaged"):
        benchmark([int8_model, bad], **QUICK)


def test_a_process_that_dies_is_one_line(int8_model):
    with Launch(setup_of(int8_model)) as launch:
        os.kill(launch._process.pid, signal.SIGKILL)
        with pytest.raises(InputError, match="litert was ended by SIGKILL while it ran"):
            launch.time()


def test_a_process_ends_with_its_parent(int8_model):
    code = (
        "import sys, os; from effnet_lite.benchmark.host.launch import Launch\n"
        "from effnet_lite.benchmark.host.session import Setup\n"
        f"launch = Launch(Setup({str(int8_model)!r}, 'litert', 'cpu', 1, 0))\n"
        "print(launch._process.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid = int(found.stdout)
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        # A zombie that nobody has waited for yet still has its number.
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the child is still there after 10 s")


def test_modules_in_the_users_folder_are_not_run(int8_model, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('ran')")
    monkeypatch.chdir(tmp_path)
    assert benchmark(int8_model, **QUICK).records


def test_turns(int8_model):
    session = Session(setup_of(int8_model))
    assert len(session.time(3).times_ms) == 3
    turn = session.time()
    assert sum(turn.times_ms) >= 5  # 20 ms were meant; the estimate before may have been off
    assert session.time().cpu_seconds >= turn.cpu_seconds


def test_emulated_times_are_never_latencies(float_model, int8_model, result, monkeypatch):
    monkeypatch.setattr(latency, "emulated", lambda: "aarch64 emulated on x86_64")
    found = benchmark([float_model, int8_model], **QUICK)
    for record, real in zip(found.records, result.records, strict=True):
        document = record.to_json()
        times = {name: value for name, value in document.items() if name.endswith("_ms")}
        assert set(times.values()) <= {None, ()}
        assert (record.mean_interval, record.throughput_per_s, record.runs) == (None, None, 0)
        assert record.device_kind == "emulated"
        assert record.conditions["emulation"] == "aarch64 emulated on x86_64"
        assert record.output_sha256 == real.output_sha256
    assert not found.comparisons


def test_progress(int8_model):
    calls = []
    benchmark(int8_model, **QUICK, progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert calls[-1][:2] == (200, 200)


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"threads": -1},
        {"threads": 10**6},
        {"runs": 0},
        {"warmup": -1},
        {"processes": 0},
        {"processes": 10**6},
        {"min_seconds": -1},
        {"min_seconds": math.nan},
        {"min_seconds": math.inf},
        {"runtime": "onnx"},
        {"delegate": "magic"},
        {"delegate": []},
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
        benchmark(photo, **QUICK)


def test_the_json_document(result):
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert len(document["records"]) == 2
    assert document["comparisons"][0]["interval"]
