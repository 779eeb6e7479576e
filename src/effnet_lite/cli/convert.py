"""effnet-lite convert."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from effnet_lite.cli.output import Bar, json_option, megabytes, print_json, table
from effnet_lite.errors import FidelityError, UsageError

if TYPE_CHECKING:
    from effnet_lite.quantize.convert import ConversionResult
    from effnet_lite.quantize.fidelity import Fidelity
    from effnet_lite.quantize.ladder import Rung
    from effnet_lite.quantize.mixed import Cost

_FLAGS = {
    "fp32": "float32",
    "fp16": "float16",
    "dynamic": "dynamic",
    "int8": "int8",
    "int16x8": "int16x8",
}


@click.command(
    "convert",
    epilog="Example: effnet-lite convert --variant lite0 --int8 --calibration photos/",
)
@click.option("--variant", help="lite0-lite4, b0-b7, or e.g. lite-w0.75-d1-s192.")
@click.option("--int8", is_flag=True, help="Full integer, the default.")
@click.option("--fp32", is_flag=True, help="float32, not quantized.")
@click.option("--fp16", is_flag=True, help="float16 weights.")
@click.option("--dynamic", is_flag=True, help="int8 weights, float activations.")
@click.option("--int16x8", is_flag=True, help="int8 weights, int16 activations.")
@click.option("-o", "--output", type=click.Path(), help="The file to write.")
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    help="imagenet, random, a run of train, or a file: torch, safetensors, TF1, Keras .h5.",
)
@click.option(
    "--calibration",
    help="A folder of photos, 'samples' (installed photos) or 'synthetic'.  "
    "[default: samples if installed]",
)
@click.option("--calibration-count", default=100, show_default=True, help="Photos to calibrate on.")
@click.option(
    "--recipe",
    help="fast, default, best, or a name in full; +STAGE adds to it.  [default: default]",
)
@click.option(
    "--input",
    "input_type",
    help="uint8, int8 or float32, at both ends.  [default: uint8 for int8]",
)
@click.option("--head", default="softmax", show_default=True, help="softmax or logits.")
@click.option("--labels", type=click.Path(), help="A text file with one class name a line.")
@click.option("--classes", type=int, help="Outputs, if not as many as the weights have.")
@click.option("--size", type=int, help="Side of the input in pixels, if not the variant's own.")
@click.option("--no-check", is_flag=True, help="Do not measure fidelity to the float model.")
@click.option(
    "--max-drop",
    type=float,
    metavar="POINTS",
    help="Try better recipes until top-1 provably drops by no more than so many percentage "
    "points; else write nothing.",
)
@click.option("--seed", default=0, show_default=True, help="Of shuffles and random weights.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@json_option
def command(as_json: bool, no_check: bool, **options: Any) -> None:
    """Make a .tflite model that is checked and describes itself.

    Builds the variant, loads its weights, calibrates and quantizes, compares the result
    with the float model on photos that calibration did not see, and writes one file.
    """
    if options["variant"] is None and options["weights"] in ("imagenet", "random"):
        raise click.UsageError("Missing option '--variant', which only a run tells.")
    asked = [name for name in _FLAGS if options.pop(name)]
    if len(asked) > 1:
        flags = " and ".join(f"--{name}" for name in asked)
        raise UsageError(f"{flags} contradict each other; give one of them")
    from effnet_lite.quantize.convert import convert

    precision = _FLAGS[asked[0]] if asked else "int8"
    with Bar() as progress:
        try:
            result = convert(
                precision=precision,
                check=not no_check,
                progress=progress,
                on_rung=lambda rung: _report(rung, progress),
                **options,
            )
        except FidelityError as error:
            if precision not in ("int8", "int16x8"):
                raise
            raise FidelityError(f"{error}: {_training(**options)}") from error
    if as_json:
        print_json(result.to_json())
        return
    for notice in result.notices:
        click.echo(f"note: {notice}", err=True)
    _print(result)


def _print(result: ConversionResult) -> None:
    recipe = f", recipe {result.recipe}" if result.recipe else ""
    click.echo(f"{result.variant} {result.precision}{recipe}, weights {result.weights}")
    if result.calibration:
        click.echo("calibrated on " + calibration_text(**result.calibration))
    if result.wide:
        click.echo(_wide_lines(result.wide))
    if result.fidelity:
        click.echo(fidelity_lines(result.fidelity))
    for rung in result.ladder[-1:]:
        click.echo(f"  top-1 drop       {_drop_text(rung)}")
    click.echo(f"wrote {result.output}, {megabytes(result.bytes)}, {result.input_type} input")
    follow = f"inspect {result.output} --layers"
    if result.precision == "float32":
        follow = f"convert --variant {result.variant} --int8"
    click.echo(
        "\nnext:\n"
        f"  effnet-lite classify {result.output} PHOTO.jpg\n"
        f"  effnet-lite benchmark {result.output}\n"
        f"  effnet-lite {follow}"
    )


def _wide_lines(costs: Sequence[Cost]) -> str:
    """What keeping layers wide costs, a line for each choice."""
    narrow, *choices = costs
    if not choices:
        return f"no layer is kept in {narrow.kind}: int8 alone stands at {narrow.sqnr_db:.1f} dB"
    rows = [
        [
            f"  + {cost.name}" if cost.name else "  all in int8",
            f"{cost.sqnr_db:.1f}",
            f"{cost.agreement:.1%}",
            f"{cost.bytes:,}",
            f"{cost.latency:.2f}",
        ]
        for cost in costs
    ]
    return (
        f"kept in {narrow.kind}, on {narrow.photos} calibration photos before rounding and bias "
        "correction; latency as a ratio, on this host's CPU:\n"
        + table(["", "SQNR dB", "agreement", "bytes", "latency"], rows)
    )


def _report(rung: Rung, bar: Bar) -> None:
    if rung.passed:  # and is what the result will say
        return
    bar.clear()
    text = f"{rung.name} does not pass: {_drop_text(rung)}, {rung.seconds:.1f} s"
    click.echo(text, err=True)


def _drop_text(rung: Rung) -> str:
    low, high = rung.drop.interval
    return (
        f"{rung.drop.points:.1f} points by {rung.drop.judged_by} on {rung.drop.photos} photos "
        f"(95 % interval {low:.1f} to {high:.1f})"
    )


def _training(
    variant: str | None, weights: str | None, calibration: str | None, **_: object
) -> str:
    """The next step: the same network, taught by its float self, needs no labels."""
    words = ["effnet-lite", "train", "--qat", "--unlabelled"]
    for option, value in (("--variant", variant), ("--weights", weights)):
        if value is not None:
            words += [option, value]
    photos = calibration if calibration and Path(calibration).is_dir() else "PHOTOS"
    return shlex.join([*words, "--data", photos])


def calibration_text(kind: str, count: int, **_: object) -> str:
    """What calibrated, e.g. ``100 sample photos``."""
    names = {"samples": "sample photos", "folder": "photos", "synthetic": "synthetic images"}
    return f"{count} {names.get(kind, kind)}"


def fidelity_lines(fidelity: Fidelity) -> str:
    """The check against float as three or four lines."""
    low, high = fidelity.agreement_interval
    lines = [
        f"against float32 on {fidelity.count} other photos:",
        f"  top-1 agreement  {fidelity.top1_agreement:.1%}  "
        f"(95 % interval {low:.1%} to {high:.1%})",
        f"  logits           SQNR {fidelity.sqnr_db:.1f} dB, KL {fidelity.kl:.4f}",
    ]
    if (
        fidelity.labelled
        and fidelity.top1_float is not None
        and fidelity.top1_quantized is not None
    ):
        lines.append(
            f"  top-1 accuracy   float {fidelity.top1_float:.0%}, quantized "
            f"{fidelity.top1_quantized:.0%} of {fidelity.labelled} labelled photos"
        )
    return "\n".join(lines)
