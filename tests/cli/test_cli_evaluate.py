"""evaluate: what it prints, writes and refuses."""

from __future__ import annotations

import csv
import importlib.util
import json

import pytest
from evaluated import save_labelled, save_photo, tiny_classifier

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="the extra plot is not installed"
)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return save_labelled(tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, quantized in (("float.tflite", False), ("int8.tflite", True)):
        (folder / name).write_bytes(tiny_classifier(quantized=quantized))
    return folder / "float.tflite", folder / "int8.tflite"


@pytest.fixture
def evaluate(cli, models, labelled):
    def run(*options, of=models, data=labelled):
        return cli("evaluate", *of, "--data", data, "--processes", 1, *options)

    return run


def test_two_models(evaluate, tmp_path):
    table = tmp_path / "classes.csv"
    answer = evaluate("--csv", table, "--top", 3)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].startswith("40 photos of 6 of 10 classes; 1 process(es) with 1 thread(s), ")
    assert lines[1].split("  ")[0] == "model"
    assert "top-3" in lines[1]
    assert [line.split()[0] for line in lines[2:4]] == ["float.tflite", "int8.tflite"]
    assert lines[5].startswith("against float.tflite ")
    assert lines[6].startswith("int8.tflite ")
    for title in ("worst classes", "most often confused"):
        (row,) = [number for number, line in enumerate(lines) if line.startswith(title)]
        assert lines[row].split()[-2:] == ["float.tflite", "int8.tflite"]
        assert lines[row + 1].startswith("class ")
    assert lines[-1] == f"wrote {table}"
    with table.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 12


def test_json(evaluate):
    answer = evaluate("--json")
    assert (answer.code, answer.err) == (0, "")
    document = json.loads(answer.out)
    assert document["count"] == 40
    assert document["top1_interval"][0] < document["top1"] < document["top1_interval"][1]
    assert [entry["name"] for entry in document["models"]] == ["float.tflite", "int8.tflite"]
    assert len(document["comparisons"]) == 1


@needs_matplotlib
def test_a_picture(evaluate, models, tmp_path):
    path = tmp_path / "confusion.png"
    answer = evaluate("--plot", path, of=models[:1])
    assert answer.out.splitlines()[-1] == f"wrote {path}"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_journal_goes_on(evaluate, models, tmp_path):
    journal = tmp_path / "journal.jsonl"
    first = evaluate("--journal", journal, of=models[:1])
    again = evaluate("--journal", journal, of=models[:1])
    assert ", all from the journal" in again.out
    assert again.out.splitlines()[1:] == first.out.splitlines()[1:]
    other = evaluate("--journal", journal, of=models[1:])
    assert (other.code, other.out) == (1, "")
    assert "another evaluation, with another models; give another --journal, or --over" in other.err


def test_what_is_left_out_is_told(evaluate, models, tmp_path):
    save_photo(tmp_path / "class a" / "1.png", 1)
    save_photo(tmp_path / "clas\nb" / "2.png", 2)
    for number in range(7):
        (tmp_path / "class a" / f"bad\n{number}.jpg").write_text("no photo")
    answer = evaluate(of=models[:1], data=tmp_path)
    assert answer.code == 0
    lines = answer.err.splitlines()
    assert "does not know 1 of the data set's classes (1 photos, left out)" in lines[0]
    assert "'clas\\nb' (nearest: class " in lines[0]
    assert lines[1].startswith("note: all photos are of one class")
    assert lines[2] == "7 photos cannot be used:"
    assert len(lines) == 9
    assert "bad?0.jpg is not an image" in lines[3]
    assert lines[8] == "  and 2 others; --json lists them all"
    document = json.loads(evaluate("--json", of=models[:1], data=tmp_path).out)
    assert len(document["unreadable"]) == 7


def test_all_right(evaluate, models, tmp_path):
    photo = save_photo(tmp_path / "class a" / "1.png", 1)
    document = json.loads(evaluate("--json", of=models[:1], data=tmp_path).out)
    ((_, answer, _),) = document["models"][0]["confusion"]
    photo.parent.rename(tmp_path / document["labels"][str(answer)])
    assert "right on every photo" in evaluate(of=models[:1], data=tmp_path).out


def refused(answer, code=1):
    assert (answer.code, answer.out) == (code, "")
    (line,) = answer.err.strip().splitlines()
    return line


def test_errors_are_one_line(evaluate, models, tmp_path, labelled):
    assert "does not exist; expected a folder of class folders" in refused(
        evaluate(data=tmp_path / "nope")
    )
    assert "no photo in" in refused(evaluate(data=tmp_path))
    assert "does not exist; expected a .tflite model" in refused(evaluate(of=[tmp_path / "x"]))
    assert "limit must be 1 to" in refused(evaluate("--limit", 0), 2)
    (nan := tmp_path / "nan.tflite").write_bytes(tiny_classifier(quantized=False, nan=True))
    line = refused(evaluate(of=[nan]))
    assert f"{nan} answers with infinities or NaN for class " in line
    (there := tmp_path / "there.csv").write_text("mine")
    assert "exists already; pass --overwrite" in refused(evaluate("--csv", there))
    assert there.read_text() == "mine"


def test_wrong_usage(cli, models, labelled):
    assert cli("evaluate", models[0]).code == 2
    assert cli("evaluate", "--data", labelled).code == 2
