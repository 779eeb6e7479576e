"""JSON has no infinity and no NaN: null stands for them."""

from __future__ import annotations

import math
from typing import Any


def finite(tree: Any) -> Any:
    """The same tree of dicts, lists, tuples (which become lists) and values, None for those."""
    if isinstance(tree, dict):
        return {key: finite(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [finite(value) for value in tree]
    if isinstance(tree, float) and not math.isfinite(tree):
        return None
    return tree
