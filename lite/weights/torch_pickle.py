"""Torch files, without torch: the zip format (since 1.6) and the legacy one before it.

Both hold a pickle of the state dict in which each tensor refers to a storage, a run of
numbers that lies outside the pickle: in a member ``data/KEY`` of the zip archive, or in the
legacy file after the pickles, each behind its element count. The formats are defined by
``torch/serialization.py`` (``_save``, ``_legacy_save``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError
from effnet_lite.lite.weights import restricted_pickle
from effnet_lite.lite.weights.contents import Contents, Stored, without_prefixes

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_LAYOUTS = ("torch", "timm")
# Where training scripts put the weights beside other things; averaged ones first.
_NESTED = ("state_dict_ema", "model_ema", "state_dict", "model")
_MAX_DIMENSIONS = 8

# bfloat16 is the upper half of a float32; NumPy has no such type.
_BFLOAT16 = "bfloat16"
_DTYPES = {
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": _BFLOAT16,
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "<i1",
    "torch.ByteStorage": "<u1",
    "torch.BoolStorage": "|b1",
}


@contextlib.contextmanager
def open_torch(path: Path) -> Iterator[Contents]:
    """The tensors of a torch file.

    Raises:
        InputError: The file is damaged, or asks for anything but tensors and containers.
    """
    try:
        with path.open("rb") as file:
            opened = _open_zip(file, path) if file.read(2) == b"PK" else _open_legacy(file, path)
            yield Contents(without_prefixes(opened), _LAYOUTS)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


@dataclasses.dataclass(frozen=True)
class _Storage:
    """Part of a run of numbers: ``numel`` of the ``total`` elements under ``key``."""

    key: str
    dtype: str
    total: int
    start: int
    numel: int

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return 2 if self.dtype == _BFLOAT16 else np.dtype(self.dtype).itemsize


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A view of a storage; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


#: Gives all bytes of a storage (key, expected size in bytes).
_ReadStorage = Callable[[str, int], bytes]


def _open_zip(file: BinaryIO, path: Path) -> dict[str, Stored]:
    archive = zipfile.ZipFile(file)
    pickles = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
    if len(pickles) != 1:
        raise InputError(
            f"{path} is a zip archive with {len(pickles)} members named */data.pkl; "
            "expected one, as torch.save writes it"
        )
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist():
        order = _member(archive, f"{folder}byteorder", 16, path)
        _check_byte_order(order.strip() == b"little", path)
    data = _member(archive, pickles[0], restricted_pickle.MAX_PICKLE_BYTES, path)
    state = _load(io.BytesIO(data), path)

    def read(key: str, size: int) -> bytes:
        found = _member(archive, f"{folder}data/{key}", size, path)
        if len(found) != size:
            raise InputError(f"{path} is damaged: storage {key} has {len(found)} of {size} bytes")
        return found

    return _stored(state, _last_read(read), path)


def _member(archive: zipfile.ZipFile, name: str, limit: int, path: Path) -> bytes:
    """One member, never more than ``limit`` bytes of it."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise InputError(f"{path} is damaged: the member {name} is missing") from None
    # Torch stores without compression, so a member cannot be larger than the file.
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise InputError(f"{path}: {name} is compressed, which torch.save never does; refused")
    if info.file_size > limit:
        raise InputError(f"{path}: {name} has {info.file_size:,} bytes, at most {limit:,} expected")
    return archive.read(info)


def _open_legacy(file: BinaryIO, path: Path) -> dict[str, Stored]:
    file.seek(0)
    # Enough for all five pickles: the data after them is read from the file itself.
    stream = io.BytesIO(file.read(restricted_pickle.MAX_PICKLE_BYTES))
    magic = _load(stream, path)
    if magic != _LEGACY_MAGIC:
        raise InputError(f"{path} is a pickle, but not of torch.save: expected a torch file")
    protocol, system = _load(stream, path), _load(stream, path)
    if protocol != _LEGACY_PROTOCOL or not isinstance(system, dict):
        raise InputError(f"{path} is damaged: no legacy torch file of protocol {_LEGACY_PROTOCOL}")
    _check_byte_order(system.get("little_endian") is True, path)
    storages: dict[str, _Storage] = {}
    state = _load(stream, path, storages)
    keys = _load(stream, path)
    places = _legacy_places(file, stream.tell(), keys, storages, path)

    def read(key: str, size: int) -> bytes:
        offset, available = places.get(key, (0, 0))
        file.seek(offset)
        if available != size:
            raise InputError(f"{path} is damaged: storage {key} has {available} of {size} bytes")
        found = file.read(size)
        if len(found) != size:
            raise InputError(f"{path} is cut off: storage {key} ends early")
        return found

    return _stored(state, _last_read(read), path)


