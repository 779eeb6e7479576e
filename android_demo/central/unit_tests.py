"""Stage ``test``: each module's JUnit tests in Robolectric, with the app's real resources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from artifacts import Artifacts
from compilation import Resources
from project import BuildError, Module, Project
from tools import Stamp, files, java

# Robolectric reads files' descriptors of java.io, as BitmapFactory.decodeFile does.
_JVM = ("-Xmx2g", "--add-opens", "java.base/java.io=ALL-UNNAMED", "--add-opens",
        "java.base/java.lang=ALL-UNNAMED")  # fmt: skip
#: What JUnit's console calls the results of tests of JUnit 4.
_REPORT = "TEST-junit-vintage.xml"


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
) -> list[str]:
    """Run the classes of a module that end in ``Test``, unless they passed and nothing has changed.

    ``out/test-results/MODULE/`` gets JUnit's XML.

    Args:
        classes: The compiled tests.
        main: What they test, first the module itself.
        resources: Of the app; None for a module without.
        properties: System properties that the tests read, by name.
        only: Part of the names of the classes to run.

    Returns:
        How many passed, then a line for each that was skipped, with its reason.

    Raises:
        BuildError: A test failed; with each failure.
    """
    names = sorted(
        ".".join(path.relative_to(classes).with_suffix("").parts)
        for path in files(classes, suffix="Test.class")
    )
    if not names:
        raise BuildError(f"{module.name} has no tests")
    names = [name for name in names if only in name]
    if not names:
        return [f"none is called {only}"]
    own = [classes, *main, _robolectric(project, module, resources, out), module.test_resources]
    jars = [*artifacts.jars("unit-test"), *artifacts.jars("runtime"), artifacts.framework,
            *artifacts.jars("junit-console")]  # fmt: skip
    read = [*own, module.assets, *(path for path in properties.values() if path != out)]
    inputs: list[Path | str] = [
        *files(*read), *(path for path in read if path.is_file()), *map(str, jars), *_JVM,
    ]  # fmt: skip
    if resources is not None:
        inputs += [resources.apk, resources.manifest]
    stamp = Stamp(out / "test-results" / module.name, inputs)
    report = stamp.output / _REPORT
    if stamp.fresh and not only:
        return [f"{_passed(report)} before; nothing has changed", *_skipped(report)]
    settings = {name: str(value) for name, value in properties.items()} | {
        "robolectric.offline": "true",
        "robolectric.dependency.dir": str(artifacts.instrumented),
        "java.awt.headless": "true",
    }
    options = (*_JVM, *(f"-D{name}={value}" for name, value in settings.items()))
    try:
        java([*own, *jars], "org.junit.platform.console.ConsoleLauncher", "execute",
             "--disable-banner", "--disable-ansi-colors", "--details=none", "--fail-if-no-tests",
             f"--reports-dir={stamp.begin()}", *(f"--select-class={name}" for name in names),
             options=options)  # fmt: skip
    except BuildError as error:
        said = _failures(report) if report.is_file() else str(error)
        raise BuildError(f"{said}\ntests of {module.name} failed") from error
    if not only:
        stamp.done()
    return [_passed(report), *_skipped(report)]


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


def _passed(report: Path) -> str:
    suite = ElementTree.parse(report).getroot()
    count = {key: int(suite.attrib[key]) for key in ("tests", "skipped", "failures", "errors")}
    passed = count["tests"] - count["skipped"] - count["failures"] - count["errors"]
    return f"{passed} tests passed, {count['skipped']} skipped"


def _skipped(report: Path) -> list[str]:
    return [
        f"skipped {_name(case)}: {_first_line(reason)}"
        for case in ElementTree.parse(report).iter("testcase")
        for reason in case.iter("skipped")
    ]


def _failures(report: Path) -> str:
    """Each failure with its stack, without the frames of JUnit and Robolectric."""
    frame = re.compile(r"^\s+at (\S+//?)?(java|jdk|sun|org\.junit|org\.robolectric)[./]")
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        for kind in ("failure", "error"):
            for failure in case.iter(kind):
                stack = (failure.text or "").splitlines()
                kept = [line for line in stack if not frame.match(line)]
                found.append("\n".join([f"FAILED {_name(case)}", *kept[:12]]))
    return "\n\n".join(found)


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}.{case.get('name')}"


def _first_line(element: ElementTree.Element) -> str:
    return next(iter((element.text or element.get("message") or "").strip().splitlines()), "")
