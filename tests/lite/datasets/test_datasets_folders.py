"""Class folders and photos that are called after their class."""

from __future__ import annotations

import os

import pytest
from dataset_contents import contents

from effnet_lite.errors import InputError
from effnet_lite.lite.datasets import open_dataset


@pytest.fixture
def folder(tmp_path):
    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"x")
        return tmp_path

    return make


def test_a_folder_a_class(folder):
    root = folder(
        "dog/b.jpg", "dog/a.PNG", "cat/1.jpeg", "cat/notes.txt", "cat/.x.jpg", ".git/x.jpg"
    )
    dataset = open_dataset(root)
    assert contents(dataset) == [
        ("cat/1.jpeg", "cat"),
        ("dog/a.PNG", "dog"),
        ("dog/b.jpg", "dog"),
    ]
    assert (dataset.kind, dataset.counts(), dataset.notes) == ("folders", [1, 2], ())
    assert dataset.photo(0).path == str(root / "cat" / "1.jpeg")


def test_photos_beside_the_folders_have_no_class(folder):
    assert contents(open_dataset(folder("a.jpg", "cat/1.jpg"))) == [
        ("a.jpg", None),
        ("cat/1.jpg", "cat"),
    ]


def test_sets_that_are_put_together_are_told(folder):
    dataset = open_dataset(folder("train/cat/1.jpg", "validation/cat/2.jpg", "train/dog/3.jpg"))
    assert dataset.classes == ("cat", "dog")
    assert dataset.counts() == [2, 1]
    (note,) = dataset.notes
    assert note.startswith("1 class folders are there several times, in train, validation,")


def test_synsets(folder):
    dataset = open_dataset(
        folder("val/n01440764/ILSVRC2012_val_00000293.JPEG", "val/n01443537/a.jpg")
    )
    assert dataset.classes == ("n01440764", "n01443537")


NAMED = ("0000_n01440764_tench.jpg", "0001_n01443537_goldfish.jpg")


def test_classes_in_file_names(folder):
    root = folder(*NAMED, "other.jpg")
    assert contents(open_dataset(root)) == [
        (NAMED[0], "n01440764"), (NAMED[1], "n01443537"), ("other.jpg", None),
    ]  # fmt: skip


def test_classes_in_file_names_of_a_folder_that_is_no_class(folder):
    root = folder(*(f"any/{name}" for name in NAMED))
    assert open_dataset(root).classes == ("n01440764", "n01443537")


def test_a_folder_of_one_synset_is_a_class(folder):
    assert open_dataset(folder(f"fish/{NAMED[0]}", f"bird/{NAMED[1]}")).classes == ("bird", "fish")


def test_links_are_followed_and_loops_are_not(folder, tmp_path):
    root = folder("real/cat/1.jpg", "set/x/2.jpg")
    (root / "set" / "cat").symlink_to(root / "real" / "cat")
    (root / "set" / "up").symlink_to(root / "set")
    assert contents(open_dataset(root / "set")) == [("cat/1.jpg", "cat"), ("x/2.jpg", "x")]


@pytest.mark.parametrize("name", ['it\'s "here"', "a\nb", "<script>alert(1)", "ü…"])
def test_names_of_any_kind(folder, name):
    dataset = open_dataset(folder(f"{name}/{name}.jpg"))
    assert contents(dataset) == [(f"{name}/{name}.jpg", name)]


def test_names_that_are_not_text(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    try:
        (tmp_path / name).mkdir()
    except OSError:
        pytest.skip("this file system takes only text as names")
    (tmp_path / name / "1.jpg").write_bytes(b"x")
    assert open_dataset(tmp_path).classes == (name,)


def test_what_is_no_data_set(folder, tmp_path):
    with pytest.raises(InputError, match="no photo in"):
        open_dataset(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        open_dataset(tmp_path / "nope")
    with pytest.raises(InputError, match=r"cannot read|does not exist"):
        open_dataset("a\0b")
    root = folder("a.jpg")
    with pytest.raises(InputError, match="is no data set; expected a folder of class folders"):
        open_dataset(root / "a.jpg")
    (root / "empty.bin").touch()
    with pytest.raises(InputError, match="is empty"):
        open_dataset(root / "empty.bin")