def _legacy_places(
    file: BinaryIO, offset: int, keys: Any, storages: dict[str, _Storage], path: Path
) -> dict[str, tuple[int, int]]:
    """Storage key to (offset, size) in bytes, from the element counts before each."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise InputError(f"{path} is damaged: the list of its storages cannot be read")
    end = file.seek(0, io.SEEK_END)
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        file.seek(offset)
        count = int.from_bytes(file.read(8), "little", signed=True)
        storage = storages.get(key)
        if storage is None:
            raise InputError(f"{path} is damaged: storage {key[:40]!r} belongs to no tensor")
        size = count * storage.itemsize
        if count < 0 or offset + 8 + size > end:
            missing = offset + 8 + size - end
            raise InputError(f"{path} is cut off: {max(missing, 8):,} bytes are missing at its end")
        places[key] = (offset + 8, size)
        offset += 8 + size
    return places


def _check_byte_order(little: bool, path: Path) -> None:
    if not little:
        raise InputError(f"{path} was written on a big-endian machine; save it again elsewhere")


def _load(stream: io.BytesIO, path: Path, storages: dict[str, _Storage] | None = None) -> Any:
    """One pickle; ``storages`` collects the whole storages that it mentions."""

    def persistent(identity: Any) -> _Storage:
        kind, named, key, _, numel, *view = identity
        if kind != "storage" or not isinstance(named, restricted_pickle.Named):
            raise ValueError("an unknown kind of reference")
        if not isinstance(key, str) or not _sizes((numel,)):
            raise ValueError("a storage without a size")
        whole = _Storage(key, _DTYPES[named.name], numel, 0, numel)
        if storages is not None:
            storages.setdefault(key, whole)
        if not view or view[0] is None:
            return whole
        _, start, size = view[0]
        if not _sizes((start, size)) or start + size > numel:
            raise ValueError("a view outside its storage")
        return dataclasses.replace(whole, start=start, numel=size)

    return restricted_pickle.load(stream, _STAND_INS, persistent, str(path))


def _ordered_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if arguments:
        raise ValueError("an OrderedDict with arguments")
    return {}


def _rebuild_tensor(arguments: tuple[Any, ...]) -> _Tensor:
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(storage, _Storage) or not _sizes((offset,)):
        raise ValueError("a tensor without a storage")
    if not (_sizes(shape) and _sizes(strides) and len(shape) == len(strides)):
        raise ValueError("a tensor without a shape")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    numel = math.prod(shape)
    # A stride of 0 repeats numbers: weights have no such tensors, decompression bombs do.
    if len(shape) > _MAX_DIMENSIONS or numel > storage.numel or (numel and last >= storage.numel):
        raise ValueError("a tensor larger than its storage")
    return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(arguments: tuple[Any, ...]) -> _Tensor:
    if not isinstance(arguments[0], _Tensor):
        raise ValueError("a parameter without a tensor")
    return arguments[0]


def _no_call(arguments: tuple[Any, ...]) -> Any:
    raise ValueError("a storage made inside the pickle")


_STAND_INS: dict[str, restricted_pickle.StandIn] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    **dict.fromkeys(_DTYPES, _no_call),
}


def _sizes(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(v) is int and 0 <= v < 1 << 62 for v in values)


def _stored(state: Any, read: _ReadStorage, path: Path) -> dict[str, Stored]:
    """The state dict, wherever a training script has put it."""
    for key in _NESTED:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
            break
    if not isinstance(state, dict) or not any(isinstance(v, _Tensor) for v in state.values()):
        raise InputError(f"{path} holds no state dict: expected a dictionary of tensors")
    return {
        str(name): Stored(tensor.shape, _loader(tensor, read))
        for name, tensor in state.items()
        if isinstance(tensor, _Tensor)
    }


def _loader(tensor: _Tensor, read: _ReadStorage) -> Callable[[], npt.NDArray[Any]]:
    def load() -> npt.NDArray[Any]:
        storage = tensor.storage
        data = read(storage.key, storage.total * storage.itemsize)
        if storage.dtype == _BFLOAT16:
            flat = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
        else:
            flat = np.frombuffer(data, storage.dtype)
        start = storage.start + tensor.offset
        strides = tuple(stride * flat.itemsize for stride in tensor.strides)
        return np.lib.stride_tricks.as_strided(flat[start:], tensor.shape, strides, writeable=False)

    return load


def _last_read(read: _ReadStorage) -> _ReadStorage:
    """Keep the last storage: some files hold all tensors in one."""
    kept: dict[tuple[str, int], bytes] = {}

    def cached(key: str, size: int) -> bytes:
        if (key, size) not in kept:
            found = read(key, size)
            kept.clear()
            kept[key, size] = found
        return kept[key, size]

    return cached
