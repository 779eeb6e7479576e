"""The picture of latencies: what is in it, and that the same records give the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from records import measurement

from effnet_lite.benchmark.latency_plot import _draw, draw
from effnet_lite.benchmark.records import BenchmarkResult
from effnet_lite.errors import InputError

pytest.importorskip("matplotlib")


def times(scale, count=300):
    return tuple(np.random.default_rng(0).gamma(40, scale / 40, count).tolist())


RESULT = BenchmarkResult(
    (
        measurement(model="a.tflite", times_ms=times(4), p50_ms=4.0),
        measurement(model="b.tflite", times_ms=times(9), p50_ms=9.0, noise=("busy",)),
    )
)


def figure_of(result):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4), layout="constrained")
    _draw(figure, list(zip(result.labels, result.records, strict=True)))
    return figure.axes[0]


def test_every_run_is_a_point():
    axes = figure_of(RESULT)
    points = [line for line in axes.get_lines() if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in points] == [300, 300]
    assert [text.get_text().split()[0] for text in axes.get_yticklabels()] == [
        "a.tflite", "b.tflite",
    ]  # fmt: skip
    texts = [text.get_text() for text in axes.texts]
    assert "noisy" not in texts[0]
    assert "noisy" in texts[1]


def test_far_apart_is_logarithmic():
    assert figure_of(RESULT).get_xscale() == "linear"
    far = measurement(model="c.tflite", times_ms=times(100), p50_ms=100.0)
    assert figure_of(BenchmarkResult((*RESULT.records, far))).get_xscale() == "log"


def test_files(tmp_path):
    draw(RESULT, tmp_path / "a.png")
    draw(RESULT, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert Image.open(tmp_path / "a.png").size[0] == 1400
    with pytest.raises(InputError, match="--overwrite"):
        draw(RESULT, tmp_path / "a.png")
    with pytest.raises(InputError, match="none to draw"):
        draw(BenchmarkResult((measurement(times_ms=()),)), tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()
