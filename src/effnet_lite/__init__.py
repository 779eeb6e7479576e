"""effnet-lite: EfficientNet from weights to a phone.

Every command of the command line is a function here, imported when it is first used, so
that importing the package stays instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from effnet_lite.benchmark.classify import classify
    from effnet_lite.benchmark.doctor import doctor
    from effnet_lite.benchmark.edgetpu.check import edgetpu_check
    from effnet_lite.benchmark.edgetpu.compile import edgetpu_compile
    from effnet_lite.benchmark.evaluation.evaluate import evaluate
    from effnet_lite.benchmark.explain import explain
    from effnet_lite.benchmark.inspection import inspect
    from effnet_lite.benchmark.report import report
    from effnet_lite.benchmark.sweep.sweep import sweep
    from effnet_lite.benchmark.timing import benchmark
    from effnet_lite.lite.builder import EffNetLite
    from effnet_lite.lite.training.train import train
    from effnet_lite.lite.variants import VARIANTS, get_variant
    from effnet_lite.mobile.android import android
    from effnet_lite.quantize.compare import compare
    from effnet_lite.quantize.convert import convert
    from effnet_lite.quantize.qat.train import train_qat

_EXPORTS = {
    "EffNetLite": "effnet_lite.lite.builder",
    "VARIANTS": "effnet_lite.lite.variants",
    "get_variant": "effnet_lite.lite.variants",
    "convert": "effnet_lite.quantize.convert",
    "compare": "effnet_lite.quantize.compare",
    "classify": "effnet_lite.benchmark.classify",
    "evaluate": "effnet_lite.benchmark.evaluation.evaluate",
    "explain": "effnet_lite.benchmark.explain",
    "inspect": "effnet_lite.benchmark.inspection",
    "report": "effnet_lite.benchmark.report",
    "sweep": "effnet_lite.benchmark.sweep.sweep",
    "train": "effnet_lite.lite.training.train",
    "train_qat": "effnet_lite.quantize.qat.train",
    "benchmark": "effnet_lite.benchmark",
    "edgetpu_check": "effnet_lite.benchmark.edgetpu.check",
    "edgetpu_compile": "effnet_lite.benchmark.edgetpu.compile",
    "android": "effnet_lite.mobile.android",
    "doctor": "effnet_lite.benchmark.doctor",
}

__all__ = [
    "VARIANTS",
    "EffNetLite",
    "__version__",
    "android",
    "benchmark",
    "classify",
    "compare",
    "convert",
    "doctor",
    "edgetpu_check",
    "edgetpu_compile",
    "evaluate",
    "explain",
    "get_variant",
    "inspect",
    "report",
    "sweep",
    "train",
    "train_qat",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_EXPORTS[name])
    # The name of a command and of a package: the package is callable.
    value = module if name == "benchmark" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
