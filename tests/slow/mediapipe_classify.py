"""Classify images with MediaPipe's ImageClassifier and print JSON.

Runs in an environment of its own, where mediapipe is installed and effnet-lite is not:

    python mediapipe_classify.py MODEL.tflite IMAGE...

prints ``[{"image": …, "categories": [{"index", "name", "score"}, …]}, …]``, best first;
``name`` is null where MediaPipe found no labels in the model.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import mediapipe
from mediapipe.tasks.python import BaseOptions, vision

TOP_K = 5


def main(model: str, images: list[str]) -> None:
    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=model), max_results=TOP_K
    )
    with vision.ImageClassifier.create_from_options(options) as classifier:
        results = [classify(classifier, image) for image in images]
    json.dump(results, sys.stdout)


def classify(classifier: vision.ImageClassifier, image: str) -> dict[str, Any]:
    found = classifier.classify(mediapipe.Image.create_from_file(image))
    categories = [
        {"index": one.index, "name": one.category_name, "score": one.score}
        for one in found.classifications[0].categories
    ]
    return {"image": image, "categories": categories}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
