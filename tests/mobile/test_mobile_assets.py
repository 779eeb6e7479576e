"""All of a model's files, or none, and nothing outside the module's assets."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from gradle_projects import PROJECTS, write_project

from effnet_lite.errors import InputError, UsageError
from effnet_lite.mobile import asset_files
from effnet_lite.mobile.asset_files import asset_name, assets_folder, check_free, write_assets
from effnet_lite.mobile.gradle import choose_module, find_project

CONTENTS = {"m.labels.txt": b"new labels", "m.golden.json": b"new golden", "m.tflite": b"new model"}


def tree(folder):
    """Every file below, hidden ones too, and its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def module(tmp_path):
    root = write_project(tmp_path / "project", PROJECTS["kotlin"])
    project = find_project(root)
    return project, choose_module(project)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("int8.tflite", "int8"),
        ("efficientnet-lite0-int8.tflite", "efficientnet-lite0-int8"),
        ("my model (2).tflite", "my-model-2"),
        ('it\'s "fine".tflite', "it-s-fine"),
        ("$HOME;rm -rf.tflite", "HOME-rm-rf"),
        (".hidden.tflite", "hidden"),
        ("Ünïcode.tflite", "n-code"),
        ("猫.tflite", "model"),
        ("a\nb.tflite", "a-b"),
        ("x" * 240 + ".tflite", "x" * 100),
    ],
)
def test_a_models_name_becomes_an_assets(file, name):
    assert asset_name(Path("folder") / file) == name


def test_a_name_by_hand():
    assert asset_name(Path("x.tflite"), "birds-v1.2") == "birds-v1.2"
    assert asset_name(Path("x.tflite"), "birds.tflite") == "birds"
    for bad in ("", "../x", "a/b", "a\\b", ".x", "-x", "a b", "a'b", '"', "$x", "é", "x" * 101,
                "a\0", "a\n", "/etc/passwd", ".tflite"):  # fmt: skip
        with pytest.raises(UsageError, match="cannot name an asset"):
            asset_name(Path("x.tflite"), bad)


def test_new_files_in_new_folders(tmp_path):
    folder = tmp_path / "src" / "main" / "assets"
    write_assets(folder, CONTENTS, [])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS
    umask = os.umask(0)
    os.umask(umask)
    if os.name == "posix":
        assert (folder / "m.tflite").stat().st_mode & 0o777 == 0o666 & ~umask


