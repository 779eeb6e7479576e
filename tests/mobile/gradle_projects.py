"""Minimal Gradle projects, as Android Studio makes them and as people write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CATALOGUE = """\
[versions]
agp = "9.0.0"   # Android's plugin

[libraries]
core = { group = "androidx.core", name = "core-ktx", version = "1.17.0" }

[plugins]
android-application = { id = "com.android.application", version.ref = "agp" }
android_lib = "com.android.library:9.0.0"
kotlin-jvm = { id = "org.jetbrains.kotlin.jvm", version = "2.2.0" }
"""

#: name → the files of a project with one application, :app, and what else there may be
PROJECTS: dict[str, dict[str, str]] = {
    "kotlin": {
        "settings.gradle.kts": """\
            pluginManagement { repositories { google(); mavenCentral() } }
            rootProject.name = "Demo"
            // include(":old")
            include(":app")
            includeBuild("build-logic")
            """,
        "build.gradle.kts": """\
            plugins {
                id("com.android.application") version "9.0.0" apply false
                id("com.android.library") version "9.0.0" apply false
            }
            """,
        "app/build.gradle.kts": """\
            plugins {
                id("com.android.application")
            }
            android { namespace = "com.example" }
            """,
    },
    "kotlin and catalogue": {
        "settings.gradle.kts": 'include(":app", ":core:ui")\n',
        "gradle/libs.versions.toml": CATALOGUE,
        "build.gradle.kts": "plugins { alias(libs.plugins.android.application) apply false }\n",
        "app/build.gradle.kts": """\
            plugins {
                alias(libs.plugins.android.application)
            }
            """,
        "core/ui/build.gradle.kts": "plugins { alias(libs.plugins.android.lib) }\n",
    },
    "groovy": {
        "settings.gradle": "/* include ':old' */\nrootProject.name = 'x'\ninclude ':app'\n",
        "build.gradle": "plugins { id 'com.android.application' version '9.0.0' apply false }\n",
        "app/build.gradle": """\
            plugins {
                id 'com.android.application'
            }
            def site = "https://example.com" // a comment
            """,
    },
    "groovy and catalogue": {
        "settings.gradle": "include ':app',\n        ':data'\n",
        "gradle/libs.versions.toml": CATALOGUE,
        "app/build.gradle": "plugins { alias libs.plugins.android.application }\n",
        "data/build.gradle": "plugins { alias(libs.plugins.kotlin.jvm) }\n",
    },
    "groovy of old": {
        "settings.gradle": "include ':app'\n",
        "build.gradle": "buildscript { repositories { google() } }\n",
        "app/build.gradle": "apply plugin: 'com.android.application'\nandroid { }\n",
    },
    "another folder": {
        "settings.gradle.kts": """\
            include(":app")
            project(":app").projectDir = file("mobile/phone app")
            """,
        "mobile/phone app/build.gradle.kts": 'plugins { id("com.android.application") }\n',
    },
    "plugins of its own": {
        "settings.gradle.kts": 'include(":app")\ninclude(":core")\n',
        "app/build.gradle.kts": "plugins { alias(libs.plugins.shop.android.application) }\n",
        "core/build.gradle.kts": 'plugins { id("shop.android.library") }\n',
    },
    "computed modules": {
        "settings.gradle.kts": 'listOf("app", "core").forEach { include(":$it") }\n',
        "app/build.gradle.kts": 'plugins { id("com.android.application") }\n',
        "core/build.gradle.kts": 'plugins { id("com.android.library") }\n',
        "build/app/build.gradle.kts": 'plugins { id("com.android.application") }\n',
    },
}

#: Where :app is, but for one of them.
FOLDERS = {"another folder": "mobile/phone app"}


def write_project(root: Path, files: Mapping[str, str]) -> Path:
    """Write the files, indented or not; returns the root."""
    import textwrap

    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
    return root
