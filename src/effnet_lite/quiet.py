"""Silence for native libraries, which write past every Python logger."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def without_native_logs() -> Iterator[None]:
    """Hold back what native code writes to file descriptor 2.

    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU." and its like would stand in the
    middle of a progress bar; what goes wrong comes as an exception anyway.
    """
    try:
        saved = os.dup(2)
    except OSError:  # no stderr at all
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
