"""train: what it prints, writes and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from shapes import CLASSES, TINY, save_shapes


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return save_shapes(tmp_path_factory.mktemp("shapes"))


def options(photos, run, *more):
    return ("train", "--variant", TINY, "--data", photos, "-o", run, "--weights", "random",
            "--preset", "transfer", "--batch", 8, "--set", "train_scale=1", *more)  # fmt: skip


def test_a_training(cli, photos, tmp_path):
    pytest.importorskip("tensorflow")
    run = tmp_path / "run"
    answer = cli(*options(photos, run, "--epochs", 1))
    assert answer.code == 0
    assert answer.err.startswith("epoch 1/1  loss ")
    assert "note: 3 of the 27 photos are held back for validation" in answer.err
    lines = answer.out.splitlines()
    assert lines[0] == f"{TINY} at 32 pixels, 3 classes, 24 photos, cpu x 1"
    assert lines[1].startswith("  epochs            1 of 1, ")
    assert lines[3].startswith("  validation top-1  ")
    assert lines[3].endswith("of 3)")
    assert lines[4] == f"wrote {run}"
    follow = lines[-1].split()
    assert follow[:3] == ["effnet-lite", "convert", "--int8"]
    assert str(run) in follow

    again = cli("train", "-o", run, "--resume", "--json")
    assert again.code == 0
    document = json.loads(again.out)
    assert document["labels"] == list(CLASSES)
    assert (document["steps"], document["resumed"]) == (3, 3)
    assert document["config"]["train_scale"] == 1

    refused = cli(*options(photos, run, "--epochs", 1))
    assert (refused.code, refused.out) == (1, "")
    assert "holds a training already; pass --resume" in refused.err


def test_settings(cli, photos, tmp_path):
    for text, message in (
        ("mixup", "--set takes NAME=VALUE, got 'mixup'"),
        ("mixup=", "--set takes NAME=VALUE"),
        ("mixup=much", "mixup must be a number, got 'much'"),
        ("hue=1", "unknown setting 'hue' of a training: expected one of epochs, batch"),
        ("schedule=step", "schedule must be cosine or exponential, got 'step'"),
        ("head_start=3", "head_start must be true or false, got 3"),
    ):
        answer = cli(*options(photos, tmp_path / "run", "--set", text))
        assert (answer.code, answer.out) == (2, "")
        assert message in answer.err
    assert not (tmp_path / "run").exists()


def test_what_is_missing(cli, tmp_path):
    answer = cli("train")
    assert answer.code == 2
    assert "training needs photos: give --data, or --resume" in answer.err
    answer = cli("train", "--resume", "-o", tmp_path / "none")
    assert answer.code == 1
    assert "there is no training in" in answer.err


def test_help_is_light(photos):
    code = (
        "import sys\nfrom effnet_lite.cli import train\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"numpy", "tensorflow", "PIL", "safetensors"} & set(printed.stdout.split())


def test_an_interruption_says_how_to_go_on(photos, tmp_path):
    """In a process of its own, which gets the signal that Ctrl-C sends."""
    pytest.importorskip("tensorflow")
    run = tmp_path / "run"
    program = (
        "import os, signal, sys\n"
        "from effnet_lite.cli import COMMANDS, main\n"
        "from effnet_lite.lite.training import loop\n"
        "COMMANDS.setdefault('train', '')\n"
        "advance = loop.Trainer._advance\n"
        "def interrupted(self, *rest):\n"
        "    if self.step == 4:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return advance(self, *rest)\n"
        "loop.Trainer._advance = interrupted\n"
        "main.main(sys.argv[1:], prog_name='effnet-lite')\n"
    )
    words = [str(word) for word in options(photos, run, "--epochs", 50)]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], check=False, capture_output=True, text=True,
        timeout=300, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-2:]
    assert last[0].startswith("effnet-lite: interrupted after step ")
    assert last[0].endswith(f"it is saved in {run}; to go on:")
    assert last[1] == f"  effnet-lite train -o {run} --resume"
    assert (run / "last.safetensors").is_file()
