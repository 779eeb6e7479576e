"""Top-k of photos, with what the model says of itself or what the caller says of it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from effnet_lite import classify
from effnet_lite.errors import InputError, UsageError
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.quantize.tflite.description import with_description
from effnet_lite.quantize.tflite.metadata import ModelInfo, with_metadata
from effnet_lite.quantize.tflite.predictor import Predictor


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int8", "int16x8"])
def test_every_precision(converted, photos, precision):
    images = [photos / "00.jpg", photos / "01.jpg"]
    results = classify(converted(precision).output, images, top=3)
    assert [result.image for result in results] == images
    for result in results:
        scores = [category.score for category in result.categories]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)
        assert 0 <= scores[-1] <= scores[0] <= 1
        assert result.inference_ms > 0
        assert result.preprocess_ms > 0
    top = [
        classify(converted("float32").output, [image], top=1)[0].categories[0].index
        for image in images
    ]
    if precision in ("float16", "float32"):
        assert [result.categories[0].index for result in results] == top


def test_scores_are_the_models_own(int8_model, photo):
    model = Predictor.open(int8_model)
    output = model.output(model.preprocessing.pixels(photo))
    (result,) = classify(int8_model, [photo], top=1000)
    assert len(result.categories) == 1000
    for category in result.categories[:10]:
        assert category.score == pytest.approx(float(output[category.index]))


def test_logits_become_probabilities(converted, photo):
    one, other = (
        classify(converted("float32", head=head).output, [photo], top=5)[0]
        for head in ("softmax", "logits")
    )
    for left, right in zip(one.categories, other.categories, strict=True):
        assert left.index == right.index
        assert left.score == pytest.approx(right.score, abs=1e-5)


def test_more_than_there_are(converted, photo):
    model = converted("int8", weights="random", labels=("cat", "dog")).output
    (result,) = classify(model, [photo], top=5)
    assert {category.label for category in result.categories} == {"cat", "dog"}


def test_labels_of_the_caller(converted, photo, tmp_path):
    model = converted("int8", weights="random", classes=3).output
    (result,) = classify(model, [photo])
    assert {category.label for category in result.categories} == {"class 0", "class 1", "class 2"}
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\nowl\n", "utf-8")
    (result,) = classify(model, [photo], labels=labels)
    assert {category.label for category in result.categories} == {"cat", "dog", "owl"}
    labels.write_text("cat\ndog\n", "utf-8")
    (result,) = classify(model, [photo], labels=labels)  # a background class before them
    assert {category.label for category in result.categories} == {"background", "cat", "dog"}
    labels.write_text("cat\n", "utf-8")
    with pytest.raises(InputError, match="3 outputs but there are 1 labels"):
        classify(model, [photo], labels=labels)


def test_1001_classes(converted, photo):
    model = converted("int8", weights="random", classes=1001).output
    (result,) = classify(model, [photo], top=1001)
    names = {category.index: category.label for category in result.categories}
    assert (names[0], names[1], names[1000]) == ("background", "tench", "toilet tissue")


@pytest.fixture
def foreign(tmp_path, tiny_model):
    """Writes a model of another tool: a name, and what ``tiny_model`` takes."""

    def write(name, **options):
        path = tmp_path / name
        path.write_bytes(tiny_model(**options))
        return path

    return write


@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize(
    ("classes", "name"), [(10, "class 0"), (1000, "tench"), (1001, "background")]
)
def test_a_foreign_model_classifies(foreign, photo, quantized, classes, name):
    model = foreign("a.tflite", classes=classes, quantized=quantized)
    (result,) = classify(model, [photo], top=classes)
    names = {category.index: category.label for category in result.categories}
    assert names[0] == name
    # Logits that nobody described are made probabilities.
    assert sum(category.score for category in result.categories) == pytest.approx(1, abs=1e-3)


def test_a_foreign_integer_model_gets_its_pixels_unchanged(foreign):
    model = Predictor.open(foreign("a.tflite", quantized=True))
    # Scale 1/128, zero point 128 at its word.
    assert model.preprocessing == Preprocessing(8, mean=(128.0,), std=(128.0,))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    np.testing.assert_array_equal(model._encode(pixels)[0], pixels)


def test_a_foreign_float_model_is_told_how_to_normalise(foreign, photo):
    path = foreign("a.tflite", quantized=False)
    guess = Predictor.open(path)
    assert (guess.preprocessing.mean, guess.preprocessing.std) == ((127.0,), (128.0,))
    told = Preprocessing(8, mean=(0.0,), std=(255.0,))
    (result,) = classify(path, [photo], preprocessing=told, top=1)
    assert result.categories[0].score <= 1
    with pytest.raises(InputError, match="makes 9 pixels a side, the model takes 8"):
        classify(path, [photo], preprocessing=Preprocessing(9))


def test_metadata_of_another_writer_is_taken(tiny_model, photo, tmp_path):
    path = tmp_path / "a.tflite"
    info = ModelInfo("theirs", mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    names = [f"name {number}" for number in range(10)]
    path.write_bytes(with_metadata(tiny_model(quantized=False), info, names))
    model = Predictor.open(path)
    assert model.preprocessing.mean == (1.0, 2.0, 3.0)
    assert model.preprocessing.std == (4.0, 5.0, 6.0)
    (result,) = classify(path, [photo], top=1)
    assert result.categories[0].label.startswith("name ")


def test_the_record_decides_the_preprocessing(int8_model, photo, tmp_path):
    data = int8_model.read_bytes()
    record = Predictor(data).description
    changed = dataclasses.replace(record.preprocessing, crop_fraction=0.5, resize="nearest")
    path = tmp_path / "a.tflite"
    path.write_bytes(with_description(data, dataclasses.replace(record, preprocessing=changed)))
    model = Predictor.open(path)
    assert model.preprocessing == changed
    np.testing.assert_array_equal(model.preprocessing.pixels(photo), changed.pixels(photo))


def test_the_json_document(int8_model, photo):
    (result,) = classify(int8_model, [photo], top=2)
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["image"] == str(photo)
    assert set(document["categories"][0]) == {"index", "label", "score"}


@pytest.mark.parametrize(
    "options", [{"top": 0}, {"top": -1}, {"threads": 0}, {"threads": -2}, {"threads": 10**6}]
)
def test_numbers_out_of_range(int8_model, photo, options):
    with pytest.raises(UsageError):
        classify(int8_model, [photo], **options)


def test_photos_that_will_not_do(int8_model, photo, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        classify(int8_model, [photo, tmp_path / "nope.jpg"])
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        classify(int8_model, [tmp_path / "a.jpg"])


@pytest.mark.slow
@pytest.mark.usefixtures("sample_photos")
def test_lite0_recognises_the_labelled_photos(lite_weights, tmp_path, note):
    from effnet_lite import convert
    from effnet_lite.lite.photos import labelled_sample_photos

    model = tmp_path / "lite0.tflite"
    convert("lite0", "float32", lite_weights("lite0"), model, check=False)
    labelled = labelled_sample_photos()
    results = classify(model, [path for path, _ in labelled], top=1)
    hits = sum(
        result.categories[0].index == known
        for result, (_, known) in zip(results, labelled, strict=True)
    )
    note(f"float Lite0: {hits} of {len(labelled)} labelled photos")
    assert hits >= 17


def test_an_emulators_times_are_none(int8_model, photo, monkeypatch):
    from effnet_lite.benchmark import classify as module

    monkeypatch.setattr(module, "emulated", lambda: "aarch64 emulated on x86_64")
    (result,) = module.classify(int8_model, [photo])
    assert (result.preprocess_ms, result.inference_ms) == (None, None)
