"""A training that is killed and gone on with ends with the bits of one left alone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from shapes import TINY, save_shapes

from effnet_lite.lite.pretrained import load_weights
from effnet_lite.lite.training.checkpoint import load_state
from effnet_lite.lite.variants import get_variant

pytestmark = pytest.mark.slow
pytest.importorskip("tensorflow")

TESTS = Path(__file__).resolve().parent.parent
# 24 photos: 3 steps an epoch, 12 in all, saved after each 2 and after each epoch.
SETTINGS = {"epochs": 4, "batch": 8, "checkpoint_steps": 2, "train_scale": 1.0, "drop_block": 0.1}
# Drawn once: any step will do.
STEPS = sorted(random.Random(20).sample(range(1, 12), 3))


def start(output, photos, options, *step):
    words = [sys.executable, TESTS / "slow" / "train_process.py", output, photos,
             json.dumps(options), *step]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(TESTS), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [str(word) for word in words], check=False, capture_output=True, text=True, timeout=600,
        env=environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return save_shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def alone(photos, tmp_path_factory):
    run = tmp_path_factory.mktemp("alone") / "run"
    done = start(run, photos, {"settings": SETTINGS})
    assert done.returncode == 0, done.stderr
    return run, json.loads(done.stdout)


@pytest.mark.parametrize("step", [*map(str, STEPS), "6w"])
def test_killed_and_gone_on_with(alone, photos, tmp_path, step):
    run = tmp_path / "run"
    killed = start(run, photos, {"settings": SETTINGS}, step)
    assert killed.returncode == -signal.SIGKILL
    at = int(step.removesuffix("w"))
    kept = load_state(run / "last.safetensors").facts["step"]
    assert at - 2 <= kept <= at
    again = start(run, photos, {"resume": True})
    assert again.returncode == 0, again.stderr
    other, losses = alone
    assert json.loads(again.stdout) == losses
    one, two = (load_state(folder / "last.safetensors").arrays for folder in (run, other))
    same(one, two)
    best, expected = (load_weights(folder, get_variant(TINY)) for folder in (run, other))
    same(best.tensors, expected.tensors)


def same(one, two):
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)
