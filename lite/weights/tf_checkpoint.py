"""TensorFlow 1 checkpoints in the official layout, loose or inside the official tarball.

A checkpoint is a prefix: ``PREFIX.index`` (a sorted table of names) beside
``PREFIX.data-00000-of-00001`` (the numbers), in a folder where a small text file named
``checkpoint`` says which prefix is the latest.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError, MissingDependencyError
from effnet_lite.lite.weights.contents import Contents, Stored

#: The last eight bytes of an index, as of any LevelDB table (tensorflow/core/lib/io/format.h).
INDEX_MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")

_SHARD = re.compile(r"\.data-\d{5}-of-\d{5}")
# B7 with its averages and two optimizer slots is 1.1 GB.
_MAX_ARCHIVE_BYTES = 4 << 30
_MAX_READ_BYTES = 4 << 20


@contextlib.contextmanager
def open_checkpoint(path: Path) -> Iterator[Contents]:
    """The variables of a checkpoint.

    Args:
        path: The folder, the prefix, or one of the checkpoint's files.

    Raises:
        InputError: No checkpoint is there, a part is missing, or it is damaged.
        MissingDependencyError: TensorFlow is not installed.
    """
    prefix = find_prefix(path)
    checkpoint_files(prefix)
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingDependencyError("reading a checkpoint", "tensorflow", "convert") from error
    with _reading(prefix):
        reader = tf.train.load_checkpoint(str(prefix))
        shapes = reader.get_variable_to_shape_map()
    yield Contents(
        {name: Stored(tuple(s), _loader(reader, name, prefix)) for name, s in shapes.items()},
        ("tf1",),
    )


@contextlib.contextmanager
def open_tarball(path: Path) -> Iterator[Contents]:
    """The variables of the checkpoint inside a .tar or .tar.gz file.

    Only the checkpoint's own members are unpacked, into a temporary folder and under names
    of ours: those in the archive could point anywhere.

    Raises:
        InputError: The archive is damaged, or holds no checkpoint, or several.
        MissingDependencyError: TensorFlow is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="effnet-lite-") as folder:
        prefix = Path(folder) / "model.ckpt"
        try:
            _unpack(path, prefix)
        except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
            raise InputError(f"{path} is damaged: not a whole .tar.gz ({error})") from error
        try:
            with open_checkpoint(prefix) as contents:
                yield contents
        except InputError as error:
            raise InputError(str(error).replace(folder, str(path))) from error


def find_prefix(path: Path) -> Path:
    """The prefix that a folder, a prefix or a checkpoint's file stands for.

    Raises:
        InputError: The folder holds no checkpoint.
    """
    if path.is_dir():
        return _latest(path)
    name = path.name.removesuffix(".index")
    shard = _SHARD.search(name)
    if shard and shard.end() == len(name):
        name = name[: shard.start()]
    return path.with_name(name)


def checkpoint_files(prefix: Path) -> list[Path]:
    """The .data files in order, then the .index.

    Raises:
        InputError: One of them is missing.
    """
    index = prefix.with_name(f"{prefix.name}.index")
    if not index.is_file():
        raise InputError(f"{index} is missing: a TF1 checkpoint needs it beside its .data files")
    shards = sorted(
        path
        for path in prefix.parent.iterdir()
        if path.name.startswith(f"{prefix.name}.data-")
        and _SHARD.fullmatch(path.name.removeprefix(prefix.name))
    )
    count = int(shards[0].name[-5:]) if shards else 1
    if len(shards) != count:
        missing = f"{prefix.name}.data-?????-of-{count:05d}"
        raise InputError(
            f"{prefix.parent} holds {len(shards)} of {count} files {missing}: "
            "a TF1 checkpoint needs them beside its .index"
        )
    return [*shards, index]


def _latest(folder: Path) -> Path:
    """What the folder's ``checkpoint`` file names, or else its only .index."""
    pointer = folder / "checkpoint"
    if pointer.is_file():
        with pointer.open("rb") as file:
            text = file.read(1 << 16).decode("utf-8", "replace")
        named = re.search(r'^model_checkpoint_path:\s*"([^"\n]+)"', text, re.MULTILINE)
        if named:
            # Often an absolute path of the machine that trained it: only its end counts.
            name = PurePosixPath(named[1].replace("\\", "/")).name
            if (folder / f"{name}.index").is_file():
                return folder / name
    indexes = sorted(folder.glob("*.index"))
    if len(indexes) == 1:
        return indexes[0].with_suffix("")
    if indexes:
        names = ", ".join(index.stem for index in indexes[:5])
        raise InputError(f"{folder} holds {len(indexes)} checkpoints ({names}): name one of them")
    raise InputError(f"{folder} is a folder without a TF1 checkpoint: expected *.index in it")


def _loader(reader: Any, name: str, prefix: Path) -> Callable[[], npt.NDArray[Any]]:
    def load() -> npt.NDArray[Any]:
        with _reading(prefix):
            return np.asarray(reader.get_tensor(name))

    return load


@contextlib.contextmanager
def _reading(prefix: Path) -> Iterator[None]:
    """Turn what TensorFlow raises over a damaged file into one line."""
    import tensorflow as tf

    try:
        yield
    # Its C++ statuses arrive as OpError, or as Python's nearest: OUT_OF_RANGE is IndexError.
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"the checkpoint {prefix} is damaged: {reason}") from error


def _unpack(path: Path, prefix: Path) -> None:
    """Copy the archive's checkpoint to ``prefix``.index and ``prefix``.data-*."""
    found: dict[str, str] = {}  # suffix to the member it came from
    with path.open("rb") as file:
        plain = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == b"\x1f\x8b" else file
        bounded = _Bounded(plain, path)
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                shard = _SHARD.search(name)
                suffix = ".index" if name.endswith(".index") else shard[0] if shard else ""
                source = archive.extractfile(member) if suffix and member.isreg() else None
                if source is None:
                    continue
                if suffix in found:
                    raise InputError(
                        f"{path} holds several checkpoints ({found[suffix]}, {member.name}): "
                        "unpack it and name one of them"
                    )
                found[suffix] = member.name
                with prefix.with_name(prefix.name + suffix).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        while bounded.read(1 << 20):  # gzip's checksum is at the end
            pass
    if not found:
        raise InputError(f"{path} is a tar archive without a TF1 checkpoint (*.index, *.data-*)")


class _Bounded(io.RawIOBase):
    """The archive for ``tarfile``, which trusts the sizes that it reads in it.

    A few megabytes of gzip can unpack to gigabytes, and a header's size is read at once.
    """

    def __init__(self, file: Any, path: Path) -> None:
        self._file = file
        self._path = path

    def read(self, size: int = -1) -> bytes:
        self._check(size if 0 <= size <= _MAX_READ_BYTES else _MAX_ARCHIVE_BYTES)
        data: bytes = self._file.read(size)
        return data

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            self._check(position - self._file.tell())
        return int(self._file.seek(position, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def _check(self, size: int) -> None:
        if self._file.tell() + size >= _MAX_ARCHIVE_BYTES:
            raise InputError(f"{self._path} unpacks to more than any official tarball; refused")
