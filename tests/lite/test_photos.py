"""Sets of photos: found, split, named by a digest."""

import shutil

import pytest

from effnet_lite.errors import InputError, MissingDependencyError
from effnet_lite.lite import photos as module
from effnet_lite.lite.labels import default_labels
from effnet_lite.lite.photos import (
    PhotoSet,
    check_photos,
    find_photos,
    known_classes,
    labelled_sample_photos,
    sample_photos,
)


def test_found_by_suffix_below_the_folder_in_order(tmp_path):
    for name in ("b.JPG", "a.png", "deep/er/c.webp", "notes.txt", ".hidden.jpg", "d.tflite"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_photos(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found.paths] == [
        "a.png",
        "b.JPG",
        "deep/er/c.webp",
    ]
    assert (found.kind, len(found)) == ("folder", 3)


def test_folders_that_will_not_do(tmp_path):
    with pytest.raises(InputError, match="no photo in"):
        find_photos(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        find_photos(tmp_path / "nope")
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="is a file"):
        find_photos(tmp_path / "a.jpg")


def test_split(photos):
    found = find_photos(photos)
    first, rest = found.split(10, seed=1)
    assert (len(first), len(rest)) == (10, 20)
    assert set(first.paths) | set(rest.paths) == set(found.paths)
    assert found.split(10, seed=1)[0] == first
    assert found.split(10, seed=2)[0] != first


def test_the_digest_is_of_the_contents_in_order(photos, tmp_path):
    found = find_photos(photos)
    shutil.copytree(photos, tmp_path / "copy")
    assert find_photos(tmp_path / "copy").digest() == found.digest()
    assert found.split(30, seed=1)[0].digest() != found.digest()
    (tmp_path / "copy" / "29.jpg").write_bytes(b"other")
    assert find_photos(tmp_path / "copy").digest() != found.digest()


@pytest.mark.usefixtures("sample_photos")
def test_calibration_never_sees_the_check_photos():
    samples, (check, classes) = sample_photos(), check_photos()
    assert not set(samples.paths) & set(check.paths)
    assert (len(samples), len(check), len(classes)) == (100, 120, 120)
    assert sum(index is not None for index in classes) == 20


def test_labels_of_the_sample_photos(foolbox_photos):
    labelled = labelled_sample_photos()
    assert len(labelled) == 20
    assert labelled[0] == (foolbox_photos / "imagenet_00_243.jpg", 243)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"effnet-lite\[imagenet\]"):
        sample_photos()


def classes_of(root, labels, *names):
    return known_classes(PhotoSet("folder", tuple(root / name for name in names)), root, labels)


def test_classes_by_folder(tmp_path):
    labels = ("cat", "Cardigan", "cardigan", "great white shark")
    assert classes_of(
        tmp_path, labels, "CAT/1.jpg", "train/cat/2.jpg", "cat.jpg", "dog/cat/x/3.jpg",
        "Great White Shark/4.jpg", "n01440764/5.jpg", "0000_n01440764_tench.jpg",
    ) == (0, 0, None, None, 3, None, None)  # fmt: skip
    # Letter case tells apart what else it could not.
    assert classes_of(tmp_path, labels, "Cardigan/1.jpg", "cardigan/1.jpg", "CARDIGAN/1.jpg") == (
        1,
        2,
        None,
    )
    assert classes_of(tmp_path / "cat", labels, "1.jpg") == (None,)
    assert classes_of(tmp_path, None, "cat/1.jpg") == (None,)


@pytest.mark.parametrize("classes", [1000, 1001])
def test_imagenet_classes_by_synset(tmp_path, classes):
    labels = default_labels(classes)
    found = classes_of(
        tmp_path, labels, "n01440764/ILSVRC2012_val_00000293.JPEG", "0001_n01443537_goldfish.jpg",
        "any/0000_n01440764_tench.jpg", "tench/x.jpg", "0000_n99999999_x.jpg", "n01440764.jpg",
    )  # fmt: skip
    offset = classes - 1000
    assert found == (offset, 1 + offset, offset, offset, None, None)
