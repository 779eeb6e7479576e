"""Finding the modules of Gradle projects, whoever wrote them."""

from __future__ import annotations

import os

import pytest
from gradle_projects import CATALOGUE, FOLDERS, PROJECTS, write_project

from effnet_lite.errors import InputError, UsageError
from effnet_lite.mobile.build_scripts import (
    included_modules,
    module_path,
    plugin_ids,
    read_catalogues,
    read_script,
)
from effnet_lite.mobile.gradle import choose_module, find_project

APPLICATION = 'plugins { id("com.android.application") }\n'
LIBRARY = 'plugins { id("com.android.library") }\n'


@pytest.mark.parametrize("name", PROJECTS)
def test_the_application_is_found(tmp_path, name):
    root = write_project(tmp_path / "a project", PROJECTS[name])
    project = find_project(root)
    module = choose_module(project)
    folder = root / FOLDERS.get(name, "app")
    assert (module.path, module.folder, module.kind) == (":app", folder.resolve(), "application")
    assert module.build_file.parent == folder
    assert module.kotlin == (module.build_file.name == "build.gradle.kts")
    assert project.settings is not None
    assert not project.is_demo


@pytest.mark.parametrize("name", PROJECTS)
def test_a_modules_folder_names_the_module(tmp_path, name):
    root = write_project(tmp_path, PROJECTS[name])
    project = find_project(root / FOLDERS.get(name, "app"))
    assert project.root == root.resolve()
    assert choose_module(project).path == ":app"


@pytest.mark.parametrize("given", ["core:ui", ":core:ui", "core/ui"])
def test_a_module_by_name(tmp_path, given):
    root = write_project(tmp_path, PROJECTS["kotlin and catalogue"])
    module = choose_module(find_project(root), given)
    assert (module.path, module.kind) == (":core:ui", "library")
    assert choose_module(find_project(root / "app"), given).path == ":core:ui"


def test_a_module_that_settings_compute(tmp_path):
    files = {
        "settings.gradle.kts": 'include(":app")\nextra.forEach { include(":features:$it") }\n',
        "app/build.gradle.kts": APPLICATION,
        "features/camera/build.gradle.kts": LIBRARY,
    }
    root = write_project(tmp_path, files)
    assert choose_module(find_project(root), "features:camera").path == ":features:camera"
    lone = find_project(root / "features" / "camera")  # of which nothing above speaks
    assert lone.root == root / "features" / "camera"


def test_several_applications(tmp_path):
    files = {
        "settings.gradle": "include ':phone', ':watch'\n",
        "phone/build.gradle": "apply plugin: 'com.android.application'",
        "watch/build.gradle.kts": APPLICATION,
    }
    project = find_project(write_project(tmp_path, files))
    with pytest.raises(UsageError, match=r"2 application modules: :phone, :watch.*--module"):
        choose_module(project)
    assert choose_module(project, "watch").path == ":watch"
    assert choose_module(find_project(tmp_path / "phone")).path == ":phone"
    with pytest.raises(InputError, match=r"no Android module 'tv'; found: :phone, :watch"):
        choose_module(project, "tv")


def test_a_project_of_one_library(tmp_path):
    files = {"settings.gradle.kts": 'include("sdk")', "sdk/build.gradle.kts": LIBRARY}
    assert choose_module(find_project(write_project(tmp_path, files))).path == ":sdk"


def test_the_root_may_be_the_module(tmp_path):
    files = {"settings.gradle": "", "build.gradle": "apply plugin: 'com.android.application'"}
    module = choose_module(find_project(write_project(tmp_path, files)))
    assert (module.path, module.folder) == (":", tmp_path.resolve())


def test_a_module_without_settings(tmp_path):
    write_project(tmp_path, {"build.gradle.kts": APPLICATION})
    project = find_project(tmp_path)
    assert (project.settings, choose_module(project).path) == (None, ":")


def test_no_android(tmp_path):
    files = {
        "settings.gradle": "include ':cli'\n",
        "build.gradle": "plugins { id('com.android.application') apply(false) }",
        "cli/build.gradle": "plugins { id 'org.jetbrains.kotlin.jvm' }",
    }
    root = write_project(tmp_path, files)
    with pytest.raises(InputError, match="no module with the plugin"):
        choose_module(find_project(root))
    with pytest.raises(InputError, match="no Android module"):
        find_project(root / "cli")


