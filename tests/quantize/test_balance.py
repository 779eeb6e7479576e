"""Stage ``balance`` and the sensitivities it goes by."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from mild_network import MildNetwork
from small_variants import B_DEEP, LITE, B

pytest.importorskip("tensorflow")

from effnet_lite.errors import MissingDependencyError, UsageError
from effnet_lite.lite import keras
from effnet_lite.quantize import sensitivity
from effnet_lite.quantize.balance import _Noise, balance, weighed
from effnet_lite.quantize.calibration import logits_of
from effnet_lite.quantize.differentiable import forward
from effnet_lite.quantize.equalization import equalize
from effnet_lite.quantize.recipe import get_recipe
from effnet_lite.quantize.sensitivity import error_gains, spans_of
from effnet_lite.quantize.streams import residual_streams


class Case(MildNetwork):
    """With the sensitivities that balance goes by."""

    def __init__(self, name, folder):
        super().__init__(name, folder, 8)
        self.gains = error_gains(self.graph, self.images, self.preprocessing)


@pytest.fixture(scope="module")
def case(photos):
    return functools.cache(lambda name: Case(name, photos))


@pytest.mark.parametrize("name", [LITE, B])
def test_the_graph_computes_what_the_interpreter_does(case, name):
    it = case(name)
    found = forward(it.graph, it.normalised()).outputs[logits_of(it.graph)].numpy()
    wanted = it.logits(it.graph)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("place", [0, 6, -3])
def test_a_gain_is_what_noise_adds_to_the_logits(case, place):
    """Noise put into one activation, against the prediction for it."""
    it = case(LITE)
    tensor, logits = it.graph.ops[place].output, logits_of(it.graph)
    images, shape = it.normalised(), it.graph.tensors[tensor].shape[1:]
    clean = forward(it.graph, images).outputs[logits].numpy()
    rng = np.random.default_rng(0)
    deviation, powers = 1e-3, []
    for _ in range(30):
        noise = rng.normal(0, deviation, (len(images), *shape)).astype(np.float32)
        error = forward(it.graph, images, {tensor: noise}).outputs[logits].numpy() - clean
        error -= error.mean(1, keepdims=True)
        powers.append(np.square(error).sum(1).mean())
    predicted = deviation**2 * it.gains[tensor].sum()
    assert np.mean(powers) == pytest.approx(predicted, rel=0.35)


def test_the_gain_of_the_logits_themselves(case):
    """(v - mean v)² of random signs v: 1 - 1/classes on average."""
    it = case(LITE)
    assert it.gains[logits_of(it.graph)].mean() == pytest.approx(0.9, rel=0.1)


def test_gains_of_some_are_those_of_all(case):
    it = case(B_DEEP)
    assert any(
        op.kind == "DEPTHWISE_CONV_2D" for s in residual_streams(it.graph) for op in s.readers
    )
    wanted = weighed(it.graph)
    some = error_gains(it.graph, it.images, it.preprocessing, tensors=wanted)
    assert some.keys() == wanted
    for tensor, gains in some.items():
        np.testing.assert_allclose(gains, it.gains[tensor], rtol=1e-4)
    changed, _, after = balance(it.graph, it.statistics, some)
    same, _, full = balance(it.graph, it.statistics, it.gains)
    for one, other in zip(changed.tensors, same.tensors, strict=True):
        if one.data is not None:
            np.testing.assert_allclose(one.data, other.data, rtol=1e-2, atol=1e-5)
    assert after.keys() < full.keys()


@pytest.mark.parametrize("name", [LITE, B])
def test_spans_follow_each_other(case, name):
    graph = case(name).graph
    spans = spans_of(graph, 1)
    assert [op for span in spans for op in span.ops] == graph.ops
    assert spans[0].inputs == graph.inputs
    assert spans[-1].outputs == graph.outputs
    for span, following in itertools.pairwise(spans):
        assert following.inputs == span.outputs == [span.ops[-1].output]
        written = {op.output for op in following.ops}
        read = {t for op in following.ops for t in op.inputs if graph.tensors[t].data is None}
        assert read <= written | set(following.inputs)
    # As short as may be: each operator alone outside the blocks with a bypass.
    assert [op.kind for op in graph.ops if op.kind in ("ADD", "MUL")]
    assert 1 < max(len(span.ops) for span in spans) < len(graph.ops) / 2
    assert spans_of(graph, graph.elements())[0].ops == graph.ops


@pytest.mark.parametrize("name", [LITE, B])
def test_gains_by_spans_are_those_of_the_whole(case, name, monkeypatch):
    it = case(name)
    whole = it.graph.activations()[:3]
    wanted = error_gains(it.graph, it.images, it.preprocessing, whole=whole)
    monkeypatch.setattr(sensitivity, "SPAN_ELEMENTS", 1)
    found = error_gains(it.graph, it.images, it.preprocessing, whole=whole)
    assert found.keys() == wanted.keys()
    for tensor, gains in found.items():
        reach = np.abs(wanted[tensor]).max()
        np.testing.assert_allclose(gains, wanted[tensor], rtol=1e-4, atol=1e-5 * reach)


def test_gains_repeat_with_the_seed(case):
    it = case(LITE)
    again = error_gains(it.graph, it.images, it.preprocessing)
    other = error_gains(it.graph, it.images, it.preprocessing, seed=1)
    stem = it.graph.ops[0].output
    np.testing.assert_array_equal(it.gains[stem], again[stem])
    assert not np.array_equal(it.gains[stem], other[stem])


@pytest.mark.parametrize("name", [LITE, B, B_DEEP])
def test_the_function_stays(case, name):
    it = case(name)
    changed, _, _ = balance(it.graph, it.statistics, it.gains)
    before, after = it.logits(it.graph), it.logits(changed)
    np.testing.assert_allclose(after, before, atol=5e-5 * np.abs(before).max())


def test_the_new_statistics_are_those_of_the_new_graph(case):
    it = case(LITE)
    changed, predicted, _ = balance(it.graph, it.statistics, it.gains)
    measured = it.measure(changed)
    for tensor, values in predicted.items():
        reach = np.abs(measured[tensor].high).max() + np.abs(measured[tensor].low).max()
        for field in ("low", "high", "mean"):
            np.testing.assert_allclose(
                getattr(values, field), getattr(measured[tensor], field), atol=2e-4 * reach
            )


@pytest.mark.parametrize("name", [LITE, B_DEEP])
def test_the_gradient_is_the_functions(case, name):
    it = case(name)
    rng = np.random.default_rng(1)
    for stream in residual_streams(it.graph):
        noise = _Noise(it.graph, it.statistics, it.gains, stream)
        starts = [noise.start[op.output] / noise.unit for op in stream.producers]
        point = np.stack([np.log(noise.unit), *starts])
        point = point + rng.normal(0, 0.01, point.shape)  # off the ties of equal ranges
        way = rng.normal(size=point.shape)
        _, gradient = noise(point)
        difference = (noise(point + 1e-6 * way)[0] - noise(point - 1e-6 * way)[0]) / 2e-6
        assert (gradient * way).sum() == pytest.approx(difference, rel=1e-4)


@pytest.mark.parametrize("name", [LITE, B])
def test_less_error_than_with_equal_ranges(case, name):
    it = case(name)
    for stream in residual_streams(it.graph):
        noise = _Noise(it.graph, it.statistics, it.gains, stream)
        offsets, scale = noise.minimise()

        def value(offsets, scale, noise=noise, stream=stream):
            rows = [offsets[op.output] / noise.unit for op in stream.producers]
            return noise(np.stack([np.log(scale), *rows]))[0]

        assert value(offsets, scale) < value(noise.start, noise.unit)


def test_a_channel_that_matters_gets_finer_steps(case):
    it = case(LITE)
    stream = residual_streams(it.graph)[0]
    tensor = stream.producers[0].output
    gains = dict(it.gains)
    gains[tensor] = gains[tensor].copy()
    gains[tensor][2] *= 1000
    plain = _Noise(it.graph, it.statistics, it.gains, stream).minimise()[1]
    weighted = _Noise(it.graph, it.statistics, gains, stream).minimise()[1]
    # A step of the tensor is a step of s in the channel's own units.
    assert weighted[2] / np.median(weighted) < plain[2] / np.median(plain)


def test_the_input_graph_is_left_alone(case):
    it = case(LITE)
    before = [None if tensor.data is None else tensor.data.copy() for tensor in it.graph.tensors]
    balance(it.graph, it.statistics, it.gains)
    equalize(it.graph, it.statistics)
    for tensor, data in zip(it.graph.tensors, before, strict=True):
        assert (data is None and tensor.data is None) or np.array_equal(tensor.data, data)


def test_balance_instead_of_equalize():
    assert get_recipe("best").name == "w8a8-tails+stem+rotate+balance+round+bias"
    with pytest.raises(UsageError, match="give one of them"):
        get_recipe("w8a8-minmax+equalize+balance")


def test_without_tensorflow(case, monkeypatch):
    it = case(LITE)
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", None)
    with pytest.raises(MissingDependencyError, match=r"effnet-lite\[convert\]"):
        keras.import_tensorflow()
    with pytest.raises(MissingDependencyError):
        error_gains(it.graph, it.images, it.preprocessing)
