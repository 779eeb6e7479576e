"""Which Edge TPUs a libedgetpu lists, and what is told when none can be opened."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
from edgetpu_models import HOST, gcc

from effnet_lite import doctor
from effnet_lite.benchmark.edgetpu.devices import EdgeTpu, edgetpu_devices
from effnet_lite.benchmark.host import delegates
from effnet_lite.errors import DelegateError
from effnet_lite.quantize.tflite.runtime import find_runtime

SOURCE = Path(__file__).with_name("fake_edgetpu.c")
SEEN = (
    EdgeTpu("edgetpu:pci:0", "/dev/apex_0"),
    EdgeTpu("edgetpu:usb:0", "/sys/bus/usb/devices/2-1"),
    EdgeTpu("edgetpu:usb:1", "/sys/bus/usb/devices/2-2"),
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="gcc and ELF")


@pytest.mark.parametrize("count", range(4))
def test_devices(tmp_path, count):
    library = gcc(tmp_path / "libedgetpu.so.1", SOURCE, f"-DDEVICES={count}")
    found = edgetpu_devices(str(library))
    assert found.devices == SEEN[:count]
    assert found.version.endswith("RuntimeVersion(14)")


def test_a_library_without_a_version(tmp_path):
    library = gcc(tmp_path / "libedgetpu.so.1", SOURCE, "-DWITHOUT_VERSION=1")
    assert edgetpu_devices(str(library)).version == "unknown"


def test_libraries_that_cannot_list(tmp_path):
    with pytest.raises(DelegateError, match=r"cannot be loaded: libnone\.so"):
        edgetpu_devices("libnone.so")
    library = gcc(tmp_path / "libother.so", HOST / "c_delegate.c")
    with pytest.raises(DelegateError, match="does not export edgetpu_list_devices"):
        edgetpu_devices(str(library))


@pytest.fixture
def libedgetpu(tmp_path, monkeypatch):
    """``libedgetpu(device, flags…)``: what --delegate edgetpu loads."""

    def make(device, *flags):
        library = gcc(tmp_path / f"{len(flags)}{device}" / "libedgetpu.so.1", SOURCE,
                      "-DDELEGATE=1", *flags)  # fmt: skip
        return delegates.DelegateSpec("edgetpu", str(library), device)

    return make


@pytest.mark.parametrize(
    ("device", "count", "told"),
    [
        (None, 0, "opens no Edge TPU: there is "),
        ("usb:0", 0, "opens no Edge TPU as usb:0: there is "),
        ("usb:0", 1, "the library sees edgetpu:pci:0; ask for one of these"),
        ("pci:1", 2, "the library sees edgetpu:pci:0, edgetpu:usb:0; ask for one of these"),
        ("usb:1", 3, "opens no Edge TPU as usb:1: there is "),
        ("usb", 2, "opens no Edge TPU as usb: there is "),
    ],
)
def test_a_device_that_does_not_open(libedgetpu, device, count, told):
    spec = libedgetpu(device, f"-DDEVICES={count}")
    with pytest.raises(DelegateError) as caught:
        delegates.load(spec, find_runtime())
    assert told in str(caught.value)


def test_the_installed_library(libedgetpu, monkeypatch):
    spec = libedgetpu(None, "-DDEVICES=2")
    monkeypatch.setattr(delegates, "parse", lambda _: spec)
    assert delegates.edgetpus().devices == SEEN[:2]
    checks = {check.name: check for check in doctor().optional}
    assert checks["Edge TPU library"].ok
    assert checks["Edge TPU library"].found == f"{spec.path}, edgetpu:pci:0, edgetpu:usb:0"
    missing = dataclasses.replace(spec, path="libedgetpu_missing.so.1")
    monkeypatch.setattr(delegates, "parse", lambda _: missing)
    with pytest.raises(DelegateError, match="the Edge TPU's library is not installed"):
        delegates.edgetpus()
    checks = {check.name: check for check in doctor().optional}
    assert not checks["Edge TPU library"].ok
    bare = libedgetpu("bare", "-DDEVICES=0")
    monkeypatch.setattr(delegates, "parse", lambda _: bare)
    checks = {check.name: check for check in doctor().optional}
    assert checks["Edge TPU library"].found.endswith("but no Edge TPU on USB or PCIe")


def test_doctor_says_where_the_compiler_is(stand_in, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(stand_in.folder))
    checks = {check.name: check for check in doctor().optional}
    assert checks["Edge TPU compiler"].found == str(stand_in.path)
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = {check.name: check for check in doctor().optional}
    assert not checks["Edge TPU compiler"].ok
    assert "for edgetpu compile: edgetpu_compiler is not installed" in (
        checks["Edge TPU compiler"].found
    )
