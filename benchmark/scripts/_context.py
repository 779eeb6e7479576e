"""Which weights a script can use, and the file that keeps its figures."""

from __future__ import annotations

import json
from typing import Any

from effnet_lite.errors import EffnetLiteError
from effnet_lite.files import write_bytes
from effnet_lite.lite.variants import get_variant
from effnet_lite.lite.weights import imagenet_weights


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
