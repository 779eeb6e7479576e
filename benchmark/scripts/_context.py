"""What a script's figures depend on: versions, weights; and the file that keeps them."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Iterable
from typing import Any

from effnet_lite import __version__
from effnet_lite.errors import EffnetLiteError
from effnet_lite.files import write_bytes
from effnet_lite.lite.variants import get_variant
from effnet_lite.lite.weights import imagenet_weights


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Of Python, effnet-lite and these packages; None for what is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "effnet-lite": __version__}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def has_weights(variant: str) -> bool:
    """Whether ImageNet weights are on this machine; nothing is downloaded."""
    try:
        imagenet_weights(get_variant(variant), fetch=False)
    except EffnetLiteError:
        return False
    return True


def write_document(path: str, document: dict[str, Any]) -> None:
    """As JSON, whole or not at all, over what an earlier run left."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode(), overwrite=True)
