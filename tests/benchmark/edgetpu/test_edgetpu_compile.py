"""Compiling with a program that prints what edgetpu_compiler prints."""

import time
from pathlib import Path

import pytest
from bad_models import compiled_for_edgetpu, dynamic_batch
from edgetpu_models import as_compiled

from effnet_lite.benchmark.edgetpu import compiler
from effnet_lite.benchmark.edgetpu.compile import edgetpu_compile
from effnet_lite.benchmark.edgetpu.compiler_log import parse_log
from effnet_lite.benchmark.edgetpu.records import Parameters, Reason
from effnet_lite.errors import ConversionError, EffnetLiteError, InputError, UsageError
from effnet_lite.quantize.tflite.description import ENTRY, read_description
from effnet_lite.quantize.tflite.file import read_model
from effnet_lite.quantize.tflite.metadata import ENTRY as METADATA
from effnet_lite.quantize.tflite.metadata import read_labels, read_metadata


@pytest.fixture
def model(int8_model, tmp_path):
    path = tmp_path / "-o my model.tflite"  # a name that a careless command line trips over
    path.write_bytes(int8_model.read_bytes())
    return path


def compiled(stand_in, model, scenario="success", kept=(), **options):
    program = stand_in.plays(scenario, as_compiled(read_model(model), kept))
    return edgetpu_compile(model, compiler=program, **options)


@pytest.mark.parametrize("kept", [(), (ENTRY,), (METADATA,), (ENTRY, METADATA)])
def test_the_file_keeps_what_the_model_says(stand_in, model, kept):
    """Whether the compiler drops the metadata or not."""
    result = compiled(stand_in, model, kept=kept)
    assert result.output == model.with_name("-o my model_edgetpu.tflite")
    assert result.description_kept
    written, before = read_model(result.output), read_model(model)
    assert read_description(written) == read_description(before) is not None
    assert read_metadata(written) == read_metadata(before) is not None
    assert read_labels(written) == read_labels(before)
    assert len(read_labels(written)) == 1000
    assert (result.bytes, result.compiler, result.segments) == (len(written), "16.0.384591198", 1)
    assert sorted(path.name for path in model.parent.iterdir()) == [
        "-o my model.tflite", "-o my model_edgetpu.tflite", "stand-in",
    ]  # fmt: skip


def test_a_foreign_model(stand_in, tiny, tmp_path):
    path = tmp_path / "foreign.tflite"
    path.write_bytes(tiny)
    result = compiled(stand_in, path, output=tmp_path / "a.tflite")
    assert result.description_kept is None
    assert result.output.read_bytes() == as_compiled(tiny)  # untouched


def test_the_log_of_a_full_mapping(stand_in, model):
    result = compiled(stand_in, model)
    assert result.full
    assert result.mapping.mapped == {"CONV_2D": 33, "DEPTHWISE_CONV_2D": 16, "SOFTMAX": 1}
    assert result.mapping.reasons == ()
    assert result.mapping.parameters == Parameters(7_224_689, 0, 7_225_713)
    document = result.to_json()
    assert document["parameters"]["cached_bytes"] == 7_224_689
    assert {"mapped", "unmapped", "reasons", "sha256", "output"} <= set(document)


def test_the_log_of_a_partial_mapping(stand_in, model):
    result = compiled(stand_in, model, "partial")
    assert not result.full
    assert result.mapping.mapped == {"CONV_2D": 35, "ADD": 6}
    assert result.mapping.unmapped == {"ADD": 2, "QUANTIZE": 1, "DEQUANTIZE": 1}
    assert result.mapping.reasons == (
        Reason("ADD", 2, "More than one subgraph is not supported"),
        Reason("QUANTIZE", 1, "Operation is otherwise supported, but not mapped due to some "
               "unspecified limitation"),
        Reason("DEQUANTIZE", 1, "Operation is working on an unsupported data type"),
    )  # fmt: skip
    assert result.mapping.parameters.streamed_bytes == 175 * 1024


def test_a_table_in_the_log_file(stand_in, model):
    result = compiled(stand_in, model, "table_in_the_file")
    assert result.compiler == "14.1.317412892"
    assert result.mapping.unmapped == {"ADD": 2, "QUANTIZE": 1, "DEQUANTIZE": 1}


def test_a_log_without_a_table(stand_in, model):
    result = compiled(stand_in, model, "version_2")
    assert result.full
    assert result.mapping.mapped == {"edgetpu-custom-op": 1}
    assert result.compiler == "2.0.267685300"


def test_arguments(stand_in, model):
    compiled(stand_in, model, min_runtime_version=13)
    first, second, folder, *rest, name = stand_in.arguments
    assert (first, second, rest) == (
        "--show_operations",
        "--out_dir",
        ["--min_runtime_version", "13"],
    )
    assert Path(folder).is_absolute()
    assert Path(name).name == "model.tflite"
    assert not Path(name).exists()


FAILURES = {
    "no_integer_overflow": "the scales of operator 31 (CONV_2D) overflow",
    "too_old": "too old for this model: it does not know version 6 of CONV_2D; install",
    "unknown_operator": "too old for this model: it does not know the operator number 150",
    "dynamic": "tensors of any size; convert it with fixed shapes",
    "large": "activations are too large",
    "internal": "an internal error of the compiler",
    "unheard_of": "The moon is full.",
    "crash": "it crashed (SIGSEGV) and left no reason; it last said: Edge TPU Compiler version "
    "16.0.384591198 / terminating with uncaught exception",
    "silent": "it ended well, but wrote no compiled model",
    "garbage": "what the compiler wrote cannot be used: it is no .tflite file",
    "other_program": "it does not seem to be edgetpu_compiler: it last said: usage: frobnicate",
}


