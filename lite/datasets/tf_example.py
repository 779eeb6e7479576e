"""tf.train.Example without TensorFlow: the few features of an image that are wanted.

The messages (tensorflow/core/example/example.proto, feature.proto), as protobuf writes them::

    Example   { Features features = 1; }
    Features  { map<string, Feature> feature = 1; }     an entry is { key = 1; value = 2; }
    Feature   { BytesList = 1 | FloatList = 2 | Int64List = 3; }
    BytesList { repeated bytes value = 1; }   Int64List { repeated int64 value = 1 [packed]; }

Every length is checked against what encloses it, so that no input reads outside its record.
"""

from __future__ import annotations

from collections.abc import Iterator

from effnet_lite.errors import InputError

IMAGE, SYNSET, TEXT, LABEL = (
    "image/encoded", "image/class/synset", "image/class/text", "image/class/label",
)  # fmt: skip
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def image_of(record: bytes) -> bytes:
    """The encoded image (JPEG, PNG, …) of an Example.

    Raises:
        InputError: Not an Example, or without an image.
    """
    value = features_of(record, (IMAGE,)).get(IMAGE)
    if not isinstance(value, bytes) or not value:
        raise InputError(f"the record has no image: expected bytes in its feature {IMAGE}")
    return value


def features_of(record: bytes, wanted: tuple[str, ...]) -> dict[str, bytes | int]:
    """The first value of each wanted feature that is there; floats are left out.

    Raises:
        InputError: Not a protobuf message of that shape.
    """
    names = {name.encode(): name for name in wanted}
    found: dict[str, bytes | int] = {}
    for features in _messages(memoryview(record), 1):
        for entry in _messages(features, 1):
            key = b""
            value: memoryview | None = None
            for number, part in _fields(entry):
                if number == 1 and isinstance(part, memoryview):
                    key = bytes(part) if len(part) < 256 else b""
                elif number == 2 and isinstance(part, memoryview):
                    value = part
            if value is not None and key in names:
                first = _first_value(value)
                if first is not None:
                    found[names[key]] = first
    return found


def _first_value(feature: memoryview) -> bytes | int | None:
    for number, part in _fields(feature):
        if not isinstance(part, memoryview):
            continue
        if number == 1:
            return next((bytes(value) for value in _messages(part, 1)), None)
        if number == 3:
            for kind, value in _fields(part):
                if kind == 1:  # packed or not
                    unsigned = _varint(value, 0)[0] if isinstance(value, memoryview) else value
                    return unsigned - 2**64 if unsigned >= 2**63 else unsigned
    return None


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, part in _fields(message):
        if number == wanted and isinstance(part, memoryview):
            yield part


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and value of each field; fixed-width ones are passed over."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT and number:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            length, position = _varint(message, position)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}.get(kind, -1)
        if length < 0 or number == 0 or length > len(message) - position:
            raise InputError("the record is no tf.train.Example, or it is damaged")
        if kind == _BYTES:
            yield number, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for number, byte in enumerate(message[position : position + 10]):
        value |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position + number + 1
    raise InputError("the record is no tf.train.Example, or it is damaged")
