"""Whether this process runs on the processor that it was built for.

An emulator computes what a board computes, but not in the time that a board takes: what runs
under one may be compared by its outputs, never by its milliseconds.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

PROC = Path("/proc")
SYS = Path("/sys")

# ELF's e_machine → as ``uname -m`` names it.
_ELF_MACHINES = {3: "i686", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64",
                 243: "riscv64", 258: "loongarch64"}  # fmt: skip
# Processors of one family run each other's programs themselves: a 32-bit Python on a 64-bit
# kernel is no emulation.
_FAMILIES = {"x86": ("x86", "i386", "i486", "i586", "i686", "amd64"), "arm": ("arm", "aarch64")}


def emulated() -> str | None:
    """How this process is emulated, as ``aarch64 emulated on x86_64``; None on real hardware.

    Knows emulators of one process: QEMU's user mode, also by way of binfmt_misc and Docker, or
    Rosetta. A whole machine that is emulated cannot be told from a virtual one.
    """
    machine = platform.machine() or "this program"
    if sys.platform == "darwin":
        return f"{machine} emulated on arm64" if _translated_by_rosetta() else None
    if not sys.platform.startswith("linux"):
        return None
    host = _other_program(PROC) or _kernel_machine(PROC, SYS, machine)
    return f"{machine} emulated on {host}" if host else None


def _other_program(proc: Path) -> str | None:
    """The machine of the emulator's program where the kernel runs one; None for ourselves.

    ``/proc/self/exe`` and ``/proc/thread-self/exe`` are one file to the kernel. Emulators show
    the emulated program for the first, because programs look there for themselves, and leave
    the second alone. Compared are files, not names, which containers and proot rewrite.
    """
    try:
        with (proc / "self" / "exe").open("rb") as ours, (
            proc / "thread-self" / "exe"
        ).open("rb") as run:  # fmt: skip
            if os.path.sameopenfile(ours.fileno(), run.fileno()):
                return None
            header = run.read(20)
    except OSError:  # no /proc, or a kernel before 3.17
        return None
    order = "big" if header[5:6] == b"\2" else "little"
    number = int.from_bytes(header[18:20], order)  # type: ignore[arg-type]
    return _ELF_MACHINES.get(number, "another machine")


def _kernel_machine(proc: Path, sys_: Path, machine: str) -> str | None:
    """The machine of the kernel where it is of another family than ours; None otherwise.

    Emulators answer ``uname`` themselves, but hand these files through.
    """
    modalias = _text(sys_ / "devices" / "system" / "cpu" / "modalias")  # cpu:type:x86,ven…
    named = modalias.removeprefix("cpu:type:").replace(":", ",").split(",")[0]
    for found in (_text(proc / "sys" / "kernel" / "arch").strip(), named):
        families = _family(found), _family(machine)
        if None not in families and families[0] != families[1]:
            return found
    return None


def _family(machine: str) -> str | None:
    for family, beginnings in _FAMILIES.items():
        if machine.lower().startswith(beginnings):
            return family
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _translated_by_rosetta() -> bool:
    """What Apple's "About the Rosetta translation environment" says to ask."""
    command = ["/usr/sbin/sysctl", "-n", "sysctl.proc_translated"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return False
    return found.stdout.strip() == "1"
