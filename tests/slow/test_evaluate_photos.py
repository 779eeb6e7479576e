"""evaluate on real photos and a real network: the figures, and a run that is killed half-way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from effnet_lite import compare, convert
from effnet_lite.benchmark.evaluation.evaluate import evaluate

pytestmark = pytest.mark.slow

RUN = """
import json, sys
from effnet_lite.benchmark.evaluation.evaluate import evaluate
evaluate(**json.loads(sys.argv[1]))
"""


@pytest.mark.usefixtures("sample_photos")
def test_float_and_int8_on_500_photos(shared, lite_weights, tmp_path, note):
    weights = lite_weights("lite0")
    models = [
        convert("lite0", precision, weights, tmp_path / f"{precision}.tflite", **options).output
        for precision, options in (("float32", {}), ("int8", {"recipe": "fast"}))
    ]
    photos = shared / "data" / "imagenet_sample"
    alone = evaluate(models, photos)
    assert alone.count == 500
    (pair,) = alone.comparisons
    fidelity = compare(*models, photos, layers=False).fidelity
    # The one looks at logits, the other at probabilities of 8 bits, where ties are frequent.
    assert pair.agreement == pytest.approx(fidelity.top1_agreement, abs=0.01)
    assert alone.models[0].figures.top1 > 0.8
    assert alone.models[1].figures.top1 > alone.models[0].figures.top1 - 0.05
    assert alone.run.worker_peak_rss_mib < 300

    journal = tmp_path / "journal.jsonl"
    options = {"models": list(map(str, models)), "data": str(photos), "journal": str(journal)}
    process = subprocess.Popen([sys.executable, "-c", RUN, json.dumps(options)])
    until = time.monotonic() + 300
    while time.monotonic() < until:
        if journal.exists() and journal.read_bytes().count(b"\n") > 250:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = evaluate(models, photos, journal=journal)
    assert resumed == alone
    assert 0 < resumed.run.evaluated <= 250
    numbers = [json.loads(line)["photo"] for line in journal.read_bytes().splitlines()[1:]]
    assert sorted(numbers) == list(range(500))  # each once
    note(f"{alone.run.photos_per_s:.0f} photos/s with {alone.run.processes} processes, "
         f"{resumed.run.evaluated} of 500 after the kill")  # fmt: skip
