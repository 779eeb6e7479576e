"""Whatever goes wrong ends in one clear line, the right exit code, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from small_variants import LITE

from effnet_lite.cli import COMMANDS

BAD_MODELS = {
    "missing": (None, "does not exist"),
    "empty": (b"", "is empty"),
    "text": (b"I am a text.\n", "a text file"),
    "zip": (b"PK\x03\x04" + bytes(100), "a zip archive"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
    "torch": (b"\x80\x02\x8a\x0a" + bytes(100), "a PyTorch checkpoint"),
    "photo": (b"\xff\xd8\xff\xe0" + bytes(100), "a JPEG image"),
    "html": (b"<!DOCTYPE html><html>404", "a web page"),
    "noise": (bytes(range(7, 250)), "unknown binary data"),
    "short": (b"\x01\x02", "2 bytes of unknown data"),
    "header": (b"\x1c\0\0\0TFL3", "damaged or cut short"),
}


@pytest.fixture
def bad_model(tmp_path, int8_model):
    def make(kind):
        path = tmp_path / "bad.tflite"
        if kind == "truncated":
            data = int8_model.read_bytes()
            path.write_bytes(data[: len(data) // 2])
            return path, "cut short"
        if kind == "folder":
            path.mkdir()
            return path, "is a folder"
        content, message = BAD_MODELS[kind]
        if content is not None:
            path.write_bytes(content)
        return path, message

    return make


def assert_one_line(answer, code=1):
    assert answer.code == code, answer
    assert answer.out == ""
    lines = answer.err.strip().splitlines()
    assert len(lines) == 1, answer.err
    assert lines[0].startswith("effnet-lite: ")
    assert "Traceback" not in answer.err
    return lines[0]


@pytest.mark.parametrize("kind", [*BAD_MODELS, "truncated", "folder"])
@pytest.mark.parametrize("command", ["classify", "inspect", "benchmark", "compare", "compare2"])
def test_bad_models(cli, bad_model, int8_model, photo, command, kind):
    bad, message = bad_model(kind)
    arguments = {
        "classify": ("classify", bad, photo),
        "inspect": ("inspect", bad),
        "benchmark": ("benchmark", int8_model, bad, "--runs", 1, "--min-seconds", 0),
        "compare": ("compare", bad, int8_model, "--data", photo.parent),
        "compare2": ("compare", int8_model, bad, "--data", photo.parent),
    }[command]
    line = assert_one_line(cli(*arguments))
    assert message in line
    assert str(bad) in line


def test_a_model_that_no_runtime_runs(cli, tmp_path, tiny_model, photo):
    """A valid file of an operator version that does not exist."""
    from effnet_lite.quantize.tflite.file import pack, unpack

    tree = unpack(tiny_model())
    tree.operatorCodes[0].version = 99
    path = tmp_path / "a.tflite"
    path.write_bytes(pack(tree))
    assert "refuses the model" in assert_one_line(cli("classify", path, photo))
    assert "refuses the model" in assert_one_line(cli("benchmark", path))
    assert cli("inspect", path).code == 0


def bad_photo(folder, kind):
    path = folder / "photo.jpg"
    if kind == "text":
        path.write_bytes(b"I am a text, not a photo.\n")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:1000])
    elif kind == "bomb":
        Image.new("1", (20_000, 20_000)).save(path, format="PNG")
    elif kind == "float":
        Image.fromarray(np.zeros((4, 4), np.float32)).save(path, format="TIFF")
    elif kind == "folder":
        path.mkdir()
    return path


PHOTO_KINDS = {
    "missing": "does not exist",
    "text": "is not an image",
    "empty": "is empty",
    "truncated": "cannot be decoded",
    "bomb": "resize it first",
    "float": "floating-point",
    "folder": "is a folder",
}


@pytest.mark.parametrize("kind", PHOTO_KINDS)
def test_bad_photos(cli, int8_model, photo, tmp_path, kind):
    bad = bad_photo(tmp_path, kind)
    line = assert_one_line(cli("classify", int8_model, photo, bad))
    assert PHOTO_KINDS[kind] in line
    assert str(bad) in line


def convert(output, *options):
    return ("convert", "--variant", LITE, "--weights", "random", "-o", output, *options)


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "bomb", "float"])
def test_bad_photos_to_calibrate_on(cli, tmp_path, kind):
    folder = tmp_path / "photos"
    folder.mkdir()
    bad_photo(folder, kind)
    line = assert_one_line(cli(*convert(tmp_path / "a.tflite", "--calibration", folder)))
    assert PHOTO_KINDS[kind] in line
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize(("folder", "message"), [("nope", "does not exist"), (".", "no photo in")])
def test_folders_without_photos(cli, tmp_path, float_model, folder, message):
    line = assert_one_line(cli(*convert(tmp_path / "a.tflite", "--calibration", tmp_path / folder)))
    assert message in line
    line = assert_one_line(cli("compare", float_model, float_model, "--data", tmp_path / folder))
    assert message in line
    assert not list(tmp_path.iterdir())


WEIGHTS = {
    "missing": (None, "does not exist"),
    "empty": (b"", "is empty"),
    "text": (b"I am a text.\n", ""),
    "zip": (b"PK\x03\x04" + bytes(100), ""),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), ""),
    "torch": (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", ""),
    "safetensors": (b'\x10\0\0\0\0\0\0\0{"a": ', ""),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(100), ""),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_bad_weights(cli, tmp_path, kind):
    content, message = WEIGHTS[kind]
    path = tmp_path / "weights"
    if content is not None:
        path.write_bytes(content)
    arguments = ("convert", "--variant", LITE, "--weights", path, "-o", tmp_path / "a.tflite")
    line = assert_one_line(cli(*arguments))
    assert message in line
    assert not (tmp_path / "a.tflite").exists()


def test_imagenet_weights_of_a_custom_variant(cli, tmp_path):
    line = assert_one_line(cli("convert", "--variant", LITE, "-o", tmp_path / "a.tflite"))
    assert "no ImageNet weights" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fp32", "--int8"), "--fp32 and --int8 contradict"),
        (("--fp16", "--dynamic", "--int16x8"), "--fp16 and --dynamic and --int16x8"),
        (("--fp32", "--input", "uint8"), "takes float32 input"),
        (("--int16x8", "--input", "uint8"), "not uint8"),
        (("--input", "uint16"), "unknown input type"),
        (("--head", "sigmoid"), "unknown head"),
        (("--recipe", "magic"), "unknown recipe"),
        (("--recipe", "default+magic"), "stage 'magic' is unknown"),
        (("--int16x8", "--recipe", "best+float"), "with --int16x8 all are"),
        (("--size", 16), "32 to 2048"),
        (("--seed", -1), "seed must be 0 or more"),
        (("--classes", -1), "number of classes"),
        (("--classes", 10**9), "number of classes"),
        (("--variant", "lite9"), "did you mean 'lite"),
        (("--variant", "lite-s8"), "32 to 2048"),
    ],
    ids=str,
)
def test_wrong_options_of_convert(cli, tmp_path, options, message):
    line = assert_one_line(cli(*convert(tmp_path / "a.tflite", *options)), code=2)
    assert message in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("classify", ("--top", 0), "top must be"),
        ("classify", ("--top", -3), "top must be"),
        ("classify", ("--threads", 0), "threads must be"),
        ("classify", ("--threads", -1), "threads must be"),
        ("benchmark", ("--threads", 0), "threads must be"),
        ("benchmark", ("--threads", 10**6), "threads must be"),
        ("benchmark", ("--runs", 0), "runs must be"),
        ("benchmark", ("--runs", -1), "runs must be"),
        ("benchmark", ("--warmup", -1), "warmup must be"),
        ("benchmark", ("--min-seconds", "nan"), "min_seconds must be"),
        ("benchmark", ("--min-seconds", "inf"), "min_seconds must be"),
        ("benchmark", ("--min-seconds", -1), "min_seconds must be"),
        ("benchmark", ("--runtime", "onnx"), "unknown runtime"),
    ],
    ids=str,
)
def test_numbers_out_of_range(cli, int8_model, photo, command, options, message):
    images = (photo,) if command == "classify" else ()
    line = assert_one_line(cli(command, int8_model, *images, *options), code=2)
    assert message in line


@pytest.mark.parametrize("count", [0, -1, "x"])
def test_count_of_compare(cli, float_model, count):
    answer = cli("compare", float_model, float_model, "--count", count)
    assert answer.code == 2
    assert "--count" in answer.err


def test_unknown_variant_of_variants(cli):
    assert "did you mean" in assert_one_line(cli("variants", "b99"), code=2)


@pytest.mark.parametrize("name", COMMANDS)
def test_unknown_options(cli, name):
    answer = cli(name, "--no-such-option")
    assert answer.code == 2
    assert "--no-such-option" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("name", ["convert", "classify", "compare", "inspect", "benchmark"])
def test_missing_arguments(cli, name):
    answer = cli(name)
    assert answer.code == 2
    assert "Missing" in answer.err


def test_an_existing_output(cli, tmp_path, photos):
    path = tmp_path / "a.tflite"
    path.write_bytes(b"precious")
    options = ("--calibration", photos, "--calibration-count", 3, "--recipe", "fast", "--no-check")
    assert "--overwrite" in assert_one_line(cli(*convert(path, *options)))
    assert path.read_bytes() == b"precious"
    assert cli(*convert(path, *options, "--overwrite")).code == 0
    assert path.read_bytes() != b"precious"


@pytest.mark.parametrize(
    ("output", "message"), [("nope/a.tflite", "does not exist"), (".", "is a folder")]
)
def test_outputs_that_cannot_be(cli, tmp_path, output, message):
    assert message in assert_one_line(cli(*convert(tmp_path / output)))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_an_unwritable_folder(cli, tmp_path):
    tmp_path.chmod(0o555)
    try:
        line = assert_one_line(cli(*convert(tmp_path / "a.tflite")))
    finally:
        tmp_path.chmod(0o755)
    assert "permission denied" in line


def test_labels_that_do_not_fit(cli, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\n", "utf-8")
    options = ("--labels", labels, "--classes", 10)
    assert "10 outputs" in assert_one_line(cli(*convert(tmp_path / "a.tflite", *options)))
    labels.write_bytes(b"\xff\xfe\x00")
    line = assert_one_line(cli(*convert(tmp_path / "a.tflite", "--labels", labels)))
    assert "not UTF-8" in line


# A process started in the background inherits SIGINT ignored, and Python then leaves it so.
LISTEN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
# Interrupts itself in the middle of calibration: after the third photo.
INTERRUPTED = (
    LISTEN
    + """
