"""The check against what the real compiler left outside its custom operator."""

import collections
import json
import os
from pathlib import Path

import pytest

from effnet_lite.benchmark.edgetpu.check import edgetpu_check
from effnet_lite.benchmark.inspection import inspect
from effnet_lite.quantize.tflite.refusal import EDGETPU_OPERATOR

FOLDER = (
    Path(os.environ.get("EFFNET_LITE_SHARED", Path(__file__).resolve().parents[4] / "shared"))
    / "data" / "edgetpu_pairs"
)  # fmt: skip
RECORDED = FOLDER / "compiled.json"
PAIRS = json.loads(RECORDED.read_text("utf-8")) if RECORDED.is_file() else {}

pytestmark = pytest.mark.skipif(not PAIRS, reason=f"no compiled models in {FOLDER}")


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_the_same_operators_stay_on_the_cpu(name):
    left = collections.Counter(PAIRS[name]["compiled_ops"])
    assert left.pop(EDGETPU_OPERATOR) == 1
    model = FOLDER / f"{name}.tflite"
    result = edgetpu_check(model)
    assert result.mapping.unmapped == dict(left)
    assert collections.Counter(result.mapping.mapped) + left == collections.Counter(
        PAIRS[name]["source_ops"]
    )
    assert result.full is (not left)
    assert (result.cut is None) is (not left)
    # The figures of the parts are those of the whole.
    whole = inspect(model)
    assert len(result.placements) == len(whole.layers)
    # inspect has no multiply-adds for an LSTM.
    if "UNIDIRECTIONAL_SEQUENCE_LSTM" not in whole.ops:
        assert result.edgetpu_madds + result.cpu_madds == whole.madds
    used = result.mapping.parameters
    assert 0 <= used.cached_bytes + used.streamed_bytes <= whole.constant_bytes
