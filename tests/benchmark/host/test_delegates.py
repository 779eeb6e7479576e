"""Delegates: what is asked for, loaded, applied, and refused with one clear line."""

from __future__ import annotations

import ctypes.util
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from bad_models import Tensor as T
from bad_models import compiled_for_edgetpu, one_operator, string_input, unknown_operator
from c_delegate import Case, ask, build

from effnet_lite.benchmark.host import delegates
from effnet_lite.benchmark.host.shared_library import Binary, binary_of, own_binary
from effnet_lite.errors import DelegateError, UsageError
from effnet_lite.quantize.tflite.runtime import find_runtime, installed_runtimes

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ELF and its loader")
RUNTIMES = [runtime.name for runtime in installed_runtimes()]
FULLY_CONNECTED = 9


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp("delegate") / "libtest_delegate.so")


@pytest.fixture(scope="session")
def models(tmp_path_factory, tiny, int8_model):
    folder = tmp_path_factory.mktemp("delegated")
    contents = {
        "tiny": tiny,
        "custom": unknown_operator(),
        "compiled": compiled_for_edgetpu(),
        "strings": string_input(),
        # The shape of the output is known only when the second input is.
        "dynamic": one_operator("RESHAPE", [T((1, 4)), T((1,), "INT32")], [T((4,))]),
    }
    for name, content in contents.items():
        (folder / f"{name}.tflite").write_bytes(content)
    return {"int8": int8_model, **{name: folder / f"{name}.tflite" for name in contents}}


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("cpu", ("cpu", None, None)),
        ("none", ("none", None, None)),
        ("/opt/libvx_delegate.so", ("libvx_delegate.so", "/opt/libvx_delegate.so", None)),
        ("./delegate", ("delegate", "./delegate", None)),
        ("libneuron.so.2.1", ("libneuron.so.2.1", "libneuron.so.2.1", None)),
        ("a.dylib", ("a.dylib", "a.dylib", None)),
    ],
)
def test_what_may_be_asked_for(text, spec):
    assert delegates.parse(text) == delegates.DelegateSpec(*spec)


@pytest.mark.parametrize(
    ("platform", "name"),
    [("linux", "libedgetpu.so.1"), ("darwin", "libedgetpu.1.dylib"), ("win32", "edgetpu.dll")],
)
def test_the_edge_tpus_library_by_platform(monkeypatch, platform, name):
    monkeypatch.setattr(sys, "platform", platform)
    assert delegates.parse("edgetpu") == delegates.DelegateSpec("edgetpu", name)
    assert delegates.parse("edgetpu:usb:1") == delegates.DelegateSpec("edgetpu", name, "usb:1")
    assert delegates.parse("edgetpu:pci").device == "pci"


@pytest.mark.parametrize("text", ["", "xnnpack", "edgetpu:", "edgetpu:isa", "a\0.so", "edgetpu:0"])
def test_what_may_not_be_asked_for(text):
    with pytest.raises(UsageError, match=r"expected cpu \(XNNPACK\), none .* path of a delegate"):
        delegates.parse(text)


@pytest.mark.parametrize("text", ["gpu", "nnapi"])
def test_a_phones_delegates_are_not_this_machines(text):
    with pytest.raises(UsageError, match="--device adb"):
        delegates.parse(text)


def test_the_processors_own_need_no_library():
    for spec in ("cpu", "none"):
        assert delegates.load(delegates.parse(spec), find_runtime()) == []


