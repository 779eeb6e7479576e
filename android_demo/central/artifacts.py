"""Stage ``fetch``: what Maven repositories hold, by Maven itself."""

from __future__ import annotations

import dataclasses
import re
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

from project import BuildError, Library, Project
from tools import Stamp, run

_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_NATIVES = "linux-x86_64"  # this build runs on Debian
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>effnetlite</groupId><artifactId>{name}</artifactId><version>1</version>
  <repositories>
    <repository><id>google</id><url>https://dl.google.com/dl/android/maven2</url></repository>
  </repositories>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
_DEPENDENCY = (
    "    <dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>{}"
    "</dependency>"
)
_CLASSIFIER = "<classifier>{}</classifier>"
# TFLite's POMs ask for jars where there are AARs; Gradle looks at what there is. The bundle
# names all that it needs. Of apktool only a file in its jar is used.
_ALONE = (
    "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
)


@dataclasses.dataclass(frozen=True)
class Artifacts:
    """Where :func:`fetch` put everything.

    Attributes:
        root: The folder, one below it a purpose.
    """

    root: Path

    def jars(self, purpose: str) -> list[Path]:
        """Jars, and the classes of AARs."""
        return sorted(
            [*(self.root / purpose).glob("*.jar"), *self._unpacked(purpose, "classes.jar")]
        )

    def manifests(self) -> list[Path]:
        """Of the AARs in the app."""
        return self._unpacked("runtime", "AndroidManifest.xml")

    def natives(self, abi: str) -> list[Path]:
        """Native libraries in the app."""
        return self._unpacked("runtime", f"jni/{abi}/*.so")

    @property
    def aapt2(self) -> Path:
        """The program."""
        return self.root / "aapt2" / "aapt2"

    @property
    def framework(self) -> Path:
        """Android's classes and resources."""
        return next((self.root / "framework").glob("android-all-*.jar"))

    @property
    def instrumented(self) -> Path:
        """Folder with the framework that Robolectric runs tests in."""
        return self.root / "instrumented"

    def _unpacked(self, purpose: str, pattern: str) -> list[Path]:
        return sorted((self.root / purpose).glob(f"*.aar.unpacked/{pattern}"))


def fetch(project: Project, out: Path) -> Artifacts:
    """Get every library that the catalogue names, with what it needs in turn.

    Args:
        project: Whose catalogue.
        out: The build folder.

    Raises:
        BuildError: Maven failed.
    """
    catalogue = project.catalogue
    library = catalogue.libraries
    natives = [(one, _CLASSIFIER.format(_NATIVES)) for one in catalogue.bundle("unit-test-natives")]
    wanted = {
        "runtime": [
            *((one, f"<type>aar</type>{_ALONE}") for one in catalogue.bundle("runtime")),
            (library["kotlin-stdlib"], ""),
        ],
        "unit-test": [*((one, "") for one in catalogue.bundle("unit-test")), *natives],
        "junit-console": [(library["junit-console"], "")],
        "framework": [(library["android-all"], "")],
        "instrumented": [(library["android-all-instrumented"], "")],
        "kotlin": [(library["kotlin-compiler"], "")],
        "d8": [(library["r8"], "")],
        "manifest-merger": [(library["manifest-merger"], "")],
        "aapt2": [(library["aapt2"], _ALONE)],
    }
    for purpose, dependencies in wanted.items():
        _fetch(purpose, dependencies, out / "artifacts")
    return Artifacts(out / "artifacts")


def _fetch(purpose: str, dependencies: list[tuple[Library, str]], root: Path) -> None:
    lines = []
    for one, more in dependencies:
        names = map(escape, (one.group, one.artifact, one.version))
        lines.append(_DEPENDENCY.format(*names, more))
    text = _POM.format(name=purpose, dependencies="\n".join(lines))
    stamp = Stamp(root / purpose, [text])
    if stamp.fresh:
        return
    folder = stamp.begin()
    folder.mkdir()
    pom = folder / "pom.xml"
    pom.write_text(text, "utf-8")
    try:
        run("mvn", "--batch-mode", "--quiet", "-f", pom, _PLUGIN,
            f"-DoutputDirectory={folder}", "-DincludeScope=runtime")  # fmt: skip
    except BuildError as error:
        raise BuildError(f"cannot fetch {purpose}: {_reason(str(error))}") from error
    for aar in sorted(folder.glob("*.aar")):
        with zipfile.ZipFile(aar) as archive:
            archive.extractall(folder / f"{aar.name}.unpacked")
    if purpose == "aapt2":
        (jar,) = folder.glob("*.jar")
        with zipfile.ZipFile(jar) as archive:
            program = folder / "aapt2"
            program.write_bytes(archive.read("prebuilt/linux/aapt2"))
            program.chmod(0o755)
    stamp.done()


def _reason(said: str) -> str:
    """Maven's first line, of a page of others."""
    found = re.search(r"\[ERROR\] (.*?)(?: -> |$)", said, re.MULTILINE)
    return found[1] if found else said
