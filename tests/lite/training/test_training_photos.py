"""Listing and splitting: what is left out and told, what is refused, what is kept where."""

from __future__ import annotations

import errno
import io
import shutil

import numpy as np
import pytest
from shapes import CLASSES, save_shapes
from tfrecords import example, write_records

from effnet_lite.errors import InputError
from effnet_lite.lite.preprocessing import load_image
from effnet_lite.lite.training.cache import PhotoCache, shrunken
from effnet_lite.lite.training.photos import gather


@pytest.fixture
def photos(tmp_path):
    return save_shapes(tmp_path / "photos", each=6)


@pytest.fixture
def open_photos(preprocessing):
    def run(data, validation=None, share=0.2, seed=0, memory=2**24, progress=None):
        return gather(data, validation, share, seed, preprocessing, memory, progress)

    return run


def names(side):
    return [side.cache.photos[number].name for number in side.numbers]


def test_a_split_takes_the_same_share_of_each_class(photos, open_photos):
    calls = []
    data = open_photos(photos, progress=lambda *call: calls.append(call))
    assert data.classes == CLASSES
    assert np.bincount(data.validation.labels).tolist() == [1, 1, 1]
    assert data.counts() == [5, 5, 5]
    assert not set(names(data.training)) & set(names(data.validation))
    assert data.notes == ("3 of the 18 photos are held back for validation",)
    assert calls[-1] == (18, 18, "reading photos")


def test_a_split_is_the_seeds(photos, open_photos):
    first, again, other = (open_photos(photos, seed=seed) for seed in (0, 0, 1))
    assert names(first.validation) == names(again.validation) != names(other.validation)
    assert first.digest() == again.digest() != other.digest()


def test_validation_pixels_are_those_of_deployment(photos, open_photos, preprocessing):
    data = open_photos(photos)
    for number, name in zip(data.validation.numbers, names(data.validation), strict=True):
        expected = preprocessing.pixels(photos / name)
        assert np.array_equal(data.validation.cache.load(number), expected)


def test_training_pixels_are_as_large_as_deployment_sees_them(photos, open_photos):
    data = open_photos(photos)
    sizes = {data.training.cache.load(number).shape[:2] for number in data.training.numbers}
    assert sizes == {(37, 44)}  # 32 / 0.875 = 36.6


def test_copies_are_left_out(photos, open_photos):
    shutil.copy(photos / "down" / "0.png", photos / "down" / "again.png")
    shutil.copy(photos / "down" / "1.png", photos / "across" / "other class.png")
    data = open_photos(photos)
    left_out = {problem.name: problem.reason for problem in data.left_out}
    assert left_out == {
        "down/again.png": "a copy of down/0.png",
        "down/1.png": "a copy of across/other class.png",
    }
    used = names(data.training) + names(data.validation)
    assert len(used) == 18
    assert not set(used) & set(left_out)
    assert "2 photos are copies and are left out" in data.notes[-1]


def test_copies_of_validation_photos_are_not_learned_from(photos, tmp_path, open_photos):
    held = save_shapes(tmp_path / "held", each=2, seed=9)
    shutil.copy(photos / "plain" / "3.png", held / "plain" / "seen.png")
    data = open_photos(photos, held)
    assert len(data.validation) == 7
    assert [(entry.name, entry.reason) for entry in data.left_out] == [
        ("plain/3.png", "a copy of the validation photo plain/seen.png")
    ]
    assert data.facts()["by_class"] == {"across": 6, "down": 6, "plain": 5}


def test_what_cannot_be_read_is_left_out(photos, open_photos):
    (photos / "down" / "0.png").write_bytes(b"\x89PNG but not really")
    (photos / "down" / "1.png").write_bytes(b"")
    data = open_photos(photos)
    assert [entry.name for entry in data.left_out] == ["down/0.png", "down/1.png"]
    assert len(data.training) + len(data.validation) == 16
    assert data.notes[-1].startswith("2 photos cannot be read and are left out: down/0.png (")


