"""Which label a data set's class is."""

from __future__ import annotations

import pytest

from effnet_lite.lite.datasets.matching import explain_unknown, match_classes
from effnet_lite.lite.labels import imagenet_labels

LABELS = ("cat", "Cardigan", "cardigan", "great white shark", "tench, Tinca tinca")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("cat", 0),
        ("CAT", 0),
        ("Cardigan", 1),
        ("cardigan", 2),
        ("CARDIGAN", None),  # either could be meant
        ("great_white_shark", 3),
        ("  Great  White shark", 3),
        ("tench", 4),
        ("Tench, another name", 4),
        ("n01440764", 4),  # the synset of tench
        ("n99999999", None),
        ("dog", None),
        ("", None),
    ],
)
def test_names(name, number):
    assert match_classes([name, "cat"], LABELS).numbers == (number, 0)


def test_all_of_imagenet_by_name_and_by_number():
    labels = imagenet_labels()
    assert match_classes(labels, labels).numbers == tuple(range(1000))
    numbers = [str(number) for number in range(1000)]
    assert match_classes(numbers, labels).numbers == tuple(range(1000))


def test_numbers_count_only_where_all_are_numbers_and_none_is_a_name():
    assert match_classes(["0", "2"], ("a", "b", "c")).numbers == (0, 2)
    assert match_classes(["0", "7"], ("a", "b", "c")).numbers == (0, None)
    assert match_classes(["0", "x"], ("a", "b", "c")).numbers == (None, None)
    assert match_classes(["0", "-1"], ("a", "b", "c")).numbers == (None, None)
    assert match_classes(["²", "10" * 40], ("a", "b", "c")).numbers == (None, None)
    assert match_classes(["0", "2"], ("9", "2", "0")).numbers == (2, 1)  # digits as names


def test_classes_that_mean_the_same_are_told():
    found = match_classes(["Cat", "dog", "cat", "n01440764", "tench"], LABELS)
    assert found.numbers == (0, None, 0, 4, 4)
    assert found.merged == {"cat": ("Cat", "cat"), "tench, Tinca tinca": ("n01440764", "tench")}
    assert found.unknown == ("dog",)


def test_labels_that_are_there_twice_are_nobodys():
    assert match_classes(["a", "b"], ("a", "a", "b")).numbers == (None, 2)


def test_the_nearest_labels_are_named():
    text = explain_unknown(["cats", "n01491361", "xyz"], imagenet_labels())
    assert text.startswith("'cats' (nearest: ")
    assert "'n01491361' (nearest: tiger shark" in text
    assert text.endswith("'xyz'")
    assert explain_unknown(list("abcdefgh"), ()).endswith("'e', …")
