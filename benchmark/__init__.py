"""Using and measuring .tflite files: classify, inspect, latency, what is installed.

``effnet_lite.benchmark`` is this package and, as every command, a function of that name:
calling it calls :func:`effnet_lite.benchmark.timing.benchmark`.
"""

from __future__ import annotations

import sys
import types
from typing import Any


class _CallablePackage(types.ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from effnet_lite.benchmark.timing import benchmark

        return benchmark(*arguments, **options)


sys.modules[__name__].__class__ = _CallablePackage