def test_a_table_and_shards_give_the_same(photos, tmp_path, open_photos):
    table = tmp_path / "photos.csv"
    found = sorted(photos.rglob("*.png"))
    lines = [f"photos/{path.relative_to(photos)},{path.parent.name}\n" for path in found]
    table.write_text("path,label\n" + "".join(lines))
    shard = tmp_path / "photos.tfrecord"
    features = [
        {"image__encoded": path.read_bytes(), "image__class__text": path.parent.name.encode()}
        for path in found
    ]
    write_records(shard, *(example(**one) for one in features))
    digests = {open_photos(path).digest() for path in (photos, table, shard)}
    assert len(digests) == 1


def test_one_class(photos, open_photos):
    for name in ("down", "plain"):
        shutil.rmtree(photos / name)
    with pytest.raises(InputError, match=r"has 1 class \('across'\) in 6 photos; .* at least 2"):
        open_photos(photos)


def test_one_photo(photos, open_photos):
    for path in list(photos.rglob("*.png"))[1:]:
        path.unlink()
    for path in list(photos.iterdir()):
        if not any(path.iterdir()):
            path.rmdir()
    with pytest.raises(InputError, match=r"has 1 class .* in 1 photos; training needs photos of"):
        open_photos(photos)


def test_an_empty_class(photos, open_photos):
    (photos / "zigzag").mkdir()
    (photos / "zigzag" / "notes.txt").write_text("none yet")
    with pytest.raises(InputError, match=r"zigzag has no photo; put photos into it, or remove it"):
        open_photos(photos)


def test_a_class_of_one_photo(photos, tmp_path, open_photos):
    for path in list((photos / "down").iterdir())[1:]:
        path.unlink()
    with pytest.raises(InputError, match=r"class 'down' .* has 1 photo that can be used; expected "
                       r"at least 2, as one is held back"):  # fmt: skip
        open_photos(photos)
    assert open_photos(photos, save_shapes(tmp_path / "held", seed=3)).counts() == [6, 1, 6]


def test_a_class_that_cannot_be_read(photos, open_photos):
    for path in (photos / "down").iterdir():
        path.write_bytes(b"no photo")
    with pytest.raises(InputError, match=r"class 'down' .* has 0 photos .* 6 were left out, first"):
        open_photos(photos)


def test_validation_of_other_classes(photos, tmp_path, open_photos):
    held = save_shapes(tmp_path / "held", seed=5)
    (held / "plain").rename(held / "checked")
    with pytest.raises(InputError, match=r"1 classes of .*held are not in .*photos: 'checked'"):
        open_photos(photos, held)
    (held / "checked").rename(held / "PLAIN")  # letter case does not matter
    shutil.rmtree(held / "down")
    data = open_photos(photos, held)
    assert data.notes == ("there are no validation photos of down",)
    assert set(data.validation.labels.tolist()) == {0, 2}


@pytest.mark.parametrize("memory", [2**24, 20_000, 0])
def test_what_memory_does_not_hold_is_in_a_file(photos, open_photos, memory):
    whole = open_photos(photos)
    data = open_photos(photos, memory=memory)
    for number in data.training.numbers:
        expected = whole.training.cache.load(number)
        assert np.array_equal(data.training.cache.load(number), expected)
    cache = data.training.cache
    assert len(cache._kept) == {2**24: 15, 20_000: 4, 0: 0}[memory] or memory == 20_000
    assert bool(cache._spilled) == (memory < 2**24)


def test_a_full_disk_means_decoding_again(photos, open_photos, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    data = open_photos(photos, memory=0)
    assert not data.training.cache._spilled
    whole = open_photos(photos)
    number = data.training.numbers[0]
    assert np.array_equal(data.training.cache.load(number), whole.training.cache.load(number))


def test_a_photo_that_vanishes(photos, open_photos):
    data = open_photos(photos)
    cache = PhotoCache(data.training.cache.photos, lambda pixels: pixels, 0)
    (photos / cache.photos[0].name).unlink()
    with pytest.raises(InputError, match="does not exist"):
        cache.load(0)


def test_sides_are_bounded(photos):
    wide = np.zeros((10, 90, 3), np.uint8)
    assert shrunken(wide, 20).shape == (10, 40, 3)
    assert shrunken(wide, 5).shape == (5, 20, 3)
    photo = load_image(photos / "down" / "0.png")
    assert shrunken(photo, 64) is not None
    assert np.array_equal(shrunken(photo, 64), photo)
