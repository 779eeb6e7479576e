"""Which images calibrate, which check, and what the manifest says of them."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from numpy_network import lively_weights
from small_variants import LITE

from effnet_lite.errors import EffnetLiteError, InputError
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.preprocessing import Preprocessing, preprocessing_for
from effnet_lite.lite.variants import get_variant
from effnet_lite.lite.weights import Weights
from effnet_lite.quantize import calibration_set as module
from effnet_lite.quantize import matching
from effnet_lite.quantize.calibration_set import choose
from effnet_lite.quantize.matching import Effort
from effnet_lite.quantize.synthetic import dead_leaves


def test_a_folder_is_split(photos):
    images = choose(photos, count=10, seed=3)
    assert (images.kind, images.count, len(images.check)) == ("folder", 10, 20)
    assert not set(images.photos.paths) & set(images.check.paths)
    assert images.check_classes == (None,) * 20
    assert images.manifest() == [str(path) for path in images.photos.paths]
    assert not images.notices


def test_the_seed_decides_the_split(photos):
    assert choose(photos, 10, 3).manifest() == choose(photos, 10, 3).manifest()
    assert choose(photos, 10, 3).manifest() != choose(photos, 10, 4).manifest()
    assert choose(photos, 10, 3).digest() != choose(photos, 10, 4).digest()


def test_a_fifth_is_held_back_where_more_is_asked_for_than_there_is(photos):
    images = choose(photos, count=100)
    assert (images.count, len(images.check)) == (24, 6)


def test_a_few_photos_calibrate_and_check_and_it_is_said(photos, tmp_path):
    for name in ("00", "01", "02"):
        (tmp_path / f"{name}.jpg").write_bytes((photos / f"{name}.jpg").read_bytes())
    images = choose(tmp_path)
    assert (images.count, len(images.check)) == (3, 3)
    assert "flatters" in images.notices[0]


def test_pixels_start_anew_each_time(photos):
    images = choose(photos, count=4)
    preprocessing = Preprocessing(32)
    first = list(images.pixels(preprocessing))
    again = list(images.pixels(preprocessing))
    assert len(first) == 4
    assert all(pixels.shape == (32, 32, 3) for pixels in first)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(list(images.pixels(preprocessing, limit=2))) == 2


def test_only_what_fits_is_kept(photos, monkeypatch):
    monkeypatch.setattr(module, "CACHE_BYTES", 2 * 32 * 32 * 3)
    images = choose(photos, count=5)
    assert len(list(images.pixels(Preprocessing(32)))) == 5
    assert len(images._cache) == 2


def test_synthetic_images_are_announced():
    images = choose("synthetic", seed=1)
    assert (images.kind, images.manifest()) == ("synthetic", [])
    assert "SYNTHETIC" in images.notices[0]
    assert images.digest() == choose("synthetic", seed=1).digest()
    assert images.digest() != choose("synthetic", seed=2).digest()


def test_synthetic_where_no_photos_are_installed(monkeypatch):
    from effnet_lite.lite import photos as photo_module

    monkeypatch.setattr(photo_module.importlib.util, "find_spec", lambda name: None)
    images = choose(None)
    assert images.kind == "synthetic"
    assert "SYNTHETIC" in images.notices[0]
    assert any("not measured" in notice for notice in images.notices)
    with pytest.raises(EffnetLiteError, match="effnet-lite"):
        choose("samples")


@pytest.mark.usefixtures("sample_photos")
def test_samples_are_the_default():
    images = choose(None, count=20)
    assert (images.kind, images.count, len(images.check)) == ("samples", 20, 120)


@pytest.mark.parametrize("count", [0, -1])
def test_no_photos_asked_for(photos, count):
    with pytest.raises(InputError, match="at least 1"):
        choose(photos, count=count)


def test_folders_that_will_not_do(tmp_path, photo):
    with pytest.raises(InputError, match="no photo in"):
        choose(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        choose(tmp_path / "nope")
    with pytest.raises(InputError, match="is a file"):
        choose(photo)


@pytest.fixture
def network(monkeypatch):
    """Plan, weights and preprocessing, and little to spend on it."""
    monkeypatch.setattr(module, "affordable", lambda graph: Effort(2, 2, 2))
    row = get_variant(LITE)
    weights = Weights(lively_weights(row, 10), 10, False, "a.pth", "ab" * 32, "torch")
    return architecture(row, 10), weights, preprocessing_for(row)


def test_synthetic_images_are_matched_to_the_network(network):
    leaves = choose("synthetic", seed=1)
    images = leaves.matched_to(*network)
    assert (images.kind, images.count, images.notices) == ("synthetic", 4, leaves.notices)
    found = list(images.pixels(network[2]))
    assert {(image.shape, image.dtype.name) for image in found} == {((64, 64, 3), "uint8")}
    np.testing.assert_array_equal(found[2], found[0][:, ::-1])
    moved = found[0].astype(int) - dead_leaves(64, 0, seed=1)
    assert 0 < np.abs(moved).max() <= 2 * 2 * matching.RATE + 1


def test_the_digest_says_what_matched_images_were_made_of(network, monkeypatch):
    plan, weights, preprocessing = network
    monkeypatch.setattr(module, "match", lambda *args: [*args[2]])
    others = [
        choose("synthetic", seed=1),
        choose("synthetic", seed=1).matched_to(*network),
        choose("synthetic", seed=2).matched_to(*network),
        choose("synthetic", seed=1).matched_to(
            plan, dataclasses.replace(weights, sha256="cd" * 32), preprocessing
        ),
    ]
    assert len({images.digest() for images in others}) == 4
    assert others[1].digest() == choose("synthetic", seed=1).matched_to(*network).digest()
    assert "batch norms" in others[1].origin
    assert weights.sha256 in others[1].origin


def test_a_new_head_names_no_classes(network, monkeypatch):
    plan, weights, preprocessing = network
    asked = []
    monkeypatch.setattr(module, "match", lambda *args: asked.append(args[6]) or [*args[2]])
    for new in (False, True):
        given = dataclasses.replace(weights, head_is_new=new)
        images = choose("synthetic").matched_to(plan, given, preprocessing)
        assert ("classes" in images.origin) == (not new)
    assert asked == [True, False]


def test_dead_leaves_without_tensorflow(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    leaves = choose("synthetic")
    images = leaves.matched_to(*network)
    assert (images.count, images.digest()) == (module.SYNTHETIC_COUNT, leaves.digest())
    assert "dead leaves" in images.notices[-1]
    assert "pip install 'effnet-lite[convert]'" in images.notices[-1]
    np.testing.assert_array_equal(next(images.pixels(network[2])), dead_leaves(64, 0))


def test_dead_leaves_for_a_network_that_costs_too_much(network, monkeypatch):
    monkeypatch.setattr(module, "affordable", lambda graph: None)
    images = choose("synthetic").matched_to(*network)
    assert images.count == module.SYNTHETIC_COUNT
    assert "too large" in images.notices[-1]


def test_photos_and_random_weights_are_left_alone(network, photos, monkeypatch):
    plan, weights, preprocessing = network
    monkeypatch.setattr(module, "match", None)
    folder, leaves = choose(photos), choose("synthetic")
    assert folder.matched_to(*network) is folder
    random = dataclasses.replace(weights, layout="random")
    assert leaves.matched_to(plan, random, preprocessing) is leaves
