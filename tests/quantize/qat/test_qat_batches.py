"""Batches: the same for the same seed, every photo as often as any other."""

from __future__ import annotations

import collections
import itertools

import numpy as np
import pytest
from PIL import Image

from effnet_lite.errors import InputError
from effnet_lite.lite.datasets import Photo, open_dataset
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.quantize.qat import photos as module
from effnet_lite.quantize.qat.photos import CROPS, Batches, Example

PREPROCESSING = Preprocessing(32)


@pytest.fixture(scope="module")
def examples(classes):
    opened = open_dataset(classes)
    return [Example(opened.photo(n), opened.class_of(n)) for n in range(len(opened))]


def take(batches, count, since=0):
    return list(itertools.islice(batches.since(since), count))


def test_batches_are_crops_with_their_photos_labels(examples):
    for pixels, labels in take(Batches(examples, PREPROCESSING, 5, 0), 3):
        assert pixels.shape == (5, 32, 32, 3)
        assert pixels.dtype == np.uint8
        assert labels.dtype == np.int32
        # Photos of the second class are the bright ones.
        np.testing.assert_array_equal(pixels.mean((1, 2, 3)) > 127, labels == 1)


def test_a_batch_depends_on_seed_and_step_alone(examples):
    one, other, third = (Batches(examples, PREPROCESSING, 7, seed) for seed in (3, 3, 4))
    all_of_it = take(one, 5)
    later = take(other, 2, since=3)
    for wanted, found in zip(all_of_it[3:], later, strict=True):
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_array_equal(found[1], wanted[1])
    assert not np.array_equal(take(third, 1)[0][0], all_of_it[0][0])


def test_every_photo_comes_once_an_epoch(examples, monkeypatch):
    seen = collections.Counter()
    monkeypatch.setattr(Batches, "_crop", lambda self, pixels, rng: seen.update([pixels.tobytes()])
                        or pixels[:32, :32])  # fmt: skip
    batches = Batches(examples, PREPROCESSING, len(examples), 0)
    for _ in range(2):
        seen.clear()
        batches._example(0)
        for turn in range(1, len(examples)):
            batches._example(turn)
        assert set(seen.values()) == {1}
        assert len(seen) == len(examples)


def test_crops_differ_and_are_mirrored(examples):
    """A ramp from left to right tells where a crop was cut, how wide, and which way round."""
    ramp = np.linspace(0, 255, 160).astype(np.uint8)
    photo = np.repeat(np.repeat(ramp[None, :, None], 100, 0), 3, 2)
    batches = Batches(examples, PREPROCESSING, 1, 0)
    crops = [batches._crop(photo, np.random.default_rng(seed)) for seed in range(60)]
    slopes = np.asarray([int(crop[0, -2, 0]) - int(crop[0, 1, 0]) for crop in crops])
    assert 15 <= (slopes < 0).sum() <= 45
    widths = np.abs(slopes) / 255 * 160 / 100  # of the shorter side; borders are left out
    assert widths.min() > CROPS[0] * 0.88
    assert widths.max() < CROPS[1]
    assert len({crop.tobytes() for crop in crops}) > 50


def test_what_is_larger_than_needed_is_kept_smaller():
    large = np.zeros((400, 300, 3), np.uint8)
    assert module._shrunken(large, 100).shape == (133, 100, 3)
    assert module._shrunken(large, 300) is large
    assert module._shrunken(large[:, :2], 100).shape == (400, 2, 3)


def test_the_cache_is_bounded(examples, monkeypatch):
    monkeypatch.setattr(module, "CACHE_BYTES", 3 * 40 * 50 * 3)
    batches = Batches(examples, PREPROCESSING, len(examples), 0)
    wanted = take(Batches(examples, PREPROCESSING, len(examples), 0), 2)
    monkeypatch.setattr(module, "CACHE_BYTES", 2**20)
    found = take(batches, 2)
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    assert sum(kept.nbytes for kept in batches._cache.values()) <= 2**20


def test_an_unreadable_photo_is_left_out_and_named(examples, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    given = [*examples[:3], Example(Photo("broken.jpg", str(broken)), 1)]
    batches = Batches(given, PREPROCESSING, 8, 0)
    pixels, labels = take(batches, 1)[0]
    assert len(pixels) == 8
    assert set(labels.tolist()) == {0}
    assert list(batches.unreadable) == ["broken.jpg"]


def test_no_readable_photo_is_an_error(tmp_path):
    broken = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(broken)
    broken.write_bytes(broken.read_bytes()[:40])
    batches = Batches([Example(Photo("a.png", str(broken)), 0)], PREPROCESSING, 2, 0)
    with pytest.raises(InputError, match=r"none of the 1 photos can be read; a\.png: "):
        take(batches, 1)
