"""effnet-lite explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from effnet_lite.cli.output import Bar, json_option, print_json, table
from effnet_lite.printable import printable

if TYPE_CHECKING:
    from effnet_lite.benchmark.explain import Explanations


@click.command(
    "explain", epilog="Example: effnet-lite explain float32.tflite int8.tflite cat.jpg dog.png"
)
@click.argument("files", metavar="MODEL... IMAGE...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--class",
    "class_name",
    metavar="NAME|INDEX",
    help="Which class to look for.  [default: each photo's most probable of the first model]",
)
@click.option(
    "-o",
    "--output",
    default="explain",
    show_default=True,
    type=click.Path(),
    metavar="FOLDER",
    help="Where the pictures go, one PNG a photo.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing pictures.")
@click.option("--threads", type=int, help="CPU threads.  [default: all cores]")
@click.option("--labels", type=click.Path(), help="Class names, if the models have none.")
@json_option
def command(
    files: tuple[str, ...], class_name: str | None, output: str, overwrite: bool,
    threads: int | None, labels: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Show which places of each IMAGE speak for its class, MODEL by MODEL.

    A MODEL is a .tflite file; all other files are images. Of several models, float and int8
    say, the maps are drawn side by side and compared with the first one's.
    """
    from effnet_lite.benchmark.explain import explain, split_files

    models, images = split_files(files)
    with Bar() as progress:
        result = explain(
            models, images, class_name, output, overwrite, threads, labels=labels,
            progress=progress,
        )  # fmt: skip
    if as_json:
        print_json(result.to_json())
        return
    _print(result)
    click.echo(f"wrote {len(images)} picture{'s' * (len(images) > 1)} to {output}")


def _print(result: Explanations) -> None:
    from effnet_lite.benchmark.records import labels as short_names

    views = result.results[0].models
    names = [printable(name) for name in short_names([(str(view.model),) for view in views])]
    header = ["photo", "class", *names]
    compared = len(views) > 1
    if compared:
        header.append("correlation" if len(views) == 2 else "lowest correlation")
    rows = []
    for entry in result.results:
        row = [printable(entry.image.name), printable(entry.label)]
        row += [f"{view.class_score:.1%}" for view in entry.models]
        if compared:
            row.append("-" if entry.correlation is None else f"{entry.correlation:.4f}")
        rows.append(row)
    click.echo(table(header, rows))
    for entry in result.results:
        for name, view in zip(names, entry.models, strict=True):
            if not view.agrees:
                click.echo(
                    f"{printable(entry.image.name)}: the top-1 of {name} is "
                    f"{printable(view.label)}, {view.score:.1%}"
                )
    if result.mean_correlation is not None:
        click.echo(f"mean correlation {result.mean_correlation:.4f}")
