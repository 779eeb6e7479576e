"""A training from photos to a run folder; going on; what stops it."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import shutil
import signal
import sys

import numpy as np
import pytest
from shapes import CLASSES, SHORT, TINY, save_shapes

from effnet_lite.errors import ConversionError, InputError, MissingDependencyError, UsageError
from effnet_lite.lite.labels import read_labels
from effnet_lite.lite.pretrained import load_weights, network_for
from effnet_lite.lite.training import curves
from effnet_lite.lite.training import train as module
from effnet_lite.lite.training.checkpoint import load_state
from effnet_lite.lite.training.config import preset
from effnet_lite.lite.training.train import TrainingInterrupted, train
from effnet_lite.lite.variants import get_variant
from effnet_lite.lite.weights import checkpoint_metadata

tf = pytest.importorskip("tensorflow")


@pytest.fixture
def start(shapes, tmp_path):
    """``start(…)``: a short training in a folder of its own."""

    def run(data=shapes, settings=None, **options):
        defaults = {"output": tmp_path / "run", "weights": "random", "preset": "transfer"}
        chosen = defaults | options
        if not chosen.get("resume"):
            chosen["settings"] = SHORT | (settings or {})
        elif settings:
            chosen["settings"] = settings
        return train(data, chosen.pop("variant", TINY), **chosen)

    return run


def same_weights(one, other):
    first, second = (load_state(run / "last.safetensors").arrays for run in (one, other))
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


def test_the_run_folder(trained, shapes):
    run = trained.run
    expected = {"config.json", "data.json", "environment.json", "labels.txt", "metrics.csv",
                "last.safetensors", "weights.safetensors", "result.json", "logs"}  # fmt: skip
    if curves.can_draw():
        expected.add("curves.png")
        assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in run.iterdir()} == expected
    config = json.loads((run / "config.json").read_text())
    assert config["config"] == trained.config.to_json()
    assert (config["variant"], config["size"], config["data"]) == (TINY, 32, str(shapes))
    environment = json.loads((run / "environment.json").read_text())
    assert environment["versions"]["tensorflow"] == tf.__version__
    assert "git" in environment
    assert read_labels(run / "labels.txt") == CLASSES
    data = json.loads((run / "data.json").read_text())
    assert (data["training"], data["validation"]) == (24, 3)
    assert len(data["digest"]) == 64
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [epoch.loss for epoch in trained.history]
    assert json.loads((run / "result.json").read_text()) == json.loads(
        json.dumps(trained.to_json())
    )


def test_the_result(trained):
    assert [epoch.epoch for epoch in trained.history] == [1, 2]
    assert (trained.steps, trained.resumed, trained.stopped) == (6, 0, "end")
    assert trained.labels == CLASSES
    assert trained.best in trained.history
    assert (trained.strategy, trained.devices) == ("cpu", 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        trained.steps = 0


def test_tensorboards_logs(trained):
    found = {}
    for path in sorted((trained.run / "logs").iterdir()):
        for record in tf.compat.v1.train.summary_iterator(str(path)):
            for value in record.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    assert found["loss"] == pytest.approx([epoch.loss for epoch in trained.history])
    assert set(found) == {"rate", "loss", "top1", "validation_loss", "validation_top1"}


def test_the_weights_are_the_best_epochs_average(trained):
    found = load_weights(trained.run, get_variant(TINY))
    assert found.labels == CLASSES
    assert found.classes == 3
    metadata = checkpoint_metadata(trained.weights)
    assert metadata["epoch"] == str(trained.best.epoch)
    if trained.best is trained.history[-1]:
        state = load_state(trained.run / "last.safetensors").arrays
        for name, tensor in found.tensors.items():
            assert np.array_equal(tensor, state[f"average/{name}"])


def test_a_run_is_weights_to_convert(trained, shapes, tmp_path):
    from effnet_lite import convert, inspect

    assert network_for(trained.run) == get_variant(TINY)
    made = convert(
        None, "int8", trained.run, tmp_path / "made.tflite", calibration=shapes, recipe="fast",
        calibration_count=5,
    )  # fmt: skip
    assert (made.variant, made.classes, made.weights) == (TINY, 3, "weights.safetensors")
    assert inspect(made.output).to_json()["record"]["preprocessing"]["size"] == 32


def test_a_run_tells_its_size(start, shapes, tmp_path):
    from effnet_lite import convert

    start(size=64, settings={"epochs": 1, "steps_per_epoch": 1})
    run = tmp_path / "run"
    assert network_for(run).size == network_for(run, TINY).size == 64
    assert network_for(run, size=96).size == 96
    assert network_for("random", "lite1") == get_variant("lite1")
    made = convert(TINY, "float32", run, tmp_path / "made.tflite", calibration=shapes)
    assert made.classes == 3


def test_a_run_without_weights(start, tmp_path, monkeypatch):
    monkeypatch.setattr("effnet_lite.lite.training.train._Job.validation", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        start()
    with pytest.raises(InputError, match="has not come to the end of an epoch yet"):
        load_weights(tmp_path / "run", get_variant(TINY))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_goes_on(start, trained, tmp_path, how):
    """The run that was interrupted ends with the bits of one left alone."""
    steps = []

    def interrupt(done, total, label):
        if label == "training":
            steps.append(done)
            if done == 2:
                os.kill(os.getpid(), how)

    with pytest.raises(TrainingInterrupted, match=r"interrupted after step \d of 6 \(epoch 1 of 2"):
        start(progress=interrupt)
    assert steps[-1] in (2, 3)  # the signal may come a moment later
    assert load_state(tmp_path / "run" / "last.safetensors").facts["step"] == steps[-1]
    result = start(data=None, resume=True, variant=None, weights=None, preset=None)
    assert (result.resumed, result.steps) == (steps[-1], 6)
    assert same_weights(result.run, trained.run)
    assert [epoch.loss for epoch in result.history] == [epoch.loss for epoch in trained.history]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_run_goes_nowhere(trained, tmp_path):
    run = shutil.copytree(trained.run, tmp_path / "run")
    result = train(output=run, resume=True)
    assert (result.steps, result.resumed) == (6, 6)
    assert result.best == trained.best


def test_what_must_not_change(trained, shapes, tmp_path):
    run = shutil.copytree(trained.run, tmp_path / "run")

    def go_on(data=None, **options):
        return train(data, output=run, resume=True, **options)

    with pytest.raises(InputError, match=r"has epochs 2, and cannot go on with 3; leave that out"):
        go_on(settings={"epochs": 3})
    with pytest.raises(InputError, match=r"has variant lite-w0.1-d0.1-s32, and cannot go on with"):
        go_on(variant="lite0")
    with pytest.raises(InputError, match=r"has size 32, and cannot go on with 64"):
        go_on(size=64)
    fewer = shutil.copytree(shapes, tmp_path / "fewer")
    (fewer / "down" / "3.png").unlink()
    with pytest.raises(InputError, match=r"the photos are not those that .* began with"):
        go_on(fewer)
    renamed = shutil.copytree(shapes, tmp_path / "renamed")
    (renamed / "plain").rename(renamed / "purple")
    with pytest.raises(InputError, match=r"learns 3 classes \(across, down, plain\), and the "
                       r"photos show 3 classes \(across, down, purple\)"):  # fmt: skip
        go_on(renamed)
    moved = shutil.copytree(shapes, tmp_path / "moved")
    assert go_on(moved, settings={"minutes": 3, "epochs": 2}).steps == 6


def test_damaged_runs(trained, tmp_path):
    run = shutil.copytree(trained.run, tmp_path / "run")
    (run / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json is damaged: it is no JSON"):
        train(output=run, resume=True)
    (run / "config.json").write_text('{"variant": "lite0"}')
    with pytest.raises(InputError, match=r"config.json is damaged: 'size'"):
        train(output=run, resume=True)
    with pytest.raises(InputError, match=r"there is no training in .*nowhere to go on with"):
        train(output=tmp_path / "nowhere", resume=True)


def test_folders_that_are_in_use(start, trained, tmp_path, shapes):
    with pytest.raises(InputError, match=r"holds a training already; pass --resume .*--overwrite"):
        start(output=trained.run)
    with pytest.raises(InputError, match=r"is not empty and holds no training"):
        start(output=shapes)
    with pytest.raises(InputError, match=r"is a file; give a folder"):
        start(output=shapes / "down" / "0.png")


def test_a_full_disk_stops_and_leaves_the_last_state(start, trained, tmp_path, monkeypatch):
    fsync = os.fsync

    def full(handle):
        state = tmp_path / "run" / "last.safetensors"
        if state.exists() and load_state(state).facts["step"] == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match=r"no space left on device .*before is kept"):
            start()
    assert load_state(tmp_path / "run" / "last.safetensors").facts["step"] == 2
    result = start(data=None, resume=True, variant=None, weights=None, preset=None)
    assert result.resumed == 2
    assert same_weights(result.run, trained.run)


def test_a_loss_that_is_none(start, tmp_path, monkeypatch):
    endless = np.full(len(CLASSES), np.inf, np.float32)
    monkeypatch.setattr(module._Job, "class_weights", lambda job: endless)
    with pytest.raises(ConversionError, match=r"loss is inf|finite any more"):
        start()
    state = load_state(tmp_path / "run" / "last.safetensors")
    assert all(np.isfinite(array).all() for array in state.arrays.values())


def test_the_papers_preset_learns(start):
    result = start(
        preset="paper",
        settings={"optimizer": "rmsprop", "epochs": 3, "drop_block": 0.1, "class_weights": True},
    )
    assert result.config.preset == "paper"
    assert result.history[-1].loss < result.history[0].loss * 1.2
    assert result.steps == 9


def test_mixed_precision_keeps_float32_weights(start, tmp_path):
    from effnet_lite.lite.keras import import_tf_keras

    result = start(settings={"mixed_precision": True, "epochs": 1})
    state = load_state(tmp_path / "run" / "last.safetensors").arrays
    assert {array.dtype for name, array in state.items() if name[:5] == "model"} == {
        np.dtype(np.float32)
    }
    assert np.isfinite(result.best.loss)
    assert import_tf_keras().mixed_precision.global_policy().name == "float32"


def test_rmsprop_starts_from_ones():
    """As TensorFlow 1's does; from zeros the first step is 1/√0.1 of the rate and more."""
    from effnet_lite.lite.keras import import_tf_keras
    from effnet_lite.lite.training.train import _optimizer, _start_from_ones

    optimizer = _optimizer(preset("paper"))
    variable = import_tf_keras().layers.Dense(1)
    variable.build((1, 1))
    optimizer.build(variable.trainable_variables)
    _start_from_ones(optimizer)
    optimizer.learning_rate.assign(0.5)
    before = variable.kernel.numpy()
    optimizer.apply_gradients([(tf.constant([[2.0]]), variable.kernel)])
    # ms = 0.9 · 1 + 0.1 · 2²; the momentum starts from 0.
    expected = before - 0.5 * 2 / np.sqrt(0.9 + 0.4 + 1e-3)
    assert np.allclose(variable.kernel.numpy(), expected, atol=1e-6)


