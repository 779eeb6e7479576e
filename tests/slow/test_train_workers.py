"""Two workers on this machine learn what one learns from the batches of both."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from shapes import TINY, save_shapes

from effnet_lite.lite.training.checkpoint import load_state
from effnet_lite.lite.variants import get_variant
from effnet_lite.lite.weights import random_weights

pytestmark = pytest.mark.slow
pytest.importorskip("tensorflow")

TESTS = Path(__file__).resolve().parent.parent
# One epoch of 3 steps. A random network enlarges differences of the last bits from step to step
# (two devices and one: 2e-7, 1e-6, 4e-5, … 2e-3 of the loss at the sixth), and Adam would divide
# by gradients that are nothing but rounding.
SETTINGS = {
    "epochs": 1, "batch": 8, "train_scale": 1.0, "drop_block": 0.1, "optimizer": "rmsprop",
    "rate": 1e-3, "weight_decay": 1e-5, "warmup_epochs": 0,
}  # fmt: skip
SIZE = 64


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(output, photos, options, worker=None, ports=()):
    words = [sys.executable, TESTS / "slow" / "train_process.py", output, photos,
             json.dumps(options)]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(TESTS), "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TF_CONFIG", None)
    environment["TF_ENABLE_ONEDNN_OPTS"] = "0"  # its kernels round by the shape of their input
    if worker is not None:
        workers = [f"127.0.0.1:{port}" for port in ports]
        task = {"type": "worker", "index": worker}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
    return subprocess.Popen(
        [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip


def finish(processes):
    try:
        answers = [process.communicate(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, err) in zip(processes, answers, strict=True):
        assert process.returncode == 0, err[-3000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in answers]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return save_shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def alone(photos, tmp_path_factory):
    run = tmp_path_factory.mktemp("alone") / "run"
    (losses,) = finish([start(run, photos, {"settings": SETTINGS, "size": SIZE})])
    return run, losses


def same_but_for_rounding(run, losses, alone):
    """Crops, mixing, dropout and batch statistics are the same: only sums are rounded otherwise."""
    assert losses == pytest.approx(alone[1], rel=1e-4)
    one, two = (load_state(folder / "last.safetensors") for folder in (alone[0], run))
    assert one.facts["step"] == two.facts["step"] == 3
    for name in ("loss", "top1", "validation_loss", "validation_top1"):
        found, expected = (state.facts["history"][0][name] for state in (two, one))
        assert found == pytest.approx(expected, rel=1e-4)
    assert one.arrays.keys() == two.arrays.keys()
    # What was learned, not what was there before: a factor of two would show.
    before = random_weights(get_variant(TINY).with_size(SIZE), 3).tensors
    moved, apart = 0.0, 0.0
    for name, start_value in before.items():
        first, second = (state.arrays[f"model/{name}"] for state in (one, two))
        if name.startswith("predictions/kernel"):
            continue  # its start is scaled by the training
        moved += np.square(first - start_value).sum()
        apart += np.square(first - second).sum()
    assert apart**0.5 < 0.01 * moved**0.5


def test_two_workers_learn_what_one_does(photos, tmp_path, alone):
    run, ports = tmp_path / "run", free_ports(2)
    options = {"settings": SETTINGS, "size": SIZE, "strategy": "multiworker"}
    both = finish([start(run, photos, options, worker, ports) for worker in range(2)])
    assert both[0] == both[1]
    same_but_for_rounding(run, both[0], alone)
    # A run goes on wherever it is taken up: here on one, where it is at its end.
    (again,) = finish([start(run, photos, {"resume": True})])
    assert again == both[0]


def test_two_devices_learn_what_one_does(photos, tmp_path, alone):
    run = tmp_path / "run"
    (losses,) = finish(
        [start(run, photos, {"settings": SETTINGS, "size": SIZE, "strategy": "logical"})]
    )
    same_but_for_rounding(run, losses, alone)
