"""Timing on Android devices that are plugged in, through adb and ``benchmark_model``."""

from __future__ import annotations

from effnet_lite.benchmark.adb.measure import measure_on_devices

__all__ = ["measure_on_devices"]
