"""Conversion end to end with small networks and random weights."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from small_variants import LITE, B

from effnet_lite import convert, inspect
from effnet_lite.errors import EffnetLiteError, InputError, UsageError
from effnet_lite.lite.weights import random_weights, save_checkpoint
from effnet_lite.quantize.matching import Effort
from effnet_lite.quantize.recipe import ALIASES, get_recipe
from effnet_lite.quantize.tflite.description import read_description
from effnet_lite.quantize.tflite.file import read_model, schema, unpack
from effnet_lite.quantize.tflite.golden import replay
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.surgery import operator_kinds

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
INTEGERS = ("int8", "uint8", "int16", "int32", "int64")


@pytest.mark.parametrize("variant", [LITE, B])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision(converted, precision, variant):
    result = converted(precision, variant)
    found = inspect(result.output)
    assert (found.sha256, found.bytes) == (result.sha256, result.bytes)
    assert result.output.stat().st_size == result.bytes
    expected = "uint8" if precision == "int8" else "float32"
    assert result.input_type == found.inputs[0].dtype == found.outputs[0].dtype == expected
    assert found.inputs[0].shape == (1, 64, 64, 3)
    assert found.outputs[0].shape == (1, 1000)
    assert result.variant == variant
    assert result.precision == precision
    assert (result.recipe is None) == (precision not in ("int8", "int16x8"))
    assert (result.calibration is None) == (precision not in ("int8", "int16x8"))
    assert not result.notices


# The networks of the tests are random and small, and exaggerate errors; those with real
# weights are judged in tests/slow. Bounds: 3 dB below what was measured.
SQNR_DB = {"float16": 40, "dynamic": 20, "int8": 10, "int16x8": 16}


@pytest.mark.parametrize("variant", [LITE, B])
@pytest.mark.parametrize("precision", SQNR_DB)
def test_close_to_float(converted, few_photos, precision, variant):
    """Calibrated and checked on the same photos: no clipping, only rounding."""
    fidelity = converted(precision, variant, calibration=few_photos).fidelity
    assert fidelity.count == 4
    assert fidelity.sqnr_db > SQNR_DB[precision]


@pytest.fixture(scope="module")
def few_photos(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    for path in sorted(photos.iterdir())[:4]:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("variant", [LITE, B])
def test_sizes_fall(converted, variant):
    constants = {
        precision: inspect(converted(precision, variant).output).constant_bytes
        for precision in PRECISIONS
    }
    assert constants["float16"] < 0.55 * constants["float32"]
    assert constants["int8"] < 0.3 * constants["float32"]
    assert constants["dynamic"] < 0.3 * constants["float32"]


@pytest.mark.parametrize("variant", [LITE, B])
def test_every_operator_of_an_int8_model_is_integer(converted, variant):
    tree = unpack(read_model(converted("int8", variant).output))
    graph, types = tree.subgraphs[0], schema().TensorType
    allowed = {types.INT8, types.UINT8, types.INT32}
    for operator in graph.operators:
        for index in [*operator.inputs, *operator.outputs]:
            assert graph.tensors[index].type in allowed, graph.tensors[index].name
    kinds = operator_kinds(tree)
    assert (kinds[0], kinds[-1]) == ("QUANTIZE", "QUANTIZE")
    assert "QUANTIZE" not in kinds[1:-1]
    assert "DEQUANTIZE" not in kinds


@pytest.mark.parametrize(
    ("precision", "io_type", "ends"),
    [
        ("int8", "int8", []),
        ("int8", "float32", ["QUANTIZE", "DEQUANTIZE"]),
        ("int16x8", "float32", ["QUANTIZE", "DEQUANTIZE"]),
        ("int16x8", "int8", ["QUANTIZE", "QUANTIZE"]),
        ("float32", "float32", []),
    ],
)
def test_input_types(converted, photo, precision, io_type, ends):
    result = converted(precision, input_type=io_type)
    found = inspect(result.output)
    assert found.inputs[0].dtype == found.outputs[0].dtype == result.input_type == io_type
    kinds = [layer.kind for layer in found.layers if "QUANTIZE" in layer.kind]
    assert kinds == ends
    model = Predictor.open(result.output)
    output = model.output(model.preprocessing.pixels(photo))
    assert output.sum() == pytest.approx(1, abs=0.5)  # 1000 classes in 8 bits


def test_raw_pixels_go_into_the_lite_family(converted):
    lite = inspect(converted("int8").output).inputs[0]
    assert (lite.scale, lite.zero_point) == (1 / 128, 127)
    b = inspect(converted("int8", B).output).inputs[0]
    assert (b.scale, b.zero_point) == (1.0, 0)
    signed = inspect(converted("int8", input_type="int8").output).inputs[0]
    assert (signed.scale, signed.zero_point) == (1 / 128, -1)


def test_int8_and_uint8_files_answer_the_same(converted, photo):
    """The QUANTIZE at each end only moves the zero point."""
    one, other = (
        Predictor.open(converted("int8", **options).output, threads=1)
        for options in ({}, {"input_type": "int8"})
    )
    pixels = one.preprocessing.pixels(photo)
    np.testing.assert_array_equal(one.raw(pixels).astype(int) - 128, other.raw(pixels).astype(int))


@pytest.mark.parametrize("head", ["softmax", "logits"])
def test_heads(converted, photo, head):
    result = converted("float32", head=head)
    model = Predictor.open(result.output)
    output = model.output(model.preprocessing.pixels(photo))
    assert (abs(output.sum() - 1) < 1e-4) == (head == "softmax")
    assert model.description.head == head
    names = {"softmax": "probability", "logits": "logits"}
    assert inspect(result.output).outputs[0].name == names[head]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_model_describes_itself(converted, precision):
    result = converted(precision)
    found = inspect(result.output)
    record, metadata = found.record, found.metadata
    assert (record.variant, record.family, record.precision) == (LITE, "lite", precision)
    assert (record.classes, record.label_offset, record.seed) == (1000, 0, 0)
    assert record.recipe == result.recipe
    assert (record.preprocessing.size, record.preprocessing.mean) == (64, (127.0,))
    assert (record.weights.name, record.weights.layout) == (f"{LITE}-1000-0.pth", "torch")
    assert len(record.weights.sha256) == 64
    if precision in ("int8", "int16x8"):
        assert (record.calibration.kind, record.calibration.count) == ("folder", 10)
        assert record.calibration.digest == result.calibration["digest"]
    if precision != "float32":
        assert record.fidelity["sqnr_db"] == pytest.approx(result.fidelity.sqnr_db)
    assert metadata.inputs[0].mean == (127.0,)
    assert metadata.inputs[0].std == (128.0,)
    assert found.labels[:2] == ("tench", "goldfish")
    assert len(found.labels) == 1000


@pytest.mark.parametrize("variant", [LITE, B])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_golden_check_replays(converted, precision, variant):
    data = converted(precision, variant).output.read_bytes()
    check = read_description(data).golden
    result = replay(check, Predictor(data).raw)
    assert result.passed
    assert result.top1_matches
    # Other weights fail it.
    other = converted(precision, variant, weights="random", check=False).output.read_bytes()
    assert not replay(check, Predictor(other).raw).passed


def test_the_manifest(converted, photos):
    calibration = converted("int8").calibration
    assert (calibration["kind"], calibration["count"]) == ("folder", 10)
    assert len(calibration["files"]) == len(set(calibration["files"])) == 10
    assert all(file.startswith(str(photos)) for file in calibration["files"])


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_same_seed_gives_the_same_bytes(converted, photos, tmp_path, precision):
    first = converted(precision, weights="random")
    again = convert(
        LITE,
        precision,
        weights="random",
        calibration=photos,
        calibration_count=10,
        recipe="fast" if precision == "int8" else None,
        output=tmp_path / "again.tflite",
    )
    assert again.sha256 == first.sha256
    assert converted(precision, weights="random", seed=5).sha256 != first.sha256
    assert any("weights are random" in notice for notice in first.notices)


def test_another_process_gives_the_same_bytes(converted, photos, tmp_path):
    path = tmp_path / "again.tflite"
    code = (
        "import sys, effnet_lite; effnet_lite.convert(sys.argv[1], weights='random', "
        "calibration=sys.argv[2], calibration_count=10, recipe='fast', output=sys.argv[3])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    command = [sys.executable, "-c", code, LITE, str(photos), str(path)]
    subprocess.run(command, check=True, env=environment, timeout=120)
    assert path.read_bytes() == converted("int8", weights="random").output.read_bytes()


def test_conversion_needs_no_tensorflow(photos, tmp_path):
    code = (
        "import sys, effnet_lite; effnet_lite.convert(sys.argv[1], weights='random', "
        "calibration=sys.argv[2], calibration_count=2, output=sys.argv[3]); "
        "print([name for name in ('tensorflow', 'tf_keras', 'keras') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, LITE, str(photos), str(tmp_path / "a.tflite")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert printed.stdout.strip() == "[]"


@pytest.mark.parametrize("classes", [1, 2, 10, 1001])
def test_any_number_of_classes(converted, photo, classes):
    result = converted("int8", weights="random", classes=classes)
    model = Predictor.open(result.output)
    assert result.classes == model.classes == classes
    assert model.raw(model.preprocessing.pixels(photo)).shape == (classes,)
    labels = inspect(result.output).labels
    if classes == 1001:
        assert labels[:2] == ("background", "tench")
        assert inspect(result.output).record.label_offset == 1
    else:
        assert labels is None


@pytest.mark.parametrize("size", [32, 33, 100])
def test_any_size(converted, photo, size):
    result = converted("int8", size=size)
    assert inspect(result.output).inputs[0].shape == (1, size, size, 3)
    model = Predictor.open(result.output)
    assert model.preprocessing.size == size
    model.raw(model.preprocessing.pixels(photo))


def test_labels_decide_the_classes_of_random_weights(converted):
    result = converted("int8", weights="random", labels=("cat", "dog", "a very long name"))
    assert result.classes == 3
    assert inspect(result.output).labels == ("cat", "dog", "a very long name")


def test_labels_from_a_file(converted, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("cat\ndog\n", "utf-8")
    result = converted("float32", weights="random", labels=path)
    assert inspect(result.output).labels == ("cat", "dog")


def test_labels_that_do_not_fit(tmp_path):
    with pytest.raises(InputError, match="1000 outputs but there are 2 labels"):
        convert(
            LITE, "float32", "random", tmp_path / "a.tflite", classes=1000, labels=("cat", "dog")
        )
    assert not list(tmp_path.iterdir())


@pytest.fixture
def checkpoint(tmp_path):
    """Random weights of LITE in a checkpoint with 3 labelled classes."""
    pytest.importorskip("safetensors")
    from effnet_lite.lite.variants import get_variant

    path = tmp_path / "trained.safetensors"
    tensors = random_weights(get_variant(LITE), 3, seed=9).tensors
    save_checkpoint(path, tensors, get_variant(LITE), labels=("cat", "dog", "owl"))
    return path


def test_a_checkpoint_of_ours_brings_its_labels(checkpoint, tmp_path, photos):
    result = convert(LITE, "int8", checkpoint, tmp_path / "a.tflite", photos, 5)
    assert result.classes == 3
    assert inspect(result.output).labels == ("cat", "dog", "owl")
    assert result.weights == "trained.safetensors"
    assert not result.notices


def test_a_new_head_is_announced(checkpoint, tmp_path, photos):
    result = convert(LITE, "int8", checkpoint, tmp_path / "a.tflite", photos, 5, classes=7)
    assert result.classes == 7
    assert any("classifier is new" in notice for notice in result.notices)
    assert inspect(result.output).labels is None


def test_weights_of_another_network(checkpoint, tmp_path):
    with pytest.raises(InputError, match="does not fit"):
        convert("lite-w0.5-d0.35-s64", "float32", checkpoint, tmp_path / "a.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["trained.safetensors"]


def test_without_a_check(converted):
    result = converted("int8", check=False)
    assert result.fidelity is None
    assert inspect(result.output).record.fidelity is None


def test_synthetic_images(converted, monkeypatch):
    few = Effort(images=2, steps=2, batch=2)
    monkeypatch.setattr("effnet_lite.quantize.calibration_set.affordable", lambda graph: few)
    result = converted("int8", calibration="synthetic", check=False)
    assert (result.calibration["kind"], result.calibration["files"]) == ("synthetic", [])
    assert any("SYNTHETIC" in notice for notice in result.notices)
    assert inspect(result.output).record.calibration.kind == "synthetic"


@pytest.mark.parametrize("recipe", ALIASES)
def test_recipes(converted, few_photos, recipe):
    result = converted("int8", recipe=recipe, calibration=few_photos)
    assert result.recipe == get_recipe(recipe).name
    assert inspect(result.output).record.recipe == result.recipe
    assert result.fidelity.sqnr_db > SQNR_DB["int8"]


def test_the_default_recipe_beats_the_fast_one(converted, few_photos):
    fast, default = (
        converted("int8", recipe=recipe, calibration=few_photos).fidelity.sqnr_db
        for recipe in ("fast", "default")
    )
    assert default > fast + 1


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "int4"},
        {"precision": "float32", "input_type": "uint8"},
        {"precision": "float16", "input_type": "int8"},
        {"precision": "dynamic", "input_type": "uint8"},
        {"precision": "int16x8", "input_type": "uint8"},
        {"input_type": "uint16"},
        {"head": "sigmoid"},
        {"recipe": "magic"},
        {"precision": "float16", "recipe": "default"},
        {"precision": "int8", "recipe": "w8a16-minmax"},
        {"size": 8},
        {"seed": -1},
        {"classes": -1},
        {"classes": 10**7},
        {"variant": "lite9"},
    ],
    ids=str,
)
def test_options_that_are_wrong(tmp_path, photos, options):
    with pytest.raises(UsageError):
        convert(
            **{"variant": LITE, "weights": "random", "calibration": photos, **options},
            output=tmp_path / "a.tflite",
        )
    assert not list(tmp_path.iterdir())


def attempt(output, photos, **options):
    defaults = {"weights": "random", "calibration_count": 5, "recipe": "fast"}
    return convert(LITE, output=output, calibration=photos, **defaults | options)


def test_an_existing_output_is_kept_unless_told(tmp_path, photos):
    path = tmp_path / "a.tflite"
    path.write_bytes(b"precious")
    with pytest.raises(InputError, match="--overwrite"):
        attempt(path, photos)
    assert path.read_bytes() == b"precious"
    result = attempt(path, photos, overwrite=True)
    assert path.stat().st_size == result.bytes
    assert [file.name for file in tmp_path.iterdir()] == ["a.tflite"]


def test_the_output_gets_ordinary_permissions(tmp_path, photos):
    umask = os.umask(0o027)
    try:
        attempt(tmp_path / "a.tflite", photos, check=False)
    finally:
        os.umask(umask)
    assert (tmp_path / "a.tflite").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("output", ["nope/a.tflite", "."])
def test_outputs_that_cannot_be(tmp_path, photos, output):
    with pytest.raises(InputError, match=r"does not exist|is a folder"):
        attempt(tmp_path / output, photos)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_refuses_files_is_found_out_before_the_work(tmp_path, photos, monkeypatch):
    from effnet_lite import files

    def refuse(**options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr("effnet_lite.quantize.convert.load_weights", None)  # never reached
    with pytest.raises(InputError, match=r"cannot write in .*permission denied"):
        attempt(tmp_path / "a.tflite", photos)


def test_a_full_disk_leaves_nothing_behind(tmp_path, photos, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="no space left on device"):
        attempt(tmp_path / "a.tflite", photos)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_the_file_that_was_to_be_replaced(tmp_path, photos, monkeypatch):
    path = tmp_path / "a.tflite"
    path.write_bytes(b"precious")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="no space left"):
        attempt(path, photos, overwrite=True)
    assert path.read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def mounted(tmp_path):
    """``mounted(options)``: a new file system in memory; needs root on Linux."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting is not allowed here")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


def test_a_really_full_disk(mounted, photos):
    disk = mounted("size=64k")
    with pytest.raises(InputError, match="no space left on device"):
        attempt(disk / "a.tflite", photos, check=False)
    assert not list(disk.iterdir())


def test_a_disk_that_is_read_only(mounted, photos):
    disk = mounted("ro")
    with pytest.raises(InputError, match=r"cannot write in .*read-only file system"):
        attempt(disk / "a.tflite", photos)


def test_broken_photos_stop_the_conversion(tmp_path, photos):
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "15.jpg").write_bytes(b"I am a text")
    with pytest.raises(EffnetLiteError, match=r"15\.jpg is not an image"):
        attempt(tmp_path / "a.tflite", folder)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_progress_is_reported(tmp_path, photos):
    calls = []
    attempt(tmp_path / "a.tflite", photos, progress=lambda *call: calls.append(call))
    labels = {label for _, _, label in calls}
    assert "calibrating" in labels
    assert all(total is None or 0 <= done <= total for done, total, _ in calls)
