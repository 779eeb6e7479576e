"""Which versions figures come from."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable

from effnet_lite import __version__


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Of Python, effnet-lite and these packages; None for what is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "effnet-lite": __version__}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found