@linux
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_on_every_runtime(runtime, library, models, tmp_path):
    """One process a runtime, because importing one takes seconds."""

    def case(model, **options):
        return Case(models[model], str(library), options)

    log = tmp_path / "log"
    answers = ask(
        runtime,
        [
            Case(models["tiny"]),
            case("tiny", fill="9", log=str(log)),
            case("tiny", claim="none"),
            case("int8", claim=str(FULLY_CONNECTED), fill="3"),
            case("tiny", fail="create", device="pci:3"),
            case("tiny", fail="silently"),
            case("tiny", fail="garbled"),
            case("tiny", fail="prepare"),
            case("tiny", fail="apply"),
            case("tiny", fail="init"),
            case("tiny", fail="run"),
            case("dynamic"),
            case("strings"),
            case("custom", claim="none"),
            Case(models["compiled"]),
            case("compiled", claim="none"),
            Case(models["tiny"]),
        ],
    )
    plain, filled, idle, part, *refused, dynamic, strings, custom, cpu, other, last = answers
    assert filled["output"] == [9] * 10  # the option arrived, and the delegate did the work
    assert filled["operators"] == ["FULLY_CONNECTED", "DELEGATE"]
    lines = log.read_text().splitlines()
    assert lines == [
        "fill 9 0",
        f"log {log} 0",
        "seen operators 1",
        "claimed operators 1",
        "destroyed delegate 0",
    ]
    assert idle["operators"] == ["FULLY_CONNECTED"]
    within_a_step(idle["output"], plain["output"])
    assert part["operators"].count("DELEGATE") == 1
    assert len(part["operators"]) > 20
    assert len(set(part["output"])) == 1  # softmax and QUANTIZE of equal logits
    name = library.name
    for answer, expected in zip(
        refused,
        [
            f"{library} makes no delegate: the accelerator is asleep; check its device and its "
            "options (fail=create, device=pci:3)",
            f"{library} makes no delegate: it gives no reason; check its device and its options "
            "(fail=silently)",
            f"{library} makes no delegate: it gives no reason; check its device and its options "
            "(fail=garbled)",
            f"delegate {name} fails on the model: the accelerator knows none of these operators; "
            "--delegate cpu runs it without",
            f"delegate {name} fails on the model: the accelerator knows none of these operators; "
            "--delegate cpu runs it without",
            f"delegate {name} fails on the model: the accelerator has no memory left; Node number "
            "1 (TestDelegate) failed to prepare; --delegate cpu runs it without",
            f"delegate {name} fails on the model: the accelerator overheated; Node number 1 "
            "(TestDelegate) failed to invoke; --delegate cpu runs it without",
        ],
        strict=True,
    ):
        assert answer == {"error": "DelegateError", "message": expected}
    assert dynamic["error"] == "DelegateError"
    assert "no tensors of dynamic size" in dynamic["message"]
    assert strings["error"] == "DelegateError"
    assert custom["error"] == "InputError"  # not the delegate's fault
    assert "MyOwnOperator" in custom["message"]
    for compiled in (cpu, other):
        assert compiled["error"] == "InputError"
        assert "is compiled for the Edge TPU" in compiled["message"]
    assert last == plain  # no failure spoils what comes after it


def within_a_step(found, expected):
    """XNNPACK and the built-in kernels round differently."""
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 1


@linux
@pytest.mark.parametrize("runtime", [name for name in RUNTIMES if name != "tensorflow"])
def test_the_edge_tpu(runtime, models, tmp_path):
    """Its library is missing, then there without a device, then it works."""
    if ctypes.util.find_library("edgetpu"):
        pytest.skip("the real libedgetpu is installed")
    (missing,) = ask(runtime, [Case(models["tiny"], "edgetpu")])
    assert missing["error"] == "DelegateError"
    assert "the Edge TPU's library is not installed (libedgetpu.so.1: " in missing["message"]
    assert "libedgetpu1-std" in missing["message"]

    build(tmp_path / "idle" / "libedgetpu.so.1", '-DFAIL="silently"')
    idle = ask(
        runtime,
        [Case(models["compiled"], "edgetpu"), Case(models["compiled"], "edgetpu:usb:0")],
        tmp_path / "idle",
    )
    for answer, device in zip(idle, ("", " as usb:0"), strict=True):
        assert answer["error"] == "DelegateError"
        expected = f"libedgetpu.so.1 is installed, but opens no Edge TPU{device}: there is "
        assert answer["message"].startswith(expected)
        assert "plug" in answer["message"]

    build(tmp_path / "works" / "libedgetpu.so.1", "-DFLAGS=1")
    log = tmp_path / "log"
    works, too_old, without = ask(
        runtime,
        [
            Case(models["compiled"], "edgetpu:pci:0", {"log": str(log)}),
            Case(models["compiled"], "edgetpu", {"claim": "none"}),
            Case(models["compiled"]),
        ],
        tmp_path / "works",
    )
    assert works == {"output": [7] * 10, "operators": ["edgetpu-custom-op", "DELEGATE"]}
    assert "device pci:0 0" in log.read_text().splitlines()
    assert too_old["error"] == "DelegateError"
    assert "update it to the release of the compiler" in too_old["message"]
    assert without["error"] == "InputError"
    assert "compiled for the Edge TPU" in without["message"]
    assert "--delegate edgetpu" in without["message"]


@linux
def test_the_edge_tpus_library_without_a_library_that_it_needs(tmp_path, monkeypatch):
    needed = build(tmp_path / "libneeded_usb.so")
    library = build(tmp_path / "libedgetpu.so.1", "-Wl,--no-as-needed", str(needed))
    needed.unlink()
    spec = delegates.DelegateSpec("edgetpu", str(library))
    with pytest.raises(DelegateError, match=r"libedgetpu.so.1 cannot be loaded: .*needed_usb"):
        delegates.load(spec, find_runtime())


@pytest.mark.parametrize(
    ("files", "advice"),
    [
        ({"usb/devices/1-1/idVendor": "1a6e", "usb/devices/1-1/idProduct": "089a"}, "plugdev"),
        ({"usb/devices/2-1/idVendor": "18d1", "usb/devices/2-1/idProduct": "9302"}, "plugdev"),
        ({"pci/devices/0/vendor": "0x1ac1", "pci/devices/0/device": "0x089a"}, "gasket-dkms"),
        ({"usb/devices/1-1/idVendor": "1a6e", "usb/devices/usb1/speed": "480"}, "plug it in"),
        ({}, "plug it in"),
    ],
)
def test_advice_by_what_the_system_sees(tmp_path, files, advice):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    assert advice in delegates._edgetpu_advice(tmp_path)


