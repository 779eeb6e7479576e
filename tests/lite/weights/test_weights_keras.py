"""Keras' HDF5 files: legacy and numbered, with and without a head, and the variance trap."""

import numpy as np
import pytest
from weight_writers import B0, LITE0, TINY, assert_same, example, write_h5

from effnet_lite.errors import InputError
from effnet_lite.lite.architecture import B_MEAN, B_STD
from effnet_lite.lite.weights import read_weights

h5py = pytest.importorskip("h5py")


def normalization(mean, variance):
    return {
        "normalization/mean": np.array(mean, np.float32),
        "normalization/variance": np.array(variance, np.float32),
        "normalization/count": np.array(0, np.int64),
    }


def numbered(path, tensors, names=False, root="layers"):
    """.weights.h5 as Keras writes it; ``names`` as of 3.6 and later."""
    classes = {
        "_bn": "batch_normalization",
        "dwconv": "depthwise_conv2d",
        "predictions": "dense",
        "normalization": "normalization",
    }
    layers = {}
    for name in tensors:
        layers.setdefault(name.partition("/")[0], []).append(tensors[name])
    counts = {}
    with h5py.File(path, "w") as file:
        for layer, arrays in layers.items():
            kind = next((c for end, c in classes.items() if layer.endswith(end)), "conv2d")
            number = counts[kind] = counts.get(kind, -1) + 1
            group = file.create_group(f"{root}/{kind}{f'_{number}' if number else ''}/vars")
            if names:
                group.attrs["name"] = layer
            for i, array in enumerate(arrays):
                group[str(i)] = array
        file.create_group("optimizer/vars")["0"] = np.int64(3)
        file.create_group(f"{root}/dropout/seed_generator/vars")["0"] = np.zeros(2, np.uint32)
        file.create_group("vars")
    return path


@pytest.mark.parametrize("root", [None, "model_weights"])
@pytest.mark.parametrize("suffix", ["", ":0"])
def test_legacy_lite0(tmp_path, root, suffix):
    path = tmp_path / "a.h5"
    write_h5(path, example(LITE0), root, suffix)
    weights = read_weights(path, LITE0)
    assert_same(weights.tensors, example(LITE0))
    assert (weights.layout, weights.classes, weights.head_is_new) == ("keras", 1000, False)


def test_optimizer_state_of_a_whole_model_is_left_out(tmp_path):
    path = tmp_path / "a.h5"
    write_h5(path, example(TINY, 10), "model_weights")
    with h5py.File(path, "a") as file:
        file["optimizer_weights/adam/stem_conv/kernel/m:0"] = np.zeros(3)
    assert_same(read_weights(path, TINY).tensors, example(TINY, 10))


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("root", ["layers", "layers/functional/layers"])
def test_numbered_lite0(tmp_path, names, root):
    path = numbered(tmp_path / "a.weights.h5", example(LITE0), names, root)
    assert_same(read_weights(path, LITE0).tensors, example(LITE0))


@pytest.fixture(scope="module")
def applications():
    """EfficientNetB0 of the installed Keras 3 and Keras 2, with numbers all different."""
    models = []
    for package in ("keras", "tf_keras"):
        module = pytest.importorskip(package)
        model = module.applications.EfficientNetB0(weights=None, classes=7)
        rng = np.random.default_rng(3)
        values = [rng.random(w.shape, np.float32).astype(w.dtype) for w in model.get_weights()]
        model.set_weights(values)
        models.append(model)
    return models


@pytest.mark.parametrize("number", [0, 1], ids=["keras", "tf_keras"])
@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
@pytest.mark.filterwarnings("ignore")  # that HDF5 is legacy
def test_keras_applications_b0(tmp_path, applications, number, suffix):
    model = applications[number]
    path = tmp_path / f"b0{suffix}"
    (model.save if suffix == ".h5" else model.save_weights)(str(path))
    weights = read_weights(path, B0)
    expected = {}
    for layer in model.layers:
        for variable in layer.weights:
            weight = variable.name.removesuffix(":0").rpartition("/")[2]
            if layer.name.endswith("dwconv"):
                weight = "depthwise_kernel"
            expected[f"{layer.name}/{weight}"] = np.array(variable)
    expected = {n.replace("normalization_1/", "normalization/"): a for n, a in expected.items()}
    del expected["normalization/count"]
    assert_same(weights.tensors, expected)
    assert (weights.classes, weights.layout) == (7, "keras")


def test_official_files_store_the_deviation_for_the_variance(tmp_path):
    path = tmp_path / "efficientnetb0.h5"
    write_h5(path, normalization(B_MEAN, B_STD) | example(B0, 3))
    tensors = read_weights(path, B0).tensors
    np.testing.assert_allclose(tensors["normalization/mean"], B_MEAN, rtol=1e-6)
    np.testing.assert_allclose(tensors["normalization/variance"], np.square(B_STD), rtol=1e-6)


