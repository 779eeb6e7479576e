"""Our own checkpoints: what is saved comes back, and nothing half is ever saved."""

import json

import numpy as np
import pytest
from weight_writers import B0, LITE0, TINY, as_timm, assert_same, example

from effnet_lite.errors import InputError, MissingDependencyError
from effnet_lite.lite.architecture import B_MEAN, B_STD
from effnet_lite.lite.weights import checkpoint_metadata, read_weights, save_checkpoint

safetensors = pytest.importorskip("safetensors.numpy")

LABELS = ["T-shirt", "Größe", "靴", "a\nb", ""]


@pytest.mark.parametrize("variant", [LITE0, B0], ids=lambda v: v.name)
def test_round_trip(tmp_path, variant):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, example(variant, 5), variant.with_size(96), LABELS, extra={"epoch": "3"})
    weights = read_weights(path, variant)
    assert_same(weights.tensors, example(variant, 5))
    assert (weights.layout, weights.classes, weights.head_is_new) == ("effnet-lite", 5, False)
    assert weights.labels == tuple(LABELS)
    metadata = checkpoint_metadata(path)
    assert metadata.items() >= {"variant": variant.name, "size": "96", "epoch": "3"}.items()
    assert (metadata["format"], metadata["version"]) == ("effnet-lite", "1")
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_normalization_goes_with_the_b_family(tmp_path):
    path = tmp_path / "a.safetensors"
    own = {
        "normalization/mean": np.array(B_MEAN, np.float32),
        "normalization/variance": np.array(B_STD, np.float32) ** 2,
    }
    save_checkpoint(path, own | example(B0, 5), B0)
    weights = read_weights(path, B0)
    assert_same(weights.tensors, own | example(B0, 5))
    assert weights.labels is None


def test_labels_go_with_the_head(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, example(TINY, 5), TINY, LABELS)
    weights = read_weights(path, TINY, 3)
    assert (weights.classes, weights.head_is_new, weights.labels) == (3, True, None)


def test_overwrite(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, example(TINY, 5), TINY)
    with pytest.raises(InputError, match="exists already"):
        save_checkpoint(path, example(TINY, 6), TINY)
    assert read_weights(path, TINY).classes == 5
    save_checkpoint(path, example(TINY, 6), TINY, overwrite=True)
    assert read_weights(path, TINY).classes == 6


def test_incomplete_tensors_are_not_saved(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {n: t for n, t in example(TINY, 5).items() if n != "top_bn/gamma"}
    with pytest.raises(InputError, match=r"1 missing \(top_bn/gamma\)"):
        save_checkpoint(path, tensors, TINY)
    with pytest.raises(InputError, match="4 labels for a classifier of 5"):
        save_checkpoint(path, example(TINY, 5), TINY, LABELS[:4])
    assert not list(tmp_path.iterdir())


def test_the_callers_text_cannot_replace_ours(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, example(TINY, 5), TINY, extra={"variant": "b7", "note": "x"})
    metadata = checkpoint_metadata(path)
    assert (metadata["variant"], metadata["note"]) == (TINY.name, "x")


@pytest.mark.parametrize(
    "labels", ["no JSON", "{}", "[1, 2, 3, 4, 5]", '["a"]', "[" * 100_000, "null"]
)
def test_damaged_labels(tmp_path, labels):
    path = tmp_path / "a.safetensors"
    metadata = {"format": "effnet-lite", "labels": labels}
    safetensors.save_file(dict(example(TINY, 5)), path, metadata)
    with pytest.raises(InputError, match="labels"):
        read_weights(path, TINY)


def test_metadata_of_a_foreign_file(tmp_path):
    path = tmp_path / "a.safetensors"
    foreign = {n: np.ascontiguousarray(a) for n, a in as_timm(TINY, example(TINY, 5)).items()}
    safetensors.save_file(foreign, path, {"format": "pt", "labels": json.dumps(LABELS)})
    with pytest.raises(InputError, match="not a checkpoint of effnet-lite"):
        checkpoint_metadata(path)
    assert read_weights(path, TINY).labels is None


def test_metadata_of_no_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        checkpoint_metadata(tmp_path / "none.safetensors")


def test_without_safetensors(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    with pytest.raises(MissingDependencyError, match="safetensors"):
        save_checkpoint(tmp_path / "a", example(TINY, 5), TINY)
