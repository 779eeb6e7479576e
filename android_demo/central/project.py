"""What Gradle's files say of the project: versions, modules, source folders.

The second build has no numbers and no names of its own: it reads gradle/libs.versions.toml, and of
each module's build.gradle.kts the few lines below.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    try:
        import tomli as tomllib  # pytest and mypy bring it
    except ImportError:
        sys.exit("Python 3.10 reads no TOML by itself: take Python 3.11, or pip install tomli")

ROOT = Path(__file__).resolve().parent.parent


class BuildError(Exception):
    """The build failed; one line, perhaps with a tool's output before it."""


@dataclasses.dataclass(frozen=True)
class Library:
    """Maven coordinates."""

    group: str
    artifact: str
    version: str


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """gradle/libs.versions.toml.

    Attributes:
        versions: Name → text.
        libraries: Name → coordinates.
        bundles: Name → names of libraries.
    """

    versions: dict[str, str]
    libraries: dict[str, Library]
    bundles: dict[str, list[str]]

    def bundle(self, name: str) -> list[Library]:
        """The libraries of a bundle."""
        return [self.libraries[library] for library in self.bundles[name]]


@dataclasses.dataclass(frozen=True)
class Module:
    """One Gradle module.

    Attributes:
        folder: Its own.
        namespace: Package of its R class.
        test_sources: Folders of Kotlin, src/test/kotlin and what build.gradle.kts adds.
    """

    folder: Path
    namespace: str
    test_sources: tuple[Path, ...]

    @property
    def name(self) -> str:
        """As settings.gradle.kts has it."""
        return self.folder.name

    @property
    def sources(self) -> Path:
        """Kotlin."""
        return self.folder / "src/main/kotlin"

    @property
    def manifest(self) -> Path:
        """AndroidManifest.xml, without a package."""
        return self.folder / "src/main/AndroidManifest.xml"

    @property
    def resources(self) -> Path:
        """res/, perhaps missing."""
        return self.folder / "src/main/res"

    @property
    def assets(self) -> Path:
        """assets/, perhaps missing."""
        return self.folder / "src/main/assets"

    @property
    def test_resources(self) -> Path:
        """On the tests' classpath, perhaps missing."""
        return self.folder / "src/test/resources"


@dataclasses.dataclass(frozen=True)
class Project:
    """android_demo/.

    Attributes:
        root: Its folder.
        catalogue: Versions.
        library, app: The modules.
        application_id: Of the app.
        abis: Whose native code the app carries.
    """

    root: Path
    catalogue: Catalogue
    library: Module
    app: Module
    application_id: str
    abis: tuple[str, ...]

    def version(self, name: str) -> str:
        """Of the catalogue's first table."""
        return self.catalogue.versions[name]


def read_project(root: Path = ROOT) -> Project:
    """Read Gradle's files.

    Raises:
        BuildError: They lack what this build needs.
    """
    library, app = (_module(root / name) for name in ("effnetlite", "app"))
    settings = _text(root / "settings.gradle.kts")
    included = re.findall(r'include\(":([\w-]+)"\)', settings)
    if sorted(included) != sorted([library.name, app.name]):
        raise BuildError(f"settings.gradle.kts includes {included}; central/ knows app, effnetlite")
    gradle = _text(app.folder / "build.gradle.kts")
    abis = _one(r"abiFilters \+= listOf\((.*?)\)", gradle, app.folder)
    return Project(
        root,
        _catalogue(root / "gradle/libs.versions.toml"),
        library,
        app,
        _one(r'applicationId = "([\w.]+)"', gradle, app.folder),
        tuple(re.findall(r'"([\w-]+)"', abis)),
    )


def _catalogue(path: Path) -> Catalogue:
    document = tomllib.loads(_text(path))
    versions = document["versions"]
    libraries = {}
    for name, entry in document["libraries"].items():
        group, artifact = entry["module"].split(":")
        libraries[name] = Library(group, artifact, versions[entry["version"]["ref"]])
    return Catalogue(versions, libraries, document["bundles"])


def _module(folder: Path) -> Module:
    gradle = _text(folder / "build.gradle.kts")
    added = re.findall(r'sourceSets\.named\("test"\) \{ kotlin\.srcDir\("(.*?)"\) \}', gradle)
    return Module(
        folder,
        _one(r'namespace = "([\w.]+)"', gradle, folder),
        (folder / "src/test/kotlin", *((folder / path).resolve() for path in added)),
    )


def _one(pattern: str, text: str, where: Path) -> str:
    found = re.findall(pattern, text)
    if len(found) != 1:
        raise BuildError(f"{where}/build.gradle.kts: expected one {pattern}, found {len(found)}")
    return str(found[0])


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise BuildError(f"cannot read {path}: {error.strerror}") from error
