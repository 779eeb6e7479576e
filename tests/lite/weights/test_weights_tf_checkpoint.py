"""TF1 checkpoints in the official layout: folder, prefix, files, tarball."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
from weight_writers import B0, LITE0, TINY, as_tf1, assert_same, example, write_tf1

from effnet_lite.errors import InputError
from effnet_lite.lite.weights import read_weights

pytest.importorskip("tensorflow")

EMA = "/ExponentialMovingAverage"


def trained(variant, classes=1000):
    """With averages, slots and counters around: the plain numbers are the decoys."""
    state = {"global_step": np.array(5, np.int64)}
    for name, array in as_tf1(variant, example(variant, classes)).items():
        state[name] = np.zeros_like(array)
        state[name + EMA] = array
        if not name.endswith(("moving_mean", "moving_variance")):
            state[f"{name}/RMSProp"] = np.ones_like(array)
            state[f"{name}/RMSProp_1"] = np.ones_like(array)
            state[f"{name}/Momentum"] = np.ones_like(array)
    return state


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Folder of a small checkpoint."""
    folder = tmp_path_factory.mktemp("checkpoint")
    write_tf1(folder / "model.ckpt", trained(TINY, 10))
    return folder


@pytest.mark.parametrize("variant", [LITE0, B0], ids=lambda v: v.name)
def test_averages_are_preferred(tmp_path, variant):
    write_tf1(tmp_path / "model.ckpt-7", trained(variant))
    weights = read_weights(tmp_path, variant)
    assert_same(weights.tensors, example(variant))
    assert (weights.layout, weights.classes, weights.head_is_new) == ("tf1", 1000, False)
    assert weights.name == "model.ckpt-7"
    files = ["model.ckpt-7.data-00000-of-00001", "model.ckpt-7.index"]
    data = b"".join((tmp_path / name).read_bytes() for name in files)
    assert weights.sha256 == hashlib.sha256(data).hexdigest()


def test_plain_variables_where_there_is_no_average(tmp_path):
    state = as_tf1(TINY, example(TINY, 10))
    write_tf1(tmp_path / "a", {n.replace("tpu_batch", "batch"): a for n, a in state.items()})
    assert_same(read_weights(tmp_path, TINY).tensors, example(TINY, 10))


def test_averages_alone(tmp_path):
    state = as_tf1(TINY, example(TINY, 10))
    write_tf1(tmp_path / "a", {name + EMA: array for name, array in state.items()})
    assert_same(read_weights(tmp_path, TINY).tensors, example(TINY, 10))


@pytest.mark.parametrize(
    "name", ["", "model.ckpt", "model.ckpt.index", "model.ckpt.data-00000-of-00001"]
)
def test_every_way_to_name_it(tiny, name):
    weights = read_weights(tiny / name, TINY)
    assert_same(weights.tensors, example(TINY, 10))
    assert weights.name == "model.ckpt"


def test_another_number_of_classes(tiny):
    weights = read_weights(tiny, TINY, 4)
    assert (weights.classes, weights.head_is_new) == (4, True)
    assert "predictions/kernel" not in weights.tensors


def test_the_pointer_cannot_lead_out_of_the_folder(tiny, tmp_path):
    write_tf1(tmp_path / "model.ckpt", {"x": np.zeros(3, np.float32)})
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "checkpoint").write_text('model_checkpoint_path: "../model.ckpt"\n')
    with pytest.raises(InputError, match="without a TF1 checkpoint"):
        read_weights(inner, TINY)


def test_several_checkpoints_need_a_name(tiny, tmp_path):
    for number in (1, 2):
        write_tf1(tmp_path / f"model.ckpt-{number}", {"x": np.zeros(3, np.float32)})
    (tmp_path / "checkpoint").unlink()
    with pytest.raises(InputError, match=r"2 checkpoints \(model.ckpt-1, model.ckpt-2\)"):
        read_weights(tmp_path, TINY)


@pytest.mark.parametrize("missing", ["model.ckpt.index", "model.ckpt.data-00000-of-00001"])
def test_a_missing_part(tiny, tmp_path, missing):
    for path in tiny.iterdir():
        if path.name != missing:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    for name in ("", "model.ckpt", *(p.name for p in tmp_path.glob("model*"))):
        refused(tmp_path / name)


@pytest.mark.parametrize("which", ["index", "data-00000-of-00001"])
def test_truncated_and_flipped(tiny, tmp_path, which):
    for path in tiny.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / f"model.ckpt.{which}"
    data = path.read_bytes()
    for length in [0, 1, 8, len(data) // 3]:
        path.write_bytes(data[:length])
        refused(tmp_path)
    for length in [len(data) // 2, len(data) - 9, len(data) - 1]:
        path.write_bytes(data[:length])
        refused_or_right(tmp_path)
    rng = np.random.default_rng(5)
    for position in rng.integers(0, len(data), 40):
        changed = bytearray(data)
        changed[position] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        refused_or_right(tmp_path)


def tarball(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_official_tarball(tiny, tmp_path, mode):
    members = {f"efficientnet-lite0/{p.name}": p.read_bytes() for p in tiny.iterdir()}
    members["efficientnet-lite0/efficientnet-lite0-fp32.tflite"] = b"TFL3" * 100
    path = tarball(tmp_path / "efficientnet-lite0.tar.gz", members, mode)
    weights = read_weights(path, TINY)
    assert_same(weights.tensors, example(TINY, 10))
    assert weights.name == "efficientnet-lite0.tar.gz"
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [p.name for p in tmp_path.iterdir()] == ["efficientnet-lite0.tar.gz"]


def test_names_in_a_tarball_lead_nowhere(tiny, tmp_path):
    folder = tmp_path / "inner"
    folder.mkdir()
    members = {f"../../{p.name}": p.read_bytes() for p in tiny.glob("model*")}
    path = tarball(folder / "a.tar.gz", members | {"../evil.txt": b"x"})
    assert_same(read_weights(path, TINY).tensors, example(TINY, 10))
    assert [p.name for p in tmp_path.iterdir()] == ["inner"]


def test_links_in_a_tarball_are_not_followed(tiny, tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001"):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, str(tiny / name)
            archive.addfile(info)
    assert "without a TF1 checkpoint" in refused(path)


def test_bad_tarballs(tiny, tmp_path):
    members = {p.name: p.read_bytes() for p in tiny.glob("model*")}
    path = tmp_path / "a.tar.gz"
    assert "without a TF1 checkpoint" in refused(tarball(path, {"a.txt": b"x"}))
    twice = members | {f"b/{name}": data for name, data in members.items()}
    assert "several checkpoints" in refused(tarball(path, twice))
    index = {name: data for name, data in members.items() if name.endswith("index")}
    message = refused(tarball(path, index))
    assert "effnet-lite-" not in message  # the temporary folder is nobody's business
    data = tarball(path, members).read_bytes()
    for length in [2, 10, 30, *range(100, len(data), len(data) // 10), len(data) - 1]:
        path.write_bytes(data[:length])
        refused(path)
    path.write_bytes(b"\x1f\x8b" + b"not gzip at all" * 40)
    refused(path)


def test_a_header_that_claims_gigabytes(tmp_path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 32
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + bytes(2048))
    assert "more than any official tarball" in refused(path)


def refused_or_right(path):
    """The damage may be in the decoys; what is used has checksums."""
    try:
        tensors = read_weights(path, TINY).tensors
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert_same(tensors, example(TINY, 10))


def refused(path):
    with pytest.raises(InputError) as caught:
        read_weights(path, TINY)
    assert "\n" not in str(caught.value)
    return str(caught.value)
