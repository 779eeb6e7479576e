"""effnet-lite edgetpu check, compile, devices; and classify on an Edge TPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from effnet_lite.quantize.tflite.file import read_model

FOLDER = Path(__file__).resolve().parents[1] / "benchmark"
sys.path.insert(0, str(FOLDER / "edgetpu"))

from edgetpu_models import Op, T, as_compiled, gcc, graph  # noqa: E402

STAND_IN = FOLDER / "edgetpu" / "compiler_stand_in.py"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="gcc and ELF")


@pytest.fixture
def partial(tmp_path):
    """RELU, ABS, RELU."""
    tensors = dict.fromkeys("xabc", T((1, 4)))
    ops = [Op("RELU", ["x"], ["a"]), Op("ABS", ["a"], ["b"]), Op("RELU", ["b"], ["c"])]
    path = tmp_path / "partial.tflite"
    path.write_bytes(graph(tensors, ops, ["c"]))
    return path


@pytest.fixture
def compiler(tmp_path, monkeypatch, int8_model):
    """A stand-in that is told where the compiled model is."""
    if sys.platform == "win32":
        pytest.skip("a script needs a shebang line")
    program, output = tmp_path / "edgetpu_compiler", tmp_path / "compiled"
    program.write_text(f"#!{sys.executable}\n{STAND_IN.read_text()}")
    program.chmod(0o755)
    output.write_bytes(as_compiled(read_model(int8_model)))
    monkeypatch.setenv("EFFNET_LITE_EDGETPU_COMPILER", str(program))
    monkeypatch.setenv("STAND_IN_OUTPUT", str(output))
    monkeypatch.setenv("STAND_IN_ARGUMENTS", str(tmp_path / "arguments"))
    monkeypatch.setenv("STAND_IN_SCENARIO", "success")
    return program


def test_check(cli, int8_model):
    answer = cli("edgetpu", "check", int8_model, "--require-full", "--operators")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].endswith("operators on the Edge TPU (checked without the compiler)")
    assert lines[1].split() == ["operator", "Edge", "TPU", "CPU"]
    assert "streamed at each inference" in answer.out
    assert "an estimate from published times, not a" in answer.out
    assert "on the CPU " not in answer.out
    assert all(len(line) <= 120 for line in lines)


def test_check_json(cli, int8_model):
    answer = cli("edgetpu", "check", int8_model, "--json", "--on-chip", "1000")
    assert (answer.code, answer.err) == (0, "")
    document = json.loads(answer.out)
    assert {"mapped", "unmapped", "reasons", "parameters", "made_by"} <= set(document)
    assert document["parameters"]["cached_bytes"] == 1000
    assert document["parameters"]["streamed_bytes"] > 0


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_require_full(cli, partial, options):
    assert cli("edgetpu", "check", partial, *options).code == 0
    answer = cli("edgetpu", "check", partial, "--require-full", *options)
    assert answer.code == 1
    assert answer.err == (
        "effnet-lite: partial.tflite does not run wholly on the Edge TPU: 1 ABS, 1 RELU stay on "
        "the CPU\n"
    )
    assert "ABS is no operator of the Edge TPU" in answer.out
    if options:
        assert json.loads(answer.out)["unmapped"] == {"ABS": 1, "RELU": 1}
    else:
        assert "cut            at operator 1, ABS b" in answer.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("check", "none.tflite"), 1, "does not exist"),
        (("check", "none.tflite", "--on-chip", "-1"), 2, "must be 0 to"),
        (("check",), 2, "Missing argument"),
        (("compile", "none.tflite"), 1, "does not exist"),
        (("compile", "none.tflite", "--min-runtime-version", "0"), 2, "1 to 99"),
        (("solder",), 2, "No such command"),
    ],
)
def test_wrong_usage(cli, arguments, code, said):
    answer = cli("edgetpu", *arguments)
    assert answer.code == code
    assert said in answer.err


def test_compile(cli, compiler, int8_model, tmp_path):
    output = tmp_path / "a_edgetpu.tflite"
    answer = cli("edgetpu", "compile", int8_model, "-o", output, "--require-full")
    assert (answer.code, answer.err) == (0, "")
    assert "(edgetpu_compiler 16.0.384591198)" in answer.out
    assert "description and labels kept" in answer.out
    assert f"effnet-lite classify {output} PHOTO.jpg --delegate edgetpu" in answer.out
    answer = cli("edgetpu", "compile", int8_model, "-o", output, "--overwrite", "--json")
    document = json.loads(answer.out)
    assert document["output"] == str(output)
    assert document["mapped"]["CONV_2D"] == 33
    assert document["description_kept"] is True


def test_compile_partly(cli, compiler, int8_model, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_SCENARIO", "partial")
    output = tmp_path / "a_edgetpu.tflite"
    answer = cli("edgetpu", "compile", int8_model, "-o", output, "--require-full")
    assert answer.code == 1
    assert output.exists()
    assert "2 ADD: More than one subgraph is not supported" in answer.out
    assert "stay on the CPU" in answer.err


def test_compile_fails(cli, compiler, int8_model, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_SCENARIO", "no_integer_overflow")
    answer = cli("edgetpu", "compile", int8_model, "-o", tmp_path / "a.tflite")
    assert answer.code == 1
    assert answer.err.startswith("effnet-lite: edgetpu_compiler 16.0.384591198: the scales of ")
    assert not (tmp_path / "a.tflite").exists()


def test_no_compiler(cli, int8_model, tmp_path, monkeypatch):
    monkeypatch.delenv("EFFNET_LITE_EDGETPU_COMPILER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = cli("edgetpu", "compile", int8_model, "-o", tmp_path / "a.tflite")
    assert answer.code == 1
    assert "edgetpu_compiler is not installed; " in answer.err


@pytest.mark.parametrize("name", ["check", "compile", "devices"])
def test_every_command_has_an_example(cli, name):
    answer = cli("edgetpu", name, "--help")
    assert answer.code == 0
    assert f"Example: effnet-lite edgetpu {name}" in answer.out


def in_a_process(folder, *arguments):
    """The command line with the loader looking into ``folder`` first."""
    code = "import sys; from effnet_lite.cli import main; main.main(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@linux
def test_devices(tmp_path):
    gcc(tmp_path / "libedgetpu.so.1", FOLDER / "edgetpu" / "fake_edgetpu.c", "-DDEVICES=2",
        "-DDELEGATE=1")  # fmt: skip
    answer = in_a_process(tmp_path, "edgetpu", "devices")
    assert answer.stdout.splitlines() == [
        "libedgetpu.so.1: BuildLabel(COMPILER=stand-in), RuntimeVersion(14)",
        "edgetpu:pci:0  /dev/apex_0",
        "edgetpu:usb:0  /sys/bus/usb/devices/2-1",
    ]
    answer = in_a_process(tmp_path, "edgetpu", "devices", "--json")
    assert len(json.loads(answer.stdout)["devices"]) == 2


@linux
def test_classify_on_an_edge_tpu(cli, compiler, int8_model, photo, tmp_path):
    """Compiled, then run by a library that answers 7 everywhere; and the three failures."""
    output = tmp_path / "a_edgetpu.tflite"
    assert cli("edgetpu", "compile", int8_model, "-o", output).code == 0

    works = gcc(tmp_path / "works" / "libedgetpu.so.1", FOLDER / "host" / "c_delegate.c",
                "-DFLAGS=1").parent  # fmt: skip
    answer = in_a_process(works, "classify", output, photo, "--delegate", "edgetpu:usb:0", "--json")
    assert answer.returncode == 0, answer.stderr
    (result,) = json.loads(answer.stdout)["results"]
    scores = {category["score"] for category in result["categories"]}
    assert len(scores) == 1  # all outputs are the same 7
    assert result["categories"][0]["label"] == "tench"  # the labels came along

    without = cli("classify", output, photo)
    assert without.code == 1
    assert "compiled for the Edge TPU and runs only with its delegate" in without.err

    missing = in_a_process(tmp_path, "classify", output, photo, "--delegate", "edgetpu")
    assert missing.returncode == 1
    assert "the Edge TPU's library is not installed" in missing.stderr

    idle = gcc(tmp_path / "idle" / "libedgetpu.so.1", FOLDER / "host" / "c_delegate.c",
               '-DFAIL="silently"').parent  # fmt: skip
    refused = in_a_process(idle, "classify", output, photo, "--delegate", "edgetpu")
    assert refused.returncode == 1
    assert "is installed, but opens no Edge TPU" in refused.stderr

    unknown = cli("classify", output, photo, "--delegate", "tpu")
    assert unknown.code == 2
    assert "unknown delegate 'tpu'" in unknown.err
