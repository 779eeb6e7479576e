"""Stage ``test``: each module's JUnit tests in Robolectric, with the app's real resources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from artifacts import Artifacts
from compilation import Resources
from project import BuildError, Module, Project
from tools import Stamp, files, java

# Robolectric reads files' descriptors of java.io, as BitmapFactory.decodeFile does.
_JVM = ("-Xmx2g", "--add-opens", "java.base/java.io=ALL-UNNAMED", "--add-opens",
        "java.base/java.lang=ALL-UNNAMED")  # fmt: skip


def run_tests(
    project: Project,
    module: Module,
    classes: Path,
    main: list[Path],
    resources: Resources | None,
    properties: Mapping[str, Path],
    artifacts: Artifacts,
    out: Path,
    only: str = "",
) -> str:
    """Run the classes of a module that end in ``Test``.

    Args:
        classes: The compiled tests.
        main: What they test, first the module itself.
        resources: Of the app; None for a module without.
        properties: System properties that the tests read, by name.
        only: Part of the names of the classes to run.

    Returns:
        JUnit's summary.

    Raises:
        BuildError: A test failed; with what it printed.
    """
    names = sorted(
        ".".join(path.relative_to(classes).with_suffix("").parts)
        for path in files(classes, suffix="Test.class")
    )
    if not names:
        raise BuildError(f"{module.name} has no tests")
    names = [name for name in names if only in name]
    if not names:
        return f"none is called {only}"
    config = _robolectric(project, module, resources, out)
    classpath = [
        classes, *main, config, module.test_resources,
        *artifacts.jars("unit-test"), *artifacts.jars("runtime"), artifacts.framework,
    ]  # fmt: skip
    settings = {name: str(value) for name, value in properties.items()} | {
        "robolectric.offline": "true",
        "robolectric.dependency.dir": str(artifacts.instrumented),
        "java.awt.headless": "true",
    }
    options = (*_JVM, *(f"-D{name}={value}" for name, value in settings.items()))
    try:
        said = java(classpath, "org.junit.runner.JUnitCore", *names, options=options)
    except BuildError as error:
        raise BuildError(
            f"{_without_own_frames(str(error))}\ntests of {module.name} failed"
        ) from error
    summary = re.search(r"^OK \(\d+ tests?\)$", said, re.MULTILINE)
    if summary is None:
        raise BuildError(f"{said[-2000:]}\nJUnit ends without a summary")
    return summary[0]


def _robolectric(project: Project, module: Module, resources: Resources | None, out: Path) -> Path:
    """What Gradle writes for Robolectric: where manifest, resources and assets are."""
    folder = Stamp(out / f"{module.name}-robolectric", []).begin()
    package = folder / "com/android/tools"
    package.mkdir(parents=True)
    if resources is not None:
        (package / "test_config.properties").write_text(
            f"android_merged_manifest={resources.manifest}\n"
            f"android_resource_apk={resources.apk}\n"
            f"android_merged_assets={module.assets}\n"
            f"android_custom_package={module.namespace}\n"
        )
    # As Gradle's would, in the app's target; tests may ask for another.
    (folder / "robolectric.properties").write_text(f"sdk={project.version('targetSdk')}\n")
    return folder


def _without_own_frames(said: str) -> str:
    """Stack traces without JUnit's and Robolectric's own."""
    frame = re.compile(r"^\s+at (java|jdk|sun|org\.junit|org\.robolectric)[./]")
    return "\n".join(line for line in said.splitlines() if not frame.match(line))
