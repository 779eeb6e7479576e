"""effnet-lite doctor."""

from __future__ import annotations

import click

from effnet_lite.cli.output import json_option, print_json


@click.command("doctor", epilog="Example: effnet-lite doctor")
@json_option
def command(as_json: bool) -> None:
    """Say what is installed, what works, and what to install for the rest.

    Exits 1 if the base install does not work.
    """
    from effnet_lite.benchmark.doctor import doctor

    diagnosis = doctor()
    if as_json:
        print_json(diagnosis.to_json())
    else:
        for check in diagnosis.checks:
            click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<30} {check.found}")
        for check in diagnosis.optional:
            click.echo(f"{'ok  ' if check.ok else '-   '}  {check.name:<30} {check.found}")
    if not diagnosis.ok:
        raise SystemExit(1)
