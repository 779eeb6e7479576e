"""The picture of a profile: what is in it, and that the same profile gives the same bytes."""

from __future__ import annotations

import dataclasses

import pytest
from PIL import Image

from effnet_lite.benchmark.profiling.plot import _draw, draw
from effnet_lite.benchmark.profiling.profile import LayerTime, Profile
from effnet_lite.benchmark.profiling.roofline import Peaks
from effnet_lite.errors import InputError, UsageError

pytest.importorskip("matplotlib")


def made_up(count=30, peaks=True, factor=1.0):
    kinds = ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "RESIZE_BILINEAR")
    layers = []
    for number in range(count):
        kind = kinds[number % 4]
        madds = 10**6 * (number + 1) if number % 4 < 2 else 0
        ms = factor * (number + 1) / 100
        layers.append(
            LayerTime(
                number, kind, f"block{number}_with_$a$_rather_long_name_of_a_layer", ms,
                share=(number + 1) * 2 / count / (count + 1), madds=madds, bytes=50_000,
                gops=2 * madds / ms / 1e6 if madds and ms else None, roof=0.1 if peaks else None,
            )
        )  # fmt: skip
    return Profile(
        "folder/a.tflite", "0" * 64, "litert", "2.3.0", "xnnpack", "A processor", 1, 5, 50,
        tuple(layers), 5.0, Peaks({"int8": 400.0}, 100.0, 20.0, 1, "made up") if peaks else None,
    )  # fmt: skip


def axes_of(profile):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 7), layout="constrained")
    _draw(figure, profile, "a.tflite")
    figure.draw_without_rendering()
    return figure.axes


def test_points_roofs_and_bars():
    profile = made_up()
    roof, layers, kinds = axes_of(profile)
    points = sum(len(one.get_offsets()) for one in roof.collections)
    assert points == sum(layer.madds > 0 for layer in profile.layers)
    texts = [text.get_text() for text in roof.texts]
    assert {"int8: 400 GOP/s", "caches: 100 GB/s", "memory: 20 GB/s"} <= set(texts)
    assert sum(text.endswith(" ms") for text in texts) == 5
    assert len(roof.get_lines()) == 3
    assert len(layers.patches) == 16
    assert layers.patches[0].get_width() == pytest.approx(0.3)
    assert [text.get_text() for text in kinds.get_yticklabels()] == [
        entry.kind for entry in profile.by_kind
    ]


def test_without_peaks_and_without_points():
    roof, *_ = axes_of(made_up(peaks=False))
    assert not roof.get_lines()
    bare = dataclasses.replace(made_up(), layers=made_up().layers[2:4])
    roof, *_ = axes_of(bare)
    assert "no layer with multiply-adds" in roof.texts[0].get_text()


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_files(tmp_path, suffix):
    profile = made_up()
    draw(profile, tmp_path / f"a.{suffix}")
    draw(profile, tmp_path / f"b.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    if suffix == "png":
        assert Image.open(tmp_path / "a.png").size[0] == 1400
    with pytest.raises(InputError, match="--overwrite"):
        draw(profile, tmp_path / f"a.{suffix}")


def test_nothing_to_draw(tmp_path):
    with pytest.raises(UsageError, match=r"\.png"):
        draw(made_up(), tmp_path / "a.jpg")
    with pytest.raises(InputError, match="none to draw"):
        draw(made_up(factor=0.0), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
