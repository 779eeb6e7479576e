"""Weights: one reader a format, told apart by content, all giving the same tensors.

``detect`` says what a file is, a reader opens it, ``names`` knows what its source calls each
tensor, and ``match`` accounts for every one. Importing this loads neither TensorFlow nor
h5py; a reader does that when it is used.
"""

from __future__ import annotations

from effnet_lite.lite.weights.checkpoint import (
    checkpoint_metadata,
    save_checkpoint,
    stored_network,
)
from effnet_lite.lite.weights.contents import Weights
from effnet_lite.lite.weights.imagenet import cache_folder, imagenet_weights
from effnet_lite.lite.weights.initial import random_weights
from effnet_lite.lite.weights.read import read_weights

__all__ = [
    "Weights",
    "cache_folder",
    "checkpoint_metadata",
    "imagenet_weights",
    "random_weights",
    "read_weights",
    "save_checkpoint",
    "stored_network",
]
