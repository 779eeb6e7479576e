"""Small models and photos to evaluate, and a hook that makes workers stall or crash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tiny_models import build_tiny_model

from effnet_lite.quantize.tflite.file import pack, unpack
from effnet_lite.quantize.tflite.metadata import ModelInfo, with_metadata

CLASSES = tuple(f"class {letter}" for letter in "abcdefghij")

# Worker processes import this at their start; what it does, a photo's name says.
HOOK = """
import os, signal, time
from PIL import Image

opened = Image.open

def open_photo(path, *rest, **options):
    name = os.path.basename(str(path))
    if "slow" in name:
        time.sleep(0.03)
    if "hang" in name:
        time.sleep(1000)
    if "crash" in name:
        marker = str(path) + ".crashed"
        if "once" not in name or not os.path.exists(marker):
            with open(marker, "w"):
                pass
            os.kill(os.getpid(), signal.SIGSEGV)
    return opened(path, *rest, **options)

Image.open = open_photo
"""


def tiny_classifier(
    classes: int = 10,
    quantized: bool = True,
    labels: Sequence[str] | None = CLASSES,
    nan: bool = False,
) -> bytes:
    """A model of 8 x 8 pixels that names its classes; ``nan`` spoils its bias."""
    data = build_tiny_model(8, classes, quantized)
    if nan:
        tree = unpack(data)
        tree.buffers[2].data = np.full(classes, np.nan, np.float32)
        data = pack(tree)
    if labels:
        data = with_metadata(data, ModelInfo("tiny", mean=(127.0,), std=(128.0,)), labels)
    return data


def save_photo(path: Path, seed: int) -> Path:
    """A small PNG with noise, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), np.uint8)
    Image.fromarray(pixels).save(path, "PNG")
    return path


def save_labelled(root: Path) -> Path:
    """40 photos of 6 of the classes, unevenly many each."""
    source = np.random.default_rng(0)
    for number in range(40):
        name = CLASSES[int(source.integers(0, 8) * source.random())]
        save_photo(root / name / f"{number:02}.png", number)
    return root
