"""How often an activation takes each value, and what an int8 range would cost it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from effnet_lite.quantize.calibration import Range
from effnet_lite.quantize.graph import Array
from effnet_lite.quantize.quantizer import activation_quantization

# 16 a step of the widest range, so that what a bin holds rounds to one or two integers; at
# ranges clipped to less than 1/16 a bin is wider than a step.
BINS = 4096


class Histogram:
    """Counts of one tensor's values in equal bins; its memory does not grow with them.

    A value of exactly 0, half of what ReLU6 gives, is counted apart: every range stands for
    it without error. Within a bin values count as evenly spread, so that any other spike is
    smeared over 1/16 of a step of the widest range.

    Args:
        seen: From the smallest to the largest value; what goes beyond by float32 rounding
            counts into the outermost bins. Finite, and not 0 alone.

    Attributes:
        range: ``seen``, extended to hold 0 as the quantizer does.
        counts: Values other than 0 in each bin, whole numbers as float64 (BINS,).
        zeros: Values of exactly 0.
    """

    def __init__(self, seen: Range) -> None:
        self.range = Range(min(seen.low, 0.0), max(seen.high, 0.0))
        self.counts = np.zeros(BINS)
        self.zeros = 0
        self._width = (self.range.high - self.range.low) / BINS
        self._edges = self.range.low + self._width * np.arange(BINS + 1)

    def add(self, values: Array) -> None:
        """Count values, float32 of any shape."""
        places = self._places(values)
        np.clip(places, 0, BINS - 1, out=places)
        self.counts += np.bincount(places.astype(np.intp), minlength=BINS)
        zeros = int(np.count_nonzero(values == 0))
        self.zeros += zeros
        self.counts[int(self._places(np.zeros(1, np.float32)).clip(0, BINS - 1)[0])] -= zeros

    def _places(self, values: Array) -> npt.NDArray[np.float32]:
        places: npt.NDArray[np.float32] = values.ravel() - np.float32(self.range.low)
        places *= np.float32(1 / self._width)
        return places

    def error(self, wanted: Range) -> float:
        """Mean of (x - x̂)² in int8 of that range, clipping and rounding, over all values.

        With t = x / scale and k the integer that stands for it, relative to the zero point,
        a bin from t₁ to t₂ has the mean

            1 / (t₂ - t₁) · ∫ (t - k)² dt,  k = clip(round(t), -128 - zero, 127 - zero)

        whose antiderivative is k / 12 + (t - k)³ / 3: in a bin of many steps that comes to
        step² / 12, in one beyond the range to the square of what is cut off.
        """
        quantization = activation_quantization(wanted, "int8")
        scale, zero = float(quantization.scale[0]), int(quantization.zero_point[0])
        steps = self._edges / scale
        nearest = np.clip(np.rint(steps), -128 - zero, 127 - zero)
        steps -= nearest
        integral = nearest / 12 + steps * steps * steps / 3
        total = float(self.counts @ (integral[1:] - integral[:-1])) * scale**3 / self._width
        return total / max(float(self.counts.sum()) + self.zeros, 1.0)
