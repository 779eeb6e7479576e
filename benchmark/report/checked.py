"""Access to a JSON tree that may hold anything: each value is what is asked for, or an error."""

from __future__ import annotations

import math
from typing import Any

from effnet_lite.errors import InputError

_LONGEST = 60
# Beyond what any count or time can be; keeps arithmetic on hostile values finite.
_LARGEST = 1e18


class Node:
    """A value of a JSON document, and where it is.

    Args:
        value: As ``json`` reads it.
        where: For messages: the file, then the path inside it.
    """

    def __init__(self, value: Any, where: str) -> None:
        self.value, self.where = value, where

    def __contains__(self, key: str) -> bool:
        """Whether there is something other than null under the key."""
        return self._table().get(key) is not None

    def at(self, key: str) -> Node:
        """What is under the key; null if there is nothing."""
        return Node(self._table().get(key), f"{self.where}, {shortened(key)}")

    def items(self, key: str) -> list[Node]:
        """The entries of the list under the key; none if there is no list."""
        node = self.at(key)
        return node.entries() if node.value is not None else []

    def entries(self) -> list[Node]:
        """The entries of this list."""
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [Node(entry, f"{self.where}[{place}]") for place, entry in enumerate(self.value)]

    def number(self, low: float = -_LARGEST, high: float = _LARGEST) -> float:
        """A finite number within limits."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong("a number")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.wrong("a finite number")
        if not low <= value <= high:
            limits = f"{low:g} or more" if high == _LARGEST else f"{low:g} to {high:g}"
            raise self.wrong(f"a number of {limits}")
        return float(value)

    def maybe(self, low: float = -_LARGEST, high: float = _LARGEST) -> float | None:
        """A number, or None for null."""
        return None if self.value is None else self.number(low, high)

    def whole(self, low: int = 0) -> int:
        """A whole number of at least ``low``."""
        found = self.number(low)
        if found != int(found):
            raise self.wrong("a whole number")
        return int(found)

    def interval(
        self, low: float = -_LARGEST, high: float = _LARGEST
    ) -> tuple[float, float] | None:
        """Two numbers, the lower first; None for null, or where an end is null."""
        if self.value is None:
            return None
        ends = self.entries()
        if len(ends) != 2:
            raise self.wrong("two numbers")
        if any(end.value is None for end in ends):
            return None
        first, last = (end.number(low, high) for end in ends)
        if first > last:
            raise self.wrong("the lower end of an interval first")
        return first, last

    def text(self) -> str:
        """A string, without lone surrogates, which no file can hold."""
        if not isinstance(self.value, str):
            raise self.wrong("a text")
        return self.value.encode("utf-8", "replace").decode()

    def maybe_text(self) -> str | None:
        """A string, or None for null."""
        return None if self.value is None else self.text()

    def digest(self) -> str:
        """A sha256 in hexadecimal digits."""
        found = self.text()
        if len(found) != 64 or set(found) - set("0123456789abcdef"):
            raise self.wrong("a sha256 of 64 hexadecimal digits")
        return found

    def texts(self) -> dict[str, str]:
        """A table of strings; other values are written as JSON would."""
        return {
            Node(key, self.where).text(): Node(str(value), self.where).text()
            for key, value in self._table().items()
        }

    def wrong(self, expected: str) -> InputError:
        """The error for a value that is not ``expected``."""
        return InputError(
            f"{self.where}: expected {expected}, found {shortened(repr(self.value))}; make the "
            "record again with effnet-lite"
        )

    def _table(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            raise self.wrong("a table of names and values")
        return self.value


def shortened(text: str) -> str:
    """Of any text so much that fits into a message."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
