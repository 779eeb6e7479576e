"""Writes weights in every layout that the readers know, without the readers' own tables.

The names are spelled out block by block, as the sources' own code spells them.
"""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np

from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.variants import VARIANTS, get_variant

LITE0, B0 = VARIANTS["lite0"], VARIANTS["b0"]
#: A quarter of a megabyte in the shape of the real thing, for the many ways files break.
TINY = get_variant("lite-w0.1-d0.1-s32")


@functools.cache
def example(variant, classes=1000):
    """Canonical tensors, every number different, so that no two can be mixed up."""
    rng = np.random.default_rng(7)
    shapes = architecture(variant, classes).tensors()
    return {name: rng.random(shape, np.float32) + np.float32(0.5) for name, shape in shapes.items()}


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def as_torch(variant, tensors):
    """lukemelas/EfficientNet-PyTorch names, OIHW."""
    out = _TorchState(tensors)
    out.conv("stem_conv", "_conv_stem")
    out.norm("stem_bn", "_bn0")
    for block in architecture(variant).blocks:
        ours, theirs = block.name, f"_blocks.{block.index}."
        if block.expands:
            out.conv(f"{ours}_expand_conv", f"{theirs}_expand_conv")
            out.norm(f"{ours}_expand_bn", f"{theirs}_bn0")
        out.depthwise(f"{ours}_dwconv", f"{theirs}_depthwise_conv")
        out.norm(f"{ours}_bn", f"{theirs}_bn1")
        if block.se_filters:
            out.conv(f"{ours}_se_reduce", f"{theirs}_se_reduce")
            out.conv(f"{ours}_se_expand", f"{theirs}_se_expand")
        out.conv(f"{ours}_project_conv", f"{theirs}_project_conv")
        out.norm(f"{ours}_project_bn", f"{theirs}_bn2")
    out.conv("top_conv", "_conv_head")
    out.norm("top_bn", "_bn1")
    out.dense("predictions", "_fc")
    return out.state


def as_timm(variant, tensors):
    """timm names, OIHW."""
    out = _TorchState(tensors)
    out.conv("stem_conv", "conv_stem")
    out.norm("stem_bn", "bn1")
    for block in architecture(variant).blocks:
        ours, theirs = block.name, f"blocks.{block.stage}.{block.repeat}."
        if block.stage == 0:
            out.depthwise(f"{ours}_dwconv", f"{theirs}conv_dw")
            out.norm(f"{ours}_bn", f"{theirs}bn1")
            out.conv(f"{ours}_project_conv", f"{theirs}conv_pw")
            out.norm(f"{ours}_project_bn", f"{theirs}bn2")
        else:
            out.conv(f"{ours}_expand_conv", f"{theirs}conv_pw")
            out.norm(f"{ours}_expand_bn", f"{theirs}bn1")
            out.depthwise(f"{ours}_dwconv", f"{theirs}conv_dw")
            out.norm(f"{ours}_bn", f"{theirs}bn2")
            out.conv(f"{ours}_project_conv", f"{theirs}conv_pwl")
            out.norm(f"{ours}_project_bn", f"{theirs}bn3")
        if block.se_filters:
            out.conv(f"{ours}_se_reduce", f"{theirs}se.conv_reduce")
            out.conv(f"{ours}_se_expand", f"{theirs}se.conv_expand")
    out.conv("top_conv", "conv_head")
    out.norm("top_bn", "bn2")
    out.dense("predictions", "classifier")
    return out.state


def as_tf1(variant, tensors):
    """Variable names of the official checkpoints, without averages and slots."""
    scope = f"efficientnet-{variant.name}"
    state = {}

    def put(ours, theirs):
        for name, array in tensors.items():
            layer, _, weight = name.partition("/")
            if layer == ours:
                state[f"{scope}/{theirs}/{weight}"] = array

    put("stem_conv", "stem/conv2d")
    put("stem_bn", "stem/tpu_batch_normalization")
    for i, block in enumerate(architecture(variant).blocks):
        ours, theirs = block.name, f"blocks_{i}"
        put(f"{ours}_dwconv", f"{theirs}/depthwise_conv2d")
        put(f"{ours}_se_reduce", f"{theirs}/se/conv2d")
        put(f"{ours}_se_expand", f"{theirs}/se/conv2d_1")
        if i == 0:
            put(f"{ours}_bn", f"{theirs}/tpu_batch_normalization")
            put(f"{ours}_project_conv", f"{theirs}/conv2d")
            put(f"{ours}_project_bn", f"{theirs}/tpu_batch_normalization_1")
        else:
            put(f"{ours}_expand_conv", f"{theirs}/conv2d")
            put(f"{ours}_expand_bn", f"{theirs}/tpu_batch_normalization")
            put(f"{ours}_bn", f"{theirs}/tpu_batch_normalization_1")
            put(f"{ours}_project_conv", f"{theirs}/conv2d_1")
            put(f"{ours}_project_bn", f"{theirs}/tpu_batch_normalization_2")
    put("top_conv", "head/conv2d")
    put("top_bn", "head/tpu_batch_normalization")
    put("predictions", "head/dense")
    return state


