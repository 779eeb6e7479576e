"""The Android project: one home for its numbers, and a second build that notices faults."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "android_demo"
CENTRAL = DEMO / "central"
#: What `make apk` leaves: libraries, and the reference pixels of photos.
BUILT = ROOT / "build" / "android"

pytestmark = pytest.mark.skipif(
    not any(map(importlib.util.find_spec, ("tomllib", "tomli"))), reason="central/ reads TOML"
)


@pytest.fixture(scope="module")
def central():
    """central/ as its own programs import it."""
    sys.path.insert(0, str(CENTRAL))
    try:
        import artifacts
        import project
        import tools
        import unit_tests
    finally:
        sys.path.remove(str(CENTRAL))
    return project, tools, unit_tests, artifacts


@pytest.fixture(scope="module")
def project(central):
    return central[0].read_project(DEMO)


def texts(*suffixes):
    for path in sorted(DEMO.rglob("*")):
        if path.suffix in suffixes and path.is_file():
            yield path, path.read_text("utf-8")


def test_versions_have_one_home(project):
    long = {value for value in project.catalogue.versions.values() if len(value) >= 5}
    assert len(long) > 8
    for path, text in texts(".kts", ".py", ".xml", ".properties", ".kt"):
        if "src/test" in str(path):  # examples
            continue
        code = re.sub(r"(#|//|<!--).*", "", text)  # comments may tell of versions
        for value in long:
            assert f'"{value}"' not in code, f"{path} repeats {value}"
            assert f":{value}" not in code, f"{path} repeats {value}"


def test_sdk_levels_have_one_home(project):
    named = (
        r"(minSdk|compileSdk|targetSdk|minSdkVersion|targetSdkVersion|versionCode)\"?\s*[=:]\s*\"?"
    )
    for path, text in texts(".kts", ".xml", ".py"):
        assert not re.search(rf"{named}\d", text), f"{path} has an SDK level of its own"
    for module in (project.app, project.library):
        gradle = (module.folder / "build.gradle.kts").read_text()
        for name in ("minSdk", "compileSdk"):
            assert f"{name} = libs.versions.{name}.get().toInt()" in gradle


def test_gradle_and_the_second_build_have_the_same_sources(project):
    for module in (project.app, project.library):
        gradle = (module.folder / "build.gradle.kts").read_text()
        # All that departs from Gradle's own source folders is what the second build reads.
        assert gradle.count("srcDir") == len(module.test_sources) - 1 == 1
        assert "srcDirs" not in gradle
        assert all(folder.is_dir() for folder in (module.sources, *module.test_sources))


def test_gradle_finds_no_source_that_the_second_build_overlooks(project):
    for module in (project.app, project.library):
        read = [module.sources, module.resources, module.assets, module.manifest,
                module.test_resources, *module.test_sources]  # fmt: skip
        for path in (module.folder / "src").rglob("*"):
            # src/main/java, src/debug, src/androidTest, …: Gradle would take them by itself.
            if path.is_file() and path.suffix != ".py":
                assert any(path.is_relative_to(one) for one in read), f"only Gradle reads {path}"


def test_gradle_depends_on_what_the_second_build_has(project):
    bundles = project.catalogue.bundles
    known = {
        "implementation": {"libs.bundles.runtime", 'project(":effnetlite")'},
        "api": {f"libs.{name.replace('-', '.')}" for name in bundles["runtime"]},
        "testImplementation": {"libs.bundles.unit.test"},
    }
    for module in (project.app, project.library):
        gradle = (module.folder / "build.gradle.kts").read_text()
        (block,) = re.findall(r"^dependencies \{\n(.*?)^\}", gradle, re.M | re.S)
        found = re.findall(r"^ +(\w+)\((.*)\)(?: *//.*)?$", block, re.M)
        assert len(found) == len(block.strip().splitlines())
        for configuration, what in found:
            assert what in known[configuration], f"{module.name}: {what}"


def test_both_builds_run_tests_alike(central, project):
    _, _, unit_tests, _ = central
    root = (DEMO / "build.gradle.kts").read_text()
    (words,) = re.findall(r"jvmArgs\((.*?)\)", root, re.DOTALL)
    ours = [word for word in unit_tests._JVM if not word.startswith("-Xm")]
    assert re.findall(r'"(.*?)"', words) == ours
    for name in ("effnetlite.model", "effnetlite.parity", "effnetlite.output"):
        assert f'"{name}"' in root
    # Robolectric runs a module in its target: that of a library is for tests alone.
    library = (project.library.folder / "build.gradle.kts").read_text()
    assert "targetSdk = libs.versions.targetSdk.get().toInt()" in library


def test_the_second_build_merges_manifests_with_the_merger_of_gradles_plugin(project):
    major, _, rest = project.version("agp").partition(".")
    # Google numbers its tools by the plugin they belong to, plus 23.
    assert project.version("manifestMerger") == f"{int(major) + 23}.{rest}"


def test_gradle_files_use_names_that_the_catalogue_has(project):
    catalogue = project.catalogue
    known = {f"versions.{name}" for name in catalogue.versions}
    known |= {f"bundles.{name.replace('-', '.')}" for name in catalogue.bundles}
    known |= {name.replace("-", ".") for name in catalogue.libraries}
    plugins = re.findall(
        r"^([\w-]+) = \{ id", (DEMO / "gradle/libs.versions.toml").read_text(), re.M
    )
    known |= {f"plugins.{name.replace('-', '.')}" for name in plugins}
    seen = 0
    for path, text in texts(".kts"):
        for name in re.findall(r"\blibs\.([\w.]+?)(?:\.get\(\)|[)\s,])", text):
            assert name in known, f"{path}: libs.{name}"
            seen += 1
    assert seen > 12


def test_maven_is_quoted_in_one_line(central, tmp_path, monkeypatch):
    mvn = tmp_path / "mvn"
    mvn.write_text(
        "#!/bin/sh\n"
        "echo '[ERROR] Failed to execute goal on project d8: Could not find artifact "
        "com.android.tools:r8:jar:0.0.1 in central -> [Help 1]'\n"
        "echo '[ERROR] Re-run Maven using the -X switch to enable full debug logging.'\n"
        "exit 1\n"
    )
    mvn.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    project, _, _, artifacts = central
    with pytest.raises(project.BuildError) as caught:
        artifacts.fetch(project.read_project(DEMO), tmp_path / "out")
    assert str(caught.value) == (
        "cannot fetch runtime: Failed to execute goal on project d8: Could not find artifact "
        "com.android.tools:r8:jar:0.0.1 in central"
    )


def test_results_tell_of_failures_and_skips(central, tmp_path):
    _, _, unit_tests, _ = central
    report = tmp_path / "TEST-junit-vintage.xml"
    report.write_text(
        '<testsuite tests="3" skipped="1" failures="1" errors="0">'
        '<testcase name="good" classname="org.ATest" time="1"/>'
        '<testcase name="left" classname="org.ATest"><skipped><![CDATA[no model\n at x]]></skipped>'
        '</testcase><testcase name="bad" classname="org.ATest"><failure message="m" type="t">'
        "<![CDATA[java.lang.AssertionError: expected 1\n"
        "\tat org.junit.Assert.fail(Assert.java:89)\n"
        "\tat java.base/java.lang.Thread.run(Thread.java:840)\n"
        "\tat org.ATest.bad(ATest.kt:7)]]></failure></testcase></testsuite>"
    )
    assert unit_tests._passed(report) == "1 tests passed, 1 skipped"
    assert unit_tests._skipped(report) == ["skipped org.ATest.left: no model"]
    assert unit_tests._failures(report).splitlines() == [
        "FAILED org.ATest.bad",
        "java.lang.AssertionError: expected 1",
        "\tat org.ATest.bad(ATest.kt:7)",
    ]


MAIN = "src/main"
STRINGS, MANIFEST = f"app/{MAIN}/res/values/strings.xml", f"app/{MAIN}/AndroidManifest.xml"
LIBRARY = f"effnetlite/{MAIN}/kotlin/org/effnetlite"
PARITY = ("test", "--tests", "PreprocessingParity")
#: File, what is replaced there, by what, stages, and what the message must name.
FAULTS = {
    "Kotlin type": (
        f"{LIBRARY}/Results.kt",
        r"\Z",
        '\ninternal val planted: Int = "text"\n',
        ("compile",),
        "Results.kt",
    ),
    "Kotlin warning": (
        f"{LIBRARY}/Results.kt",
        r"\Z",
        '\n@Deprecated("") internal fun old() = 1\ninternal fun planted() = old()\n',
        ("compile",),
        "Results.kt",
    ),
    "missing string": (
        STRINGS,
        r'<string name="benchmark_title">.*?</string>',
        "",
        ("resources",),
        "benchmark_title",
    ),
    "manifest attribute": (
        MANIFEST,
        "android:allowBackup",
        "android:allowBackups",
        ("resources",),
        "allowBackups",
    ),
    "manifest attribute's value": (
        MANIFEST,
        r'android:exported="true"',
        'android:exported="maybe"',
        ("resources",),
        "maybe",
    ),
    "manifest attribute's prefix": (
        MANIFEST,
        "android:allowBackup",
        "allowBackup",
        ("resources",),
        "allowBackup without the prefix",
    ),
    "bits of a filter's weights": (
        f"{LIBRARY}/Resampling.kt",
        r"(const val BITS = )22",
        r"\g<1>8",
        PARITY,
        "PreprocessingParity",
    ),
    "rounding of the crop": (
        f"{LIBRARY}/Preprocessor.kt",
        re.escape("(height - side + 1) / 2"),
        "(height - side) / 2",
        PARITY,
        "PreprocessingParity",
    ),
}


@pytest.fixture
def build(central, tmp_path):
    """Run the second build on a copy of the project, which may be changed first."""
    project, tools, _, _ = central
    try:
        tools.check_tools()
    except project.BuildError as error:
        pytest.skip(str(error))
    if not (BUILT / "artifacts").is_dir() or not (BUILT / "parity").is_dir():
        pytest.skip("the libraries are not here: run make apk first")
    copy = tmp_path / "android_demo"
    shutil.copytree(DEMO, copy)
    model = BUILT / "parity/models/int8.tflite"

    def run(*stages):
        return subprocess.run(
            [sys.executable, CENTRAL / "build.py", "--project", copy, "--out", tmp_path / "out",
             "--artifacts", BUILT, "--model", model, "--parity", BUILT / "parity", *stages],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    run.project = copy
    return run


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_second_build_takes_the_project_as_it_is(build):
    done = build(*PARITY)
    assert done.returncode == 0, done.stderr
    assert re.search(r"effnetlite: [1-9]\d* tests passed, 0 skipped", done.stdout), done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_second_build_notices(fault, build):
    name, old, new, stages, expected = FAULTS[fault]
    path = build.project / name
    text = path.read_text("utf-8")
    assert re.search(old, text), f"nothing to change in {name}"
    path.write_text(re.sub(old, new, text, count=1), "utf-8")
    done = build(*stages)
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("android: ")
    assert expected in done.stderr
