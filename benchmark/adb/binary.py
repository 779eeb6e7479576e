"""Where ``benchmark_model`` is, and whether it runs on a device.

In this order: the path that the user gives, $EFFNET_LITE_BENCHMARK_MODEL, the cache folder
($EFFNET_LITE_CACHE or ~/.cache/effnet-lite), and /data/local/tmp of the device. The last two
are searched for the device's ABI by the names of the official downloads and by
``benchmark_model_ABI`` and ``ABI/benchmark_model``.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from effnet_lite.benchmark.adb.client import Adb
from effnet_lite.benchmark.adb.device import Phone
from effnet_lite.errors import DeviceError
from effnet_lite.files import read_bytes, sha256
from effnet_lite.lite.weights.imagenet import cache_folder

VARIABLE = "EFFNET_LITE_BENCHMARK_MODEL"
ON_DEVICE = "/data/local/tmp"
# https://ai.google.dev/edge/litert/models/measurement and
# https://developers.google.com/edge/litert/next/benchmark
TENSORFLOW = (
    "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/"
    "nightly/latest/"
)
LITERT = "https://storage.googleapis.com/litert/binaries/latest/android_arm64/benchmark_model"


@dataclasses.dataclass(frozen=True)
class _Abi:
    """An ABI of Android: ELF machine and word, and the word in the names of downloads."""

    machine: int
    bits: int
    download: str | None = None


_ABIS = {
    "arm64-v8a": _Abi(183, 64, "aarch64"),
    "armeabi-v7a": _Abi(40, 32, "arm"),
    "armeabi": _Abi(40, 32),
    "x86_64": _Abi(62, 64),
    "x86": _Abi(3, 32),
    "riscv64": _Abi(243, 64),
}


@dataclasses.dataclass(frozen=True)
class Binary:
    """A benchmark program for a device.

    Attributes:
        data, sha256: The file.
        where: Its path here, or on the device.
        litert: Whether it is LiteRT's for the CompiledModel API, which has flags and output
            of its own; else TensorFlow's.
    """

    data: bytes
    sha256: str
    where: str
    litert: bool

    @property
    def runtime(self) -> str:
        """Its name in a record."""
        return "litert benchmark_model" if self.litert else "tflite benchmark_model"

    @property
    def version(self) -> str:
        """It prints none, so the beginning of its digest."""
        return f"sha256 {self.sha256[:12]}"


def find_binary(given: Path | None, phone: Phone, adb: Adb) -> Binary:
    """The benchmark program for a device.

    Args:
        given: What the user says, before everything else.
        phone, adb: The device.

    Raises:
        InputError: The file that the user names cannot be read.
        DeviceError: There is none for this device, or it is for another.
    """
    named = os.environ.get(VARIABLE)
    if given is None and named:
        given = Path(named).expanduser()
    if given is not None:
        return load_binary(read_bytes(given, "benchmark_model"), str(given), phone)
    for path in _local_paths(phone):
        if path.is_file():
            return load_binary(read_bytes(path, "benchmark_model"), str(path), phone)
    names = " ".join(shlex.quote(f"{ON_DEVICE}/{name}") for name in _names(phone))
    listed = adb.shell(f"for file in {names}; do test -f $file && echo $file; done; true").text
    if found := listed.split():
        with tempfile.TemporaryDirectory() as folder:
            adb.pull(found[0], Path(folder, "benchmark_model"))
            data = Path(folder, "benchmark_model").read_bytes()
        return load_binary(data, f"{found[0]} on the device", phone)
    raise DeviceError(_missing(phone))


def load_binary(data: bytes, where: str, phone: Phone) -> Binary:
    """Check that a program runs on the device.

    Raises:
        DeviceError: It is no program, or for other devices.
    """
    if data[:4] != b"\x7fELF" or len(data) < 64:
        raise DeviceError(f"{where} is no program for Android (not an ELF file); {_advice(phone)}")
    machine = struct.unpack_from("<H", data, 18)[0], {1: 32, 2: 64}.get(data[4])
    runs_on = [name for name, abi in _ABIS.items() if (abi.machine, abi.bits) == machine]
    if not set(runs_on) & set(phone.abis):
        raise DeviceError(
            f"{where} is for {runs_on[0] if runs_on else 'another processor'}, but the device "
            f"runs {', '.join(phone.abis)}; {_advice(phone)}"
        )
    loader = _loader(data)
    if loader is not None and not loader.startswith(("/system/", "/apex/")):
        raise DeviceError(
            f"{where} is for Linux (its loader is {loader}), not for Android; {_advice(phone)}"
        )
    # Strings in the program: TensorFlow's has the one flag, LiteRT's the other.
    litert = b"use_profiler" in data and b"enable_op_profiling" not in data
    return Binary(data, sha256(data), where, litert)


def _local_paths(phone: Phone) -> Iterator[Path]:
    folder = cache_folder()
    for abi in phone.abis:
        yield folder / abi / "benchmark_model"
    for name in _names(phone):
        yield folder / name


def _names(phone: Phone) -> list[str]:
    found = []
    for name in phone.abis:
        found.append(f"benchmark_model_{name}")
        if name in _ABIS and (word := _ABIS[name].download):
            found.append(f"android_{word}_benchmark_model")
    return [*found, "benchmark_model"]


def _missing(phone: Phone) -> str:
    return (
        f"no benchmark_model for {phone.abis[0]} in {cache_folder()} or in {ON_DEVICE} of the "
        f"device; {_advice(phone)}"
    )


def _advice(phone: Phone) -> str:
    """Where to get one that fits."""
    abi = phone.abis[0]
    word = _ABIS[abi].download if abi in _ABIS else None
    target = cache_folder() / f"benchmark_model_{abi}"
    if word is None:
        return (
            f"there is no official download for {abi}: build TensorFlow's "
            "//tensorflow/lite/tools/benchmark:benchmark_model and give its path with --binary"
        )
    other = f" or LiteRT's {LITERT}" if abi == "arm64-v8a" else ""
    return (
        f"download TensorFlow's {TENSORFLOW}android_{word}_benchmark_model{other} "
        f"and save it as {target}, or give its path with --binary"
    )


def _loader(data: bytes) -> str | None:
    """The dynamic loader that an ELF file asks for; None if it is static or damaged."""
    try:
        if data[4] == 2:
            (start,) = struct.unpack_from("<Q", data, 32)
            size, count = struct.unpack_from("<HH", data, 54)
        else:
            (start,) = struct.unpack_from("<I", data, 28)
            size, count = struct.unpack_from("<HH", data, 42)
        for number in range(count):
            base = start + number * size
            if struct.unpack_from("<I", data, base)[0] != 3:  # PT_INTERP
                continue
            if data[4] == 2:
                offset, length = (
                    *struct.unpack_from("<Q", data, base + 8),
                    *struct.unpack_from("<Q", data, base + 32),
                )
            else:
                offset, length = (
                    *struct.unpack_from("<I", data, base + 4),
                    *struct.unpack_from("<I", data, base + 16),
                )
            return data[offset : offset + length].rstrip(b"\0").decode("utf-8", "replace")
    except struct.error:
        pass
    return None
