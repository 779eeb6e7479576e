"""The measures of fidelity, on vectors small enough to work out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from effnet_lite.errors import ConversionError, InputError
from effnet_lite.quantize.fidelity import measure, softmax, wilson_interval


class Fake:
    """A predictor whose answer to photo n is row n."""

    def __init__(self, rows):
        self.rows = np.asarray(rows, np.float32)
        self.classes = self.rows.shape[1]

    def output(self, number):
        return self.rows[number]


def fidelity(wanted, found, classes=None, **options):
    return measure(Fake(wanted), Fake(found), range(len(wanted)), classes, **options)


def test_identical_models():
    result = fidelity([[1, 2], [4, 3]], [[1, 2], [4, 3]])
    assert (result.count, result.top1_agreement, result.kl, result.ties) == (2, 1.0, 0.0, 0)
    assert result.sqnr_db == math.inf
    # JSON has no infinity.
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["sqnr_db"] is None


def test_sqnr():
    # Centred: signal (1, -1), noise (0.1, -0.1): 10·log10(2 / 0.02) = 20 dB. The offset of
    # the second model is the mean, which softmax ignores, too.
    result = fidelity([[2, 0]], [[12.9 - 2, 11.1 - 2]])
    assert result.sqnr_db == pytest.approx(20, abs=1e-3)


def test_kl():
    # p = (3/4, 1/4), q = (1/2, 1/2): 3/4·ln(3/2) + 1/4·ln(1/2)
    result = fidelity([[math.log(3), 0]], [[0, 0]])
    assert result.kl == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-6)
    assert result.ties == 1


def test_agreement_and_accuracy():
    wanted = [[3, 0, 0], [0, 3, 0], [0, 0, 3], [3, 0, 0]]
    found = [[3, 0, 0], [0, 3, 0], [3, 0, 0], [0, 3, 0]]
    result = fidelity(wanted, found, [0, None, 2, 1])
    assert result.top1_agreement == 0.5
    assert result.labelled == 3
    assert result.top1_float == pytest.approx(2 / 3)
    assert result.top1_quantized == pytest.approx(2 / 3)


def test_without_labels_no_accuracy_is_claimed():
    result = fidelity([[1, 0]], [[1, 0]], [None])
    assert (result.labelled, result.top1_float, result.top1_quantized) == (0, None, None)


def test_progress():
    calls = []
    fidelity([[1, 0]] * 3, [[1, 0]] * 3, progress=lambda *call: calls.append(call), total=3)
    assert [call[:2] for call in calls] == [(1, 3), (2, 3), (3, 3)]


def test_different_networks():
    with pytest.raises(InputError, match="2 and 3 classes"):
        fidelity([[1, 0]], [[1, 0, 0]])


def test_no_photos():
    with pytest.raises(InputError, match="no photo"):
        measure(Fake([[1, 0]]), Fake([[1, 0]]), [])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_answers_that_are_no_numbers(bad):
    with pytest.raises(ConversionError, match="infinities or NaN"):
        fidelity([[1, 0]], [[bad, 0]])


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [
        # Wilson's formula at z = 1.96, e.g. as statsmodels' proportion_confint prints it.
        (95, 100, 0.8882, 0.9785),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_interval(successes, count, low, high):
    assert wilson_interval(successes, count) == pytest.approx((low, high), abs=1e-4)


def test_softmax_of_large_logits():
    np.testing.assert_allclose(softmax(np.asarray([1000.0, 1000.0])), [0.5, 0.5])
    np.testing.assert_allclose(softmax(np.asarray([[0.0, math.log(3)]])), [[0.25, 0.75]])
