"""The Keras model against the plan, the reference outputs and keras.applications."""

from __future__ import annotations

import numpy as np
import pytest

from effnet_lite import EffNetLite
from effnet_lite.errors import EffnetLiteError, InputError, UsageError
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.preprocessing import preprocessing_for
from effnet_lite.lite.variants import VARIANTS, get_variant

keras = pytest.importorskip("tf_keras")

SMALL = ("lite-w0.35-d0.35-s64", "b-w0.35-d0.35-s64", "lite-w0.35-d1.1-s33", "b-w0.2-d1.4-s40")


def keras_madds(model) -> int:
    """Multiply-adds by Keras' own shapes."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            _, height, width, channels = layer.output_shape
            total += height * width * channels * np.prod(layer.kernel_size)
        elif isinstance(layer, keras.layers.Conv2D):
            _, height, width, _ = layer.output_shape
            total += height * width * np.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Dense):
            total += np.prod(layer.kernel.shape)
    return int(total)


@pytest.mark.parametrize("name", ["lite0", "b0", *SMALL])
def test_the_model_is_the_plan(name):
    from effnet_lite.lite.builder import build_model, get_weights

    plan = architecture(get_variant(name))
    model = build_model(plan)
    shapes = {
        tensor: value.shape
        for tensor, value in get_weights(model).items()
        if not tensor.startswith("normalization/")
    }
    assert shapes == plan.tensors()
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert trainable == plan.params
    assert keras_madds(model) == plan.madds
    assert model.output_shape == (None, 1000)


@pytest.fixture(scope="module")
def lite0(lite_weights):
    return EffNetLite("lite0", weights=lite_weights("lite0")).build()


def test_lite0_reproduces_the_reference_logits(shared, lite0):
    assert_reference("lite0", shared, lite0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lite1", "lite2"])
def test_larger_lites_reproduce_the_reference_logits(name, shared, lite_weights):
    assert_reference(name, shared, EffNetLite(name, weights=lite_weights(name)).build())


def assert_reference(name, shared, model):
    reference = np.load(shared / "golden" / f"{name}_reference.npz")
    pixels = preprocessing_for(VARIANTS[name]).normalize(reference["pixels"])
    logits = model(pixels, training=False).numpy()
    np.testing.assert_allclose(logits, reference["logits"], rtol=0, atol=1e-4)


def test_weights_go_in_and_come_out():
    from effnet_lite.lite.builder import build_model, get_weights, set_weights
    from effnet_lite.lite.weights import random_weights

    row = get_variant("b-w0.35-d0.35-s64")
    tensors = dict(random_weights(row, 7, seed=3).tensors)
    tensors["normalization/mean"] = np.asarray([0.1, 0.2, 0.3], np.float32)
    tensors["normalization/variance"] = np.asarray([0.4, 0.5, 0.6], np.float32)
    model = build_model(architecture(row, 7))
    set_weights(model, tensors)
    found = get_weights(model)
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)
    # call() uses copies of the statistics: they follow, too.
    image = np.full((1, 64, 64, 3), 255, np.float32)
    inner = keras.Model(model.input, model.get_layer("normalization").output)
    expected = (1 - tensors["normalization/mean"]) / np.sqrt(tensors["normalization/variance"])
    np.testing.assert_allclose(inner(image).numpy()[0, 0, 0], expected, rtol=1e-5)


def test_a_missing_tensor_is_named():
    from effnet_lite.lite.builder import build_model, set_weights
    from effnet_lite.lite.weights import random_weights

    row = get_variant(SMALL[0])
    tensors = dict(random_weights(row, 7).tensors)
    del tensors["block3a_bn/gamma"]
    with pytest.raises(InputError, match="lack block3a_bn/gamma"):
        set_weights(build_model(architecture(row, 7)), tensors)


def test_only_the_b_family_normalises_in_the_graph():
    from effnet_lite.lite.builder import get_weights

    lite, b = (
        get_weights(EffNetLite(f"{name}-w0.35-d0.35-s64", classes=2).build())
        for name in ("lite", "b")
    )
    assert not any(name.startswith("normalization") for name in lite)
    # ImageNet's statistics of pixels 0-1: keras.applications and tensorflow/tpu agree on them.
    np.testing.assert_allclose(b["normalization/mean"], [0.485, 0.456, 0.406], rtol=1e-5)
    np.testing.assert_allclose(
        np.sqrt(b["normalization/variance"]), [0.229, 0.224, 0.225], rtol=1e-5
    )


@pytest.mark.parametrize(("name", "size"), [(SMALL[0], 64), (SMALL[1], 96), (SMALL[0], 33)])
def test_feature_extractor(name, size):
    model = EffNetLite(name, classes=0, size=size).build()
    plan = architecture(get_variant(name).with_size(size), 0)
    side = -(-size // 32)
    assert model.output_shape == (None, side, side, plan.head_filters)
    names = [layer.name for layer in model.layers]
    assert names[-1] == "top_activation"
    assert not {"predictions", "top_dropout", "avg_pool"} & set(names)
    features = model(np.zeros((2, size, size, 3), np.float32), training=False)
    assert features.shape == (2, side, side, plan.head_filters)


@pytest.mark.parametrize(("classes", "size"), [(1, 32), (2, 47), (1001, 80)])
def test_any_number_of_classes_and_size(classes, size):
    model = EffNetLite(SMALL[0], classes=classes, size=size).build()
    logits = model(np.zeros((3, size, size, 3), np.float32), training=False).numpy()
    assert logits.shape == (3, classes)
    assert np.isfinite(logits).all()


def test_a_new_head_keeps_the_backbone(lite0):
    from effnet_lite.lite.builder import get_weights

    ten = EffNetLite("lite0", classes=10, weights="imagenet").build()
    assert ten.output_shape == (None, 10)
    full, changed = get_weights(lite0), get_weights(ten)
    for name, tensor in full.items():
        if not name.startswith("predictions/"):
            np.testing.assert_array_equal(tensor, changed[name], err_msg=name)
    assert changed["predictions/kernel"].shape == (1280, 10)


def test_the_seed_decides_the_random_weights():
    image = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32)
    first, again, other = (
        EffNetLite(SMALL[0], classes=5, seed=seed).build()(image).numpy() for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-6


def test_dropout_and_stochastic_depth_act_in_training_only():
    model = EffNetLite("lite-w0.35-d1-s64", classes=5, drop_connect=0.5, dropout=0.5).build()
    image = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32)
    quiet = [model(image, training=False).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    # Without dropout, training differs from inference by the batch statistics alone, which
    # are the same each time: what differs below comes from the dropped branches.
    depth = keras.Model(model.input, model.get_layer("avg_pool").output)
    noisy = [depth(image, training=True).numpy() for _ in range(4)]
    assert max(np.abs(noisy[0] - one).max() for one in noisy[1:]) > 1e-4
    still = EffNetLite("lite-w0.35-d1-s64", classes=5, drop_connect=0, dropout=0).build()
    same = [still(image, training=True).numpy() for _ in range(2)]
    np.testing.assert_allclose(*same, atol=1e-6)


def test_stochastic_depth_grows_linearly_and_spares_blocks_without_a_residual():
    model = EffNetLite("lite0", classes=5, drop_connect=0.2).build()
    plan = architecture(VARIANTS["lite0"], 5)
    rates = {
        layer.name.removesuffix("_drop"): layer.rate
        for layer in model.layers
        if layer.name.endswith("_drop")
    }
    expected = {
        block.name: pytest.approx(0.2 * block.index / 16) for block in plan.blocks if block.residual
    }
    assert rates == expected
    assert model.get_layer("top_dropout").rate == 0.2


def test_stochastic_depth_drops_whole_branches():
    from effnet_lite.lite.keras import import_tensorflow

    tf = import_tensorflow()
    model = EffNetLite("lite-w0.35-d1-s64", classes=5, drop_connect=0.9).build()
    layer = next(layer for layer in model.layers if layer.name.endswith("_drop"))
    tf.random.set_seed(0)
    dropped = layer(np.ones((64, 2, 2, 8), np.float32), training=True).numpy()
    by_image = dropped.reshape(64, -1)
    # Each image's branch is dropped whole or kept whole, then scaled by 1 / survival.
    assert {len(set(image)) for image in by_image.tolist()} == {1}
    kept = 1 / (1 - layer.rate)
    assert set(np.unique(by_image.round(4))) == {0.0, np.float32(kept).round(4)}


@pytest.mark.parametrize(
    "options",
    [
        {"classes": -1},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"drop_connect": 1.5},
        {"dropout": float("nan")},
        {"size": 16},
        {"variant": "lite9"},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(InputError):
        EffNetLite(**{"variant": SMALL[0], **options})


@pytest.mark.parametrize("options", [{"seed": -1}, {"classes": 10**7}])
def test_random_weights_out_of_range(options):
    with pytest.raises(UsageError):
        EffNetLite(SMALL[0], **options).build()


def test_a_missing_package_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(EffnetLiteError, match=r"pip install 'effnet-lite\[convert\]'"):
        EffNetLite(SMALL[0]).build()