@pytest.mark.parametrize(
    ("mean", "variance"),
    [((0, 0, 0), (1, 1, 1)), (B_MEAN, tuple(s * s for s in B_STD)), ((0.5,) * 3, (0.25,) * 3)],
)
@pytest.mark.parametrize("count", [True, False])
def test_other_variances_are_kept(tmp_path, mean, variance, count):
    path = tmp_path / "a.h5"
    stored = normalization(mean, variance)
    if not count:
        del stored["normalization/count"]
    stored = {name.replace("normalization/", "normalization_2/"): a for name, a in stored.items()}
    write_h5(path, stored | example(B0, 3))
    tensors = read_weights(path, B0).tensors
    np.testing.assert_allclose(tensors["normalization/mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(tensors["normalization/variance"], variance, rtol=1e-6)


def test_half_a_normalization(tmp_path):
    path = tmp_path / "a.h5"
    stored = normalization(B_MEAN, B_STD)
    del stored["normalization/variance"]
    write_h5(path, stored | example(B0, 3))
    with pytest.raises(InputError, match=r"1 missing \(normalization/variance\)"):
        read_weights(path, B0)


@pytest.mark.parametrize(("classes", "expected"), [(None, 0), (5, 5)])
def test_notop(tmp_path, classes, expected):
    path = tmp_path / "efficientnetb0_notop.h5"
    write_h5(path, normalization(B_MEAN, B_STD) | example(B0, 0))
    weights = read_weights(path, B0, classes)
    assert (weights.classes, weights.head_is_new) == (expected, True)
    assert set(weights.tensors) == {
        *example(B0, 0),
        "normalization/mean",
        "normalization/variance",
    }


def test_a_normalization_in_lite_is_unexpected(tmp_path):
    path = tmp_path / "a.h5"
    write_h5(path, normalization(B_MEAN, B_STD) | example(TINY, 10))
    with pytest.raises(InputError, match=r"2 unexpected \(normalization/mean"):
        read_weights(path, TINY)


def test_a_head_of_another_name_is_told(tmp_path):
    path = tmp_path / "a.h5"
    renamed = {n.replace("predictions/", "my_head/"): a for n, a in example(TINY, 10).items()}
    write_h5(path, renamed)
    with pytest.raises(InputError, match=r"2 unexpected \(my_head/bias, my_head/kernel\)"):
        read_weights(path, TINY)


def test_files_never_lead_to_other_files(tmp_path):
    other, path = tmp_path / "other.h5", tmp_path / "a.h5"
    write_h5(other, example(TINY, 10), "model_weights")
    (tmp_path / "secret.bin").write_bytes(bytes(4000))
    with h5py.File(path, "w") as file:
        file["model_weights"] = h5py.ExternalLink(str(other), "model_weights")
    refused(path)
    write_h5(path, {n: a for n, a in example(TINY, 10).items() if n != "top_bn/gamma"})
    with h5py.File(path, "a") as file:
        file["top_bn/top_bn"].create_dataset(
            "gamma:0", (1280,), "f4", external=str(tmp_path / "secret.bin")
        )
    assert "another file" in refused(path)


def test_absurd_shapes_are_not_loaded(tmp_path):
    path = tmp_path / "a.h5"
    write_h5(path, {n: a for n, a in example(TINY, 10).items() if "predictions" not in n})
    with h5py.File(path, "a") as file:  # nothing is written, a terabyte would be read
        group = file.create_group("predictions/predictions")
        group.create_dataset("kernel:0", (1280, 1 << 28), "f4", chunks=(64, 64))
        group.create_dataset("bias:0", (1 << 28,), "f4", chunks=(64,))
    assert "268,435,456 classes" in refused(path)


def test_truncated_and_flipped(tmp_path):
    path = tmp_path / "a.h5"
    write_h5(path, example(TINY, 10))
    data = path.read_bytes()
    for length in [8, 9, 50, 96, *range(200, len(data), len(data) // 60), len(data) - 1]:
        path.write_bytes(data[:length])
        refused(path)
    rng = np.random.default_rng(5)
    for position in rng.integers(8, 8000, 100):
        changed = bytearray(data)
        changed[position] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            read_weights(path, TINY)
        except InputError as error:
            assert "\n" not in str(error)


def test_an_empty_hdf5_file(tmp_path):
    path = tmp_path / "a.h5"
    h5py.File(path, "w").close()
    assert "does not hold an EfficientNet" in refused(path)


def refused(path):
    with pytest.raises(InputError) as caught:
        read_weights(path, TINY)
    assert "\n" not in str(caught.value)
    return str(caught.value)
