"""effnet-lite sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from effnet_lite.cli.output import Bar, json_option, megabytes, names, print_json, table
from effnet_lite.errors import EffnetLiteError, UsageError
from effnet_lite.printable import printable

if TYPE_CHECKING:
    from effnet_lite.benchmark.report import Candidate
    from effnet_lite.benchmark.sweep.sweep import SweepResult

FRONT, NOISY = "*", "~"


def _weights(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for variant, sign, path in pairs:
        if not (variant and sign and path):
            raise UsageError(f"expected --weights VARIANT=FILE, got {variant!r}")
    return {variant: path for variant, _, path in pairs}


@click.command(
    "sweep",
    epilog="Example: effnet-lite sweep --variants lite0,lite1 --recipes fast,best --data photos/",
)
@click.argument("models", metavar="[MODEL...]", nargs=-1, type=click.Path())
@click.option("--variants", callback=names,
              help="With commas.  [default: lite0,lite1,lite2, or none with MODELs]")  # fmt: skip
@click.option("--recipes", callback=names, default="float32,fast,default", show_default=True,
              help="float32, float16, dynamic, int16x8, or recipes for int8.")  # fmt: skip
@click.option("--data", type=click.Path(),
              help="Photos to judge on: with classes (as for evaluate) by accuracy, without by "
              "agreement with float32.  [default: the installed sample photos]")  # fmt: skip
@click.option("-o", "--output", type=click.Path(), default="sweep", show_default=True,
              help="Folder for models, record and page.")  # fmt: skip
@click.option("--calibration", help="As for convert.  [default: samples if installed]")
@click.option("--calibration-count", default=100, show_default=True, help="Photos to calibrate on.")
@click.option("--weights", multiple=True, callback=_weights, metavar="VARIANT=FILE",
              help="Instead of ImageNet's; may be repeated.")  # fmt: skip
@click.option("--labels", type=click.Path(), help="Class names, if the models have others or none.")
@click.option("--limit", type=int, help="Evaluate on so many photos.")
@click.option("--seed", default=0, show_default=True, help="Of shuffles and draws.")
@click.option("--processes", type=int, help="Conversions or evaluations side by side.  "
              "[default: one a core]")  # fmt: skip
@click.option("--threads", default=1, show_default=True, help="CPU threads while timing.")
@click.option("--delegate", default="cpu", show_default=True, help="As for benchmark.")
@click.option("--device", default="host", show_default=True, help="host, adb or adb:SERIAL.")
@click.option("--no-page", is_flag=True, help="Draw no report.")
@click.option("--overwrite", is_flag=True, help="Replace the record of another sweep.")
@json_option
def command(
    models: tuple[str, ...], variants: tuple[str, ...], no_page: bool, as_json: bool, **options: Any
) -> None:
    """Convert variants by recipes, measure them and MODELs, and say which one to ship.

    What the output folder's record has is not done again: a sweep that was ended goes on, and one
    with further variants, recipes or models adds them.
    """
    from effnet_lite.benchmark.sweep.sweep import sweep

    with Bar() as progress:
        result = sweep(
            models, variants=variants or None, page=not no_page, progress=progress, **options
        )
    if as_json:
        print_json(result.to_json())
    else:
        _print(result)
    if result.failures:
        raise EffnetLiteError("not everything was done: " + "; ".join(result.failures))


def _print(result: SweepResult) -> None:
    evidence = result.evidence
    settings = dict.fromkeys(str(one.timing.setting) for one in evidence.candidates if one.timing)
    for setting in settings:
        click.echo(setting)
    kinds = dict.fromkeys(one.quality_kind for one in evidence.candidates if one.quality_kind)
    quality = next(iter(kinds)) if len(kinds) == 1 else "quality"
    header = ["model", "MB", "p50 ms", f"{quality} (95 %)", "same answer as float", "SQNR dB"]
    rows = [_row(one) for one in evidence.candidates]
    click.echo(table(header, rows))
    click.echo(f"{FRONT} on the front: none is better in quality, latency and size at once")
    if any(one.timing and one.timing.noise for one in evidence.candidates):
        click.echo(f"{NOISY} noisy: something disturbed the runs, as the page tells")
    for note in evidence.notes:
        click.echo(f"note: {printable(note)}", err=True)
    click.echo(f"record {result.record}")
    if result.page:
        click.echo(f"wrote {result.page}, {megabytes(result.page.stat().st_size)}")


def _row(one: Candidate) -> list[str]:
    noisy = NOISY if one.timing and one.timing.noise else ""
    quality = "-" if one.quality is None else f"{one.quality:.1%}"
    if one.quality_interval:
        quality += " ({:.1f} to {:.1f})".format(*(100 * end for end in one.quality_interval))
    fidelity = one.fidelity
    return [
        f"{FRONT if one.on_front else ' '} {printable(one.name)}",
        "-" if one.bytes is None else f"{one.bytes / 1e6:.2f}",
        "-" if one.p50_ms is None else f"{noisy}{one.p50_ms:.2f}",
        quality,
        f"{one.agreement[0]:.1%}" if one.agreement else "-",
        f"{fidelity.sqnr_db:.1f}" if fidelity and fidelity.sqnr_db is not None else "-",
    ]