def refused(path):
    """The one line about a library that is none."""
    with pytest.raises(DelegateError) as caught:
        delegates.load(delegates.parse(str(path)), find_runtime())
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_files_that_are_no_library(tmp_path, photo, int8_model):
    assert "does not exist; expected a delegate's shared library" in refused(tmp_path / "none.so")
    assert "is a folder" in refused(tmp_path)
    (tmp_path / "empty.so").touch()
    assert "is empty" in refused(tmp_path / "empty.so")
    assert "it looks like a JPEG image" in refused(photo)
    assert "no shared library" in refused(int8_model)
    assert "neither here nor where the loader looks" in refused("libno_such_delegate.so")


@linux
def test_libraries_that_are_no_delegate(tmp_path, library):
    source = tmp_path / "other.c"
    source.write_text("int tflite_plugin_destroy_delegate(void) { return 1; }\n")
    other = build(tmp_path / "libother.so", source=source)
    assert refused(other).endswith("but no delegate: it does not export "
                                   "tflite_plugin_create_delegate")  # fmt: skip
    subprocess.run(["gcc", "-c", source, "-o", tmp_path / "other.o"], check=True)
    assert "but no shared library: link it with -shared" in refused(tmp_path / "other.o")
    whole = library.read_bytes()
    for size in (20, 100, 5000, len(whole) // 2):  # glibc dies of SIGBUS on the latter
        (tmp_path / "short.so").write_bytes(whole[:size])
        assert f"short.so is cut short: it has {size} bytes of " in refused(tmp_path / "short.so")
    # As if built for a phone: another e_machine in the same file.
    machine = 62 if own_binary().machine == "aarch64" else 183
    (tmp_path / "phone.so").write_bytes(whole[:18] + struct.pack("<H", machine) + whole[20:])
    message = refused(tmp_path / "phone.so")
    assert f"is a library for {'x86-64' if machine == 62 else 'aarch64'} (ELF), but" in message


@linux
def test_a_library_beside_the_user_needs_no_path(library, monkeypatch):
    monkeypatch.chdir(library.parent)
    assert len(delegates.load(delegates.parse(library.name), find_runtime())) == 1


def test_options_need_names(library):
    with pytest.raises(UsageError, match="KEY=VALUE"):
        delegates.load(delegates.parse(str(library)), find_runtime(), {"": "1"})


def elf(bits, order, kind, machine, ends=()):
    """An ELF header, and behind it a program header for each segment that ends there."""
    names = {"<": 1, ">": 2}
    head = b"\x7fELF" + bytes([bits // 32, names[order]]) + bytes(10)
    word, step = ("Q", 56) if bits == 64 else ("I", 32)
    size = 64 if bits == 64 else 52
    head += struct.pack(f"{order}HHI3{word}IHHHHHH", kind, machine, 1, 0, size, 0, 0, size, step,
                        len(ends), 0, 0, 0)  # fmt: skip
    for end in ends:
        if bits == 64:
            head += struct.pack(f"{order}2I6Q", 1, 5, end - 100, 0, 0, 100, 100, 4096)
        else:
            head += struct.pack(f"{order}8I", 1, end - 100, 0, 0, 100, 100, 5, 4096)
    return head


def pe(machine, flags):
    return (b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + struct.pack("<H", machine)
            + bytes(16) + struct.pack("<H", flags))  # fmt: skip


@pytest.mark.parametrize(
    ("header", "binary"),
    [
        (elf(64, "<", 3, 183, [500, 9000, 700]), Binary("ELF", "aarch64", True, 9000)),
        (elf(32, "<", 1, 40, [500]), Binary("ELF", "arm", False, 500)),
        (elf(64, ">", 3, 21), Binary("ELF", "machine 21", True, 0)),
        (elf(64, "<", 3, 62, [500])[:80], Binary("ELF", "x86-64", True, 81)),
        (struct.pack("<4I", 0xFEEDFACF, 0x0100000C, 0, 6), Binary("Mach-O", "aarch64", True)),
        (struct.pack("<4I", 0xFEEDFACF, 0x01000007, 3, 2), Binary("Mach-O", "x86-64", False)),
        (b"\xca\xfe\xba\xbe" + bytes(8), Binary("Mach-O", "several", True)),
        (pe(0x8664, 0x2022), Binary("PE", "x86-64", True)),
        (pe(0xAA64, 0x0022), Binary("PE", "aarch64", False)),
        (b"MZ" + bytes(100), None),
        (b"MZ", None),
        (b"\x7fELF\x02\x01", None),
        (b"", None),
        (b"#!/bin/sh\n", None),
    ],
)
def test_headers(header, binary):
    assert binary_of(header) == binary


@linux
def test_this_process_is_a_binary():
    own = own_binary()
    assert own.format == "ELF"
    assert 0 < own.size <= Path(sys.executable).stat().st_size
