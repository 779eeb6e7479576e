"""Debian's real adb, a device on loopback whose shell really runs what it is sent."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from effnet_lite.benchmark.adb import benchmark_model, client, launches
from effnet_lite.benchmark.adb.measure import measure_on_devices
from effnet_lite.errors import DelegateError, DeviceError, InputError, UsageError
from effnet_lite.files import sha256

QUICK = {"processes": 1, "runs": 3, "min_seconds": 0, "cool_down": 0}
THREE = QUICK | {"processes": 3}


def test_a_record_says_everything(plug_in, model, larger, program):
    _, device = plug_in()
    result = measure_on_devices(
        [model, larger], ["adb"], binary=program, threads=2, cores=[1, 3], processes=3, runs=50,
        min_seconds=1.5, warmup=4,
    )  # fmt: skip
    assert result.failures == ()
    first, second = result.records
    assert first.model == str(model)
    assert first.model_sha256 == sha256(model.read_bytes())
    assert (first.runtime, first.delegate) == ("tflite benchmark_model", "cpu")
    assert first.runtime_version == f"sha256 {sha256(program.read_bytes())[:12]}"
    assert (first.device, first.device_kind) == ("Acme Phone 7 (Chips C700)", "adb")
    assert first.serial == device.serial
    assert (first.threads, first.cores, first.processes) == (2, (1, 3), 3)
    assert (first.warmup, first.runs) == (6, 3 * 17)  # half a second of warm-up made 6 of 4
    assert first.min_ms < first.p50_ms < first.mean_ms < first.first_run_ms
    assert first.mean_interval[0] < first.mean_ms < first.mean_interval[1]
    assert first.init_ms == 12.345
    assert first.model_rss_mib == 7.25
    # What the program does not print is not made up.
    assert first.p10_ms is first.p90_ms is first.p99_ms is first.peak_rss_mib is None
    assert first.noise == second.noise == ()
    conditions = first.conditions
    assert (conditions["soc"], conditions["android"], conditions["sdk"]) == ("Chips C700", "14", 34)
    assert conditions["before"]["governors"] == ["schedutil"]
    assert conditions["before"]["throttling"] == "none"
    assert conditions["after"]["temperature_c"] == 33.0
    assert [launch["runs"] for launch in conditions["launches"]] == [17] * 3
    (comparison,) = result.comparisons
    assert (comparison.a, comparison.b) == ("small.tflite", "larger.tflite")
    assert 1.4 < comparison.ratio < 1.5
    assert comparison.verdict == "larger.tflite is slower"
    json.dumps(result.to_json(), allow_nan=False)


def test_by_turns_pinned_and_tidied(plug_in, model, larger, program):
    phone, device = plug_in()
    measure_on_devices([model, larger], ["adb"], binary=program, cores=[1, 3], **THREE)
    graphs = [re.search(r"--graph=(\S+)", line)[1] for line in phone.launches]
    assert graphs == ["model-0.tflite", "model-1.tflite"] * 3
    assert set((phone.root / "tasksets").read_text().split()) == {"1", "a"}  # the probe, and 1|3
    assert "--num_runs=1 --min_secs=0 --max_secs=150 --warmup_runs=5" in phone.launches[0]
    assert phone.launches[0].endswith("--use_xnnpack=true")
    assert list(phone.left_behind()) == []
    assert device.refused == []


def test_the_same_model_twice_is_no_difference(plug_in, model, program):
    plug_in()
    result = measure_on_devices([model, model], ["adb"], binary=program, **THREE)
    assert result.comparisons[0].verdict == "no difference"
    assert len(result.records) == 2


OPTION = "fast' $(touch pwned) `touch pwned` && touch pwned"


def test_delegates(plug_in, model, program, tmp_path):
    phone, _ = plug_in()
    library = tmp_path / "my delegate.so"
    library.write_bytes(b"\x7fELF and more")
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"nothing")
    (phone.temporary / "vendor.so").write_bytes(b"\x7fELF of the vendor")
    specs = ["none", "gpu", "nnapi", str(library), str(broken), "/data/local/tmp/vendor.so", "x.so"]
    result = measure_on_devices(
        [model], ["adb"], binary=program, delegates=specs, **QUICK,
        delegate_options={"mode": OPTION},
    )  # fmt: skip
    assert [record.delegate for record in result.records] == [
        "none", "gpu", "my delegate.so", "vendor.so"
    ]  # fmt: skip
    gpu = result.records[1]
    assert (gpu.delegated_ops, gpu.ops) == (3, 4)
    assert gpu.conditions["delegation"] == "partially"
    nnapi, bad, absent = result.failures
    assert "small.tflite nnapi: the delegate nnapi was not used" in nnapi
    assert "bad ELF magic" in bad
    assert "x.so is neither here nor on" in absent
    assert any("--use_xnnpack=false" in line for line in phone.launches)
    # Given as it was written, and not run by a shell.
    assert any(line.endswith(f"_options=mode:{OPTION}") for line in phone.launches)
    assert [path.name for path in phone.left_behind()] == ["vendor.so"]


def test_a_delegate_option_that_cannot_be_written(plug_in, model, program, tmp_path):
    plug_in()
    library = tmp_path / "d.so"
    library.write_bytes(b"\x7fELF")
    with pytest.raises(UsageError, match="colons and semicolons"):
        measure_on_devices([model], ["adb"], binary=program, delegates=[str(library)],
                           delegate_options={"a": "b;c"}, **QUICK)  # fmt: skip


def test_profile(plug_in, model, program):
    phone, _ = plug_in()
    found = measure_on_devices([model], ["adb"], binary=program, profile=True, **QUICK)
    (record,) = found.records
    ops = found.profiles[0].ops
    assert [(op.number, op.kind, op.calls) for op in ops] == [
        (0, "QUANTIZE", 1), (0, "Convolution (NHWC, QC8) IGEMM", 3)
    ]  # fmt: skip
    # Per-op times add up to the inference; the figures come from launches without the profiler.
    assert sum(op.ms for op in ops) == pytest.approx(record.mean_ms, rel=0.01)
    assert [("--enable_op_profiling" in line) for line in phone.launches] == [False, True]
    assert record.processes == 1


def test_releases_without_percentiles(plug_in, model, larger, program):
    phone, _ = plug_in()
    phone.behave("old")
    result = measure_on_devices([model, larger], ["adb"], binary=program, **THREE)
    assert result.records[0].p50_ms is None
    assert result.records[0].mean_ms > 0
    assert result.comparisons[0].verdict == "larger.tflite is slower"  # by the means


NAMES = [
    "with space.tflite", "it's \"quoted\".tflite", "$(touch pwned).tflite", "`touch pwned`.tflite",
    "new\nline.tflite", "; touch pwned;.tflite", "-rf.tflite", "ünïcode.tflite", "a%20b,c.tflite",
]  # fmt: skip


def test_hostile_names(plug_in, model, program, tmp_path):
    phone, device = plug_in()
    paths = [tmp_path / name for name in NAMES]
    for path in paths:
        path.write_bytes(model.read_bytes())
    result = measure_on_devices(paths, ["adb"], binary=program, **QUICK)
    assert [record.model for record in result.records] == [str(path) for path in paths]
    assert result.failures == ()
    assert not list(phone.root.rglob("pwned"))
    assert device.refused == []
    assert list(phone.left_behind()) == []


def test_no_device(adb, model, program):
    with pytest.raises(DeviceError, match=r"no device is attached; plug one in"):
        measure_on_devices([model], ["adb"], binary=program, **QUICK)


def test_two_devices_are_ambiguous(plug_in, model, program, monkeypatch):
    serials = [plug_in()[1].serial for _ in range(2)]
    with pytest.raises(DeviceError, match=r"2 devices are attached: .* say which as adb:SERIAL"):
        measure_on_devices([model], ["adb"], binary=program, **QUICK)
    for spec in (f"adb:{serials[1]}", "adb"):
        result = measure_on_devices([model], [spec], binary=program, **QUICK)
        assert result.records[0].serial == serials[1]
        monkeypatch.setenv("ANDROID_SERIAL", serials[1])  # as adb itself has it


def test_two_devices_side_by_side(plug_in, model, larger, program):
    phones = [plug_in() for _ in range(2)]
    for number, (phone, _) in enumerate(phones):
        phone.behave(f"meet {number}")  # each waits for the other's program
    calls = []
    result = measure_on_devices(
        [model, larger], [f"adb:{device.serial}" for _, device in phones], binary=program,
        progress=lambda *call: calls.append(call), **THREE,
    )  # fmt: skip
    one, other = (device.serial for _, device in phones)
    assert [record.serial for record in result.records] == [one, one, other, other]
    # Each is compared with the first record of its own device.
    assert [(c.a_index, c.b_index) for c in result.comparisons] == [(0, 1), (2, 3)]
    assert calls == [(done, 12, "timing") for done in range(1, 13)]
    assert not any(list(phone.left_behind()) for phone, _ in phones)


def test_the_same_device_twice_is_one(plug_in, model, program):
    _, device = plug_in()
    result = measure_on_devices([model], ["adb", f"adb:{device.serial}"], binary=program, **QUICK)
    assert len(result.records) == 1


def test_unauthorised(plug_in, model, program):
    _, device = plug_in(authorised=False)
    with pytest.raises(DeviceError, match="is not authorised: unlock it and confirm"):
        measure_on_devices([model], ["adb"], binary=program, **QUICK)
    _, good = plug_in()
    result = measure_on_devices(
        [model], [f"adb:{device.serial}", f"adb:{good.serial}"], binary=program, **QUICK
    )
    assert [record.serial for record in result.records] == [good.serial]
    (failure,) = result.failures
    assert device.serial in failure
    assert "not authorised" in failure


def test_a_serial_that_is_not_there(plug_in, model, program):
    _, device = plug_in()
    with pytest.raises(DeviceError, match=rf"X1 is not attached; attached: {device.serial}"):
        measure_on_devices([model], ["adb:X1"], binary=program, **QUICK)


@pytest.mark.parametrize("spec", ["usb", "adb:", "", "adbx:1"])
def test_a_device_that_is_none(adb, model, program, spec):
    with pytest.raises(UsageError, match="expected a device such as adb"):
        measure_on_devices([model], [spec], binary=program, **QUICK)


def test_unplugged_in_the_middle(plug_in, model, larger, program):
    phone, device = plug_in()
    phone.behave("unplug 2")
    result = measure_on_devices([model, larger], ["adb"], binary=program, **QUICK)
    assert [record.model for record in result.records] == [str(model)]
    (failure,) = result.failures
    assert f"{device.serial} was unplugged or stopped answering" in failure
    assert "kept: 1 of 2 launches" in failure


def test_unplugged_after_some_rounds(plug_in, model, larger, program):
    phone, _ = plug_in()
    phone.behave("unplug 4")
    result = measure_on_devices([model, larger], ["adb"], binary=program, **THREE)
    assert [record.processes for record in result.records] == [2, 1]
    assert "only 1 of 3 launches were finished" in result.records[1].noise
    assert len(result.failures) == 1


def test_unplugged_at_once(plug_in, model, program):
    phone, _ = plug_in()
    phone.behave("unplug 1")
    with pytest.raises(DeviceError, match="was unplugged"):
        measure_on_devices([model], ["adb"], binary=program, **QUICK)


def test_one_of_two_devices_is_unplugged(plug_in, model, program):
    phones = [plug_in() for _ in range(2)]
    phones[0][0].behave("unplug 2")
    result = measure_on_devices(
        [model], [f"adb:{device.serial}" for _, device in phones], binary=program, **THREE
    )
    assert [record.processes for record in result.records] == [1, 3]
    assert len(result.failures) == 1


def test_a_program_that_crashes(plug_in, model, larger, program):
    phone, device = plug_in()
    phone.behave("crash 1")
    result = measure_on_devices([model, larger], ["adb"], binary=program, **THREE)
    assert [record.model for record in result.records] == [str(larger)]
    assert result.records[0].processes == 3
    (failure,) = result.failures
    assert re.match(
        rf"{device.serial}: small.tflite: benchmark_model crashed \(signal SIGABRT\)", failure
    )
    assert list(phone.left_behind()) == []


def test_a_program_that_always_crashes(plug_in, model, larger, program):
    phone, _ = plug_in()
    phone.behave("crash")
    with pytest.raises(DeviceError, match="SIGABRT"):
        measure_on_devices([model, larger], ["adb"], binary=program, **QUICK)
    assert len(phone.launches) == 2  # each model got its chance
    assert list(phone.left_behind()) == []


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("cut", r"cut short: .* its last line: INFO: count=7"),
        ("library", r'lacks a library: .* library "libEGL.so" not found'),
    ],
)
def test_a_program_that_fails(plug_in, model, larger, program, behaviour, message):
    phone, _ = plug_in()
    phone.behave(behaviour)
    with pytest.raises(DeviceError, match=message):
        measure_on_devices([model], ["adb"], binary=program, **QUICK)
    assert list(phone.left_behind()) == []


def test_output_cut_short_of_one_model(plug_in, model, larger, program):
    phone, _ = plug_in()
    phone.behave("cut 2")
    result = measure_on_devices([model, larger], ["adb"], binary=program, **QUICK)
    assert [record.model for record in result.records] == [str(model)]
    assert "cut short" in result.failures[0]


def test_a_program_that_hangs(plug_in, model, larger, program, monkeypatch):
    monkeypatch.setattr(benchmark_model, "MIN_MAX_SECONDS", 0.2)
    monkeypatch.setattr(launches, "PREPARE_SECONDS", 0.5)
    monkeypatch.setattr(launches, "TIMEOUT", 0.1)
    phone, _ = plug_in()
    phone.behave("hang 1")
    result = measure_on_devices([model, larger], ["adb"], binary=program, **QUICK)
    assert [record.model for record in result.records] == [str(larger)]
    assert "did not answer within 1 s" in result.failures[0]
    assert list(phone.left_behind()) == []


def test_throttling_is_noise(plug_in, model, program):
    phone, _ = plug_in()
    phone.behave("throttle 2")
    (record,) = measure_on_devices([model], ["adb"], binary=program, **THREE).records
    assert "the device throttled itself: thermal status 2 (moderate)" in record.noise
    assert (
        "the clock was capped meanwhile on 1 of 4 cores, core 3 to 1.40 of 2.80 GHz" in record.noise
    )
    assert record.conditions["after"]["throttling"] == "moderate"
    temperatures = [launch["temperature_c"] for launch in record.conditions["launches"]]
    assert temperatures == [[33.0, 33.0], [33.0, 71.5], [71.5, 71.5]]


def test_cool_down(plug_in, model, program):
    phone, _ = plug_in()
    phone.behave("throttle 1")
    slept, calls = [], []

    def sleep(seconds):
        slept.append(seconds)
        phone.thermal(temperature=35.9 if len(slept) == 2 else 50)

    found = measure_on_devices(
        [model], ["adb"], binary=program, sleep=sleep, progress=lambda *call: calls.append(call),
        **THREE | {"cool_down": 60},
    )  # fmt: skip
    assert slept == [5, 5]  # then within 3 degrees of the start
    assert found.records[0].conditions["cooled_s"] == 10
    assert calls == [
        (1, 3, "timing"), (5, 60, "cooling"), (10, 60, "cooling"), (2, 3, "timing"),
        (3, 3, "timing"),
    ]  # fmt: skip


def test_cool_down_ends(plug_in, model, program):
    phone, _ = plug_in()
    phone.behave("throttle 1")
    slept = []
    found = measure_on_devices([model], ["adb"], binary=program, sleep=slept.append,
                           **QUICK | {"processes": 2, "cool_down": 12})  # fmt: skip
    assert slept == [5, 5, 2]
    assert "the device did not cool down in 12 s before a launch" in found.records[0].noise


def test_what_else_is_noise(plug_in, model, program):
    phone, _ = plug_in()
    phone.behave("restless")
    (phone.root / "system/bin/taskset").unlink()
    phone.write("settings-low_power", "1")
    phone.write("sys/devices/system/cpu/cpu1/cpufreq/scaling_max_freq", "2100000")
    phone.properties(ro__kernel__qemu="1")
    (record,) = measure_on_devices([model], ["adb"], binary=program, cores=[2], **QUICK).records
    assert record.cores == ()
    assert record.noise == (
        "this is an emulator: its times say nothing about a phone",
        "the device did not pin the process to cores 2: it has no taskset",
        "the clock was capped from the start on 1 of 4 cores, core 1 to 2.10 of 2.80 GHz",
        "the battery saver is on",
        "runs spread by 40% of the mean (standard deviation; 15% is the limit)",
    )


def test_a_core_that_the_device_does_not_have(plug_in, model, program):
    phone, _ = plug_in()
    with pytest.raises(DeviceError, match="has no core 7; its cores are 0, 1, 2, 3"):
        measure_on_devices([model], ["adb"], binary=program, cores=[1, 7], **QUICK)
    assert list(phone.left_behind()) == []


def test_no_program_anywhere(plug_in, model):
    plug_in()
    with pytest.raises(DeviceError, match=r"no benchmark_model for x86_64 in .*cache") as error:
        measure_on_devices([model], ["adb"], **QUICK)
    assert "there is no official download for x86_64" in str(error.value)


def test_the_official_download_is_named(plug_in, model, tmp_path):
    phone, _ = plug_in()
    phone.properties(ro__product__cpu__abilist="arm64-v8a,armeabi-v7a,armeabi")
    with pytest.raises(DeviceError) as error:
        measure_on_devices([model], ["adb"], **QUICK)
    assert "/nightly/latest/android_aarch64_benchmark_model" in str(error.value)
    assert "litert/binaries/latest/android_arm64/benchmark_model" in str(error.value)
    assert str(tmp_path / "cache/benchmark_model_arm64-v8a") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_program_that_is_on_the_device(plug_in, model, program):
    phone, _ = plug_in()
    (phone.temporary / "benchmark_model").write_bytes(program.read_bytes())
    (record,) = measure_on_devices([model], ["adb"], **QUICK).records
    where = "/data/local/tmp/benchmark_model on the device"
    assert record.conditions["benchmark_model"] == where
    assert [path.name for path in phone.left_behind()] == ["benchmark_model"]


def test_a_program_in_the_cache_or_named_by_the_environment(
    plug_in, model, program, tmp_path, monkeypatch
):
    plug_in()
    folder = tmp_path / "cache/x86_64"
    folder.mkdir(parents=True)
    (folder / "benchmark_model").write_bytes(program.read_bytes())
    (record,) = measure_on_devices([model], ["adb"], **QUICK).records
    assert record.conditions["benchmark_model"] == str(folder / "benchmark_model")
    monkeypatch.setenv("EFFNET_LITE_BENCHMARK_MODEL", str(tmp_path / "absent"))
    with pytest.raises(InputError, match="absent does not exist; expected benchmark_model"):
        measure_on_devices([model], ["adb"], **QUICK)


def test_a_full_device(plug_in, model, program):
    phone, _ = plug_in()
    phone.write("disk-full", "No space left on device")
    with pytest.raises(DeviceError, match=r"cannot copy .*: .*No space left on device"):
        measure_on_devices([model], ["adb"], binary=program, **QUICK)
    assert list(phone.left_behind()) == []


def test_copies_are_checked(plug_in, model, program):
    phone, _ = plug_in()
    tool = phone.root / "system/bin/sha256sum"
    tool.unlink()  # a device without it: the sizes are compared
    assert measure_on_devices([model], ["adb"], binary=program, **QUICK).records
    tool.write_text(f"#!/bin/sh\necho {'0' * 64} $1\n")
    tool.chmod(0o755)
    with pytest.raises(DeviceError, match="did not arrive whole"):
        measure_on_devices([model], ["adb"], binary=program, **QUICK)
    assert list(phone.left_behind()) == []


def test_bad_models_and_numbers_come_first(model, tmp_path):
    (tmp_path / "bad.tflite").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"bad.tflite is not a .tflite model"):
        measure_on_devices([tmp_path / "bad.tflite"], ["adb"], **QUICK)
    for wrong in ({"cool_down": -1}, {"cores": [-1]}, {"processes": 0}, {"delegates": []}):
        with pytest.raises(UsageError):
            measure_on_devices([model], ["adb"], **QUICK | wrong)


def test_adb_is_missing(model, monkeypatch, tmp_path):
    for name in ("PATH", "HOME", "ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(DeviceError, match=r"adb is not installed.*apt install adb"):
        measure_on_devices([model], ["adb"], **QUICK)


def test_adb_of_the_sdk(monkeypatch, tmp_path):
    tools = tmp_path / "sdk/platform-tools"
    tools.mkdir(parents=True)
    (tools / "adb").write_text("#!/bin/sh\n")
    (tools / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))
    assert client.find_adb() == tools / "adb"


def test_a_delegate_library_for_litert_only(plug_in, model, program, tmp_path):
    """LiteRT's program has other flags, and cannot do without XNNPACK."""
    plug_in()
    data = program.read_bytes().replace(b"enable_op_profiling", b"use_profiler\0\0\0\0\0\0\0")
    path = tmp_path / "litert"
    path.write_bytes(data)
    with pytest.raises(DelegateError, match="LiteRT's benchmark_model has no delegate 'none'"):
        measure_on_devices([model], ["adb"], binary=path, delegates=["none"], **QUICK)
    (record,) = measure_on_devices([model], ["adb"], binary=path, **QUICK).records
    assert record.runtime == "litert benchmark_model"


def test_ctrl_c_cleans_up(plug_in, model, program):
    phone, _ = plug_in()

    def interrupt(done, total, label):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_on_devices([model], ["adb"], binary=program, progress=interrupt, **THREE)
    assert len(phone.launches) == 1
    assert list(phone.left_behind()) == []


def test_the_stand_in_is_what_adb_takes_it_for(plug_in, adb):
    """Exit codes, both streams, and a file there and back: the ground that the rest stands on."""
    phone, device = plug_in()
    done = subprocess.run([adb, "-s", device.serial, "shell", "echo out; echo err >&2; exit 7"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    original = phone.root / "large"
    original.write_bytes(bytes(range(256)) * 5000)
    handle = client.Adb(adb, device.serial)
    handle.push(original, "/data/local/tmp/copy")
    handle.pull("/data/local/tmp/copy", phone.root / "back")
    assert (phone.root / "back").read_bytes() == original.read_bytes()
    with pytest.raises(DeviceError, match="cannot copy"):
        handle.push(original, "/system/copy")
    assert device.refused == ["/system/copy"]
