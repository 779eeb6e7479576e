"""Stage ``rotate``: the residual streams in other coordinates."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from mild_network import MildNetwork
from small_variants import B_DEEP, LITE, B

pytest.importorskip("tensorflow")

from effnet_lite.quantize import rotation
from effnet_lite.quantize.calibration import logits_of
from effnet_lite.quantize.differentiable import forward
from effnet_lite.quantize.recipe import get_recipe
from effnet_lite.quantize.rotation import (
    _Search,
    geometric_mean,
    rotatable,
    rotatable_tensors,
    rotate,
)
from effnet_lite.quantize.sensitivity import error_gains
from effnet_lite.quantize.streams import rescale, residual_streams, transform


class Case(MildNetwork):
    """With the matrices that rotation goes by."""

    def __init__(self, name, folder):
        super().__init__(name, folder, 8)
        whole = rotatable_tensors(self.graph)
        self.gains = error_gains(self.graph, self.images, self.preprocessing, whole=whole)

    def rotated(self):
        return rotate(self.graph, self.statistics, self.gains, self.images, self.preprocessing)

    def samples(self):
        tensors = rotatable_tensors(self.graph)
        return rotation._sample(self.graph, self.pixels, self.preprocessing, tensors)


@pytest.fixture(scope="module")
def case(photos):
    return functools.cache(lambda name: Case(name, photos))


@pytest.fixture
def always(monkeypatch):
    """Rotate, whatever a diagonal would give."""
    monkeypatch.setattr(rotation, "_least_diagonal", lambda *_: np.inf)


@pytest.mark.parametrize("name", [LITE, B, B_DEEP])
def test_the_function_stays(case, name, always):
    it = case(name)
    changed, _ = it.rotated()
    for stream in rotatable(it.graph):
        weights = stream.producers[0].inputs[1]
        assert not np.array_equal(it.graph.tensors[weights].data, changed.tensors[weights].data)
    before, after = it.logits(it.graph), it.logits(changed)
    np.testing.assert_allclose(after, before, atol=1e-4 * np.abs(before).max())


def test_a_stream_that_a_depthwise_layer_reads_stays(case):
    """Its zero padding would mean something else in other coordinates."""
    it = case(B_DEEP)
    assert len(rotatable(it.graph)) < len(residual_streams(it.graph))


def test_the_matrix_tells_what_errors_that_go_together_do(case):
    it = case(LITE)
    tensor, logits = rotatable_tensors(it.graph)[0], logits_of(it.graph)
    images, shape = it.normalised(), it.graph.tensors[tensor].shape[1:]
    clean = forward(it.graph, images).outputs[logits].numpy()
    rng = np.random.default_rng(0)
    way = rng.normal(size=shape[-1])
    powers = []
    for _ in range(30):
        size = rng.normal(0, 1e-3, (len(images), *shape[:-1], 1))
        nudge = (size * way).astype(np.float32)
        error = forward(it.graph, images, {tensor: nudge}).outputs[logits].numpy() - clean
        error -= error.mean(1, keepdims=True)
        powers.append(np.square(error).sum(1).mean())
    assert np.mean(powers) == pytest.approx(1e-6 * way @ it.gains[tensor] @ way, rel=0.35)


def test_the_matrix_has_the_gains_on_its_diagonal(case):
    it = case(LITE)
    plain = error_gains(it.graph, it.images, it.preprocessing)
    for tensor in rotatable_tensors(it.graph):
        np.testing.assert_allclose(it.gains[tensor].diagonal(), plain[tensor], rtol=1e-3)


def test_the_new_gains_are_those_of_the_new_graph(case, always):
    it = case(LITE)
    changed, predicted = it.rotated()
    measured = error_gains(changed, it.images, it.preprocessing)
    for tensor in predicted:
        np.testing.assert_allclose(predicted[tensor], measured[tensor], rtol=2e-2)


def test_the_geometric_mean():
    """Of 4 and 9 with one inverted: S·4·S = 9 gives 1.5; of matrices, by its equation."""
    np.testing.assert_allclose(geometric_mean(np.eye(1) * 4, np.eye(1) * 9), [[1.5]])
    rng = np.random.default_rng(0)
    one, other = (a @ a.T + np.eye(5) for a in rng.normal(size=(2, 5, 5)))
    found = geometric_mean(one, other)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    assert np.linalg.eigvalsh(found).min() > 0
    np.testing.assert_allclose(found @ one @ found, other, rtol=1e-9)


def test_the_gradient_is_the_functions(case, monkeypatch):
    # How soft the maximum is follows the range, which the gradient leaves out.
    monkeypatch.setattr(rotation, "SOFTNESS", 1e-3)
    it = case(LITE)
    samples = it.samples()
    rng = np.random.default_rng(1)
    for stream in rotatable(it.graph):
        search = _Search(stream, samples, it.gains)
        size = search.channels
        matrix = np.eye(size) + rng.normal(0, 0.1, (size, size))
        moved = rng.normal(0, 0.01, (len(search.producers), size))
        ways = rng.normal(size=matrix.shape), rng.normal(size=moved.shape)
        _, _, (by_matrix, by_shift) = search._evaluate(matrix, moved)

        def value(t, search=search, matrix=matrix, moved=moved, ways=ways):
            turned = (np.eye(len(matrix)) + t * ways[0]) @ matrix
            return search._evaluate(turned, moved + t * ways[1])[1]

        predicted = (by_matrix * ways[0]).sum() + (by_shift * ways[1]).sum()
        # Positions are float32, so that smaller differences would tell less.
        assert predicted == pytest.approx((value(2e-4) - value(-2e-4)) / 4e-4, rel=2e-2)


def test_less_noise_than_where_it_starts(case):
    it = case(LITE)
    samples = it.samples()
    rng = np.random.default_rng(0)
    for stream in rotatable(it.graph):
        search = _Search(stream, samples, it.gains)
        start = np.linalg.qr(rng.normal(size=(search.channels,) * 2))[0]
        noise, offsets, matrix = search.minimise(start)
        assert offsets.keys() == set(stream.tensors)
        first = start @ rotation._power(search._closed_form(), 0.5)
        still = np.zeros((len(search.producers), search.channels))
        assert noise < 0.9 * search._evaluate(first, still)[0]
        assert np.linalg.cond(matrix) < 1e3


def test_a_stream_stays_where_a_diagonal_is_as_good(case, monkeypatch):
    it = case(LITE)
    monkeypatch.setattr(rotation, "_least_diagonal", lambda *_: 0.0)
    changed, gains = it.rotated()
    for before, after in zip(it.graph.tensors, changed.tensors, strict=True):
        assert before.data is after.data
    assert all(gain.ndim == 1 for gain in gains.values())


def test_a_diagonal_matrix_rescales(case):
    it = case(LITE)
    stream = rotatable(it.graph)[0]
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.5, 2, it.graph.tensors[stream.tensors[0]].shape[-1])
    offsets = stream.with_sums({op.output: rng.normal(size=len(scale)) for op in stream.producers})
    one, other = it.graph.copy(), it.graph.copy()
    rescale(one, dict(it.statistics), stream, offsets, scale)
    transform(other, stream, offsets, np.diag(1 / scale))
    for left, right in zip(one.tensors, other.tensors, strict=True):
        if left.data is not None:
            np.testing.assert_allclose(left.data, right.data, rtol=1e-5, atol=1e-6)


def test_few_positions_are_kept_however_many_photos(case, monkeypatch):
    it = case(LITE)
    monkeypatch.setattr(rotation, "POSITIONS", 20)
    for sample in it.samples().values():
        assert len(sample.held) + len(sample.fitted) <= 20
        assert len(sample.held) < len(sample.fitted)


def test_one_photo_is_enough(photos, always):
    it = MildNetwork(LITE, photos, 1)
    whole = rotatable_tensors(it.graph)
    gains = error_gains(it.graph, it.images, it.preprocessing, whole=whole)
    changed, _ = rotate(it.graph, it.statistics, gains, it.images, it.preprocessing)
    before, after = (it.run(graph, logits_of(graph)) for graph in (it.graph, changed))
    np.testing.assert_allclose(after, before, atol=1e-3 * np.abs(before).max())


def test_it_repeats_with_the_seed(case, always):
    it = case(LITE)
    one, again = it.rotated()[0], it.rotated()[0]
    other = rotate(it.graph, it.statistics, it.gains, it.images, it.preprocessing, seed=1)[0]
    weights = rotatable(it.graph)[0].producers[0].inputs[1]
    np.testing.assert_array_equal(one.tensors[weights].data, again.tensors[weights].data)
    assert not np.array_equal(one.tensors[weights].data, other.tensors[weights].data)


def test_its_place_in_a_recipe():
    assert get_recipe("w8a8-minmax+bias+balance+rotate").stages == ("rotate", "balance", "bias")
