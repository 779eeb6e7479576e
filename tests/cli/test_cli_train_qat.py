"""train --qat: from a run folder, or behind the float training, to an int8 file."""

from __future__ import annotations

import json
import shutil

import pytest
from shapes import TINY, save_shapes

pytest.importorskip("tensorflow_model_optimization")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return save_shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """A run folder after one epoch."""
    from effnet_lite.lite.training.train import train

    run = tmp_path_factory.mktemp("trained") / "run"
    settings = {"epochs": 1, "batch": 8, "train_scale": 1.0}
    train(photos, TINY, output=run, weights="random", preset="transfer", settings=settings)
    return run


def test_the_int8_network_of_a_run(cli, photos, trained):
    answer = cli("train", "--qat", "--weights", trained, "--data", photos, "--qat-steps", 2)
    assert answer.code == 0, answer.err
    file = trained / f"efficientnet-{TINY}-int8.tflite"
    assert f"wrote {file}, " in answer.out
    assert f"{TINY} int8, recipe " in answer.out.splitlines()[0]
    assert "+qat, weights " in answer.out.splitlines()[0]
    assert "2 steps of 16 photos" in answer.out
    assert "before training" in answer.out
    refused = cli("train", "--qat", "--weights", trained, "--data", photos, "--qat-steps", 2)
    assert refused.code == 1
    assert "exists" in refused.err
    labels = json.loads(cli("inspect", file, "--json").out)["labels"]
    assert labels == ["across", "down", "plain"]


def test_both_in_one_command(cli, photos, tmp_path):
    answer = cli(
        "train", "--variant", TINY, "--data", photos, "-o", tmp_path / "run", "--weights", "random",
        "--preset", "transfer", "--batch", 8, "--epochs", 1, "--set", "train_scale=1", "--qat",
        "--qat-steps", 1, "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    assert document["steps"] == 3
    assert document["qat"]["recipe"].endswith("+qat")
    assert document["qat"]["fidelity"]["count"] > 0
    assert (tmp_path / "run" / f"efficientnet-{TINY}-int8.tflite").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--unlabelled", "--data", "photos"), "add --qat"),
        (("--qat", "--unlabelled", "--data", "photos", "--weights", "random"), "are random"),
    ],
)
def test_contradictions(cli, words, message):
    answer = cli("train", *words)
    assert answer.code == 2
    assert message in answer.err


def test_photos_are_needed(cli, trained):
    answer = cli("train", "--qat", "--weights", trained)
    assert answer.code == 2
    assert "give --data" in answer.err


def test_photos_without_classes_and_a_weights_file(cli, photos, trained, tmp_path):
    flat, run = tmp_path / "flat", tmp_path / "made"
    flat.mkdir()
    for number, photo in enumerate(sorted(photos.rglob("*.png"))):
        shutil.copyfile(photo, flat / f"{number}.png")
    answer = cli(
        "train", "--qat", "--unlabelled", "--weights", trained / "weights.safetensors", "--data",
        flat, "-o", run, "--qat-steps", 2,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    file = run / f"efficientnet-{TINY}-int8.tflite"
    labels = json.loads(cli("inspect", file, "--json").out)["labels"]
    assert labels == ["across", "down", "plain"]


def test_nothing_is_left_of_a_folder_that_nothing_came_of(cli, trained, tmp_path):
    run = tmp_path / "made"
    answer = cli(
        "train", "--qat", "--unlabelled", "--weights", trained / "weights.safetensors", "--data",
        tmp_path / "none", "-o", run,
    )  # fmt: skip
    assert answer.code == 1
    assert "none" in answer.err
    assert not run.exists()
