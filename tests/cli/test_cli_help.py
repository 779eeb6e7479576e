"""--help: complete, exemplary, and light."""

import subprocess
import sys

import pytest

from effnet_lite import __version__
from effnet_lite.cli import COMMANDS


def test_help_lists_every_command(cli):
    for flag in ("--help", "-h"):
        answer = cli(flag)
        assert answer.code == 0
        for name, text in COMMANDS.items():
            assert name in answer.out
            assert text in answer.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_parses(cli, name):
    answer = cli(name, "--help")
    assert answer.code == 0
    example = answer.out.partition("Example: effnet-lite ")[2].split()
    assert example[0] == name
    # Parsed, not run: every option of the example exists.
    import click

    from effnet_lite.cli import main

    context = click.Context(main)
    main.get_command(context, name).make_context(name, example[1:], parent=context)


def test_version(cli):
    answer = cli("--version")
    assert (answer.code, answer.out.strip()) == (0, f"effnet-lite, version {__version__}")


def loaded_by(*arguments):
    """Modules that the command loads in a fresh process, and its exit code."""
    code = (
        "import sys\n"
        "from effnet_lite.cli import main\n"
        "try:\n"
        "    main.main(sys.argv[1:], prog_name='effnet-lite')\n"
        "except SystemExit as stop:\n"
        "    print(stop.code, *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    code, *modules = printed.stdout.splitlines()[-1].split()
    return int(code), set(modules)


HEAVY = {"tensorflow", "tf_keras", "keras", "h5py", "safetensors"}


def test_help_is_light():
    code, modules = loaded_by("--help")
    assert code == 0
    assert not modules & (HEAVY | {"numpy", "PIL", "ai_edge_litert"})


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_is_light(name):
    code, modules = loaded_by(name, "--help")
    assert code == 0
    assert not modules & (HEAVY | {"numpy", "PIL", "ai_edge_litert"})


def test_variants_need_no_numpy():
    code, modules = loaded_by("variants")
    assert code == 0
    assert not modules & (HEAVY | {"numpy"})


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_using_a_model_never_imports_tensorflow(converted, photo, precision):
    model = converted(precision).output
    for arguments in (
        ("classify", model, photo),
        ("inspect", model),
        ("benchmark", model, "--runs", 1, "--min-seconds", 0),
        ("compare", model, model, "--data", photo.parent, "--count", 1),
    ):
        code, modules = loaded_by(*arguments)
        assert code == 0
        assert "ai_edge_litert" in modules or arguments[0] == "inspect"
        assert not modules & HEAVY


def test_an_unknown_command_suggests_the_nearest(cli):
    answer = cli("clasify")
    assert answer.code == 2
    assert "did you mean 'classify'?" in answer.err
    assert cli("xyzzy").code == 2


def test_no_command_shows_the_help(cli):
    answer = cli()
    assert answer.code in (0, 2)
    assert "convert" in answer.out + answer.err