def test_no_project(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="does not exist"):
        find_project(tmp_path / "missing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        find_project(tmp_path / "file")
    with pytest.raises(InputError, match="no Gradle project"):
        find_project(tmp_path)
    with pytest.raises(InputError):
        find_project("a\0b")
    flutter = write_project(tmp_path / "flutter", {"android/settings.gradle": ""})
    with pytest.raises(InputError, match=r"there is one in .*android"):
        find_project(flutter)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"\./android_demo; say by --project") as error:
        find_project()
    assert "--project ." not in str(error.value)
    write_project(tmp_path, {"settings.gradle": ""})
    with pytest.raises(InputError, match=r"--project \. is the one here"):
        find_project()


def test_the_demo_is_the_default(tmp_path, monkeypatch):
    files = {
        "settings.gradle.kts": 'include(":effnetlite", ":app")\n',
        "gradle/libs.versions.toml": CATALOGUE,
        "effnetlite/build.gradle.kts": "plugins { alias(libs.plugins.android.lib) }",
        "app/build.gradle.kts": "plugins { alias(libs.plugins.android.application) }",
        "app/src/main/kotlin/org/effnetlite/demo/App.kt": "package org.effnetlite.demo\n",
    }
    write_project(tmp_path / "android_demo", files)
    monkeypatch.chdir(tmp_path)
    project = find_project()
    assert project.is_demo
    assert choose_module(project).path == ":app"


def test_the_demo_of_this_repository(root):
    if not (root / "android_demo" / "settings.gradle.kts").is_file():
        pytest.skip("no android_demo/ in this checkout")
    project = find_project(root / "android_demo")
    assert project.is_demo
    assert choose_module(project).path == ":app"


def test_a_folder_that_leads_to_the_project(tmp_path):
    root = write_project(tmp_path / "real", PROJECTS["kotlin"])
    link = tmp_path / "link"
    try:
        link.symlink_to(root)
    except OSError:
        pytest.skip("no symbolic links here")
    assert find_project(link).root == root.resolve()
    ring = tmp_path / "ring"
    ring.symlink_to(ring)
    with pytest.raises(InputError):
        find_project(ring)


def test_module_paths():
    for name in ("app", ":app", "./app", "app/", " app "):
        assert module_path(name) == ":app"
    assert module_path("") == ":"


def test_includes():
    text = """
        include ':a', ":b:c"
        include("d"); include(":e",
            ":f")
        includeGroup(":g")
        notInclude.include(":h")
        include(":$name", ":")
        project(':a').projectDir = new File(settingsDir, '../x/a')
        project(":d").projectDir = file("$rootDir/y/d")
    """
    folders = included_modules(text)
    assert folders == {":a": "../x/a", ":b:c": "b/c", ":d": "y/d", ":e": "e", ":f": "f"}


def test_comments_are_no_code(tmp_path):
    path = tmp_path / "build.gradle"
    path.write_bytes(
        b'a "http://x" // gone\n/* gone\n gone */ b \'/*\' c \'\\\'//\' \xff\n"""//\n"""\n/* gone'
    )
    text = read_script(path)
    assert "gone" not in text
    for kept in ('"http://x"', "'/*'", "'\\'//'", '"""//\n"""'):
        assert kept in text


def test_plugins(tmp_path):
    tools = "[plugins]\nx = { id = 'my.x' }"
    files = {"gradle/libs.versions.toml": CATALOGUE, "gradle/tools.versions.toml": tools}
    write_project(tmp_path, files)
    catalogues = read_catalogues(tmp_path)
    script = """
        plugins {
            id("a"); id 'b' version '1' apply false
            alias(libs.plugins.android.application)
            alias(libs.plugins.kotlin.jvm) apply false
            alias(tools.plugins.x)
            id(libs.plugins.android.lib.get().pluginId)
        }
        apply plugin: 'c'
        apply(plugin = "d")
        pluginManager.apply("e")
    """
    expected = {"a", "c", "d", "e", "com.android.application", "my.x", "com.android.library"}
    assert plugin_ids(script, catalogues) == expected


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read")
def test_a_script_that_may_not_be_read(tmp_path):
    root = write_project(tmp_path, PROJECTS["kotlin"])
    (root / "settings.gradle.kts").chmod(0)
    with pytest.raises(InputError, match="cannot read"):
        find_project(root)
