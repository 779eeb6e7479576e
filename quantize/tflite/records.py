"""Frozen dataclasses to JSON and back, strictly typed.

Fields may be str, int, float, bool, dictionaries, tuples of one type, further dataclasses,
and any of these or None.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any, TypeVar

from effnet_lite.errors import InputError, UsageError
from effnet_lite.finite import finite

Record = TypeVar("Record")


def to_json(record: Any) -> str:
    """Compact JSON with sorted keys; infinities and NaN, which JSON lacks, become null."""
    tree = finite(dataclasses.asdict(record))
    return json.dumps(tree, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def from_json(record: type[Record], text: str | bytes, what: str) -> Record:
    """The record that the JSON text describes; keys it does not know are passed over.

    Args:
        record: The dataclass.
        text: UTF-8 where it is bytes.
        what: What the text is, for the message.

    Raises:
        InputError: Not JSON, a key is missing, or a value has the wrong type.
    """
    try:
        tree = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is not valid JSON") from error
    value: Record = _convert(record, tree, what)
    return value


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        kind = next(argument for argument in arguments if argument is not type(None))
        return _convert(kind, value, where)
    if dataclasses.is_dataclass(kind):
        return _convert_record(kind, value, where)
    if origin is tuple:
        _expect(isinstance(value, list), "a list", value, where)
        return tuple(_convert(arguments[0], item, f"{where}[{n}]") for n, item in enumerate(value))
    return _convert_plain(origin or kind, value, where)


def _convert_plain(kind: type, value: Any, where: str) -> Any:
    if kind is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        _expect(number and abs(value) < 1e308, _NAMES[float], value, where)
        return float(value)
    _expect(type(value) is kind, _NAMES[kind], value, where)
    return value


_NAMES: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
}


def _convert_record(kind: Any, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), "an object", value, where)
    hints = typing.get_type_hints(kind)
    known = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            known[field.name] = _convert(
                hints[field.name], value[field.name], f"{where}: {field.name}"
            )
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InputError(f"{where} lacks {field.name!r}")
    try:
        return kind(**known)
    except UsageError as error:  # here a file is wrong, not how the user called
        raise InputError(f"{where}: {error}") from error


def _expect(true: bool, expected: str, value: Any, where: str) -> None:
    if not true:
        raise InputError(f"{where} should be {expected}, found {json.dumps(value)[:40]}")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
