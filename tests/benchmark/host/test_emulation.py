"""Emulated or real: /proc and /sys as boards, hosts and emulators show them."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from effnet_lite.benchmark.host import emulation
from effnet_lite.benchmark.host.emulation import emulated

X86, ARM32, ARM64, S390 = 62, 40, 183, 22
MODALIAS = {
    "x86": "cpu:type:x86,ven0002fam0019mod0011:feature:,0000,0001\n",
    "arm": "cpu:type:aarch64:feature:,0000,0001\n",
    "arm32": "cpu:type:v7l:feature:,0000,0001\n",
}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """``machine(name, ours, run, …)``: this system, with these files in /proc and /sys."""

    def make(
        ours: int | None = None,
        run: int | None = None,
        arch: str | None = None,
        modalias: str | None = None,
    ) -> None:
        if ours:
            write("proc/self/exe", elf(ours))
        if run:
            (tmp_path / "proc/thread-self").mkdir(parents=True, exist_ok=True)
            if run == ours:  # one file, as the kernel shows it
                (tmp_path / "proc/thread-self/exe").symlink_to(tmp_path / "proc/self/exe")
            else:
                write("proc/thread-self/exe", elf(run))
        if arch:
            write("proc/sys/kernel/arch", arch.encode() + b"\n")
        if modalias:
            write("sys/devices/system/cpu/modalias", MODALIAS[modalias].encode())

    def write(path: str, content: bytes) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)

    def on(name: str, *files: int | None, **others: str) -> str | None:
        make(*files, **others)
        monkeypatch.setattr("platform.machine", lambda: name)
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(emulation, "PROC", tmp_path / "proc")
        monkeypatch.setattr(emulation, "SYS", tmp_path / "sys")
        return emulated()

    return on


def elf(number: int) -> bytes:
    """The beginning of a program for this machine, that of the s390 in its byte order."""
    order = 2 if number == S390 else 1
    pack = ">HH" if number == S390 else "<HH"
    return b"\x7fELF\2" + bytes([order]) + bytes(10) + struct.pack(pack, 2, number) + bytes(44)


def test_this_machine_is_real():
    assert emulated() is None


def test_real_boards(machine):
    assert machine("aarch64", ARM64, ARM64, arch="aarch64", modalias="arm") is None


@pytest.mark.parametrize(
    ("name", "program", "arch", "modalias"),
    [
        ("armv7l", ARM32, "armv7l", "arm32"),
        ("armv7l", ARM32, "aarch64", "arm"),  # 32-bit userland, 64-bit kernel: Raspberry Pi OS
        ("aarch64", ARM32, "aarch64", "arm"),  # the same without linux32
        ("armv8l", ARM32, "aarch64", "arm"),
        ("i686", X86, "x86_64", "x86"),  # setarch linux32
        ("x86_64", X86, "x86_64", "x86"),
        ("AMD64", X86, "x86_64", "x86"),
        ("riscv64", 243, "riscv64", None),
        ("", X86, "x86_64", "x86"),
    ],
)
def test_real_machines(machine, name, program, arch, modalias):
    assert machine(name, program, program, arch=arch, modalias=modalias) is None


def test_nothing_to_read(machine):
    assert machine("aarch64") is None


@pytest.mark.parametrize(
    ("name", "ours", "run", "sentence"),
    [
        ("aarch64", ARM64, X86, "aarch64 emulated on x86_64"),
        ("armv7l", ARM32, X86, "armv7l emulated on x86_64"),
        ("armv7l", ARM32, ARM64, "armv7l emulated on aarch64"),  # cores without 32-bit mode
        ("x86_64", X86, ARM64, "x86_64 emulated on aarch64"),
        ("aarch64", ARM64, S390, "aarch64 emulated on s390x"),
        ("aarch64", ARM64, 999, "aarch64 emulated on another machine"),
    ],
)
def test_another_program_runs(machine, name, ours, run, sentence):
    assert machine(name, ours, run) == sentence


def test_the_same_machine_emulated(machine, tmp_path):
    """qemu-x86_64 on x86: another file for the same processor."""
    assert machine("x86_64", X86, ARM64, arch="x86_64")
    (tmp_path / "proc/thread-self/exe").write_bytes(elf(X86))
    assert emulated() == "x86_64 emulated on x86_64"


@pytest.mark.parametrize("others", [{"arch": "x86_64"}, {"modalias": "x86"}])
def test_another_kernel(machine, others):
    """Where /proc/thread-self is missing; a container's /proc may be, too."""
    expected = {"x86_64": "x86_64"}.get(others.get("arch", ""), "x86")
    assert machine("aarch64", ARM64, **others) == f"aarch64 emulated on {expected}"


def test_a_kernel_that_nobody_knows(machine):
    assert machine("aarch64", ARM64, arch="um") is None


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [("1\n", "x86_64 emulated on arm64"), ("0\n", None), ("", None), (OSError(), None)],
)
def test_rosetta(monkeypatch, answer, sentence):
    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert command[-1] == "sysctl.proc_translated"
        if isinstance(answer, OSError):
            raise answer
        return subprocess.CompletedProcess(command, 0 if answer else 1, answer, "")

    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", run)
    assert emulated() == sentence


def test_windows(machine, monkeypatch):
    machine("AMD64", X86, ARM64)
    monkeypatch.setattr(sys, "platform", "win32")
    assert emulated() is None


def test_files_are_compared_and_not_names(machine, tmp_path):
    """Containers and proot show other names for the same file."""
    assert machine("aarch64", ARM64, X86) is not None
    (tmp_path / "proc/thread-self/exe").unlink()
    Path(tmp_path, "proc/thread-self/exe").hardlink_to(tmp_path / "proc/self/exe")
    assert emulated() is None
