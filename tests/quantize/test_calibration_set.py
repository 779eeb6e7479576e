"""Which images calibrate, which check, and what the manifest says of them."""

from __future__ import annotations

import numpy as np
import pytest

from effnet_lite.errors import EffnetLiteError, InputError
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.quantize import calibration_set as module
from effnet_lite.quantize.calibration_set import choose
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


def test_dead_leaves():
    first, again, other = dead_leaves(48, 0), dead_leaves(48, 0), dead_leaves(48, 1)
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5
    # Like photos, and unlike noise: neighbours resemble each other, and the range is used.
    image = first.astype(float)
    assert np.corrcoef(image[:, 1:].ravel(), image[:, :-1].ravel())[0, 1] > 0.5
    assert image.std() > 20
