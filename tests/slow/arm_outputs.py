"""Runs on the board and on the host: what a model answers to some photos, bit for bit.

    python arm_outputs.py MODEL OUTPUT.npz PHOTO…

The file holds ``pixels``, the photos as the model takes them, then noise and the two ends of
the range, and ``outputs``, the raw integers that it answers, one row each; ``delegated``, how many
parts of the graph XNNPACK took over; and ``emulated``.
"""

from __future__ import annotations

import sys

import numpy as np

from effnet_lite.benchmark.host.emulation import emulated
from effnet_lite.quantize.tflite.predictor import Predictor

THREADS = 2


def main(model: str, output: str, *photos: str) -> None:
    predictor = Predictor.open(model, threads=THREADS)
    pixels = [predictor.preprocessing.pixels(photo) for photo in photos]
    noise = np.random.default_rng(0).integers(0, 256, predictor.runner.inputs[0].shape[1:])
    pixels += [noise.astype(np.uint8)]
    pixels += [np.full_like(pixels[-1], value) for value in (0, 255)]
    answers = [predictor.raw(image) for image in pixels]
    details = predictor.runner.interpreter._get_ops_details()
    np.savez(
        output,
        pixels=np.stack(pixels),
        outputs=np.stack(answers),
        delegated=np.array([op["op_name"] for op in details].count("DELEGATE")),
        emulated=np.array(emulated() or ""),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
