"""What is written of an evaluation: the table of classes and the picture."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

from effnet_lite.benchmark.evaluation.answers import Answer
from effnet_lite.benchmark.evaluation.confusion_plot import (
    MOST_CLASSES,
    draw,
    shares,
    shown_classes,
)
from effnet_lite.benchmark.evaluation.metrics import Sums
from effnet_lite.benchmark.evaluation.results import write_csv
from effnet_lite.errors import InputError


def evaluation(figures, labels, *pairs, name="a.tflite"):
    """``figures`` with one model's answers: (right class, answer) each."""
    sums = Sums(5)
    for right, answer in pairs:
        sums.add(Answer((answer,), 0.5, int(right != answer)), right)
    model = dataclasses.replace(figures.models[0], name=name, figures=sums.figures(labels))
    return dataclasses.replace(
        figures, models=(model,), comparisons=(), labels=labels, count=len(pairs)
    )


def test_the_table_of_classes(figures, tmp_path):
    path = tmp_path / "classes.csv"
    write_csv(figures, path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(model.figures.classes) for model in figures.models)
    entry = figures.models[0].figures.classes[0]
    assert rows[0]["label"] == "class a"
    assert int(rows[0]["photos"]) == entry.count
    assert float(rows[0]["top1"]) == entry.top1
    assert (float(rows[0]["low"]), float(rows[0]["high"])) == entry.interval
    with pytest.raises(InputError, match="exists already"):
        write_csv(figures, path)
    write_csv(figures, path, overwrite=True)


def test_names_of_any_kind_in_the_table(figures, tmp_path):
    labels = ('a, "b"\nc', "<script>", "caf\udce9")
    path = tmp_path / "classes.csv"
    write_csv(evaluation(figures, labels, (0, 0), (1, 0), (2, 2)), path)
    with path.open(newline="", encoding="utf-8") as file:
        assert [row["label"] for row in csv.DictReader(file)] == [*labels[:2], "caf?"]


def test_shares_are_of_a_class_photos(figures):
    found = evaluation(figures, tuple("abcd"), (0, 0), (0, 1), (0, 3), (0, -1), (1, 1))
    shown = shown_classes(found.models)
    assert shown == [0, 1]
    np.testing.assert_array_equal(
        shares(found.models[0], shown), [[0.25, 0.25, 0.5], [0.0, 1.0, 0.0]]
    )


def test_many_classes_show_those_that_are_confused(figures):
    labels = tuple(map(str, range(100)))
    right = [(number, number) for number in range(100)]
    wrong = [(90, 95)] * 3 + [(7, 60)] * 2
    shown = shown_classes(evaluation(figures, labels, *right, *wrong).models)
    assert len(shown) == MOST_CLASSES
    assert {90, 95, 7, 60} <= set(shown)
    assert shown == sorted(shown)


def test_the_picture(figures, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "confusion.png"
    draw(figures, path)
    first = path.read_bytes()
    with Image.open(path) as image:
        assert image.width > 2 * 300  # two models
    draw(figures, path, overwrite=True)
    assert path.read_bytes() == first
    with pytest.raises(InputError, match="exists already"):
        draw(figures, path)


def test_names_of_any_kind_in_the_picture(figures, tmp_path):
    pytest.importorskip("matplotlib")
    labels = ("$\\frac{1$", "a\nb", "<script>", "caf\udce9", "x" * 300)
    pairs = [(number, (number + 1) % 5) for number in range(5)]
    path = tmp_path / "confusion.svg"
    draw(evaluation(figures, labels, *pairs, name="<b>\n$x.tflite"), path)
    assert "<script>" not in path.read_text("utf-8")
