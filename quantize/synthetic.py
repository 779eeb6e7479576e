"""Images for calibration when there is no photo at all.

"Dead leaves": discs of random size, colour and texture that occlude each other, a model of
natural images with their edges, scale invariance and 1/f spectrum (Lee, Mumford & Huang,
"Occlusion Models for Natural Images", IJCV 2001). Far better than noise, which drives the
activations into ranges that photos never reach, and still no match for real photos.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from effnet_lite.lite.preprocessing import Pixels

DISCS = 400
MIN_RADIUS = 0.01  # of the image's side


def dead_leaves(size: int, number: int, seed: int = 0) -> Pixels:
    """Image ``number`` of the series that ``seed`` names: (size, size, 3) uint8."""
    rng = np.random.default_rng([seed, number])
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float32) / size
    image = np.empty((size, size, 3), np.float32)
    image[:] = _colour(rng)
    # Radii follow r⁻³, which makes the statistics the same at every scale.
    uniform = rng.uniform(size=DISCS)
    radii = MIN_RADIUS / np.sqrt(1 - uniform * (1 - MIN_RADIUS**2 / 0.25))
    for radius in rng.permutation(radii):
        x, y = rng.uniform(-0.1, 1.1, 2)
        top, bottom = (int(np.clip((y + side * radius) * size, 0, size)) for side in (-1, 1))
        left, right = (int(np.clip((x + side * radius) * size, 0, size)) for side in (-1, 1))
        window = (slice(top, bottom + 1), slice(left, right + 1))
        inside = (xx[window] - x) ** 2 + (yy[window] - y) ** 2 < radius**2
        angle, waves = rng.uniform(0, np.pi), rng.uniform(2, 40)
        texture = np.sin(waves * (xx[window] * np.cos(angle) + yy[window] * np.sin(angle)))
        leaf = _colour(rng) + rng.uniform(0, 40) * texture[..., np.newaxis]
        image[window] = np.where(inside[..., np.newaxis], leaf, image[window])
    noise = rng.normal(0, rng.uniform(1, 6), image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    grey = rng.uniform(10, 245)
    return (grey + rng.normal(0, 35, 3)).astype(np.float32)
