"""Gradle projects: where one begins, which modules it has, which of them is meant."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

from effnet_lite.errors import InputError, UsageError
from effnet_lite.mobile.build_scripts import (
    Catalogues,
    included_modules,
    module_path,
    plugin_ids,
    read_catalogues,
    read_script,
)
from effnet_lite.printable import printable

DEMO = "android_demo"
LIBRARY = ":effnetlite"
APPLICATION, ANDROID_LIBRARY = "application", "library"

_SETTINGS = ("settings.gradle.kts", "settings.gradle")
_BUILD_FILES = ("build.gradle.kts", "build.gradle")
_APPLICATION_ID = re.compile(r"\bapplicationId\b")
# Gradle's own, and what JavaScript frameworks around an Android project bring.
_NO_MODULES = ("build", "buildSrc", "node_modules", "gradle")


@dataclasses.dataclass(frozen=True)
class Module:
    """A module that Android's plugin builds.

    Attributes:
        path: As Gradle names it, ``:app``; ``:`` is the project's root.
        folder: With symbolic links resolved.
        build_file: ``build.gradle.kts`` or ``build.gradle``.
        kind: ``application`` or ``library``.
    """

    path: str
    folder: Path
    build_file: Path
    kind: str

    @property
    def kotlin(self) -> bool:
        """Whether its script is Kotlin, not Groovy."""
        return self.build_file.suffix == ".kts"


@dataclasses.dataclass(frozen=True)
class Project:
    """A Gradle project.

    Attributes:
        root: Its folder, with symbolic links resolved.
        settings: Its settings script; None for a module on its own.
        modules: Those that Android's plugin builds.
        chosen: The module in whose folder the user is.
    """

    root: Path
    settings: Path | None
    modules: tuple[Module, ...]
    chosen: Module | None = None

    @property
    def is_demo(self) -> bool:
        """Whether it is effnet-lite's own demo app."""
        return (self.root / "app/src/main/kotlin/org/effnetlite/demo").is_dir() and any(
            module.path == LIBRARY for module in self.modules
        )


def find_project(folder: str | os.PathLike[str] | None = None) -> Project:
    """The project in a folder, which may also be that of a module.

    Args:
        folder: None for ``android_demo`` where the user is.

    Raises:
        InputError: There is none.
    """
    if folder is None:
        return _read_project(_demo())
    here = _folder(Path(folder))
    if _first(here, _SETTINGS):
        return _read_project(here)
    if not _first(here, _BUILD_FILES):
        raise InputError(
            f"{folder} is no Gradle project: expected settings.gradle(.kts) or build.gradle(.kts) "
            f"in it{_nearby(here)}"
        )
    for root in here.parents:
        if _first(root, _SETTINGS):
            project = _read_project(root)
            for module in project.modules:
                if module.folder == here:
                    return dataclasses.replace(project, chosen=module)
            break  # a project of its own, or one that settings compute: nothing above is its
    lone = _module(":", here, read_catalogues(here))
    if lone is None:
        raise InputError(
            f"{folder} is no Android module: expected com.android.application or "
            "com.android.library among the plugins of its build script"
        )
    return Project(here, None, (lone,), lone)


def choose_module(project: Project, name: str | None = None) -> Module:
    """The module of that name, or the one that is meant: the only application, else library.

    Raises:
        UsageError: Several could be meant.
        InputError: There is none, or none of that name.
    """
    if name is not None:
        return _named(project, name)
    if project.chosen:
        return project.chosen
    for kind in (APPLICATION, ANDROID_LIBRARY):
        found = [module for module in project.modules if module.kind == kind]
        if len(found) > 1:
            raise UsageError(
                f"{project.root} has {len(found)} {kind} modules: {_names(found)}; say which one "
                "by --module"
            )
        if found:
            return found[0]
    raise InputError(
        f"{project.root} has no module with the plugin com.android.application or "
        "com.android.library; give its folder by --project"
    )


def _named(project: Project, name: str) -> Module:
    path = module_path(name)
    found = next((module for module in project.modules if module.path == path), None)
    if found is None:  # settings may compute what they include
        folder = project.root.joinpath(*path[1:].split(":"))
        found = _module(path, folder, read_catalogues(project.root))
    if found is None:
        there = _names(project.modules) or "none"
        raise InputError(
            f"{project.root} has no Android module {printable(name)!r}; found: {there}"
        )
    return found


def _read_project(root: Path) -> Project:
    settings = _first(root, _SETTINGS)
    catalogues = read_catalogues(root)
    folders = included_modules(read_script(settings)) if settings else {}
    places = {path: root / folder for path, folder in folders.items()}
    places = {path: place for path, place in places.items() if _first(place, _BUILD_FILES)}
    if not places:  # settings that compute the names
        places = {module_path(str(place.relative_to(root))): place for place in _scan(root)}
    found = (_module(path, place, catalogues) for path, place in {":": root, **places}.items())
    return Project(root, settings, tuple(filter(None, found)))


def _module(path: str, folder: Path, catalogues: Catalogues) -> Module | None:
    """None for a folder that Android's plugin does not build."""
    build_file = _first(folder, _BUILD_FILES)
    if build_file is None:
        return None
    script = read_script(build_file)
    # Plugins of a project's own are named after Android's: my.android.application.
    ids = [f".{name}" for name in plugin_ids(script, catalogues)]
    if any(name.endswith(".android.application") for name in ids) or _APPLICATION_ID.search(script):
        return Module(path, folder.resolve(), build_file, APPLICATION)
    if any(name.endswith(".android.library") for name in ids):
        return Module(path, folder.resolve(), build_file, ANDROID_LIBRARY)
    return None


def _scan(root: Path) -> Iterator[Path]:
    """Folders with a build script, one or two levels down."""
    for build_file in sorted([*root.glob("*/build.gradle*"), *root.glob("*/*/build.gradle*")]):
        place = build_file.parent
        parts = place.relative_to(root).parts
        hidden = any(part.startswith(".") or part in _NO_MODULES for part in parts)
        if build_file.name in _BUILD_FILES and not hidden:
            yield place


def _demo() -> Path:
    folder = Path(DEMO)
    if folder.is_dir() and _first(folder, _SETTINGS):
        return folder.resolve()
    hint = "; --project . is the one here" if _first(Path(), _SETTINGS) else ""
    raise InputError(
        f"there is no Gradle project in ./{DEMO}; say by --project where yours is (its root, or a "
        f"module's folder){hint}"
    )


def _folder(path: Path) -> Path:
    try:
        if path.is_dir():
            return path.resolve()
        found = "is a file" if path.exists() else "does not exist"
    except (OSError, ValueError, RuntimeError) as error:  # a NUL byte, a ring of links
        raise InputError(f"cannot use {printable(str(path))}: {error}") from error
    raise InputError(f"{path} {found}; expected the folder of a Gradle project or module")


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    try:
        return next((folder / name for name in names if (folder / name).is_file()), None)
    except OSError:  # a folder that may not be entered
        return None


def _nearby(folder: Path) -> str:
    """Flutter's and React Native's projects keep the Android one in a folder."""
    found = [name for name in ("android", DEMO) if _first(folder / name, _SETTINGS)]
    return f"; there is one in {folder / found[0]}" if found else ""


def _names(modules: list[Module] | tuple[Module, ...]) -> str:
    return ", ".join(printable(module.path) for module in modules)
