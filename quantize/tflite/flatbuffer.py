"""A reader of flatbuffer tables that never trusts an offset.

The generated schema classes read what they are told to: an offset behind the end raises
``struct.error``, one before the start silently wraps around, and two vectors that share
their elements make a small file take minutes. This reader checks every offset and counts
what it has visited, so that damaged and hostile files end in one ``InputError``.

Format: https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct

from effnet_lite.errors import InputError

# A file that shares nothing is visited at most once over; strings may be shared.
_VISITS_PER_BYTE = 4
_FREE_VISITS = 4096


class Reader:
    """One flatbuffer, and how much of it may still be visited.

    Args:
        data: The flatbuffer; bytes behind it do no harm.
        identifier: What bytes 4-8 must be.

    Raises:
        InputError: Too short, or another identifier.
    """

    def __init__(self, data: bytes, identifier: bytes) -> None:
        if len(data) < 8 or data[4:8] != identifier:
            raise InputError(
                f"expected the flatbuffer identifier {identifier.decode()} at byte 4, "
                f"found {bytes(data[4:8])!r}"
            )
        self.data = data
        self._left = _VISITS_PER_BYTE * len(data) + _FREE_VISITS

    def root(self) -> Table:
        """The table that the first four bytes point to."""
        return Table(self, self.follow(0))

    def unpack(self, code: str, position: int) -> float:
        """The little-endian scalar of ``struct`` type ``code`` at ``position``."""
        layout = "<" + code
        self.need(position, struct.calcsize(layout))
        value: float = struct.unpack_from(layout, self.data, position)[0]
        return value

    def follow(self, position: int) -> int:
        """Where the unsigned offset stored at ``position`` leads."""
        return position + int(self.unpack("I", position))

    def need(self, position: int, size: int) -> None:
        """Raise InputError unless ``size`` bytes at ``position`` are inside the data."""
        if position < 0 or position + size > len(self.data):
            raise InputError(
                f"the flatbuffer is damaged or cut short: it refers to byte {position + size} "
                f"of {len(self.data)}"
            )

    def visit(self, size: int) -> None:
        """Count ``size`` bytes as visited; raise InputError when there were far too many."""
        self._left -= size
        if self._left < 0:
            raise InputError("the flatbuffer is damaged: it claims more content than its size")


class Table:
    """A table; a field is named by its slot, the position in its schema counted from 0."""

    __slots__ = ("_position", "_reader", "_vtable", "_vtable_size")

    def __init__(self, reader: Reader, position: int) -> None:
        self._reader = reader
        self._position = position
        self._vtable = position - int(reader.unpack("i", position))
        self._vtable_size = int(reader.unpack("H", self._vtable))
        reader.visit(4)

    def scalar(self, slot: int, code: str, default: float = 0) -> float:
        """The number in ``slot``, of ``struct`` type ``code``; ``default`` where left out."""
        position = self._field(slot)
        return default if position is None else self._reader.unpack(code, position)

    def string(self, slot: int) -> str | None:
        """The text in ``slot``, undecodable bytes replaced; None where left out."""
        raw = self.raw(slot)
        return None if raw is None else raw.decode("utf-8", "replace")

    def raw(self, slot: int) -> bytes | None:
        """The bytes of the string or [ubyte] in ``slot``; None where left out."""
        start, count = self._vector(slot, 1)
        return None if start is None else bytes(self._reader.data[start : start + count])

    def numbers(self, slot: int, code: str) -> tuple[float, ...] | None:
        """The vector of scalars in ``slot``; None where left out."""
        size = struct.calcsize("<" + code)
        start, count = self._vector(slot, size)
        if start is None:
            return None
        return struct.unpack_from(f"<{count}{code}", self._reader.data, start)

    def table(self, slot: int) -> Table | None:
        """The table in ``slot``; None where left out."""
        position = self._field(slot)
        return None if position is None else Table(self._reader, self._reader.follow(position))

    def tables(self, slot: int) -> list[Table]:
        """The vector of tables in ``slot``; empty where left out."""
        start, count = self._vector(slot, 4)
        if start is None:
            return []
        follow = self._reader.follow
        return [Table(self._reader, follow(start + 4 * index)) for index in range(count)]

    def strings(self, slot: int) -> list[str]:
        """The vector of strings in ``slot``; empty where left out."""
        start, count = self._vector(slot, 4)
        if start is None:
            return []
        texts = []
        for index in range(count):
            begin, size = self._extent(self._reader.follow(start + 4 * index), 1)
            texts.append(self._reader.data[begin : begin + size].decode("utf-8", "replace"))
        return texts

    def visit_vector(self, slot: int, item_size: int) -> None:
        """Check the vector or string in ``slot`` against the data without reading it."""
        self._vector(slot, item_size)

    def _field(self, slot: int) -> int | None:
        entry = 4 + 2 * slot
        if entry + 2 > self._vtable_size:
            return None
        offset = int(self._reader.unpack("H", self._vtable + entry))
        return self._position + offset if offset else None

    def _vector(self, slot: int, item_size: int) -> tuple[int | None, int]:
        position = self._field(slot)
        if position is None:
            return None, 0
        return self._extent(self._reader.follow(position), item_size)

    def _extent(self, position: int, item_size: int) -> tuple[int, int]:
        count = int(self._reader.unpack("I", position))
        self._reader.need(position + 4, count * item_size)
        self._reader.visit(4 + count * item_size)
        return position + 4, count
