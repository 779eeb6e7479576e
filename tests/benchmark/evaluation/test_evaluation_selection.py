"""Which photos are evaluated, and what a user is told about the others."""

from __future__ import annotations

import pytest
from evaluated import CLASSES, save_photo

from effnet_lite.benchmark.evaluation.contenders import open_contenders
from effnet_lite.benchmark.evaluation.selection import select
from effnet_lite.errors import InputError
from effnet_lite.lite.datasets import open_dataset


def selected(model, root, labels=None, limit=None, seed=0):
    return select(open_dataset(root), open_contenders([model], labels, None), limit, seed)


def photos_by_label(selection):
    """How many photos each label has."""
    counts = {}
    for position in range(len(selection)):
        label = selection.labels[selection.task(position).right]
        counts[label] = counts.get(label, 0) + 1
    return counts


def test_one_class(model_file, tmp_path):
    save_photo(tmp_path / "class a" / "1.png", 1)
    found = selected(model_file(), tmp_path)
    assert len(found) == 1
    assert any(note.startswith("all photos are of one class") for note in found.notes)


def test_folders_that_differ_in_case_are_one_class(model_file, tmp_path):
    save_photo(tmp_path / "class a" / "1.png", 1)
    save_photo(tmp_path / "Class A" / "2.png", 2)
    save_photo(tmp_path / "class b" / "3.png", 3)
    found = selected(model_file(), tmp_path)
    assert photos_by_label(found) == {"class a": 2, "class b": 1}
    assert found.notes == (
        "'Class A' and 'class a' are 'class a' to the model, and were put together",
    )


def test_unknown_classes_are_left_out_and_explained(model_file, tmp_path):
    save_photo(tmp_path / "class a" / "1.png", 1)
    save_photo(tmp_path / "class b" / "2.png", 2)
    save_photo(tmp_path / "clas b" / "3.png", 3)
    save_photo(tmp_path / "<script>x" / "4.png", 4)
    save_photo(tmp_path / "5.png", 5)
    found = selected(model_file(), tmp_path)
    assert (len(found), found.without_class) == (2, 1)
    assert found.unknown == (("<script>x", 1), ("clas b", 1))
    note = next(note for note in found.notes if "does not know" in note)
    assert "2 of the data set's classes (2 photos, left out)" in note
    assert "'clas b' (nearest: class b" in note
    assert "--labels" in note
    assert any("nothing tells the class of 1 photos" in note for note in found.notes)


def test_a_data_set_of_unknown_classes(model_file, tmp_path):
    save_photo(tmp_path / "dog" / "1.png", 1)
    with pytest.raises(InputError, match=r"does not know 1 of .*'dog'.*--labels"):
        selected(model_file(), tmp_path)
    with pytest.raises(InputError, match=r"does not name its 10 classes.*'dog'.*--labels"):
        selected(model_file(labels=None), tmp_path)
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(["dog", *CLASSES[1:]]))
    for model in (model_file(), model_file(labels=None)):
        assert photos_by_label(selected(model, tmp_path, labels)) == {"dog": 1}
    (tmp_path / "dog").rename(tmp_path / "3")
    assert photos_by_label(selected(model_file(labels=None), tmp_path)) == {"class 3": 1}


def test_photos_without_a_class(model_file, tmp_path):
    save_photo(tmp_path / "1.png", 1)
    with pytest.raises(InputError, match="nothing tells the class of the 1 photos"):
        selected(model_file(), tmp_path)


def test_a_draw_is_by_seed(model_file, labelled):
    def drawn(**options):
        return selected(model_file(), labelled, **options).digest()

    one = drawn(limit=7, seed=1)
    assert one == drawn(limit=7, seed=1)
    assert one != drawn(limit=7, seed=2)
    assert drawn(limit=1000) == drawn() == drawn(limit=40, seed=3)


def test_the_digest_is_of_names_and_classes(model_file, tmp_path):
    path = save_photo(tmp_path / "class a" / "1.png", 1)
    before = selected(model_file(), tmp_path).digest()
    save_photo(path, 2)
    assert selected(model_file(), tmp_path).digest() == before
    (tmp_path / "class a").rename(tmp_path / "class b")
    moved = selected(model_file(), tmp_path).digest()
    assert moved != before
    (tmp_path / "class b" / "1.png").rename(tmp_path / "class b" / "2.png")
    assert selected(model_file(), tmp_path).digest() not in (before, moved)
