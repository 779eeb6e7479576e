"""What a worker process runs: photos in, answers out, a line of JSON each.

::

    <- {"models": …}                                       the setup, once
    -> {"ready": true}
    <- {"photo": 7, "path": …, "right": 3}
    -> {"decoded": 7}                                      the photo is no danger any more
    -> {"photo": 7, "sha256": …, "answers": [[…], …]}      or {"photo": 7, "unreadable": …, …}
    -> {"error": "InputError", "message": …}               anything that ends the evaluation
    <- {"peak": true}                                      -> {"peak": 93.1}
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import tempfile
import threading
from typing import Any

import numpy as np

from effnet_lite.benchmark.classify import is_probability
from effnet_lite.benchmark.evaluation.answers import Answer, answer_of
from effnet_lite.benchmark.host import child
from effnet_lite.benchmark.host.session import peak_rss_mib
from effnet_lite.errors import InputError
from effnet_lite.lite.datasets import Photo
from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.quantize.fidelity import softmax
from effnet_lite.quantize.tflite.predictor import Predictor


def serve() -> None:
    """Answer until the pipe ends."""
    with contextlib.suppress(ValueError, OSError):  # not in a main thread, or no such signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself
    say = child.answers()
    questions = _questions()
    setup = questions.get()
    try:
        tempfile.tempdir = setup["scratch"]
        given = setup["preprocessing"]
        preprocessing = Preprocessing(**_tuples(given)) if given else None
        models = [_Model(entry, setup["threads"], preprocessing) for entry in setup["models"]]
        say({"ready": True})
        while True:
            question = questions.get()
            if "peak" in question:
                say({"peak": peak_rss_mib()})
            else:
                _answer(question, models, say)
    except Exception as error:  # whatever a runtime raises: one line, not a dead worker
        say(child.failure(error, "a worker process failed"))


class _Model:
    def __init__(
        self, entry: dict[str, Any], threads: int, preprocessing: Preprocessing | None
    ) -> None:
        self.path, self._offset = entry["path"], entry["offset"]
        self.predictor = Predictor.open(self.path, preprocessing=preprocessing, threads=threads)
        if self.predictor.sha256 != entry["sha256"]:
            raise InputError(f"{self.path} has changed while it was being evaluated; start again")

    def look(self, pixels: Pixels, right: int, name: str) -> Answer:
        output = self.predictor.output(pixels)
        if not np.isfinite(output).all():
            raise InputError(
                f"{self.path} answers with infinities or NaN for {name}; check the model's "
                "weights, or its types on this machine"
            )
        scores = output if is_probability(self.predictor, output) else softmax(output)
        return answer_of(output, float(scores.max()), right, self._offset)


def _answer(question: dict[str, Any], models: list[_Model], say: Any) -> None:
    number, right = question["photo"], question["right"]
    photo = Photo(question["name"], question["path"], question["offset"])
    try:
        sha256, image = photo.load()
    except (InputError, RecursionError) as error:  # some decoders follow what a file tells them to
        reason = str(error) if isinstance(error, InputError) else f"cannot decode {photo.path}"
        say({"photo": number, "unreadable": reason, "sha256": photo.sha256_or_none()})
        return
    # Of models with the same preprocessing, the photo is resized once.
    fitted: dict[Preprocessing, Pixels] = {}
    for model in models:
        wanted = model.predictor.preprocessing
        if wanted not in fitted:
            fitted[wanted] = wanted.fit(image)
    del image
    say({"decoded": number})
    answers = [
        model.look(fitted[model.predictor.preprocessing], right, photo.name) for model in models
    ]
    say({
        "photo": number,
        "sha256": sha256,
        "answers": [answer.to_json() for answer in answers],
    })  # fmt: skip


def _questions() -> queue.SimpleQueue[dict[str, Any]]:
    """Questions, read ahead; when the parent is gone the process ends, whatever it is doing."""
    found: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            found.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return found


def _tuples(record: dict[str, Any]) -> dict[str, Any]:
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in record.items()
    }
