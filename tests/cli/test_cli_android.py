"""effnet-lite android: what it prints, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "mobile"))

from gradle_projects import PROJECTS, write_project
from tiny_models import build_tiny_model


@pytest.fixture
def project(tmp_path):
    return write_project(tmp_path / "project", PROJECTS["kotlin"])


def assets(project):
    folder = project / "app" / "src" / "main" / "assets"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_android(cli, project, int8_model, monkeypatch):
    monkeypatch.chdir(project)
    answer = cli("android", int8_model, "--project", ".", "--name", "m")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert "lite-w0.35-d0.35-s64 int8" in lines[0]
    assert lines[0].endswith("uint8 input of 64 x 64, 1000 classes")
    assert lines[1] == "golden check passed, 0.0 steps off"
    assert lines[2] == "wrote app/src/main/assets/m.tflite"
    assert 'val model = EffNetLite.create(context, "m.tflite")' in answer.out
    assert answer.out.count("app/build.gradle.kts:") == 1
    assert all(len(line) <= 120 for line in lines)
    assert assets(project) == ["m.golden.json", "m.labels.txt", "m.tflite"]


def test_android_activation_map(cli, project, int8_model):
    answer = cli("android", int8_model, "--project", project, "--activation-map")
    assert answer.code == 0
    assert "1000 classes, activation map" in answer.out
    assert "result.map" in answer.out


def test_android_json(cli, project, int8_model):
    answer = cli("android", int8_model, "--project", project / "app", "--json")
    assert (answer.code, answer.err) == (0, "")
    document = json.loads(answer.out)
    assert document["golden"]["passed"]
    assert [Path(file).name for file in document["files"]] == [
        f"{int8_model.stem}.{end}" for end in ("tflite", "golden.json", "labels.txt")
    ]
    assert "made_by" in document


def test_android_a_foreign_model(cli, project, tmp_path):
    """Notes go to stderr."""
    path = tmp_path / "foreign.tflite"
    path.write_bytes(build_tiny_model())
    answer = cli("android", path, "--project", project)
    assert answer.code == 0
    assert "a model of another tool" in answer.out
    assert "10 classes without names" in answer.out
    notes = answer.err.splitlines()
    assert len(notes) == 2
    assert all(note.startswith("note: ") for note in notes)
    assert json.loads(cli("android", path, "--project", project, "--overwrite", "--json").out)


def failing(answer, code=1):
    assert answer.code == code, answer
    assert answer.out == ""
    (line,) = answer.err.strip().splitlines()
    assert line.startswith("effnet-lite: ")
    return line


def test_android_without_a_project(cli, tmp_path, monkeypatch, int8_model):
    monkeypatch.chdir(tmp_path)
    line = failing(cli("android", int8_model))
    assert "no Gradle project in ./android_demo; say by --project" in line


def test_android_several_applications(cli, tmp_path, int8_model):
    files = {"settings.gradle": "include ':phone', ':watch'\n",
             "phone/build.gradle": "apply plugin: 'com.android.application'",
             "watch/build.gradle": "apply plugin: 'com.android.application'"}  # fmt: skip
    root = write_project(tmp_path, files)
    line = failing(cli("android", int8_model, "--project", root), 2)
    assert ":phone, :watch; say which one by --module" in line
    answer = cli("android", int8_model, "--project", root, "--module", "watch")
    assert answer.code == 0
    assert (root / "watch" / "src" / "main" / "assets").is_dir()


def test_android_existing_files(cli, project, int8_model):
    call = ("android", int8_model, "--project", project, "--name", "m")
    assert cli(*call).code == 0
    assert "pass --overwrite" in failing(cli(*call))
    assert cli(*call, "--overwrite").code == 0


def test_android_wrong_usage(cli, project, int8_model):
    assert cli("android").code == 2
    assert "cannot name an asset" in failing(
        cli("android", int8_model, "--project", project, "--name", "../x"), 2
    )
    assert assets(project) == []


@pytest.mark.parametrize(
    "content", [b"", b"I am a text.\n", b"PK\x03\x04" + bytes(100), b"\x1c\0\0\0TFL3", None]
)
def test_android_bad_models(cli, project, tmp_path, content):
    path = tmp_path / "bad.tflite"
    if content is not None:
        path.write_bytes(content)
    assert str(path) in failing(cli("android", path, "--project", project))
    assert assets(project) == []


@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are Unix'")
def test_android_a_disk_that_is_full_half_way(project, int8_model):
    """The labels fit, the model does not: a file may grow to 100 kB, as on a full disk."""
    command = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from effnet_lite.cli import main\n"
        "main(sys.argv[1:], prog_name='effnet-lite')\n"
    )
    call = [sys.executable, "-c", command, "android", int8_model, "--project", project]
    assert int8_model.stat().st_size > 100_000
    before = sorted(project.rglob("*"))
    answer = subprocess.run(call, capture_output=True, text=True, timeout=120, check=False)
    assert (answer.returncode, answer.stdout) == (1, "")
    (line,) = answer.stderr.splitlines()
    assert line.startswith("effnet-lite: cannot write")
    assert sorted(project.rglob("*")) == before


def test_android_imports_no_tensorflow(project, int8_model):
    command = (
        "import sys\n"
        "from effnet_lite.cli import main\n"
        "try:\n    main(sys.argv[1:], prog_name='effnet-lite')\n"
        "except SystemExit:\n    pass\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    call = [sys.executable, "-c", command, "android", int8_model, "--project", project,
            "--activation-map"]  # fmt: skip
    answer = subprocess.run(call, capture_output=True, text=True, timeout=120, check=True)
    modules = set(answer.stdout.splitlines()[-1].split())
    assert "ai_edge_litert" in modules
    heavy = {"tensorflow", "tf_keras", "keras", "h5py", "safetensors", "matplotlib", "plotly"}
    assert not modules & heavy
