"""The layers' times add up to the inference, within 10 %."""

from __future__ import annotations

import pytest

from effnet_lite import convert
from effnet_lite.benchmark.profiling.profile import profile

pytestmark = pytest.mark.slow

ATTEMPTS = 3  # something else may use the machine


@pytest.fixture(scope="module")
def model(tmp_path_factory, photos):
    def make(variant):
        path = tmp_path_factory.mktemp("profile") / f"{variant}.tflite"
        convert(variant, "int8", output=path, weights="random", calibration=photos,
                calibration_count=8, recipe="fast")  # fmt: skip
        return path

    return make


@pytest.mark.parametrize("variant", ["lite0", "b0"])
def test_layers_add_up(model, variant, note):
    path = model(variant)
    for kernels in ("xnnpack", "builtin"):
        ratios = []
        while len(ratios) < ATTEMPTS and not (ratios and abs(ratios[-1] - 1) <= 0.1):
            found = profile(path, kernels=kernels, peaks=False)
            ratios.append(found.ratio)
        note(
            f"{variant} int8, {kernels}: layers {found.layers_ms:.2f} ms, "
            f"inference {found.inference_ms:.2f} ms, ratio {found.ratio:.3f}"
        )
        assert abs(ratios[-1] - 1) <= 0.1, ratios
