"""Photos with their classes: class folders, tables, TFRecord shards; one format a file."""

from __future__ import annotations

from effnet_lite.lite.datasets.dataset import Dataset, Photo
from effnet_lite.lite.datasets.open import open_dataset

__all__ = ["Dataset", "Photo", "open_dataset"]
