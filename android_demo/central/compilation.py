"""Stages ``resources`` and ``compile``: manifest, resources and Kotlin, each as Gradle has them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

from artifacts import Artifacts
from project import BuildError, Module, Project
from tools import Stamp, files, java, joined, run

_ANDROID = "http://schemas.android.com/apk/res/android"
for _prefix, _namespace in (("android", _ANDROID), ("tools", "http://schemas.android.com/tools")):
    ElementTree.register_namespace(_prefix, _namespace)
# All that has no prefix in manifests, layouts and drawables.
_PLAIN = {"package", "class", "layout", "name", "style"}


@dataclasses.dataclass(frozen=True)
class Resources:
    """What aapt2 made.

    Attributes:
        manifest: Merged, text.
        apk: Manifest, resources and assets, without code.
        classes: Folder with the class files of R.
    """

    manifest: Path
    apk: Path
    classes: Path


def link_resources(project: Project, artifacts: Artifacts, out: Path) -> Resources:
    """Merge the manifests, then compile and link the app's resources.

    Raises:
        BuildError: A resource, an attribute or a reference is wrong.
    """
    app, library = project.app, project.library
    made = Resources(out / "AndroidManifest.xml", out / "resources.apk", out / "r-classes")
    if library.resources.is_dir():
        raise BuildError("central/ does not know a library module with resources; teach it")
    manifests = [app.manifest, library.manifest, *artifacts.manifests()]
    inputs: list[Path | str] = [
        *manifests, *files(app.resources, app.assets), *versions(project),
    ]  # fmt: skip
    stamp = Stamp(made.apk, inputs)
    if stamp.fresh:
        return made
    stamp.begin()
    for path in (app.manifest, library.manifest, *files(app.resources, suffix=".xml")):
        if not path.parent.name.startswith("values"):
            _check_prefixes(path)
    _merge(project, artifacts, made.manifest)
    compiled = out / "resources.zip"
    run(artifacts.aapt2, "compile", "--dir", app.resources, "-o", compiled)
    generated = Stamp(out / "r-java", []).begin()
    assets: list[Path | str] = ["-A", app.assets] if app.assets.is_dir() else []
    said = run(artifacts.aapt2, "link", "-I", artifacts.framework, "--manifest", made.manifest,
               "--java", generated, "-0", ".tflite", *assets, "-o", made.apk, compiled)  # fmt: skip
    if said.strip():
        raise BuildError(f"{said.strip()}\naapt2 warns, which counts as an error")
    classes = Stamp(made.classes, []).begin()
    run("javac", "-nowarn", "--release", project.version("jvmTarget"), "-d", classes,
        *files(generated, suffix=".java"))  # fmt: skip
    stamp.done()
    return made


def _merge(project: Project, artifacts: Artifacts, merged: Path) -> None:
    """As Gradle does, with its own merger."""
    main, minimum = merged.with_name("main-manifest.xml"), project.version("minSdk")
    _with_package(project.app.manifest, project.app.namespace, main)
    library = merged.with_name("library-manifest.xml")
    _with_package(project.library.manifest, project.library.namespace, library, minimum)
    libraries = [library, *artifacts.manifests()]
    properties = {
        "PACKAGE": project.application_id,
        "MIN_SDK_VERSION": minimum,
        "TARGET_SDK_VERSION": project.version("targetSdk"),
        "VERSION_CODE": project.version("versionCode"),
        "VERSION_NAME": project.version("versionName"),
    }
    words = [
        word for name, value in properties.items() for word in ("--property", f"{name}={value}")
    ]
    java(artifacts.jars("manifest-merger"), "com.android.manifmerger.Merger", "--main", main,
         "--libs", joined(libraries), *words, "--remove-tools-declarations", "--out", merged,
         "--log", "WARNING")  # fmt: skip
    if not merged.is_file():
        raise BuildError("the manifests cannot be merged")


def _check_prefixes(path: Path) -> None:
    """``exported`` for ``android:exported``: aapt2 takes it, and Android ignores it."""
    try:
        elements = ElementTree.parse(path).iter()
    except ElementTree.ParseError as error:
        raise BuildError(f"{path}: {error}") from error
    for element in elements:
        for name in element.attrib:
            if not name.startswith("{") and name not in _PLAIN:
                raise BuildError(f"{path}: <{element.tag}> has {name} without the prefix android:")


def _with_package(manifest: Path, namespace: str, copy: Path, minimum: str = "") -> None:
    """The merger wants in the file what Gradle takes from build.gradle.kts."""
    tree = ElementTree.parse(manifest)
    tree.getroot().set("package", namespace)
    if minimum:
        attribute = {f"{{{_ANDROID}}}minSdkVersion": minimum}
        ElementTree.SubElement(tree.getroot(), "uses-sdk", attribute)
    tree.write(copy, "utf-8", xml_declaration=True)


def compile_module(
    project: Project,
    module: Module,
    classpath: list[Path],
    artifacts: Artifacts,
    out: Path,
) -> Path:
    """Compile a module's Kotlin; warnings are errors, as in build.gradle.kts.

    Returns:
        Folder of class files.
    """
    framework = [artifacts.framework, *artifacts.jars("runtime"), *classpath]
    return _kotlin(project, module.name, [module.sources], framework, [], artifacts, out)


def compile_tests(
    project: Project,
    module: Module,
    main: Path,
    classpath: list[Path],
    artifacts: Artifacts,
    out: Path,
) -> Path:
    """Compile a module's tests, which see its ``internal`` names.

    Args:
        main: The module's own class files.
        classpath: What the tests need besides.

    Returns:
        Folder of class files.
    """
    folders = [folder for folder in module.test_sources if folder.is_dir()]
    name = f"{module.name}-test"
    return _kotlin(project, name, folders, [main, *classpath], [f"-Xfriend-paths={main}"],
                   artifacts, out)  # fmt: skip


def _kotlin(
    project: Project,
    name: str,
    folders: list[Path],
    classpath: list[Path],
    options: list[str],
    artifacts: Artifacts,
    out: Path,
) -> Path:
    sources = files(*folders, suffix=".kt")
    classes = out / "classes" / name
    inside = (path for folder in classpath if folder.is_dir() for path in files(folder))
    stamp = Stamp(classes, [*sources, *inside, *map(str, classpath), *options, *versions(project)])
    if stamp.fresh:
        return classes
    if not sources:
        raise BuildError(f"no Kotlin in {' '.join(map(str, folders))}")
    stamp.begin()
    java(artifacts.jars("kotlin"), "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib",
         "-no-reflect", "-Werror", "-jvm-target", project.version("jvmTarget"), "-module-name",
         name, "-d", classes, "-cp", joined(classpath), *options, *folders,
         options=("-Xmx1500m",))  # fmt: skip
    stamp.done()
    return classes


def versions(project: Project) -> list[str]:
    """All of the catalogue's, as words for a stamp."""
    return [f"{name}={value}" for name, value in sorted(project.catalogue.versions.items())]
