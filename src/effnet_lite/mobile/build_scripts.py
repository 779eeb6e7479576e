"""What Gradle's scripts and version catalogues say, read as text.

Only Gradle can run a script. What is asked of one here (modules, plugins, whether a line is
there) is written the same way in nearly every project; what is computed is not found, and then
the user says it by ``--project`` and ``--module``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from effnet_lite.errors import InputError

#: accessor (``libs``) → plugin alias as accessors spell it (``android.application``) → plugin id
Catalogues = Mapping[str, Mapping[str, str]]

_STRINGS_AND_COMMENTS = re.compile(
    r'"""[\s\S]*?"""'
    r"|'''[\s\S]*?'''"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*'"
    r"|/\*[\s\S]*?(?:\*/|\Z)"
    r"|//[^\n]*"
)
_STRING = r"""["']([^"'\n]*)["']"""
_INCLUDE = re.compile(r"""(?<![\w.])include\b\s*\(?((?:[\s,]*(?:"[^"\n]*"|'[^'\n]*'))+)""")
_PROJECT_DIR = re.compile(
    rf"\bproject\s*\(\s*{_STRING}\s*\)\s*\.\s*projectDir\s*=\s*(?:new\s+)?[fF]ile\s*\(\s*"
    rf"(?:(?:rootDir|settingsDir|rootProject\.projectDir)\s*,\s*)?{_STRING}"
)
_ROOT_DIR = re.compile(r"^\$(?:rootDir|settingsDir|\{(?:rootDir|settingsDir)\})/")
_PLUGIN_ID = re.compile(rf"\bid\s*\(?\s*{_STRING}([^\n;}}]*)")
_PLUGIN_ALIAS = re.compile(r"\b([A-Za-z]\w*)\.plugins\.([A-Za-z][\w.]*)([^\n;}]*)")
_PLUGIN_APPLIED = re.compile(
    rf"\b(?:apply\s*\(?\s*plugin\s*[:=]|(?:plugins|pluginManager)\s*\.\s*apply\s*\(?)\s*{_STRING}"
)
_NOT_APPLIED = re.compile(r"\bapply\s*\(?\s*false\b")
_CATALOGUE_ENTRY = re.compile(r"""^\s*["']?([A-Za-z][\w.-]*)["']?\s*=\s*(.*)$""")
_CATALOGUE_ID = re.compile(rf"\bid\s*=\s*{_STRING}")


def read_script(path: Path) -> str:
    """A script's text without its comments.

    Raises:
        InputError: It cannot be read.
    """
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    return _STRINGS_AND_COMMENTS.sub(lambda found: _unless_comment(found.group()), text)


def included_modules(settings: str) -> dict[str, str]:
    """Module paths (``:feature:camera``) of a settings script, with the folder of each.

    Folders are relative to the project's; names that the script computes are left out.
    """
    folders = {}
    for call in _INCLUDE.finditer(settings):
        for name in re.findall(_STRING, call.group(1)):
            if name.strip(":") and "$" not in name:
                folders[module_path(name)] = module_path(name)[1:].replace(":", "/")
    for name, folder in _PROJECT_DIR.findall(settings):
        folder = _ROOT_DIR.sub("", folder)  # noqa: PLW2901
        if module_path(name) in folders and "$" not in folder:
            folders[module_path(name)] = folder
    return folders


def module_path(name: str) -> str:
    """``app``, ``:app`` and ``feature/camera`` as Gradle writes them: ``:feature:camera``."""
    parts = filter(None, re.split(r"[:/\\]+", name.strip()))
    return ":" + ":".join(part for part in parts if part != ".")


def plugin_ids(script: str, catalogues: Catalogues) -> set[str]:
    """The plugins that a build script applies.

    An alias that no catalogue knows stands for itself (``android.application``): by custom
    aliases are named after their plugins.
    """
    ids = set(_PLUGIN_APPLIED.findall(script))
    ids.update(name for name, rest in _PLUGIN_ID.findall(script) if not _NOT_APPLIED.search(rest))
    for catalogue, alias, rest in _PLUGIN_ALIAS.findall(script):
        if not _NOT_APPLIED.search(rest):
            name = _accessor(alias.removesuffix(".get"))
            ids.add(catalogues.get(catalogue, {}).get(name, name))
    return ids


def read_catalogues(root: Path) -> dict[str, dict[str, str]]:
    """The plugins of ``gradle/*.versions.toml``, by the name that build scripts use.

    Read line by line, as Python 3.10 has no TOML reader.
    """
    found = {}
    for path in sorted((root / "gradle").glob("*.versions.toml")):
        plugins, section = {}, ""
        for line in _catalogue_lines(path):
            if line.startswith("["):
                section = line.strip("[] ")
            entry = _CATALOGUE_ENTRY.match(line)
            if section != "plugins" or entry is None:
                continue
            alias, value = entry.groups()
            by_key = _CATALOGUE_ID.search(value)
            plugin = by_key.group(1) if by_key else value.strip("\"' ").partition(":")[0]
            plugins[_accessor(alias)] = plugin
        found[path.name.partition(".")[0]] = plugins
    return found


def _catalogue_lines(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    return [line.partition("#")[0].strip() for line in text.splitlines()]


def _accessor(alias: str) -> str:
    return re.sub(r"[-_.]+", ".", alias)


def _unless_comment(token: str) -> str:
    return " " if token.startswith("/") else token
