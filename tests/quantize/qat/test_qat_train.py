"""The whole job on small networks: from weights and photos to a file that says what it is."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from small_variants import LITE, B

import effnet_lite
from effnet_lite.errors import InputError, MissingDependencyError, UsageError
from effnet_lite.lite.datasets import open_dataset
from effnet_lite.quantize.qat.loop import Schedule
from effnet_lite.quantize.qat.objective import NO_LABEL, Objective
from effnet_lite.quantize.qat.photos import Example
from effnet_lite.quantize.qat.quantizers import quantizer_classes
from effnet_lite.quantize.qat.split import split_photos
from effnet_lite.quantize.qat.train import train_qat
from effnet_lite.quantize.recipe import get_recipe
from effnet_lite.quantize.tflite.description import read_description
from effnet_lite.quantize.tflite.golden import replay
from effnet_lite.quantize.tflite.predictor import Predictor

SHORT = Schedule(steps=3, batch=4, rate=0.05)
LABELS = ("dark", "light")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trained")


@pytest.fixture(scope="module", params=[LITE, B])
def trained(request, classes, trained_weights, folder):
    pytest.importorskip("tensorflow_model_optimization")
    variant = request.param
    return train_qat(
        trained_weights(variant), classes, variant, output=folder / f"{variant}.tflite",
        schedule=SHORT, calibration_count=8,
    )  # fmt: skip


def test_the_file_says_what_it_is(trained):
    data = trained.output.read_bytes()
    family = "b" if trained.variant == B else "lite"
    described = read_description(data)
    assert described.recipe == trained.recipe == f"{get_recipe('default', family).name}+qat"
    assert (described.precision, described.variant) == ("int8", trained.variant)
    assert described.calibration.kind == "training"
    assert described.calibration.count == 8
    assert described.fidelity == trained.fidelity.to_json()
    model = Predictor(data)
    assert model.labels == LABELS
    assert replay(described.golden, model.raw).passed
    assert trained.sha256 == model.sha256
    assert trained.bytes == len(data)


def test_its_operators_are_those_of_calibration_alone(trained, classes, trained_weights, folder):
    variant = trained.variant
    plain = effnet_lite.convert(
        variant, weights=trained_weights(variant), calibration=classes, calibration_count=8,
        output=folder / f"{variant}-plain.tflite", check=False,
    )  # fmt: skip
    one, other = (effnet_lite.inspect(path) for path in (trained.output, plain.output))
    assert one.ops == other.ops
    assert [(layer.name, layer.dtype) for layer in one.layers] == [
        (layer.name, layer.dtype) for layer in other.layers
    ]
    assert {layer.dtype for layer in one.layers} == {"int8", "uint8"}


def test_it_is_measured_against_float_the_start_and_the_simulation(trained):
    assert trained.photos["photos"] == 22
    assert trained.photos["checked"] == trained.fidelity.count == trained.start.count == 2
    # The Keras model and the file: the same network.
    assert trained.simulated.top1_agreement == 1.0
    assert trained.simulated.sqnr_db > 30
    assert "2 of the 24 photos are held back to check on" in trained.notices


def test_the_result_is_json(trained):
    record = json.loads(json.dumps(trained.to_json(), allow_nan=False))
    assert record["recipe"].endswith("+qat")
    assert record["precision"] == "int8"
    assert record["schedule"] == {"steps": 3, "batch": 4, "rate": 0.05, "seed": 0}
    assert len(record["losses"]) == 3
    assert record["objective"]["labels"] == 0.0
    assert record["photos"]["labelled"] == 22
    assert record["calibration"]["count"] == 8


def test_the_same_training_gives_the_same_file(trained, classes, trained_weights, tmp_path):
    if trained.variant != LITE:
        pytest.skip("one family is enough")
    again = train_qat(
        trained_weights(trained.variant), classes, trained.variant,
        output=tmp_path / "again.tflite", schedule=SHORT, calibration_count=8,
    )  # fmt: skip
    assert again.losses == trained.losses
    assert again.sha256 == trained.sha256


def test_training_goes_on_from_its_checkpoint(trained, classes, trained_weights, tmp_path):
    if trained.variant != LITE:
        pytest.skip("one family is enough")
    given = {"schedule": SHORT, "calibration_count": 8, "checkpoint": tmp_path / "qat.npz"}
    weights = trained_weights(LITE)

    def stop(done, total, label):
        if label.startswith("quantization-aware") and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_qat(weights, classes, LITE, output=tmp_path / "a.tflite", progress=stop, **given)
    result = train_qat(weights, classes, LITE, output=tmp_path / "a.tflite", **given)
    assert result.resumed == 3
    assert result.sha256 == trained.sha256
    with pytest.raises(InputError, match=r"of another training \(schedule differ\)"):
        train_qat(weights, classes, LITE, output=tmp_path / "b.tflite",
                  **given | {"schedule": Schedule(steps=4, batch=4)})  # fmt: skip


def test_photos_without_labels(photos, classes, trained_weights, tmp_path):
    """A flat folder of any photos; those to check on may have classes."""
    pytest.importorskip("tensorflow_model_optimization")
    given = {"variant": LITE, "schedule": SHORT, "calibration_count": 8, "recipe": "fast"}
    result = train_qat(
        trained_weights(LITE), photos, validation=classes, unlabelled=True,
        output=tmp_path / "a.tflite", **given,
    )  # fmt: skip
    assert result.objective.labels == 0
    assert result.photos["photos"] == 30
    assert result.photos["labelled"] == 0
    assert result.fidelity.labelled == result.fidelity.count == 24
    with pytest.raises(UsageError, match=r"no labels to learn from, and the objective gives them"):
        train_qat(trained_weights(LITE), photos, unlabelled=True, objective=Objective(labels=0.5),
                  output=tmp_path / "b.tflite", **given)  # fmt: skip


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"weights": "random"}, UsageError, "starts from trained weights with a classifier"),
        ({"recipe": "w8a16-minmax"}, UsageError, "contradict"),
        ({"recipe": "default+float"}, UsageError, "int8 activations throughout; leave float out"),
        ({"recipe": "default+qat"}, UsageError, "qat stands for training"),
        ({"head": "tanh"}, UsageError, "unknown head 'tanh'"),
        ({"calibration_count": 0}, UsageError, "at least 1 image, got a count of 0"),
        ({"labels": ["cat", "dog"]}, InputError, "does not know 2 of the classes"),
        ({"data": "nowhere"}, InputError, "nowhere does not exist"),
        ({"output": "no/such/folder/a.tflite"}, InputError, "does not exist; make it first"),
    ],
)
def test_errors_are_one_line(given, error, message, classes, trained_weights, tmp_path):
    pytest.importorskip("tensorflow_model_optimization")
    options = {"weights": trained_weights(LITE), "data": classes, "variant": LITE,
               "output": tmp_path / "a.tflite", "schedule": SHORT}  # fmt: skip
    with pytest.raises(error, match=message) as raised:
        train_qat(**options | given)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_without_tfmot(classes, trained_weights, tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")
    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization", None)
    quantizer_classes.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"pip install 'effnet-lite\[convert\]'"):
        train_qat(trained_weights(LITE), classes, LITE, output=tmp_path / "a.tflite")


def test_too_few_photos(classes, tmp_path):
    (tmp_path / "dark").mkdir()
    for name in ("00.png", "01.png"):
        (tmp_path / "dark" / name).write_bytes((classes / "dark" / name).read_bytes())
    with pytest.raises(InputError, match="has 2 photos to learn from; expected at least 8"):
        split_photos(tmp_path, None, LABELS, False, 0)


def test_parts_do_not_overlap(classes):
    split = split_photos(classes, None, LABELS, False, 3)
    learn, check = ({example.photo.name for example in part} for part in (split.learn, split.check))
    assert len(learn) == 22
    assert len(check) == 2
    assert not learn & check
    drawn = split.calibration(5, 1)
    assert len(drawn.manifest()) == drawn.count == 5
    assert set(drawn.manifest()) <= learn
    assert drawn.manifest() == split.calibration(5, 1).manifest() != split.calibration(
        5, 2).manifest()  # fmt: skip
    assert drawn.digest() != split.calibration(5, 2).digest()


def test_labels_follow_the_networks_order(classes):
    split = split_photos(classes, classes, ("light", "other", "dark"), False, 0)
    for example in (*split.learn, *split.check):
        assert example.label == {"light": 0, "dark": 2}[example.photo.name.partition("/")[0]]
    without = split_photos(classes, None, None, True, 0)
    assert {example.label for example in without.learn} == {NO_LABEL}


def test_calibration_passes_over_what_cannot_be_read(classes, tmp_path):
    broken = tmp_path / "dark"
    broken.mkdir()
    for number in range(10):
        (broken / f"{number}.png").write_bytes(b"no photo")
    (broken / "whole.png").write_bytes((classes / "dark" / "00.png").read_bytes())
    opened = open_dataset(tmp_path)
    split = split_photos(tmp_path, None, LABELS, False, 0)
    everything = tuple(Example(opened.photo(number), 0) for number in range(len(opened)))
    drawn = type(split)(everything, (), ()).calibration(4, 0)
    assert drawn.manifest() == ["dark/whole.png"]
    nothing = type(split)(everything[:3], (), ())
    with pytest.raises(InputError, match="none of the 3 photos to learn from can be read"):
        nothing.calibration(4, 0)
    assert np.ptp([example.label for example in everything]) == 0
