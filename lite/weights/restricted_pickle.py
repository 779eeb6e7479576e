"""Reading a pickle without running it.

A pickle is a program for a small stack machine, and Python's own reader lets it import and
call anything. This one knows only the instructions that plain containers need; the few
functions a torch file may name are stand-ins of ours, looked up in a table. Nothing is ever
imported or called by name, so a hostile file has nothing to work with.

Instructions are told apart by ``pickletools.genops`` of the standard library; their meaning
is in the documentation of that module.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from effnet_lite.errors import InputError

# A state dict of B7 pickles to 0.2 MB without its tensors' data; a byte of pickle can cost
# a hundred bytes of memory.
MAX_PICKLE_BYTES = 4 << 20

#: A stand-in for a class or function that a pickle may name: gets the arguments of the call.
StandIn = Callable[[tuple[Any, ...]], Any]

_KEYS = (str, int, float, bytes, type(None))


class Named:
    """A name that the pickle mentions, and its stand-in."""

    __slots__ = ("name", "stand_in")

    def __init__(self, name: str, stand_in: StandIn) -> None:
        self.name = name
        self.stand_in = stand_in


def load(
    stream: io.BytesIO,
    allowed: Mapping[str, StandIn],
    persistent: Callable[[Any], Any],
    where: str,
) -> Any:
    """Read one pickle; the stream is left just after it.

    Args:
        stream: The bytes, at most MAX_PICKLE_BYTES of them.
        allowed: Full name (``collections.OrderedDict``) to its stand-in.
        persistent: Resolves a persistent id, torch's way to refer to a tensor's data.
        where: The file, for messages.

    Raises:
        InputError: The pickle names anything else, or is damaged.
    """
    machine = _Machine(allowed, persistent, where)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        # What a pickle that is cut off or made up does to a stack machine.
        raise InputError(f"{where} is damaged: its pickle cannot be read ({error})") from error
    raise InputError(f"{where} is damaged: its pickle does not end")


class _Machine:
    def __init__(
        self, allowed: Mapping[str, StandIn], persistent: Callable[[Any], Any], where: str
    ) -> None:
        self.allowed = allowed
        self.persistent = persistent
        self.where = where
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in ("PROTO", "FRAME"):
            return
        if opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode])
        elif opcode in _LITERALS:
            self.stack.append(argument)
        elif opcode in _EMPTY:
            self.stack.append(_EMPTY[opcode]())
        elif opcode in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif opcode == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif opcode == "GLOBAL":
            self.name(argument.replace(" ", ".", 1))
        elif hasattr(self, f"do_{opcode.lower()}"):
            getattr(self, f"do_{opcode.lower()}")()
        else:
            raise InputError(
                f"{self.where} uses the pickle instruction {opcode}, which tensors and plain "
                "containers do not need; refused. Save the model's state_dict() alone"
            )

    def name(self, name: str) -> None:
        stand_in = self.allowed.get(name)
        if stand_in is None:
            shown = "".join(char if char.isprintable() else "?" for char in name[:80])
            raise InputError(
                f"{self.where} asks to run code when it is opened ({shown}); refused, and "
                "nothing was run. Expected tensors only: save the model's state_dict() alone"
            )
        self.stack.append(Named(name, stand_in))

    def above_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def do_mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def do_pop(self) -> None:
        self.stack.pop()

    def do_stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.name(f"{module}.{name}")

    def do_reduce(self) -> None:
        arguments, named = self.stack.pop(), self.stack.pop()
        if not isinstance(named, Named) or not isinstance(arguments, tuple):
            raise ValueError("a call of something that is no function")
        self.stack.append(named.stand_in(arguments))

    def do_build(self) -> None:
        # torch gives a state dict an attribute, _metadata (versions of modules): not needed.
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise ValueError("attributes for something that is no dictionary")

    def do_binpersid(self) -> None:
        self.stack.append(self.persistent(self.stack.pop()))

    def do_append(self) -> None:
        self.extend([self.stack.pop()])

    def do_appends(self) -> None:
        self.extend(self.above_mark())

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("items for something that is no list")
        self.stack[-1].extend(items)

    def do_setitem(self) -> None:
        value = self.stack.pop()
        self.update([self.stack.pop(), value])

    def do_setitems(self) -> None:
        self.update(self.above_mark())

    def update(self, items: list[Any]) -> None:
        target, keys = self.stack[-1], items[0::2]
        # Nested tuples as keys would be hashed recursively, past the end of C's stack.
        if not isinstance(target, dict) or not all(isinstance(key, _KEYS) for key in keys):
            raise ValueError("a dictionary whose keys are no plain values")
        target.update(zip(keys, items[1::2], strict=True))

    def do_tuple(self) -> None:
        items = self.above_mark()
        self.stack.append(tuple(items))

    def do_tuple1(self) -> None:
        self.collect(1)

    def do_tuple2(self) -> None:
        self.collect(2)

    def do_tuple3(self) -> None:
        self.collect(3)

    def collect(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError("a tuple of more than there is")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, type] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
}