import os, sys
from effnet_lite.lite.preprocessing import Preprocessing
pixels, count = Preprocessing.pixels, 0

def interrupt(self, path):
    global count
    count += 1
    if count == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return pixels(self, path)

Preprocessing.pixels = interrupt
from effnet_lite.cli import main
main.main(sys.argv[1:], prog_name="effnet-lite")
"""
)


def test_control_c_while_calibrating(tmp_path, photos):
    arguments = convert(tmp_path / "a.tflite", "--calibration", photos)
    command = [sys.executable, "-c", INTERRUPTED, *map(str, arguments)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.strip() == "effnet-lite: interrupted; no file is left half-written"
    assert not list(tmp_path.iterdir())


def test_control_c_at_any_time(tmp_path):
    """From outside, as a terminal sends it, while synthetic images are drawn and used."""
    path = tmp_path / "a.tflite"
    code = LISTEN + "from effnet_lite.cli import main; print('ready', flush=True); main()"
    arguments = convert(path, "--calibration", "synthetic", "--size", 512, "--no-check")
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.5)
    assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.strip().splitlines() == ["effnet-lite: interrupted; no file is left half-written"]
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    from effnet_lite.files import write_bytes

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "a.tflite", b"x" * 1000)
    assert not list(tmp_path.iterdir())


def test_a_closed_pipe_is_no_traceback(int8_model):
    code = "from effnet_lite.cli import main; main()"
    command = [sys.executable, "-c", code, "inspect", str(int8_model), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