def test_old_files_are_replaced_and_stale_ones_go(tmp_path):
    write_assets(tmp_path, dict.fromkeys(CONTENTS, b"old") | {"other.tflite": b"other"}, [])
    write_assets(tmp_path, {"m.tflite": b"new"}, ["m.labels.txt", "m.golden.json", "m.none"])
    assert tree(tmp_path) == {"m.tflite": b"new", "other.tflite": b"other"}


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("failing", CONTENTS)
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failure_while_writing(tmp_path, monkeypatch, there, failing, failure):
    """A full disk, or Ctrl-C, at each of the files."""
    folder = tmp_path / "src" / "assets"
    if there:
        write_assets(folder, dict.fromkeys(CONTENTS, b"old"), [])
    before = tree(tmp_path)
    write = asset_files.write_bytes

    def write_or_fail(path, data):
        write(path, data)
        if path.name == failing:
            raise failure

    monkeypatch.setattr(asset_files, "write_bytes", write_or_fail)
    expected = KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else InputError
    with pytest.raises(expected):
        write_assets(folder, CONTENTS, [])
    assert tree(tmp_path) == before


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("call", range(1, 7))
@pytest.mark.parametrize("failure", [PermissionError(errno.EACCES, "Denied"), KeyboardInterrupt()])
def test_a_failure_while_renaming(tmp_path, monkeypatch, there, call, failure):
    """At each rename: of what was there, and of what takes its place."""
    folder = tmp_path / "assets"
    if there:
        write_assets(folder, dict.fromkeys([*CONTENTS, "m.stale"], b"old"), [])
    before = tree(tmp_path)
    rename, count = Path.rename, []

    def rename_or_fail(self, target):
        count.append(target)
        if len(count) == call:
            raise failure
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_or_fail)
    renames = 7 if there else 3
    if call > renames:
        write_assets(folder, CONTENTS, ["m.stale"])
        assert len(count) == renames
        return
    expected = KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else InputError
    with pytest.raises(expected):
        write_assets(folder, CONTENTS, ["m.stale"])
    assert tree(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(InputError, match=r"cannot write in .*denied"):
        write_assets(tmp_path / "assets", CONTENTS, [])
    tmp_path.chmod(0o755)
    assert tree(tmp_path) == {}


def test_a_file_where_a_folder_is_needed(tmp_path, module):
    project, target = module
    (target.folder / "src").write_text("I am a file")
    with pytest.raises(InputError, match="cannot write in"):
        write_assets(assets_folder(project, target), CONTENTS, [])
    (target.folder / "src").unlink()
    (target.folder / "src" / "main").mkdir(parents=True)
    (target.folder / "src" / "main" / "assets").write_text("I am a file")
    with pytest.raises(InputError, match="is no folder"):
        assets_folder(project, target)


@pytest.mark.parametrize("suffix", [".tflite", ".labels.txt", ".golden.json"])
def test_files_in_the_way(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    path.write_text("old")
    with pytest.raises(InputError, match="exists already; pass --overwrite"):
        check_free(tmp_path, "m", overwrite=False)
    check_free(tmp_path, "m", overwrite=True)
    check_free(tmp_path, "n", overwrite=False)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match="is a folder"):
        check_free(tmp_path, "m", overwrite=True)


class TestLinks:
    """Nothing is written where symbolic links lead out of the project."""

    @pytest.fixture(autouse=True)
    def outside(self, tmp_path):
        folder = tmp_path / "outside"
        folder.mkdir()
        try:
            (tmp_path / "probe").symlink_to(folder)
        except OSError:
            pytest.skip("no symbolic links here")
        return folder

    @pytest.mark.parametrize("place", ["src", "src/main", "src/main/assets"])
    @pytest.mark.parametrize("there", [True, False])
    def test_out_of_the_project(self, module, outside, place, there):
        project, target = module
        link = target.folder / place
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(outside if there else outside / "missing")
        with pytest.raises(InputError, match="outside the project"):
            assets_folder(project, target)

    def test_within_the_project(self, module):
        """Two modules share their assets."""
        project, target = module
        shared = project.root / "shared"
        shared.mkdir()
        (target.folder / "src" / "main").mkdir(parents=True)
        (target.folder / "src" / "main" / "assets").symlink_to("../../../shared")
        assert assets_folder(project, target) == shared.resolve()

    def test_a_ring(self, module):
        project, target = module
        ring = target.folder / "src"
        ring.symlink_to(ring)
        with pytest.raises(InputError):
            write_assets(assets_folder(project, target), CONTENTS, [])

    def test_a_module_outside(self, tmp_path, outside):
        files = {
            "settings.gradle.kts": 'include(":app")\nproject(":app").projectDir = file("../x")',
            "../x/build.gradle.kts": 'plugins { id("com.android.application") }',
        }
        project = find_project(write_project(tmp_path / "project", files))
        with pytest.raises(InputError, match="outside the project"):
            assets_folder(project, choose_module(project))
        alone = find_project(tmp_path / "x")  # said by the user
        assert assets_folder(alone, choose_module(alone)).is_relative_to(tmp_path / "x")

    def test_a_link_is_replaced_not_followed(self, tmp_path, outside):
        target = outside / "precious"
        target.write_text("precious")
        folder = tmp_path / "assets"
        folder.mkdir()
        (folder / "m.tflite").symlink_to(target)
        (folder / "m.labels.txt").symlink_to(outside / "missing")
        with pytest.raises(InputError, match="exists already"):
            check_free(folder, "m", overwrite=False)
        check_free(folder, "m", overwrite=True)
        write_assets(folder, CONTENTS, [])
        assert not (folder / "m.tflite").is_symlink()
        assert tree(folder) == CONTENTS
        assert tree(outside) == {"precious": b"precious"}
