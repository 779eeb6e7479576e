"""What the slow tests share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from effnet_lite import compare
from effnet_lite.quantize.convert import ConversionResult
from effnet_lite.quantize.fidelity import Fidelity


@pytest.fixture
def judge(shared, note) -> Callable[[ConversionResult, ConversionResult], Fidelity]:
    """Fidelity of one conversion to another on the 500 photos, which is noted too."""

    def fidelity(float32: ConversionResult, other: ConversionResult) -> Fidelity:
        photos = shared / "data" / "imagenet_sample"
        found = compare(float32.output, other.output, photos, layers=False).fidelity
        note(
            f"{other.variant} {other.recipe}, {other.calibration['kind']}: agreement "
            f"{found.top1_agreement:.1%} on {found.count} photos, SQNR {found.sqnr_db:.1f} dB, "
            f"KL {found.kl:.4f}, {found.ties} ties"
        )
        assert found.count == 500
        return found

    return fidelity
