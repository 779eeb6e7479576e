"""Debian's adb with a server of its own, and devices for it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from adbd_stand_in import Phone, StandIn

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark_model for the stand-in, static as Android has none of glibc."""
    compiler = shutil.which("gcc")
    if compiler is None or os.uname().machine != "x86_64":
        pytest.skip("the stand-in's benchmark_model needs gcc on x86-64")
    path = tmp_path_factory.mktemp("program") / "benchmark_model"
    subprocess.run(
        [compiler, "-O1", "-static", "-o", path, HERE / "fake_benchmark_model.c"], check=True
    )
    return path


@pytest.fixture(scope="session")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of an adb that sees only what the tests connect."""
    if shutil.which("adb") is None:
        pytest.skip("adb is not installed (Debian: apt install adb)")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        "ANDROID_ADB_SERVER_PORT": str(port),
        "HOME": str(tmp_path_factory.mktemp("home")),
        "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",  # below 5555: no emulators
    }
    subprocess.run(["adb", "start-server"], env=os.environ | environment, check=True, timeout=60,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    yield environment
    subprocess.run(["adb", "kill-server"], env=os.environ | environment, check=False, timeout=60)


@pytest.fixture
def adb(adb_server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The adb program; the environment leads it to the server of the tests."""
    for name, value in adb_server.items():
        monkeypatch.setenv(name, value)
    for name in ("ANDROID_SERIAL", "EFFNET_LITE_BENCHMARK_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EFFNET_LITE_CACHE", str(tmp_path / "cache"))
    listed = subprocess.run(["adb", "devices"], capture_output=True, text=True, check=True)
    if len(listed.stdout.split("\n")) > 3:
        pytest.skip(f"a real device is attached: {listed.stdout}")
    return Path(shutil.which("adb") or "adb")


@pytest.fixture
def plug_in(adb: Path, tmp_path: Path) -> Iterator[Callable[..., tuple[Phone, StandIn]]]:
    """``plug_in()``: one more device."""
    devices: list[StandIn] = []

    def plug(authorised: bool = True) -> tuple[Phone, StandIn]:
        phone = Phone(tmp_path / f"phone{len(devices)}")
        device = StandIn(phone.root, authorised)
        devices.append(device)
        subprocess.run([adb, "connect", device.serial], check=True, timeout=60, capture_output=True)
        return phone, device

    yield plug
    for device in devices:
        subprocess.run([adb, "disconnect", device.serial], check=False, timeout=60,
                       capture_output=True)  # fmt: skip
        device.unplug()


@pytest.fixture
def model(tmp_path: Path, tiny_model: Callable[..., bytes]) -> Path:
    path = tmp_path / "small.tflite"
    path.write_bytes(tiny_model())
    return path


@pytest.fixture
def larger(tmp_path: Path, tiny_model: Callable[..., bytes]) -> Path:
    """Behind the flatbuffer, where label archives are, half as much again."""
    data = tiny_model()
    path = tmp_path / "larger.tflite"
    path.write_bytes(data + bytes(len(data) // 2))
    return path
