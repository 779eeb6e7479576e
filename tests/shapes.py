"""Photos that a tiny network learns to tell apart within a minute: stripes this way and that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

#: The smallest network that the builder makes.
TINY = "lite-w0.1-d0.1-s32"
CLASSES = ("across", "down", "plain")
#: What makes a training short; the rest is the preset's.
SHORT = {"epochs": 2, "batch": 8, "checkpoint_steps": 2, "train_scale": 1.0}


def save_shapes(root: Path, each: int = 9, seed: int = 0) -> Path:
    """A folder a class, with so many pictures of 40 x 48 pixels each."""
    random = np.random.default_rng(seed)
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for number in range(each):
            save_shape(root / name / f"{number}.png", name, random)
    return root


def save_shape(path: Path, name: str, random: np.random.Generator) -> None:
    """One picture: stripes of a random colour, width and phase, with a little noise."""
    rows, columns = np.mgrid[:40, :48]
    along = {"across": rows, "down": columns, "plain": np.zeros_like(rows)}[name]
    wave = np.sin(along / random.uniform(1.2, 2) + random.uniform(0, 6))
    colour = random.uniform(60, 120, 3)
    pixels = 128 + wave[..., np.newaxis] * colour + random.normal(0, 8, (40, 48, 3))
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
