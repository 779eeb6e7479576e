"""Writes TFRecord files of tf.train.Example, by the format's description, without TensorFlow."""

from __future__ import annotations

import struct
from pathlib import Path

from effnet_lite.lite.datasets.crc32c import crc32c, masked


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def example(**features: bytes | int) -> bytes:
    """``image__encoded=…`` is the feature image/encoded."""
    entries = []
    for name, value in features.items():
        if isinstance(value, int):
            feature = field(3, field(1, varint(value)))
        else:
            feature = field(1, field(1, value))
        key = name.replace("__", "/").encode()
        entries.append(field(1, field(1, key) + field(2, feature)))
    return field(1, b"".join(entries))


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    sums = (struct.pack("<I", masked(crc32c(part))) for part in (length, data))
    return length + next(sums) + data + next(sums)


def write_records(path: Path, *examples: bytes) -> Path:
    path.write_bytes(b"".join(map(record, examples)))
    return path
