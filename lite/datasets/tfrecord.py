"""The frame of TFRecord files: records one after the other, each with checksums.

::

    uint64 length | uint32 masked CRC-32C of length | data | uint32 masked CRC-32C of data

all little-endian (tensorflow/core/lib/io/record_writer.h). What is inside, tf_example.py
reads.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from effnet_lite.errors import InputError
from effnet_lite.lite.datasets.crc32c import crc32c, masked

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
#: A photo of more bytes is none; without a limit a damaged length would take all memory.
MAX_BYTES = 2**29


def is_tfrecord(path: Path) -> bool:
    """Whether the file begins as a TFRecord file does; the checksum of the length tells."""
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
    return len(header) == _HEADER.size and _length(header) is not None


def records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and data of each record; the data's checksum is left to :func:`read_record`.

    Raises:
        InputError: Unreadable, compressed, damaged between records, or cut short.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            offset = 0
            while offset < size:
                yield offset, _record(file, path, offset, size)[0]
                offset = file.tell()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def read_record(path: str, offset: int) -> bytes:
    """The data of the record at ``offset``.

    Raises:
        InputError: Unreadable, damaged, or not what its checksum says.
    """
    try:
        with Path(path).open("rb") as file:
            file.seek(offset)
            size = Path(path).stat().st_size
            data, checksum = _record(file, Path(path), offset, size)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if masked(crc32c(data)) != checksum:
        raise InputError(f"the record at byte {offset} of {path} does not match its checksum")
    return data


def _record(file: BinaryIO, path: Path, offset: int, size: int) -> tuple[bytes, int]:
    """Data and stored checksum of the record at ``offset``, where ``file`` stands."""
    header = file.read(_HEADER.size)
    length = _length(header) if len(header) == _HEADER.size else None
    if length is None:
        if header.startswith(b"\x1f\x8b") and not offset:
            raise InputError(f"{path} is compressed; unpack it first, with gunzip")
        raise InputError(
            f"{path} is no TFRecord file or is damaged at byte {offset}: expected a record's "
            "length with its checksum; copy or make it again"
        )
    end = offset + _HEADER.size + length + _FOOTER.size
    if end > size:
        raise InputError(
            f"{path} is cut short: the record at byte {offset} ends at byte {end} of {size}; "
            "copy or make it again"
        )
    if length > MAX_BYTES:
        raise InputError(
            f"the record at byte {offset} of {path} has {length} bytes; expected a photo, at most "
            f"{MAX_BYTES}"
        )
    data = file.read(length)
    footer = file.read(_FOOTER.size)
    if len(data) != length or len(footer) != _FOOTER.size:
        raise InputError(f"{path} is cut short at byte {offset}; copy or make it again")
    return data, _FOOTER.unpack(footer)[0]


def _length(header: bytes) -> int | None:
    length, checksum = _HEADER.unpack(header)
    return int(length) if masked(crc32c(header[:8])) == checksum else None
