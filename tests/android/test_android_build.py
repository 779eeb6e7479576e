"""The Android project: one home for its numbers, and a second build that notices faults."""

from __future__ import annotations

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

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="central/ reads TOML")


@pytest.fixture(scope="module")
def project():
    sys.path.insert(0, str(CENTRAL))
    try:
        from project import read_project
    finally:
        sys.path.remove(str(CENTRAL))
    return read_project(DEMO)


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


def replace(path, old, new):
    text = path.read_text("utf-8")
    assert re.search(old, text), f"nothing to change in {path}"
    path.write_text(re.sub(old, new, text, count=1), "utf-8")


MAIN = "src/main"
FAULTS = {
    "Kotlin type": (
        f"effnetlite/{MAIN}/kotlin/org/effnetlite/Results.kt",
        r"\Z",
        '\ninternal val planted: Int = "text"\n',
        ("compile",),
        "Results.kt",
    ),
    "missing string": (
        f"app/{MAIN}/res/values/strings.xml",
        r'<string name="benchmark_title">.*?</string>',
        "",
        ("resources",),
        "benchmark_title",
    ),
    "manifest attribute": (
        f"app/{MAIN}/AndroidManifest.xml",
        "android:allowBackup",
        "android:allowBackups",
        ("resources",),
        "allowBackups",
    ),
    "preprocessing constant": (
        f"effnetlite/{MAIN}/kotlin/org/effnetlite/Resampling.kt",
        r"(const val BITS = )22",
        r"\g<1>8",
        ("test", "--tests", "PreprocessingParity"),
        "PreprocessingParity",
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_second_build_notices(fault, tmp_path):
    if not (BUILT / "artifacts").is_dir() or not (BUILT / "parity").is_dir():
        pytest.skip("the libraries are not here: run make apk first")
    copy = tmp_path / "android_demo"
    shutil.copytree(DEMO, copy)
    path, old, new, words, expected = FAULTS[fault]
    replace(copy / path, old, new)
    model = next((BUILT / "parity" / "models").glob("*.tflite"))
    done = subprocess.run(
        [sys.executable, CENTRAL / "build.py", "--project", copy, "--out", tmp_path / "out",
         "--artifacts", BUILT, "--model", model, "--parity", BUILT / "parity", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("android: ")
    assert expected in done.stderr
