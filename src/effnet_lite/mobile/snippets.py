"""What a user pastes into their project so that it uses the model."""

from __future__ import annotations

import dataclasses
import re

from effnet_lite.mobile.build_scripts import included_modules, read_script
from effnet_lite.mobile.gradle import DEMO, LIBRARY, Module, Project
from effnet_lite.mobile.suitability import MobileModel

_NAME = LIBRARY[1:]
_DEPENDS = re.compile(
    rf"""\bproject\s*\(\s*(?:path\s*[:=]\s*)?["']{LIBRARY}["']|\bprojects\.{_NAME}\b"""
)
_STORES_TFLITE = re.compile(r"""\bnoCompress\b[^\n]*["']\.?tflite["']""")
_ASSET_FOLDERS = re.compile(r"\bassets\s*\.?\s*(?:\{\s*)?(?:setSrcDirs|srcDirs)\b")


@dataclasses.dataclass(frozen=True)
class Snippet:
    """Lines to paste.

    Attributes:
        where: A file, relative to the project's root, or "Kotlin".
        text: The lines.
        why: A remark; may be empty.
    """

    where: str
    text: str
    why: str = ""


def snippets(
    project: Project, module: Module, asset: str, model: MobileModel
) -> tuple[Snippet, ...]:
    """What the project lacks to use an asset, and the code that does; in the order of pasting."""
    script = read_script(module.build_file)
    found = []
    if not _DEPENDS.search(script) and module.path != LIBRARY:
        if project.settings and LIBRARY not in included_modules(read_script(project.settings)):
            found.append(_include(project))
        found.append(_dependency(project, module))
    if not _STORES_TFLITE.search(script):
        found.append(_stored(project, module))
    return (*found, Snippet("Kotlin", _kotlin(asset, model)))


def about_assets(module: Module) -> str:
    """A warning where the build script says where assets are; empty where it does not."""
    if not _ASSET_FOLDERS.search(read_script(module.build_file)):
        return ""
    return (
        f"{module.build_file.name} sets the folders of the assets itself: see that src/main/assets "
        "is one of them"
    )


def _include(project: Project) -> Snippet:
    kotlin = project.settings is not None and project.settings.suffix == ".kts"
    return Snippet(
        project.settings.name if project.settings else "settings.gradle.kts",
        f'include("{LIBRARY}")' if kotlin else f"include '{LIBRARY}'",
        f"first copy the folder {DEMO}/{_NAME} of effnet-lite's repository into the project, and "
        f"from {DEMO}/gradle/libs.versions.toml what its build script names",
    )


def _dependency(project: Project, module: Module) -> Snippet:
    call = f'implementation(project("{LIBRARY}"))'
    if not module.kotlin:
        call = f"implementation project('{LIBRARY}')"
    return Snippet(_script(project, module), f"dependencies {{\n    {call}\n}}")


def _stored(project: Project, module: Module) -> Snippet:
    line = 'noCompress += "tflite"' if module.kotlin else "noCompress 'tflite'"
    text = f"android {{\n    androidResources {{\n        {line}\n    }}\n}}"
    return Snippet(
        _script(project, module), text,
        "so that the app maps the model from the APK; Android's plugin does so by itself since 4.1",
    )  # fmt: skip


def _script(project: Project, module: Module) -> str:
    return module.build_file.relative_to(project.root).as_posix()


def _kotlin(asset: str, model: MobileModel) -> str:
    names = ["EffNetLite"] if model.normalized else ["EffNetLite", "Normalization", "Options"]
    options = "" if model.normalized else ", Options(normalization = Normalization(127f, 128f))"
    lines = [f"import org.effnetlite.{name}" for name in names]
    lines.append("")
    lines.append(f'val model = EffNetLite.create(context, "{asset}"{options})')
    if model.activation_map:
        lines.append("val result = model.run(bitmap, rotationDegrees = 0)")
        lines.append("val best = result.categories.first()  // and result.map: where it looked")
    else:
        lines.append("val best = model.classify(bitmap, rotationDegrees = 0).first()")
    lines.append('println("${best.label}: ${best.score}")')
    lines.append("model.close()")
    return "\n".join(lines)
