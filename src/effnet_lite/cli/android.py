"""effnet-lite android."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from effnet_lite.cli.output import json_option, megabytes, print_json
from effnet_lite.printable import printable

if TYPE_CHECKING:
    from effnet_lite.mobile.android import AndroidAsset
    from effnet_lite.mobile.snippets import Snippet


@click.command("android", epilog="Example: effnet-lite android int8.tflite --project ~/MyApp")
@click.argument("model", type=click.Path())
@click.option(
    "--project",
    type=click.Path(),
    metavar="DIR",
    help="A Gradle project, or a module's folder.  [default: ./android_demo]",
)
@click.option("--module", metavar="NAME", help="Which module.  [default: the only application]")
@click.option("--name", help="Of the files in the assets.  [default: the model's]")
@click.option("--activation-map", is_flag=True, help="Let the app draw where the model looks.")
@click.option("--labels", type=click.Path(), help="Class names, if the model has none.")
@click.option("--newer-runtime", is_flag=True, help="The app's runtime knows newer operators.")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@json_option
def command(model: str, as_json: bool, **options: Any) -> None:
    """Put MODEL, its labels and its golden check into the assets of an Android project.

    Checks first that the model suits a phone and that it still computes what it did when it was
    made. Writes into src/main/assets of one module, nowhere else, and prints the lines to paste.
    """
    from effnet_lite.mobile.android import android

    result = android(model, **options)
    if as_json:
        print_json(result.to_json())
        return
    for warning in result.warnings:
        click.echo(f"note: {printable(warning)}", err=True)
    _print(result)


def _print(result: AndroidAsset) -> None:
    kind = " ".join(filter(None, (result.variant, result.precision))) or "a model of another tool"
    names = f"{result.classes} classes" + ("" if result.labels else " without names")
    outputs = ", activation map" if result.activation_map else ""
    click.echo(
        f"{printable(result.model.name)}: {kind}, {megabytes(result.bytes)}, {result.input_type} "
        f"input of {result.size} x {result.size}, {names}{outputs}"
    )
    if result.golden:
        click.echo(f"golden check passed, {result.golden.max_difference_steps:.1f} steps off")
    for path in result.files:
        click.echo(f"wrote {_short(path)}")
    if result.is_demo:
        click.echo("\nnext: open the project in Android Studio and run the module app")
    where = ""
    for snippet in result.paste:
        click.echo()
        if snippet.where != where:
            click.echo(f"{printable(snippet.where)}:")
        where = snippet.where
        _print_snippet(snippet)


def _print_snippet(snippet: Snippet) -> None:
    if snippet.why:
        click.echo(textwrap.fill(f"({snippet.why})", 98, initial_indent="  ",
                                 subsequent_indent="  ", break_on_hyphens=False))  # fmt: skip
    click.echo(textwrap.indent(snippet.text, "    "))


def _short(path: Path) -> str:
    """As seen from here, where it is below."""
    here = Path.cwd()
    return printable(str(path.relative_to(here) if path.is_relative_to(here) else path))