def test_random_weights_take_the_papers_preset(start):
    assert start(preset=None, settings={"epochs": 1}).config.preset == "paper"


def test_a_head_start(start, trained, shapes, tmp_path):
    """From another training's weights the classifier is fitted before the first step."""
    from effnet_lite.lite.training import train as module

    seen = []
    fit = module.fit_classifier

    def watch(features, labels, weights, smoothing):
        seen.append((features.shape, labels.shape, weights.tolist(), smoothing))
        return fit(features, labels, weights, smoothing)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit_classifier", watch)
        start(weights=trained.weights, settings={"epochs": 1, "class_weights": True})
    assert seen == [((24, 1280), (24,), [1.0, 1.0, 1.0], 0.1)]


def test_options_that_cannot_be(start):
    with pytest.raises(UsageError, match=r"unknown setting 'epoch' of a training: expected one of"):
        start(settings={"epoch": 3})
    with pytest.raises(UsageError, match=r"unknown strategy 'tpu': expected auto, cpu, mirrored"):
        start(strategy="tpu")
    with pytest.raises(UsageError, match="training needs photos: give --data"):
        train(variant=TINY)
    if not tf.config.list_physical_devices("GPU"):
        with pytest.raises(UsageError, match="mirrored needs GPUs, and TensorFlow finds none"):
            start(strategy="mirrored")


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "needs the environment variable TF_CONFIG"), ("{", "TF_CONFIG is no JSON"),
     ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "an index below"),
     ('{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
      "must name workers alone")],
)  # fmt: skip
def test_workers_that_cannot_be(start, monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match=message):
        start(strategy="multiworker")


def test_where_there_is_no_tensorflow(start, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingDependencyError, match=r"effnet-lite\[convert\]"):
        start()


def test_without_matplotlib_there_is_a_note(start, tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "can_draw", lambda: False)
    result = start(settings={"epochs": 1, "steps_per_epoch": 1})
    assert "effnet-lite[plot]" in result.notices[-1]
    assert not (tmp_path / "run" / "curves.png").exists()


def test_the_time_is_kept(start):
    result = start(settings={"minutes": 0.01, "epochs": 1000})
    assert result.stopped == "minutes"
    assert 0 < result.steps < 3000


def test_photos_that_are_wrong(start, tmp_path):
    photos = save_shapes(tmp_path / "photos", each=4)
    (photos / "down" / "0.png").write_bytes(b"")
    shutil.copy(photos / "down" / "1.png", photos / "down" / "2.png")
    result = start(photos, settings={"epochs": 1, "steps_per_epoch": 1})
    assert len(result.photos["left_out"]) == 2
    assert any("cannot be read" in notice for notice in result.notices)
