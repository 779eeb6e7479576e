"""Where a model goes in a module, and how it gets there: all of its files, or none."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from effnet_lite.errors import InputError, UsageError
from effnet_lite.files import write_bytes
from effnet_lite.mobile.gradle import Module, Project
from effnet_lite.printable import printable

#: Behind the model's name. The library reads the first, people and other tools the rest.
MODEL, LABELS, GOLDEN = ".tflite", ".labels.txt", ".golden.json"

_LONGEST_NAME = 100
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_LONGEST_NAME - 1}}}")


def asset_name(model: Path, name: str | None = None) -> str:
    """The files' name, without what stands behind it.

    Letters, digits, ``.``, ``_`` and ``-``, for a name also stands in Kotlin, in a shell and in
    an APK, whose build passes over files that begin with a dot.

    Args:
        model: Gives the name where the user does not; what cannot stand in it becomes ``-``.
        name: The user's.

    Raises:
        UsageError: The user's has other characters.
    """
    if name is None:
        plain = re.sub(r"[^A-Za-z0-9._]+", "-", model.stem).strip("-._")
        return plain[:_LONGEST_NAME] or "model"
    plain = name.removesuffix(MODEL)
    if not _NAME.fullmatch(plain):
        raise UsageError(
            f"cannot name an asset {printable(name)!r}; expected at most {_LONGEST_NAME} letters, "
            "digits, '.', '_' and '-', a letter or digit first"
        )
    return plain


def assets_folder(project: Project, module: Module) -> Path:
    """``src/main/assets`` of a module, which need not be there yet.

    Raises:
        InputError: It is outside the project, by symbolic links or ``..``, or no folder.
    """
    path = module.folder / "src" / "main" / "assets"
    try:
        folder = path.resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path} cannot be used: its symbolic links lead in a ring") from error
    if not folder.is_relative_to(project.root):
        raise InputError(
            f"{path} leads to {folder}, outside the project {project.root}; nothing is written "
            "there. Give the module's own folder by --project, or take the link away"
        )
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"{folder} is no folder; expected one, or nothing")
    return folder


def check_free(folder: Path, name: str, overwrite: bool) -> None:
    """Raise InputError if one of the three files is there, or cannot be replaced.

    Called before the long work. All three count, whichever will be written: another model's
    labels beside this one would be wrong.
    """
    for suffix in (MODEL, LABELS, GOLDEN):
        path = folder / (name + suffix)
        if path.is_dir() and not path.is_symlink():
            raise InputError(f"{path} is a folder; give another name by --name")
        if os.path.lexists(path) and not overwrite:
            raise InputError(
                f"{path} exists already; pass --overwrite to replace it, or another --name"
            )


def write_assets(folder: Path, contents: Mapping[str, bytes], stale: Iterable[str]) -> None:
    """Put files into a folder, which is made if need be, and take others away.

    All is written beside its place first, where a full disk does no harm; then the files are
    renamed, and what was there comes back should one of them fail.

    Args:
        folder: With symbolic links resolved.
        contents: By name; the last one is put there last.
        stale: Names of what belongs to a file that is replaced.

    Raises:
        InputError: The disk refuses it; the folder is as it was.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".effnet-lite-", dir=folder))
        try:
            for name, content in contents.items():
                write_bytes(staging / name, content)
            _swap(staging, folder, list(contents), stale)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        _remove_empty(missing)
        raise InputError(
            f"cannot write in {folder}: {(error.strerror or str(error)).lower()}"
        ) from error
    except BaseException:
        _remove_empty(missing)
        raise


def _swap(staging: Path, folder: Path, names: list[str], stale: Iterable[str]) -> None:
    old = staging / "old"
    old.mkdir()
    begun = []
    try:
        for name in (*stale, *names):
            begun.append(name)
            if os.path.lexists(folder / name):
                (folder / name).rename(old / name)
            if name in names:
                (staging / name).rename(folder / name)
    except BaseException:
        for name in begun:
            if os.path.lexists(old / name):
                (old / name).replace(folder / name)
            elif name in names and not (staging / name).exists():
                (folder / name).unlink(missing_ok=True)
        raise


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:  # the innermost first
        try:
            folder.rmdir()
        except OSError:  # was not made, or somebody has put something there
            return