class _TorchState:
    def __init__(self, tensors):
        self.tensors = tensors
        self.state = {}

    def conv(self, ours, theirs):
        self.state[f"{theirs}.weight"] = self.tensors[f"{ours}/kernel"].transpose(3, 2, 0, 1)
        if f"{ours}/bias" in self.tensors:
            self.state[f"{theirs}.bias"] = self.tensors[f"{ours}/bias"]

    def depthwise(self, ours, theirs):
        kernel = self.tensors[f"{ours}/depthwise_kernel"]
        self.state[f"{theirs}.weight"] = kernel.transpose(2, 3, 0, 1)

    def norm(self, ours, theirs):
        for mine, other in (
            ("gamma", "weight"),
            ("beta", "bias"),
            ("moving_mean", "running_mean"),
            ("moving_variance", "running_var"),
        ):
            self.state[f"{theirs}.{other}"] = self.tensors[f"{ours}/{mine}"]
        self.state[f"{theirs}.num_batches_tracked"] = np.array(0, np.int64)

    def dense(self, ours, theirs):
        if f"{ours}/kernel" in self.tensors:
            self.state[f"{theirs}.weight"] = self.tensors[f"{ours}/kernel"].T
            self.state[f"{theirs}.bias"] = self.tensors[f"{ours}/bias"]


# What torch.save pickles, with classes that only look like torch's.

_STORAGES = {"f4": "Float", "f2": "Half", "f8": "Double", "i8": "Long", "V2": "BFloat16"}


class FakeTensor:
    """Pickles as a torch tensor does: a call of _rebuild_tensor_v2 on a storage."""

    def __init__(self, array, offset=0, shape=None, strides=None):
        self.array = np.asarray(array, order="C")
        self.offset = offset
        self.shape = array.shape if shape is None else shape
        self.strides = strides
        if strides is None:
            self.strides = tuple(s // array.itemsize for s in self.array.strides)

    def __reduce__(self):
        storage = _Storage(self.array)
        arguments = (storage, self.offset, self.shape, self.strides, False, OrderedDict())
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments


class _Storage:
    def __init__(self, array):
        self.array = array


@contextlib.contextmanager
def fake_torch():
    """``torch`` and ``torch._utils`` as far as pickling by reference looks into them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in _STORAGES.values():
        name = f"{kind}Storage"
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        function = types.FunctionType((lambda *a: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    torch._utils = utils
    kept = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        yield torch
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def torch_pickle(value, protocol=2, key=str):
    """The pickle of ``value`` and the storages it refers to, key to array."""
    storages = {}
    with fake_torch() as torch:

        class Pickler(pickle.Pickler):
            def persistent_id(self, item):
                if not isinstance(item, _Storage):
                    return None
                found = [k for k, array in storages.items() if array is item.array]
                name = found[0] if found else key(len(storages))
                storages[name] = item.array
                kind = _STORAGES[item.array.dtype.str[1:]]
                storage_type = getattr(torch, f"{kind}Storage")
                numel = item.array.size
                return ("storage", storage_type, name, "cpu", numel, *self.extra)

            extra = ()

        stream = io.BytesIO()
        pickler = Pickler(stream, protocol=protocol)
        if key is not str:
            pickler.extra = (None,)  # the legacy format names a view, or None
        pickler.dump(value)
    return stream.getvalue(), storages


def fake_tensors(state):
    return OrderedDict((name, FakeTensor(array)) for name, array in state.items())


def torch_zip(value, protocol=2, folder="archive", compression=zipfile.ZIP_STORED):
    """The bytes of a file of torch.save since 1.6."""
    data, storages = torch_pickle(value, protocol)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr(f"{folder}/data.pkl", data)
        archive.writestr(f"{folder}/byteorder", "little")
        for key, array in storages.items():
            archive.writestr(f"{folder}/data/{key}", array.tobytes())
        archive.writestr(f"{folder}/version", "3\n")
    return stream.getvalue()


def torch_legacy(value, protocol=2):
    """The bytes of a file of torch.save before 1.6."""
    data, storages = torch_pickle(value, protocol, key=lambda n: str(94_000_000 + 64 * n))
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system)]
    parts += [data, pickle.dumps(sorted(storages), 2)]
    for key in sorted(storages):
        parts += [struct.pack("<q", storages[key].size), storages[key].tobytes()]
    return b"".join(parts)


def write_tf1(prefix, state):
    """A checkpoint of these variables, as tf.train.Saver writes it."""
    import tensorflow as tf

    names = list(state)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(state[name]) for name in names],
    )
    pointer = f'model_checkpoint_path: "/home/trainer/{prefix.name}"\n'
    (prefix.parent / "checkpoint").write_text(pointer)


def write_h5(path, tensors, root=None, suffix=":0"):
    """Keras' legacy layout: a group a layer, tensors under layer/layer/weight."""
    import h5py

    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        layers = OrderedDict()
        for name in tensors:
            layers.setdefault(name.partition("/")[0], []).append(name)
        group.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, names in layers.items():
            inner = group.create_group(layer)
            inner.attrs["weight_names"] = [f"{name}{suffix}".encode() for name in names]
            for name in names:
                inner[f"{name}{suffix}"] = tensors[name]
