"""What devices, and an adb that says odd things, are understood to say."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from effnet_lite.benchmark.adb.binary import load_binary
from effnet_lite.benchmark.adb.client import Adb
from effnet_lite.benchmark.adb.device import Phone, choose, parse_state
from effnet_lite.errors import DeviceError


@pytest.fixture
def says(tmp_path, monkeypatch):
    """``says("TEXT")``: an adb that prints it, whatever it is asked."""
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)

    def make(text: str, code: int = 0, before: str = "") -> Path:
        path = tmp_path / "adb"
        (tmp_path / "text").write_text(text)
        path.write_text(f"#!/bin/sh\n{before}\ncat {tmp_path / 'text'}\nexit {code}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("R5CT\tunauthorized", "R5CT is not authorised: unlock it and confirm"),
        ("R5CT\toffline", "R5CT is offline, not ready"),
        ("R5CT\trecovery", "R5CT is recovery, not ready"),
        ("R5CT\tauthorizing", "R5CT is authorizing"),
        (
            "R5CT\tno permissions (user in plugdev group; are your udev rules wrong?); see "
            "[http://developer.android.com/tools/device.html]",
            "this user may not open R5CT: add udev rules",
        ),
        ("????????????\tno permissions", r"may not open \?+"),
    ],
)
def test_states(says, line, message):
    text = f"* daemon not running; starting now at tcp:5037\nList of devices attached\n{line}\n\n"
    with pytest.raises(DeviceError, match=message):
        choose("adb", says(text))


def test_one_of_two_is_offline(says):
    executable = says("List of devices attached\nA1\tdevice\nemulator-5554\toffline\n\n")
    with pytest.raises(DeviceError, match=r"A1, emulator-5554 \(offline\); say which"):
        choose("adb", executable)
    assert choose("adb:A1", executable).serial == "A1"


def test_an_adb_that_does_not_answer(says):
    executable = says("", before="exec sleep 30")
    with pytest.raises(DeviceError, match="A1 did not answer within 0 s"):
        Adb(executable, "A1").shell("true", timeout=0.2)


def test_an_adb_that_cannot_run(tmp_path):
    (tmp_path / "adb").write_text("")
    with pytest.raises(DeviceError, match=r"cannot run .*adb: Permission denied"):
        Adb(tmp_path / "adb").attached()


FULL = """cpu 0 scaling_governor schedutil
cpu 0 scaling_cur_freq 1100000
cpu 0 scaling_max_freq 1800000
cpu 0 cpuinfo_max_freq 1800000
cpu 7 scaling_governor walt
cpu 7 scaling_max_freq 2500000
cpu 7 cpuinfo_max_freq 3000000
zone 41200 cpu-1-0-usr
zone 38 battery
zone -40000 cpu-unused
zone 24400 skin therm
power_saving 1
Current Battery Service state:
  level: 57
  temperature: 300
dumpsys thermalservice
IsStatusOverride: false
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=90.0, mType=0, mName=CPU0, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
\tTemperature{mValue=45.5, mType=0, mName=CPU0, mStatus=0}
\tTemperature{mValue=47.25, mType=0, mName=CPU7, mStatus=1}
\tTemperature{mValue=31.0, mType=3, mName=skin, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=cpu}
"""


def test_state():
    state = parse_state(FULL)
    assert state.governors == {0: "schedutil", 7: "walt"}
    assert (state.clocks_khz, state.caps_khz) == ({0: 1100000}, {0: 1800000, 7: 2500000})
    assert state.limits_khz == {0: 1800000, 7: 3000000}
    assert state.temperature == 47.25  # what is now, not what was cached
    assert (state.throttling, state.battery, state.power_saving) == (1, 57, True)
    assert state.sensors["skin"] == 31.0
    assert state.to_json()["throttling"] == "light"


def test_state_without_the_thermal_service():
    """Before Android 10, or in a ROM without it: the zones of the kernel."""
    state = parse_state(FULL.partition("IsStatusOverride")[0] + "Can't find service: thermal")
    assert state.temperature == 41.2  # the processor's, in millidegrees, and plausible
    assert state.throttling is None


def test_an_overridden_status_is_none():
    assert parse_state(FULL.replace("Override: false", "Override: true")).throttling is None


def test_a_mute_device():
    state = parse_state("")
    assert state.temperature is state.throttling is state.battery is None
    assert state.to_json() == {}


PHONE = Phone("Acme", "P", None, "14", 34, ("arm64-v8a", "armeabi-v7a"), (0,), True, False)


def elf(machine: int, bits: int = 64, loader: bytes | None = None, text: bytes = b"") -> bytes:
    """The head of an ELF file, with one program header if there is a loader."""
    word, size, start = ("<Q", 56, 64) if bits == 64 else ("<I", 32, 52)
    data = bytearray(b"\x7fELF" + bytes([bits // 32, 1, 1]) + bytes(200))
    struct.pack_into("<H", data, 18, machine)
    struct.pack_into(word, data, 32 if bits == 64 else 28, start)
    struct.pack_into("<HH", data, 54 if bits == 64 else 42, size, loader is not None)
    if loader is not None:
        struct.pack_into("<I", data, start, 3)
        struct.pack_into(word, data, start + (8 if bits == 64 else 4), len(data))
        struct.pack_into(word, data, start + (32 if bits == 64 else 16), len(loader))
        data += loader
    return bytes(data) + text


def test_programs_that_fit():
    android = elf(183, loader=b"/system/bin/linker64\0", text=b"enable_op_profiling")
    assert not load_binary(android, "x", PHONE).litert
    assert load_binary(elf(183, text=b"use_profiler"), "x", PHONE).litert
    assert load_binary(elf(40, 32, b"/system/bin/linker\0"), "x", PHONE).version.startswith("sha")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"#!/bin/sh\n" + bytes(80), "not an ELF file"),
        (elf(62), "x is for x86_64, but the device runs arm64-v8a, armeabi-v7a"),
        (elf(8), "for another processor"),
        (elf(183, loader=b"/lib/ld-linux-aarch64.so.1\0"), "x is for Linux .*ld-linux-aarch64"),
        (elf(40, 32, b"/lib/ld-linux-armhf.so.3\0"), "for Linux"),
        (b"\x7fELF", "not an ELF file"),
    ],
)
def test_programs_that_do_not(data, message):
    with pytest.raises(DeviceError, match=message) as error:
        load_binary(data, "x", PHONE)
    assert "android_aarch64_benchmark_model" in str(error.value)


def test_a_damaged_program_header():
    data = bytearray(elf(183, loader=b"/lib/ld.so\0"))
    struct.pack_into("<Q", data, 32, 1 << 40)
    assert load_binary(bytes(data), "x", PHONE)  # the device will say what is wrong with it