@pytest.mark.parametrize("scenario", FAILURES)
def test_failures(stand_in, model, scenario):
    with pytest.raises(ConversionError) as caught:
        compiled(stand_in, model, scenario)
    message = str(caught.value)
    assert FAILURES[scenario] in message
    assert "\n" not in message
    assert {path.name for path in model.parent.iterdir()} == {model.name, "stand-in"}


def test_nothing_is_mapped(stand_in, model):
    program = stand_in.plays("nothing_mapped", read_model(model))
    with pytest.raises(ConversionError, match=r"maps no operator .*RESHAPE: Operation is working"):
        edgetpu_compile(model, compiler=program)


def test_it_hangs(stand_in, model):
    """It and its child are stopped."""
    with pytest.raises(ConversionError, match="has not ended after 2 seconds and was stopped"):
        compiled(stand_in, model, "hang", timeout=2)
    child = int(stand_in.arguments_file.read_text())
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_existing_file(stand_in, model):
    first = compiled(stand_in, model)
    before = first.output.read_bytes()
    stand_in.arguments_file.unlink()
    with pytest.raises(InputError, match="--overwrite"):
        compiled(stand_in, model)
    assert not stand_in.arguments_file.exists()  # refused before the compiler ran
    with pytest.raises(ConversionError):
        compiled(stand_in, model, "internal", overwrite=True)
    assert first.output.read_bytes() == before
    assert compiled(stand_in, model, overwrite=True).sha256 == first.sha256


def test_where_the_compiler_is(stand_in, model, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EffnetLiteError, match=r"edgetpu_compiler is not installed; .*coral.ai"):
        compiler.find_compiler()
    monkeypatch.setenv("PATH", str(stand_in.folder))
    assert compiler.find_compiler() == stand_in.path
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(compiler.VARIABLE, str(stand_in.path))
    assert compiler.find_compiler() == stand_in.path
    with pytest.raises(InputError, match=r"--compiler is .*none.*, where there is no program"):
        compiler.find_compiler(tmp_path / "none")
    monkeypatch.setenv(compiler.VARIABLE, str(model))  # not executable
    with pytest.raises(InputError, match=r"\$EFFNET_LITE_EDGETPU_COMPILER is "):
        compiler.find_compiler()


@pytest.mark.parametrize(
    ("system", "machine", "told"),
    [("linux", "x86_64", "apt-get install edgetpu-compiler"), ("linux", "aarch64", "none for this"),
     ("darwin", "x86_64", "Colab"), ("win32", "AMD64", "docker run")],
)  # fmt: skip
def test_how_to_install(monkeypatch, system, machine, told):
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    text = compiler.how_to_install()
    assert told in text
    assert ("apt-get install" in text) is (machine == "x86_64" and system == "linux")


def test_a_program_of_another_kind(stand_in, model):
    stand_in.path.write_bytes(b"\x7fELF no program")
    with pytest.raises(ConversionError, match="cannot be run"):
        edgetpu_compile(model, compiler=stand_in.path)


def test_models_that_are_not_compiled(stand_in, tmp_path, photo):
    program = stand_in.plays("success", compiled_for_edgetpu())
    path = tmp_path / "compiled.tflite"
    path.write_bytes(compiled_for_edgetpu())
    with pytest.raises(InputError, match="compiled for the Edge TPU already"):
        edgetpu_compile(path, compiler=program)
    with pytest.raises(InputError, match="JPEG"):
        edgetpu_compile(photo, compiler=program)
    path.write_bytes(dynamic_batch())
    assert edgetpu_compile(path, compiler=program).segments == 1  # the compiler decides
    for options in ({"min_runtime_version": 0}, {"timeout": 0}, {"timeout": float("nan")}):
        with pytest.raises(UsageError):
            edgetpu_compile(path, compiler=program, **options)


@pytest.mark.parametrize(
    ("size", "count"),
    [("0.00B", 0), ("12.50KiB", 12_800), ("6.86MiB", 7_193_231), ("1.00GiB", 2**30), ("?", 0)],
)
def test_sizes(size, count):
    log = parse_log(
        f"On-chip memory used for caching model parameters: {size}\r\n"
        "ADD   1   Mapped to Edge TPU\r\n"
    )
    assert log.mapping.parameters == Parameters(count, 0, None)
    assert log.mapping.mapped == {"ADD": 1}


def test_other_figures_of_the_log():
    log = parse_log(
        "Edge TPU Compiler version 15.0.340273435\nModel compiled successfully in 93 ms.\n"
        "Number of Edge TPU subgraphs: 4\nTotal number of operations: 26\n"
        "Number of operations that will run on Edge TPU: 20\n"
    )
    assert (log.version, log.milliseconds, log.subgraphs) == ("15.0.340273435", 93, 4)
    assert (log.operators, log.on_edgetpu, log.mapping, log.complaint) == (26, 20, None, None)
    assert parse_log("") == parse_log("anything else\n")
