"""effnet-lite compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from effnet_lite.cli.convert import fidelity_lines
from effnet_lite.cli.output import Bar, json_option, print_json, table
from effnet_lite.errors import InputError, UsageError

if TYPE_CHECKING:
    from effnet_lite.quantize.compare import Comparison
    from effnet_lite.quantize.layer_errors import LayerError

WORST = 10


@click.command(
    "compare", epilog="Example: effnet-lite compare fp32.tflite int8.tflite --data photos/"
)
@click.argument("float_model", metavar="FLOAT", type=click.Path())
@click.argument("quantized_model", metavar="QUANTIZED", type=click.Path())
@click.option("--data", type=click.Path(), help="A folder of photos.  [default: installed samples]")
@click.option("--count", type=click.IntRange(min=1), help="Use only the first so many photos.")
@click.option("--no-layers", is_flag=True, help="The whole model only.")
@click.option("--all-layers", is_flag=True, help=f"Every layer, not only the {WORST} worst.")
@click.option(
    "--plot",
    type=click.Path(),
    metavar="FILE",
    help="Draw the layers into a .png, .svg or .pdf file.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing picture.")
@json_option
def command(
    float_model: str, quantized_model: str, data: str | None, count: int | None,
    no_layers: bool, all_layers: bool, plot: str | None, overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Measure QUANTIZED against FLOAT on the same photos, whole and layer by layer."""
    for flag, given in (("--all-layers", all_layers), ("--plot", plot)):
        if no_layers and given:
            raise UsageError(f"--no-layers and {flag} contradict each other; give one of them")
    from effnet_lite.pictures import check_picture
    from effnet_lite.quantize.compare import compare
    from effnet_lite.quantize.compare_plot import draw

    if plot:
        check_picture(plot, overwrite)
    with Bar() as progress:
        result = compare(
            float_model, quantized_model, data, count, not no_layers, progress=progress
        )
    if as_json:
        print_json(result.to_json())
    else:
        _print(result, all_layers)
    if not (result.layers or no_layers):
        message = "the two files' layers cannot be lined up: no figures by layer"
        if plot:
            raise InputError(f"{message}, and no {plot}; leave --plot out")
        click.echo(message, err=True)
    if plot:
        files = (Path(name).name for name in (quantized_model, float_model))
        names = (name.encode("utf-8", "replace").decode() for name in files)
        draw(result, plot, overwrite, title=" against ".join(names))
        if not as_json:
            click.echo(f"wrote {plot}")


def _print(result: Comparison, all_layers: bool) -> None:
    click.echo(fidelity_lines(result.fidelity))
    click.echo(f"  ties             {result.fidelity.ties} photos with two equal best classes")
    if not result.layers:
        return
    if all_layers:
        click.echo(f"\nthe {len(result.layers)} layers in execution order:")
    else:
        click.echo(f"\nthe worst of {len(result.layers)} layers:")
    layers = result.layers if all_layers else result.worst(WORST)
    click.echo(_layer_table(layers))
    click.echo(
        "\nSQNR in dB: accumulated up to there, of this activation stored in its range alone,"
        "\nof the weights. Saturated: integers at a limit that the float value lies beyond."
    )
    if any(layer.rescaled for layer in layers):
        click.echo(
            "* the file stores this tensor's channels rescaled or mixed (stages stem, rotate,"
            "\n  equalize, balance); compared after undoing it, without which the figures mean"
            "\n  nothing."
        )
    drop = result.largest_drop()
    if drop:
        before, after = drop
        click.echo(
            f"\nthe accumulated SQNR drops most after {before.name}: from {before.sqnr_db:.1f} "
            f"to {after.sqnr_db:.1f} dB at {after.name}"
        )


def _layer_table(layers: tuple[LayerError, ...] | list[LayerError]) -> str:
    rows = [
        [
            layer.name + "*" * layer.rescaled,
            layer.kind,
            _figure(layer.sqnr_db),
            _figure(layer.activation_sqnr_db),
            _figure(layer.weights_sqnr_db),
            _share(layer.saturation.share) if layer.saturation else "-",
        ]
        for layer in layers
    ]
    return table(["layer", "operator", "accumulated", "activation", "weights", "saturated"], rows)


def _figure(decibels: float | None) -> str:
    return "-" if decibels is None else f"{decibels:.1f}"


def _share(share: float) -> str:
    return f"{share:.4%}" if share else "0%"
