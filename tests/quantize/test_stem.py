"""Stage ``stem``: the first layer's channels, filled and computed several times."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from mild_network import MildNetwork
from small_variants import LITE, B

from effnet_lite.quantize.layer_errors import compare_layers
from effnet_lite.quantize.stem import HEADROOM, MOST, find_stem, refine_stem, share_out
from effnet_lite.quantize.tflite.writer import to_flatbuffer

DEAD = [1, 4, 6]


class Case(MildNetwork):
    """Some of whose first channels training has put to sleep."""

    def __init__(self, name, folder, dead=()):
        def put_to_sleep(tensors):
            tensors["stem_bn/beta"][list(dead)] = -20
            # Asleep, yet of use: behind the depthwise layer there is its bias.
            tensors["block1a_bn/beta"][list(dead)] = 1

        super().__init__(name, folder, 12, "logits", put_to_sleep)

    def run(self, graph, output=None):
        return super().run(graph, graph.outputs[0] if output is None else output)

    def refine(self):
        return refine_stem(self.graph, self.statistics, self.images, self.preprocessing)


@pytest.fixture(scope="module")
def asleep(photos):
    return Case(LITE, photos, DEAD)


def test_the_function_stays(asleep):
    before = [None if t.data is None else t.data.copy() for t in asleep.graph.tensors]
    changed, _ = asleep.refine()
    wanted, found = asleep.run(asleep.graph), asleep.run(changed)
    # Along the border and where a channel is 0, a copy's offset of less than a step is not
    # taken back in full.
    error = np.square(found - wanted).sum() / np.square(wanted - wanted.mean(0)).sum()
    assert error < 1e-4
    assert not np.array_equal(found, wanted)
    for tensor, data in zip(asleep.graph.tensors, before, strict=True):
        assert (data is None and tensor.data is None) or np.array_equal(tensor.data, data)


def test_sleeping_channels_become_copies(asleep):
    changed, _ = asleep.refine()
    first = asleep.graph.ops[0].output
    values = asleep.run(changed, first)
    assert (asleep.run(asleep.graph, first)[..., DEAD] == 0).all()
    step = values.max() / 255
    for channel in DEAD:
        others = [other for other in range(values.shape[-1]) if other not in DEAD]
        apart = [np.abs(values[..., channel] - values[..., other]).max() for other in others]
        assert min(apart) < 1.01 * step


def test_copies_round_more_finely_together(asleep):
    """The mean of m copies, each rounded, against the channel: a step m times finer."""
    changed, _ = asleep.refine()
    first = asleep.graph.ops[0].output
    values = asleep.run(changed, first).astype(np.float64)
    step = values.max() / 255
    channels = values.shape[-1]
    groups = {}
    for one, other in itertools.product(range(channels), DEAD):
        if one not in DEAD and np.abs(values[..., one] - values[..., other]).max() < 1.01 * step:
            groups.setdefault(one, [one]).append(other)
    assert sorted(itertools.chain(*groups.values()))
    for group in groups.values():
        inside = (values[..., group].min(-1) > 0) & (values[..., group].max(-1) < values.max())
        copies = values[inside][:, group]
        error = np.rint(copies / step) * step - copies
        alone, together = np.square(error[:, 0]).mean(), np.square(error.mean(1)).mean()
        assert together == pytest.approx(alone / len(group) ** 2, rel=0.3)


def test_the_new_statistics_are_those_of_the_new_graph(asleep):
    changed, predicted = asleep.refine()
    measured = asleep.measure(changed)
    first, depthwise = asleep.graph.ops[0].output, asleep.graph.ops[1].output
    for tensor in (first, depthwise):
        for field in ("low", "high", "mean", "square"):
            wanted, found = (getattr(each[tensor], field) for each in (measured, predicted))
            np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    for tensor, values in predicted.items():
        np.testing.assert_allclose(values.mean, measured[tensor].mean, atol=0.02)


def test_a_channel_that_pixels_can_wake_stays(photos):
    """Asleep on the photos is not enough: some pixels, padding among them, wake it."""
    case = Case(LITE, photos)
    op = case.graph.ops[0]
    weights, bias = (case.graph.tensors[index].data for index in op.inputs[1:3])
    ends = [case.preprocessing.normalize(np.full(3, pixel)) for pixel in (0, 255)]
    reach = np.maximum(np.maximum(weights * ends[0], weights * ends[1]), 0).sum((1, 2, 3))
    bias[:] = 0.5
    bias[2], bias[3] = -1.001 * reach[2], -0.999 * reach[3]
    case.statistics = case.measure(case.graph)
    changed, _ = case.refine()
    found = changed.tensors[op.inputs[1]].data
    kept = [np.allclose(found[c] / np.abs(found[c]).max(), weights[c] / np.abs(weights[c]).max())
            for c in (2, 3)]  # fmt: skip
    assert kept == [False, True]


def test_without_sleeping_channels_the_range_is_filled(photos):
    case = Case(LITE, photos)
    changed, found = case.refine()
    first = case.graph.ops[0].output
    before, after = case.statistics[first].high, found[first].high
    wanted = np.maximum(before, np.minimum(6 / HEADROOM, MOST * before))
    np.testing.assert_allclose(after, wanted, rtol=1e-6)
    wanted, answers = case.run(case.graph), case.run(changed)
    np.testing.assert_allclose(answers, wanted, atol=5e-5 * np.abs(wanted).max())


def test_swish_networks_stay_as_they_are(photos):
    case = Case(B, photos)
    assert find_stem(case.graph) is None
    changed, found = case.refine()
    assert changed is case.graph
    assert found is case.statistics


def test_the_worst_channel_is_copied_first():
    # 9 → 9/4 → 9/9; the gains 6.75, 3 and 2.25 (of 3) before 1.25 (of 9 once more).
    errors = np.array([0.0, 9.0, 3.0, 0.0, 4.0])
    assert share_out(errors, [0, 3]) == {0: 1, 3: 4}
    assert share_out(np.array([0.0, 9.0, 1.0]), [0]) == {0: 1}
    assert share_out(np.array([90.0, 0, 0, 1]), [1, 2]) == {1: 0, 2: 0}
    assert share_out(np.zeros(3), [0, 1]) == {}


def test_compare_undoes_it(asleep):
    """Copies and filled ranges are not errors: not of activations, and not of weights."""
    changed, _ = asleep.refine()
    models = [to_flatbuffer(graph) for graph in (asleep.graph, changed)]
    first, depthwise, projection, *others = compare_layers(
        *models, asleep.pixels, asleep.preprocessing
    )
    assert (first.rescaled, depthwise.rescaled, projection.rescaled) == (True, True, False)
    for layer in (first, depthwise, projection):
        assert layer.weights_sqnr_db > 100
        assert layer.sqnr_db > 40
    assert all(layer.sqnr_db > 30 for layer in others)


def test_compare_does_not_take_a_wrong_channel_for_a_copy(asleep):
    """A depthwise kernel that stands in a second channel too, which the projection ignores."""
    wrong = asleep.graph.copy()
    tensor = wrong.tensors[wrong.ops[1].inputs[1]]
    tensor.data = tensor.data.copy()
    tensor.data[..., 2] = tensor.data[..., 3]
    models = [to_flatbuffer(graph) for graph in (asleep.graph, wrong)]
    found = compare_layers(*models, asleep.pixels, asleep.preprocessing)[1]
    assert not found.rescaled
    assert found.weights_sqnr_db < 20
