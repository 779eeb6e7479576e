"""effnet-lite compare."""

from __future__ import annotations

import click

from effnet_lite.cli.convert import fidelity_lines
from effnet_lite.cli.output import Bar, json_option, print_json, table


@click.command(
    "compare", epilog="Example: effnet-lite compare fp32.tflite int8.tflite --data photos/"
)
@click.argument("float_model", metavar="FLOAT", type=click.Path())
@click.argument("quantized_model", metavar="QUANTIZED", type=click.Path())
@click.option("--data", type=click.Path(), help="A folder of photos.  [default: installed samples]")
@click.option("--count", type=click.IntRange(min=1), help="Use only the first so many photos.")
@click.option("--no-layers", is_flag=True, help="The whole model only.")
@json_option
def command(
    float_model: str, quantized_model: str, data: str | None, count: int | None,
    no_layers: bool, as_json: bool,
) -> None:  # fmt: skip
    """Measure QUANTIZED against FLOAT on the same photos, whole and layer by layer."""
    from effnet_lite.quantize.compare import compare

    with Bar() as progress:
        result = compare(
            float_model, quantized_model, data, count, not no_layers, progress=progress
        )
    if as_json:
        print_json(result.to_json())
        return
    click.echo(fidelity_lines(result.fidelity))
    if result.fidelity.ties:
        click.echo(f"  ties             {result.fidelity.ties} photos have two equal best classes")
    if result.layers:
        click.echo(f"\nthe worst of {len(result.layers)} layers (error accumulated up to there):")
        rows = [[layer.name, layer.kind, f"{layer.sqnr_db:.1f}"] for layer in result.worst()]
        click.echo(table(["layer", "operator", "SQNR dB"], rows))
    elif not no_layers:
        click.echo("\nthe two files' layers cannot be lined up: no figures by layer", err=True)
