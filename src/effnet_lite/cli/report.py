"""effnet-lite report."""

from __future__ import annotations

import click

from effnet_lite.cli.output import json_option, print_json

MOST = 300  # letters of a note, which may name files


@click.command("report", epilog="Example: effnet-lite report sweep/sweep.jsonl -o report.html")
@click.argument("records", nargs=-1, required=True, type=click.Path(), metavar="RECORD...")
@click.option("-o", "--output", default="report.html", show_default=True, type=click.Path(),
              help="The page.")  # fmt: skip
@click.option("--title", help="Heading of the page.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@json_option
def command(
    records: tuple[str, ...], output: str, title: str | None, overwrite: bool, as_json: bool
) -> None:
    """Make one HTML page of RECORDs: sweeps, and what other commands print with --json."""
    from effnet_lite.benchmark.report import report
    from effnet_lite.benchmark.report.text import short

    result = report(records, output, title, overwrite)
    if as_json:
        print_json(result.to_json())
        return
    for note in result.notes:
        click.echo(f"note: {short(note, MOST)}", err=True)
    count = len(result.candidates)
    click.echo(f"wrote {output}: {count} model{'s' * (count != 1)}, {result.bytes / 1e6:.1f} MB")
    if result.front:
        click.echo("on the front: " + ", ".join(map(short, result.front)))
