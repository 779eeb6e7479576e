"""Accounting for tensors: what is missing, unexpected or misshapen is named; heads change."""

import numpy as np
import pytest
from weight_writers import B0, LITE0, TINY, as_timm, as_torch, assert_same, example

from effnet_lite.errors import InputError
from effnet_lite.lite.variants import VARIANTS
from effnet_lite.lite.weights import read_weights

safetensors = pytest.importorskip("safetensors.numpy")


@pytest.fixture
def write(tmp_path):
    def write_state(state, metadata=None):
        path = tmp_path / "a.safetensors"
        arrays = {name: np.ascontiguousarray(array) for name, array in state.items()}
        safetensors.save_file(arrays, path, metadata)
        return path

    return write_state


def complaint(path, variant=TINY):
    with pytest.raises(InputError) as caught:
        read_weights(path, variant)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("variant", [LITE0, B0], ids=lambda v: v.name)
def test_timm_safetensors_round_trip(write, variant):
    weights = read_weights(write(as_timm(variant, example(variant))), variant)
    assert_same(weights.tensors, example(variant))
    assert (weights.layout, weights.classes, weights.head_is_new) == ("timm", 1000, False)


def test_names_as_timm_publishes_them():
    # From the file list of timm/tf_efficientnet_b0.ns_jft_in1k.
    state = as_timm(B0, example(B0))
    assert state["blocks.0.0.se.conv_reduce.weight"].shape == (8, 32, 1, 1)
    assert state["blocks.1.0.conv_pw.weight"].shape == (96, 16, 1, 1)
    assert state["classifier.weight"].shape == (1000, 1280)


def test_torch_names_and_prefixes(write):
    state = as_torch(TINY, example(TINY, 10))
    for prefix in ("", "module.", "_orig_mod.", "module._orig_mod."):
        weights = read_weights(write({prefix + n: a for n, a in state.items()}), TINY)
        assert weights.layout == "torch"
        assert_same(weights.tensors, example(TINY, 10))


@pytest.mark.parametrize("classes", [10, 5, 0, None])
def test_number_of_classes(write, classes):
    weights = read_weights(write(as_timm(TINY, example(TINY, 10))), TINY, classes)
    same = classes in (10, None)
    expected = example(TINY, 10)
    if not same:
        expected = {n: t for n, t in expected.items() if not n.startswith("predictions/")}
    assert_same(weights.tensors, expected)
    assert weights.head_is_new is not same
    assert weights.classes == (10 if classes is None else classes)


def test_a_background_class_is_accepted(write):
    weights = read_weights(write(as_timm(TINY, example(TINY, 1001))), TINY)
    assert (weights.classes, weights.head_is_new) == (1001, False)


@pytest.mark.parametrize(("classes", "expected"), [(None, 0), (7, 7)])
def test_no_head_in_the_file(write, classes, expected):
    weights = read_weights(write(as_timm(TINY, example(TINY, 0))), TINY, classes)
    assert (weights.classes, weights.head_is_new) == (expected, True)
    assert_same(weights.tensors, example(TINY, 0))


def test_missing_unexpected_and_misshapen_are_named(write):
    state = as_timm(TINY, example(TINY, 10))
    del state["bn1.bias"]
    state["extra.weight"] = np.zeros(3, np.float32)
    state["bn2.weight"] = np.zeros(7, np.float32)
    message = complaint(write(state))
    assert "1 missing (bn1.bias)" in message
    assert "1 unexpected (extra.weight)" in message
    assert "1 of the wrong shape (bn2.weight is 7, expected 1280)" in message
    assert "looks like" not in message


def test_long_lists_are_cut(write):
    state = {n: a for n, a in as_timm(TINY, example(TINY, 10)).items() if "running" not in n}
    norms = sum(name.endswith("moving_mean") for name in example(TINY, 10))
    message = complaint(write(state))
    assert f"{2 * norms} missing (bn1.running_mean, bn1.running_var, " in message
    assert f" and {2 * norms - 5} more)" in message


def test_half_a_head(write):
    state = as_timm(TINY, example(TINY, 10))
    del state["classifier.bias"]
    assert "missing (classifier.bias)" in complaint(write(state))


def test_another_variant_is_recognised(write):
    path = write(as_timm(LITE0, example(LITE0)))
    assert "This file looks like lite0" in complaint(path, VARIANTS["lite1"])
    assert "This file looks like lite0" in complaint(path, B0)
    path = write(as_timm(B0, example(B0)))
    message = complaint(path, LITE0)
    assert "This file looks like b0" in message
    assert "64 unexpected (" in message  # 16 blocks with two kernels and two biases each


def test_another_network(write):
    path = write({f"layer{i}.weight": np.zeros(3, np.float32) for i in range(9)})
    message = complaint(path)
    assert "does not hold an EfficientNet" in message
    assert "layer0.weight" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_damaged_numbers(write, value):
    state = as_timm(TINY, example(TINY, 10))
    state["bn1.weight"] = np.full(state["bn1.weight"].shape, value, np.float64)
    assert "bn1.weight" in complaint(write(state))


def test_integers_are_no_weights(write):
    state = as_timm(TINY, example(TINY, 10))
    state["bn1.weight"] = state["bn1.weight"].astype(np.int8)
    assert "int8 values; expected floating point" in complaint(write(state))


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_other_precisions(write, dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    state = {n: a.astype(dtype) for n, a in as_timm(TINY, example(TINY, 10)).items()}
    tensors = read_weights(write(state), TINY).tensors
    expected = example(TINY, 10)["stem_conv/kernel"].astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(tensors["stem_conv/kernel"], expected)


def test_negative_classes(write):
    with pytest.raises(InputError, match="0 or more"):
        read_weights(write(as_timm(TINY, example(TINY, 10))), TINY, -1)


def test_truncated_and_flipped_safetensors(write, tmp_path):
    data = bytearray(write(as_timm(TINY, example(TINY, 10))).read_bytes())
    path = tmp_path / "b.safetensors"
    for length in [1, 8, 9, 20, *range(100, len(data), len(data) // 40), len(data) - 1]:
        path.write_bytes(data[:length])
        complaint(path)
    rng = np.random.default_rng(2)
    for position in rng.integers(0, 4000, 150):
        changed = data.copy()
        changed[position] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            read_weights(path, TINY)
        except InputError as error:
            assert "\n" not in str(error)
