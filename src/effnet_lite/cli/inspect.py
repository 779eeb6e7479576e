"""effnet-lite inspect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from effnet_lite.cli.convert import calibration_text
from effnet_lite.cli.output import json_option, megabytes, print_json, table

if TYPE_CHECKING:
    from effnet_lite.benchmark.inspection import Inspection, TensorSummary


@click.command("inspect", epilog="Example: effnet-lite inspect model.tflite --layers")
@click.argument("model", type=click.Path())
@click.option("--layers", is_flag=True, help="One line an operator.")
@json_option
def command(model: str, layers: bool, as_json: bool) -> None:
    """Show inputs, outputs, scales, operators, bytes, MACs and description of MODEL."""
    from effnet_lite.benchmark.inspection import inspect

    result = inspect(model)
    if as_json:
        print_json(result.to_json())
        return
    _print(model, result)
    if layers:
        rows = [
            [layer.name, layer.kind, "x".join(map(str, layer.shape)), layer.dtype,
             f"{layer.bytes:,}", f"{layer.madds / 1e6:.2f}"]
            for layer in result.layers
        ]  # fmt: skip
        click.echo()
        click.echo(table(["layer", "operator", "output", "type", "bytes", "MMAdds"], rows))


def _print(model: str, result: Inspection) -> None:
    click.echo(f"{model}: {megabytes(result.bytes)}, sha256 {result.sha256}")
    for name, tensors in (("input", result.inputs), ("output", result.outputs)):
        for tensor in tensors:
            click.echo(f"{name:<12} {_tensor(tensor)}")
    click.echo(f"{'operators':<12} {sum(result.ops.values())}: " + ", ".join(
        f"{count} {kind}" for kind, count in result.ops.items()
    ))  # fmt: skip
    click.echo(
        f"{'cost':<12} {result.madds / 1e6:,.0f} M multiply-adds, "
        f"{megabytes(result.constant_bytes)} of constants"
    )
    if result.labels:
        first = ", ".join(result.labels[:3])
        click.echo(f"{'labels':<12} {len(result.labels)}: {first}, …")
    if result.record is None:
        text = "TFLite Metadata only" if result.metadata else "none: give options by hand"
        click.echo(f"{'description':<12} {text}")
        return
    record, image = result.record, result.record.preprocessing
    recipe = f", recipe {record.recipe}" if record.recipe else ""
    click.echo(f"{'made by':<12} effnet-lite {record.tool_version}")
    click.echo(f"{'network':<12} {record.variant}, {record.precision}{recipe}, {record.head}")
    click.echo(f"{'weights':<12} {record.weights.name} ({record.weights.layout})")
    click.echo(
        f"{'preprocess':<12} {image.size} px, crop {image.crop_fraction:.3f}, {image.resize}, "
        f"mean {image.mean}, std {image.std}"
    )
    if record.calibration:
        text = calibration_text(record.calibration.kind, record.calibration.count)
        click.echo(f"{'calibration':<12} {text}")
    if record.fidelity:
        click.echo(
            f"{'fidelity':<12} agreement {record.fidelity['top1_agreement']:.1%}, SQNR "
            f"{record.fidelity['sqnr_db'] or float('inf'):.1f} dB on {record.fidelity['count']} "
            "photos, measured when it was converted"
        )


def _tensor(tensor: TensorSummary) -> str:
    text = f"{tensor.name} {'x'.join(map(str, tensor.shape))} {tensor.dtype}"
    if tensor.scale is not None:
        text += f", scale {tensor.scale:.8g}, zero point {tensor.zero_point}"
    return text
