"""Small quantized networks as training finds them, made once."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from mild_network import MildNetwork
from numpy_network import lively_weights
from PIL import Image
from small_variants import LITE

from effnet_lite.lite.variants import get_variant
from effnet_lite.lite.weights import save_checkpoint
from effnet_lite.quantize.pipeline import run_recipe
from effnet_lite.quantize.qat.network import quantize_aware
from effnet_lite.quantize.recipe import get_recipe

LABELS = ("dark", "light")
CALIBRATED = 6


class Quantized:
    """A network with its float graph and its integer graph."""

    def __init__(self, variant, recipe, folder):
        pytest.importorskip("tensorflow_model_optimization")
        network = MildNetwork(variant, folder, CALIBRATED)
        recipe = get_recipe(recipe, get_variant(variant).family.name)
        self.preprocessing = network.preprocessing
        self.pixels = network.pixels
        self.images = network.normalised()
        self.floats, self.integers, _ = run_recipe(
            recipe, network.graph, network.images, self.preprocessing
        )

    @functools.cached_property
    def _made(self):
        model = quantize_aware(self.floats, self.integers)
        return model, model.state()

    def model(self):
        """The Keras model as it was made; there is but one, which takes seconds to make."""
        model, state = self._made
        model.load(state)
        return model


@pytest.fixture(scope="session")
def quantized(photos):
    """``quantized(variant, recipe)``."""

    @functools.cache
    def make(variant=LITE, recipe="default"):
        return Quantized(variant, recipe, photos)

    return make


@pytest.fixture(scope="session")
def classes(tmp_path_factory):
    """A folder with two class folders of 12 pictures each, that brightness tells apart."""
    folder = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    for label, low in zip(LABELS, (0, 128), strict=True):
        (folder / label).mkdir()
        for number in range(12):
            coarse = Image.fromarray(rng.integers(low, low + 128, (4, 5, 3)).astype(np.uint8))
            picture = coarse.resize((90, 72), Image.Resampling.BICUBIC)
            picture.save(folder / label / f"{number:02}.png")
    return folder


@pytest.fixture(scope="session")
def trained_weights(tmp_path_factory):
    """``trained_weights(variant)``: a checkpoint of a network with the two classes."""
    pytest.importorskip("safetensors")
    folder = tmp_path_factory.mktemp("trained")

    @functools.cache
    def make(variant=LITE):
        row = get_variant(variant)
        path = folder / f"{variant}.safetensors"
        save_checkpoint(path, lively_weights(row, len(LABELS)), row, LABELS)
        return path

    return make
