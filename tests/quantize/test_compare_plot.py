"""The picture of a comparison: what is in it, and that it comes out whole or not at all."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import math
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from effnet_lite.errors import InputError, MissingDependencyError, UsageError
from effnet_lite.pictures import check_picture
from effnet_lite.quantize.compare import Comparison
from effnet_lite.quantize.compare_plot import _draw, draw
from effnet_lite.quantize.fidelity import Fidelity
from effnet_lite.quantize.layer_errors import LayerError, Saturation

pytest.importorskip("matplotlib")

FIDELITY = Fidelity(50, 0.98, (0.89, 0.99), 25.2, 0.0014, 3)
LAYERS = (
    LayerError("stem_conv", "CONV_2D", 31.0, 42.0, 53.0, Saturation(0, 0, 1000)),
    LayerError("block1a_project_conv", "CONV_2D", 29.0, 39.0, 36.0, Saturation(10, 30, 1000),
               (0,), True),
    LayerError("block2a_expand_conv", "CONV_2D", 30.0, 43.0, 52.0, Saturation(0, 0, 1000), (1,)),
    LayerError("block2a_se_gate", "LOGISTIC", 60.0, None, 61.0, Saturation(0, 0, 1000), (2,)),
    LayerError("block2b_add", "ADD", 20.0, None, 37.0, Saturation(0, 5, 1000), (1, 2), True),
    LayerError("logits", "FULLY_CONNECTED", math.inf, 41.0, 34.0, Saturation(0, 0, 1000), (4,)),
)  # fmt: skip
COMPARISON = Comparison(FIDELITY, LAYERS, "0" * 64, "1" * 64, "samples")
SUFFIXES = ["png", "svg", "pdf"]


def _figure(comparison, title):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 7), layout="constrained")
    _draw(figure, comparison, title)
    return figure


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def points(line):
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_the_lines_are_the_layers_figures():
    upper, lower = _figure(COMPARISON, "a against b").axes
    found = lines(upper)
    # The gate is beside its line, the infinite figure nowhere.
    assert points(found["accumulated"]) == [(0, 31), (1, 29), (2, 30), (4, 20)]
    assert points(found["activation alone"]) == [(0, 53), (1, 36), (2, 52), (4, 37), (5, 34)]
    assert points(found["weights alone"]) == [(0, 42), (1, 39), (2, 43), (5, 41)]
    assert points(found["accumulated, stored rescaled"]) == [(1, 29), (4, 20)]
    assert (3, 60) in [point for line in upper.get_lines() for point in points(line)]
    assert "block2b_add, 20.0 dB" in [text.get_text() for text in upper.texts]
    heights = [0.0] * len(LAYERS)
    for bar in (bar for container in lower.containers for bar in container):
        heights[round(bar.get_x() + bar.get_width() / 2)] += bar.get_height()
    assert heights == pytest.approx([0, 4, 0, 0, 0.5, 0])  # per cent


def test_the_lines_differ_without_colour():
    found = lines(_figure(COMPARISON, "").axes[0])
    names = ("accumulated", "activation alone", "weights alone")
    assert len({found[name].get_marker() for name in names}) == 3
    assert len({found[name].get_linestyle() for name in names}) == 3


def test_title_and_blocks():
    figure = _figure(COMPARISON, "a against b")
    title = figure.get_suptitle()
    for text in ("a against b", "98.0%", "25.2 dB", "KL 0.0014", "3 ties", "50 photos"):
        assert text in title
    labels = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert labels == ["stem", "1a", "2a", "2b", "head"]


def test_layers_without_blocks_have_their_names():
    names = ["first", "second", "a_very_long_name_of_a_layer_of_another_tool"]
    layers = [LayerError(name, "CONV_2D", 30.0) for name in names]
    figure = _figure(dataclasses.replace(COMPARISON, layers=tuple(layers)), "")
    labels = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert labels == ["first", "second", "ame_of_a_layer_of_another_tool"[-24:]]


@pytest.mark.parametrize(
    ("layer", "texts"),
    [
        (LayerError("a", "ADD", math.inf), ["no error in any layer", "the file stores reals"]),
        (LayerError("a", "ADD", 20.0, None, 30.0, Saturation(0, 0, 9)), ["a, 20.0 dB", "none"]),
    ],
)
def test_nothing_to_show(layer, texts):
    figure = _figure(dataclasses.replace(COMPARISON, layers=(layer,)), "")
    assert [axes.texts[0].get_text() for axes in figure.axes] == texts


def test_a_thousand_layers_have_few_labels():
    layers = [LayerError(f"layer{number}", "CONV_2D", 30.0) for number in range(1000)]
    figure = _figure(dataclasses.replace(COMPARISON, layers=tuple(layers)), "")
    assert len(figure.axes[1].get_xticks()) <= 60


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_comparison_gives_the_same_bytes(tmp_path, suffix):
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix.upper()}"
    draw(COMPARISON, first)
    draw(COMPARISON, second)
    assert first.read_bytes() == second.read_bytes()
    magic = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert first.read_bytes().startswith(magic)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.name, second.name])


def test_size(tmp_path):
    draw(COMPARISON, tmp_path / "a.png", title="$\\nonsense{ against a$b")  # no formula
    assert Image.open(tmp_path / "a.png").size == (1400, 700)


def test_the_users_settings_do_not_show(tmp_path):
    import matplotlib as mpl

    draw(COMPARISON, tmp_path / "a.png")
    with mpl.rc_context({"lines.markersize": 30, "font.size": 30, "figure.facecolor": "red"}):
        draw(COMPARISON, tmp_path / "b.png")
        assert mpl.rcParams["font.size"] == 30
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_refusals(tmp_path, monkeypatch):
    for name in ("a.jpg", "a", "png"):
        with pytest.raises(UsageError, match=r"ends in \.png, \.svg, \.pdf"):
            check_picture(tmp_path / name)
    with pytest.raises(InputError, match="found none to draw"):
        draw(dataclasses.replace(COMPARISON, layers=()), tmp_path / "a.png")
    with pytest.raises(InputError, match="does not exist"):
        draw(COMPARISON, tmp_path / "nowhere" / "a.png")
    path = tmp_path / "b.png"
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="--overwrite"):
        draw(COMPARISON, path)
    assert path.read_bytes() == b"mine"
    draw(COMPARISON, path, overwrite=True)
    Image.open(io.BytesIO(path.read_bytes())).verify()
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    with pytest.raises(MissingDependencyError, match=r"pip install 'effnet-lite\[plot\]'"):
        check_picture(tmp_path / "c.png")


def test_drawing_opens_no_window(tmp_path):
    """pyplot picks a window system and keeps every figure; it is not for libraries."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_compare_plot as t\n"
        "t.draw(t.COMPARISON, sys.argv[2])\n"
        "print('matplotlib.pyplot' in sys.modules, 'tensorflow' in sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "a.svg")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert printed.stdout.split() == ["False", "False"]
