"""Whether quantization moves what trained networks look at, on the labelled sample photos."""

from __future__ import annotations

import numpy as np
import pytest

from effnet_lite import convert
from effnet_lite.benchmark.explain import explain
from effnet_lite.lite.photos import labelled_sample_photos

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.usefixtures("sample_photos")]

# Measured on the 18 photos that each float model classifies right: mean 0.9992 to 0.9995,
# lowest 0.996 to 0.998.
MIN_MEAN, MIN_LOWEST = 0.995, 0.98


@pytest.mark.parametrize("name", ["lite0", "lite1", "lite2"])
def test_float_and_int8_look_at_the_same_places(name, lite_weights, tmp_path, note):
    weights, labelled = lite_weights(name), labelled_sample_photos()
    models = [
        convert(name, precision, weights, tmp_path / f"{precision}.tflite", check=False).output
        for precision in ("float32", "int8")
    ]
    found = explain(models, [path for path, _ in labelled], output=tmp_path / "maps")
    right = [
        result.correlation
        for result, (_, known) in zip(found.results, labelled, strict=True)
        if result.models[0].top1 == known
    ]
    note(
        f"{name}: maps of float32 and int8 correlate {np.mean(right):.4f} on average, "
        f"{min(right):.4f} at least, over {len(right)} photos classified right"
    )
    assert len(right) >= 17
    assert np.mean(right) > MIN_MEAN
    assert min(right) > MIN_LOWEST
    assert len(list((tmp_path / "maps").iterdir())) == len(labelled)
