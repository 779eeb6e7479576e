"""What setup.cfg says against what is on disk, and the README against the command line."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path

import click
import pytest

from effnet_lite.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def config() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def package_dir(config: configparser.ConfigParser) -> dict[str, str]:
    lines = config["options"]["package_dir"].strip().splitlines()
    pairs = (line.partition("=") for line in lines)
    return {name.strip(): folder.strip() for name, _, folder in pairs}


def test_every_package_on_disk_is_listed(config):
    """A forgotten one works in an editable install and is missing from the wheel."""
    on_disk = {
        ".".join((name, *path.parent.relative_to(ROOT / folder).parts))
        for name, folder in package_dir(config).items()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert set(config["options"]["packages"].split()) == on_disk


def test_every_data_file_is_listed(config):
    listed = {
        path.relative_to(ROOT)
        for package, patterns in config["options.package_data"].items()
        for pattern in patterns.split()
        for path in folder_of(package, config).glob(pattern)
    }
    on_disk = {
        path.relative_to(ROOT)
        for folder in package_dir(config).values()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "scripts" not in path.parts
        and not any(part.endswith(".egg-info") for part in path.parts)
    }  # fmt: skip
    assert listed == on_disk


def folder_of(package: str, config: configparser.ConfigParser) -> Path:
    folders = package_dir(config)
    name = max((name for name in folders if f"{package}.".startswith(f"{name}.")), key=len)
    return ROOT / folders[name] / package.removeprefix(name).strip(".").replace(".", "/")


def code_blocks(text: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_readme_begins_with_the_two_commands():
    commands = [line.partition("#")[0].strip() for line in code_blocks(README)[0].splitlines()]
    assert commands == ["make demo", "make test"]


def readme_commands() -> list[str]:
    lines = "\n".join(code_blocks(README)).replace("\\\n", " ").splitlines()
    calls = (line.removeprefix("$ ") for line in lines)
    return [line.partition("|")[0] for line in calls if line.startswith("effnet-lite ")]


@pytest.mark.parametrize("line", readme_commands())
def test_the_readme_calls_commands_that_exist(line):
    """Parsed by click, not run."""
    name, *arguments = shlex.split(line, comments=True)[1:]
    context = click.Context(main)
    command = main.get_command(context, name)
    assert command is not None
    command.make_context(name, arguments, parent=context)


def test_the_readme_shows_every_command():
    shown = {shlex.split(line)[1] for line in readme_commands()}
    assert shown == set(COMMANDS)


def test_the_readme_names_every_extra(config):
    named = set(re.findall(r"\[([\w-]+)\]'", README))
    assert named == set(config["options.extras_require"])
