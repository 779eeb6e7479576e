"""Class names: ImageNet's, a file's, and the background class that some models have."""

import pytest

from effnet_lite.errors import InputError
from effnet_lite.lite.labels import (
    default_labels,
    fit_labels,
    imagenet_classes,
    imagenet_labels,
    label_offset,
    read_labels,
)


def test_imagenet():
    classes = imagenet_classes()
    assert len(classes) == 1000
    assert classes[0] == ("n01440764", "tench")
    assert classes[999][0] == "n15075141"
    assert [synset for synset, _ in classes] == sorted({synset for synset, _ in classes})
    assert len(set(imagenet_labels())) == 1000


def test_labels_match_the_sample_photos(shared):
    """The files are named IIII_nXXXXXXXX_name.jpg after index and synset."""
    for photo in sorted((shared / "data" / "imagenet_sample").glob("*.jpg")):
        index, synset = photo.name.split("_")[:2]
        assert imagenet_classes()[int(index)][0] == synset


def test_the_background_class_shifts_the_rest():
    labels = fit_labels(["cat", "dog"], 3)
    assert labels == ("background", "cat", "dog")
    assert fit_labels(["cat", "dog"], 2) == ("cat", "dog")
    assert label_offset(labels, 3) == 1
    assert label_offset(("cat", "dog"), 2) == 0


@pytest.mark.parametrize("classes", [1, 4, 5, 0])
def test_any_other_number_is_refused(classes):
    with pytest.raises(InputError, match=f"{classes} outputs but there are 2 labels"):
        fit_labels(["cat", "dog"], classes)


def test_defaults():
    assert default_labels(1000) == imagenet_labels()
    assert default_labels(1001)[:2] == ("background", "tench")
    assert default_labels(999) is None
    assert (label_offset(None, 1001), label_offset(None, 1000)) == (1, 0)
    assert label_offset(default_labels(1001), 1001) == 1


def test_read_labels(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("\ufefftench\r\n  great white shark \r\nKätzchen\r\n\r\n", "utf-8")
    assert read_labels(path) == ("tench", "great white shark", "Kätzchen")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"a\n\nb\n", "line 2 is blank"),
        (b"a\nb\na\n", "'a' more than once"),
        (b"\xff\xd8\xff\xe0photo", "not UTF-8"),
        (b"\n\n", "only blank lines"),
    ],
)
def test_bad_label_files(tmp_path, content, message):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_labels(path)


def test_a_missing_label_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_labels(tmp_path / "labels.txt")
