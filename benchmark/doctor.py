"""What is installed here, what works, and what to install for the rest."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.metadata
import platform
import sys
from typing import Any

from effnet_lite import __version__
from effnet_lite.benchmark.adb.client import find_adb
from effnet_lite.benchmark.edgetpu.compiler import find_compiler
from effnet_lite.benchmark.host import delegates
from effnet_lite.benchmark.host.emulation import emulated
from effnet_lite.errors import EffnetLiteError
from effnet_lite.lite.photos import check_photos, sample_photos
from effnet_lite.lite.variants import VARIANTS
from effnet_lite.lite.weights import cache_folder, imagenet_weights
from effnet_lite.quantize.tflite.runtime import available_cpus, find_runtime, installed_runtimes
from effnet_lite.quiet import without_native_logs

# What a command needs beyond the base install: distribution → why, and the extra that brings it.
_OPTIONAL = {
    "tensorflow": ("Keras models, training, TF1 checkpoints", "convert"),
    "tf-keras": ("Keras models, training", "convert"),
    "tensorflow-model-optimization": ("quantization-aware training", "convert"),
    "h5py": ("Keras .h5 weights", "convert"),
    "safetensors": ("safetensors weights and checkpoints", "convert"),
    "tflite-runtime": ("the legacy runtime, for comparison", "tflite-runtime"),
}


@dataclasses.dataclass(frozen=True)
class Check:
    """One line: what was looked at, whether it works, what was found or what to do."""

    name: str
    ok: bool
    found: str


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Everything ``doctor`` found.

    Attributes:
        checks: What the base install needs; all must be ok.
        optional: What further commands need.
    """

    checks: tuple[Check, ...]
    optional: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether the base install works."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The document of ``doctor --json``."""
        return {"ok": self.ok, **dataclasses.asdict(self)}


def doctor() -> Diagnosis:
    """Look at this installation; imports nothing heavy."""
    checks = [
        Check("effnet-lite", True, __version__),
        Check("Python", sys.version_info >= (3, 10), platform.python_version()),
        Check("machine", True, f"{platform.machine()}, {available_cpus()} cores"),
        _runtime(),
    ]
    optional = [_package(name, *why) for name, why in _OPTIONAL.items()]
    optional += [_photos(), *_weights(), _adb(), *_edgetpu(), _clock()]
    return Diagnosis(tuple(checks), tuple(optional))


def _runtime() -> Check:
    try:
        find_runtime().load()
    except (EffnetLiteError, ImportError) as error:
        return Check("TFLite runtime", False, str(error))
    names = ", ".join(f"{runtime.name} {runtime.version}" for runtime in installed_runtimes())
    return Check("TFLite runtime", True, f"{names} (the first is used)")


def _package(name: str, purpose: str, extra: str) -> Check:
    try:
        return Check(name, True, f"{importlib.metadata.version(name)} ({purpose})")
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, f"for {purpose}: pip install 'effnet-lite[{extra}]'")


def _photos() -> Check:
    try:
        count, others = len(sample_photos()), len(check_photos()[0])
    except EffnetLiteError as error:
        return Check("sample photos", False, str(error))
    return Check("sample photos", True, f"{count} to calibrate on, {others} to check on")


def _weights() -> list[Check]:
    here, missing = [], []
    for variant in VARIANTS.values():
        try:
            imagenet_weights(variant, fetch=False)
            here.append(variant.name)
        except EffnetLiteError:
            missing.append(variant.name)
    checks = [Check("ImageNet weights", bool(here), ", ".join(here) or "none installed")]
    if missing:
        advice = f"{', '.join(missing)}: downloaded when first used, or put into {cache_folder()}"
        checks.append(Check("more weights", False, advice))
    return checks


def _adb() -> Check:
    try:
        return Check("adb", True, f"{find_adb()} (devices: benchmark --device adb)")
    except EffnetLiteError as error:
        return Check("adb", False, str(error))


def _edgetpu() -> list[Check]:
    library = delegates.parse(delegates.EDGETPU).path
    try:
        with without_native_logs():
            ctypes.CDLL(library)
    except OSError as error:
        found = Check("Edge TPU library", False, f"for --delegate edgetpu: {error}")
    else:
        found = Check("Edge TPU library", True, f"{library}, {_edgetpu_devices()}")
    try:
        compiler = Check("Edge TPU compiler", True, str(find_compiler()))
    except EffnetLiteError as error:
        why = str(error).partition(";")[0]  # how to install it fills four lines
        compiler = Check("Edge TPU compiler", False, f"for edgetpu compile: {why}")
    return [found, compiler]


def _edgetpu_devices() -> str:
    try:
        seen = [device.delegate for device in delegates.edgetpus().devices]
    except EffnetLiteError:  # a library need not be able to list them
        return "which lists no devices (benchmark --delegate edgetpu)"
    return ", ".join(seen) or "but no Edge TPU on USB or PCIe"


def _clock() -> Check:
    emulation = emulated()
    return Check("clock", not emulation, emulation or "this machine's own: latencies count")
