"""compare: what it prints of the layers, and its picture."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from PIL import Image

HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None
needs_matplotlib = pytest.mark.skipif(not HAS_MATPLOTLIB, reason="the extra plot is not installed")


@pytest.fixture(scope="module")
def equalized(converted):
    return converted("int8", recipe="w8a8-minmax+equalize+bias").output


@pytest.fixture
def compare(cli, float_model, photos):
    def run(quantized, *options):
        return cli("compare", float_model, quantized, "--data", photos, "--count", 1, *options)

    return run


def rows(answer):
    """The table's rows below its header, name → other columns."""
    lines = answer.out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("layer "))
    assert lines[start].split() == [
        "layer", "operator", "accumulated", "activation", "weights", "saturated",
    ]  # fmt: skip
    end = lines.index("", start)
    return {line.split()[0]: line.split()[1:] for line in lines[start + 1 : end]}


def test_the_ten_worst(compare, int8_model):
    answer = compare(int8_model)
    assert (answer.code, answer.err) == (0, "")
    found = rows(answer)
    assert len(found) == 10
    figures = [float(row[1]) for row in found.values()]
    assert figures == sorted(figures)
    for row in found.values():
        has_weights = row[0] in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
        assert float(row[3]) > 20 if has_weights else row[3] == "-"
        assert row[4].endswith("%")
    assert "  ties             " in answer.out
    assert "*" not in answer.out  # nothing is rescaled
    drop = answer.out.splitlines()[-1]
    assert drop.startswith("the accumulated SQNR drops most after ")


def test_every_layer(compare, equalized):
    answer = compare(equalized, "--all-layers")
    found = rows(answer)
    assert list(found)[:3] == ["stem_conv", "block1a_dwconv", "block1a_project_conv*"]
    assert found["avg_pool"][3] == "-"  # no weights
    assert "\n* the file stores this tensor's channels rescaled" in answer.out
    document = json.loads(compare(equalized, "--json").out)
    assert len(document["layers"]) == len(found)
    for layer in document["layers"]:
        row = found[layer["name"] + "*" * layer["rescaled"]]
        assert row[1] == f"{layer['sqnr_db']:.1f}"
        assert row[2] == f"{layer['activation_sqnr_db']:.1f}"
        assert layer["saturation"]["total"] > 0


def test_a_float_file_has_no_ranges(compare, converted):
    found = rows(compare(converted("float16").output))
    assert {(row[2], row[4]) for row in found.values()} == {("-", "-")}


@needs_matplotlib
def test_plot(compare, int8_model, tmp_path):
    path = tmp_path / "layers.png"
    answer = compare(int8_model, "--plot", path)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.endswith(f"wrote {path}\n")
    assert Image.open(path).size == (1400, 700)
    answer = compare(int8_model, "--plot", path, "--json", "--overwrite")
    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out)["count"] == 1


@needs_matplotlib
def test_an_existing_picture_is_kept(compare, int8_model, tmp_path):
    path = tmp_path / "layers.svg"
    path.write_text("mine")
    answer = compare(int8_model, "--plot", path)
    assert (answer.code, answer.out) == (1, "")
    assert "--overwrite" in answer.err
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--plot", "layers.gif"), "ends in .png, .svg, .pdf"),
        (("--plot", "layers.png", "--no-layers"), "--no-layers and --plot contradict"),
        (("--all-layers", "--no-layers"), "--no-layers and --all-layers contradict"),
    ],
)
def test_options_are_checked_before_any_work(cli, options, message):
    answer = cli("compare", "missing.tflite", "missing.tflite", *options)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1


def test_plot_without_matplotlib(cli, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    answer = cli("compare", "missing.tflite", "missing.tflite", "--plot", tmp_path / "a.png")
    assert (answer.code, answer.out) == (1, "")
    assert "pip install 'effnet-lite[plot]'" in answer.err


@needs_matplotlib
def test_layers_that_cannot_be_lined_up(cli, float_model, tiny_model, photos, tmp_path):
    foreign = tmp_path / "foreign.tflite"
    foreign.write_bytes(tiny_model(size=64, classes=1000))
    arguments = ("compare", float_model, foreign, "--data", photos, "--count", 1)
    answer = cli(*arguments)
    assert answer.code == 0
    assert "top-1 agreement" in answer.out
    assert answer.err.strip() == ("the two files' layers cannot be lined up: no figures by layer")
    assert json.loads(cli(*arguments, "--json").out)["layers"] == []
    answer = cli(*arguments, "--plot", tmp_path / "a.png")
    assert answer.code == 1
    assert "leave --plot out" in answer.err
    assert not (tmp_path / "a.png").exists()


@needs_matplotlib
def test_a_foreign_model_has_figures_by_layer(cli, tiny_model, photos, tmp_path):
    """Neither block names nor our recipes; uint8 with a zero point of 128."""
    for name, quantized in (("float", False), ("int8", True)):
        (tmp_path / name).write_bytes(tiny_model(size=8, classes=10, quantized=quantized))
    answer = cli(
        "compare", tmp_path / "float", tmp_path / "int8", "--data", photos, "--count", 2,
        "--plot", tmp_path / "a.pdf",
    )  # fmt: skip
    assert answer.code == 0
    assert list(rows(answer)) == ["scores"]
    assert (tmp_path / "a.pdf").exists()
    assert np.isfinite(float(rows(answer)["scores"][1]))
