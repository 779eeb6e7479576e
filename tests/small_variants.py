"""Variants small enough to convert in a second, deep enough to have residual blocks."""

from __future__ import annotations

LITE, B = "lite-w0.35-d0.35-s64", "b-w0.35-d0.35-s64"
#: Its second block expands nothing: a 3x3 depthwise layer reads a residual stream.
B_DEEP = "b-w0.35-d1.1-s32"
