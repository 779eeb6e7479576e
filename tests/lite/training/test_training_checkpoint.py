"""A state on disk: every bit of it, and what a full disk leaves behind."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from effnet_lite.errors import InputError
from effnet_lite.lite.training.checkpoint import load_state, save_state
from effnet_lite.lite.training.loop import State

pytest.importorskip("safetensors")


def state(step=3):
    random = np.random.default_rng(step)
    arrays = {
        "model/a/kernel": random.normal(size=(3, 4)).astype(np.float32).T,
        "optimizer/0000": np.asarray(2**40 + step, np.int64),
        "optimizer/0001": np.asarray(1e-30, np.float32),
    }
    return State(arrays, {"step": step, "spent": 0.1 + 0.2, "history": [{"epoch": 1}]})


def test_every_bit_comes_back(tmp_path):
    path = tmp_path / "last.safetensors"
    save_state(path, state())
    found, expected = load_state(path), state()
    assert found.facts == expected.facts
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape
        assert np.array_equal(found.arrays[name], array)


def test_a_full_disk_leaves_the_last_one(tmp_path, monkeypatch):
    path = tmp_path / "last.safetensors"
    save_state(path, state(3))

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot write .*no space left on device while saving 0 "
                       r"MiB at step 4; what was saved before is kept"):  # fmt: skip
        save_state(path, state(4))
    assert load_state(path).facts["step"] == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_file_that_is_cut_off(tmp_path, share):
    path = tmp_path / "last.safetensors"
    save_state(path, state())
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"is damaged|is empty"):
        load_state(path)


def test_another_safetensors_file(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(InputError, match="is not the saved state of a training"):
        load_state(path)
    with pytest.raises(InputError, match="expected the saved state of a training"):
        load_state(tmp_path / "missing.safetensors")
