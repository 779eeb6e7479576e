"""How long an inference on the Edge TPU may take: an estimate, from published times.

    low  = 0.3 ms + max(dense / 600 + depthwise / 25, moved / 450)
    high = 0.7 ms +     dense / 400 + depthwise / 13 + moved / 300

with multiply-adds in millions (that many a microsecond is 10^9 a millisecond) and moved in KB:
input and output of the Edge TPU operator, and parameters that stream. Dense are CONV_2D,
FULLY_CONNECTED and TRANSPOSE_CONV. Of the 4 tera-operations (2·10^12 multiply-adds) a second
that the chip can do, models get a quarter; depthwise convolutions fill few of its cells.

The constants are set so that the range holds the times of coral.ai/docs/edgetpu/benchmarks,
USB 3 and Dev Board, for the models of ``PUBLISHED``. They assume the chip at its highest
clock, USB 3 or PCIe, C++ around it, and operators that nothing else slows down. A model with
much work that is no multiplication (resizing, transposing, sigmoids) takes longer, and USB 2
streams about ten times slower. What is left on the CPU is not in it.
"""

from __future__ import annotations

import dataclasses

_OVERHEAD_MS = (0.3, 0.7)
_DENSE_PER_MS = (600e6, 400e6)
_DEPTHWISE_PER_MS = (25e6, 13e6)
_BYTES_PER_MS = (450e3, 300e3)

ASSUMPTIONS = (
    "an estimate from published times, not a measurement: chip at its highest clock, USB 3 or "
    "PCIe, the Edge TPU operator alone"
)


@dataclasses.dataclass(frozen=True)
class Work:
    """What one inference asks of the Edge TPU.

    Attributes:
        dense_madds, depthwise_madds: Multiply-adds.
        moved_bytes: Input, output, and streamed parameters.
    """

    dense_madds: int
    depthwise_madds: int
    moved_bytes: int


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Of one inference, without what stays on the CPU.

    Attributes:
        low_ms, high_ms: Between these, if the assumptions hold.
        assumptions: In words.
    """

    low_ms: float
    high_ms: float
    assumptions: str = ASSUMPTIONS


def estimate(work: Work) -> Estimate:
    """By the formula above."""
    dense, depthwise, moved = (
        [amount / rate for rate in rates]
        for amount, rates in (
            (work.dense_madds, _DENSE_PER_MS),
            (work.depthwise_madds, _DEPTHWISE_PER_MS),
            (work.moved_bytes, _BYTES_PER_MS),
        )
    )
    low = _OVERHEAD_MS[0] + max(dense[0] + depthwise[0], moved[0])
    high = _OVERHEAD_MS[1] + dense[1] + depthwise[1] + moved[1]
    return Estimate(round(low, 2), round(high, 2))


@dataclasses.dataclass(frozen=True)
class Published:
    """A model of coral.ai/docs/edgetpu/benchmarks.

    Attributes:
        model: Name and input side.
        dense_madds, depthwise_madds: In millions, from the architecture.
        parameters: In millions: bytes, at 8 bits.
        usb_ms, dev_board_ms: With a desktop and USB 3, and on the Dev Board (PCIe).
    """

    model: str
    dense_madds: float
    depthwise_madds: float
    parameters: float
    usb_ms: float
    dev_board_ms: float


#: What the constants are fitted to.
PUBLISHED = (
    Published("MobileNet v1 (224)", 551, 17.4, 4.2, 2.4, 2.4),
    Published("MobileNet v2 (224)", 280, 20.5, 3.5, 2.6, 2.6),
    Published("Inception v1 (224)", 1_500, 0, 6.6, 3.4, 4.1),
    Published("Inception v4 (299)", 12_300, 0, 42.7, 85, 102),
    Published("ResNet-50 v1 (299)", 7_300, 0, 25.6, 49, 56),
    Published("VGG16 (224)", 15_500, 0, 138.4, 296, 343),
    Published("VGG19 (224)", 19_600, 0, 143.7, 308, 357),
)
