"""What kind of binary a file is, from its first bytes.

A loader's own words ("invalid ELF header", "wrong ELF class") do not tell a user that the
library is the one for the phone.
"""

from __future__ import annotations

import dataclasses
import struct
import sys
from pathlib import Path

#: Enough for every header that is looked at.
HEADER = 4096

# e_machine of ELF (elf.h), cputype of Mach-O (mach/machine.h), Machine of PE (winnt.h).
_ELF_MACHINES = {3: "x86", 40: "arm", 62: "x86-64", 183: "aarch64", 243: "riscv"}
_MACHO_MACHINES = {7: "x86", 12: "arm", 0x01000007: "x86-64", 0x0100000C: "aarch64"}
_PE_MACHINES = {0x14C: "x86", 0x1C4: "arm", 0x8664: "x86-64", 0xAA64: "aarch64"}
_ELF_SHARED, _MACHO_SHARED, _PE_DLL = 3, (6, 8), 0x2000  # ET_DYN; MH_DYLIB, MH_BUNDLE
_MACHO_UNIVERSAL = b"\xca\xfe\xba\xbe"


@dataclasses.dataclass(frozen=True)
class Binary:
    """A program, library or object file.

    Attributes:
        format: ``ELF``, ``Mach-O`` or ``PE``.
        machine: ``x86-64``, ``aarch64``…; ``several`` in a universal file.
        shared: Whether it can be loaded into a process.
        size: Bytes that the file must have at least, as far as its start tells.
    """

    format: str
    machine: str
    shared: bool
    size: int = 0


def binary_of(header: bytes) -> Binary | None:
    """What the file is that starts with these bytes; None if it is no binary."""
    try:
        if header[:4] == b"\x7fELF":
            return _elf(header)
        if header[:2] == b"MZ":
            return _pe(header)
        if header[:4] == _MACHO_UNIVERSAL:
            return Binary("Mach-O", "several", True)
        if header[:4] in (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe"):
            machine, _, kind = struct.unpack_from("<III", header, 4)
            return Binary("Mach-O", _named(_MACHO_MACHINES, machine), kind in _MACHO_SHARED)
    except struct.error:  # cut short
        pass
    return None


def own_binary() -> Binary | None:
    """What this Python runs as, which is not always what the kernel is; None if unknown."""
    for path in ("/proc/self/exe", sys.executable):
        try:
            with Path(path).open("rb") as file:
                found = binary_of(file.read(HEADER))
        except OSError:
            continue
        if found:
            return found
    return None


def _elf(header: bytes) -> Binary:
    order = ">" if header[5:6] == b"\x02" else "<"
    kind, machine = struct.unpack_from(order + "HH", header, 16)
    try:
        size = _elf_size(header, order)
    except struct.error:  # the file ends here, or a tool moved the table to its end
        size = len(header) + 1
    return Binary("ELF", _named(_ELF_MACHINES, machine), kind == _ELF_SHARED, size)


def _elf_size(header: bytes, order: str) -> int:
    """The end of the last segment: a loader that maps less dies of SIGBUS."""
    if header[4:5] == b"\x02":  # 64 bits
        (start,), (step, count) = _at(order + "Q", header, 32), _at(order + "HH", header, 54)
        segments = (_at(order + "2I4Q", header, start + step * i)[2::3] for i in range(count))
    else:
        (start,), (step, count) = _at(order + "I", header, 28), _at(order + "HH", header, 42)
        segments = (_at(order + "5I", header, start + step * i)[1::3] for i in range(count))
    return max((offset + size for offset, size in segments), default=0)


def _at(layout: str, data: bytes, position: int) -> tuple[int, ...]:
    return struct.unpack_from(layout, data, position)


def _pe(header: bytes) -> Binary | None:
    (start,) = struct.unpack_from("<I", header, 0x3C)
    if header[start : start + 4] != b"PE\0\0":
        return None
    (machine,) = struct.unpack_from("<H", header, start + 4)
    (flags,) = struct.unpack_from("<H", header, start + 22)
    return Binary("PE", _named(_PE_MACHINES, machine), bool(flags & _PE_DLL))


def _named(machines: dict[int, str], number: int) -> str:
    return machines.get(number, f"machine {number}")
