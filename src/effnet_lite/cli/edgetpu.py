"""effnet-lite edgetpu: check, compile, devices."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from effnet_lite.cli.output import json_option, megabytes, print_json, table
from effnet_lite.errors import EffnetLiteError

if TYPE_CHECKING:
    from effnet_lite.benchmark.edgetpu.check import EdgeTpuCheck
    from effnet_lite.benchmark.edgetpu.records import Mapping, Parameters, Reason

_WIDTH = 100
_INDENT = 15


@click.group("edgetpu", epilog="Example: effnet-lite edgetpu check model.tflite")
def command() -> None:
    """Know what runs on Coral's Edge TPU, compile for it, list devices."""


@command.command("check", epilog="Example: effnet-lite edgetpu check model.tflite --require-full")
@click.argument("model", type=click.Path())
@click.option("--on-chip", "on_chip_bytes", type=int, metavar="BYTES",
              help="The chip's memory for parameters.  [default: 7340032]")  # fmt: skip
@click.option("--require-full", is_flag=True, help="Exit 1 unless all of it runs on the Edge TPU.")
@click.option("--operators", is_flag=True, help="One line an operator.")
@json_option
def check(
    model: str, on_chip_bytes: int | None, require_full: bool, operators: bool, as_json: bool
) -> None:
    """Say what of MODEL maps to the Edge TPU, why the rest does not, and what streams.

    Needs neither the board nor Google's compiler: the rules are theirs, as far as they are known.
    """
    from effnet_lite.benchmark.edgetpu.check import ON_CHIP_BYTES, edgetpu_check

    result = edgetpu_check(model, ON_CHIP_BYTES if on_chip_bytes is None else on_chip_bytes)
    if as_json:
        print_json(result.to_json())
    else:
        _print_check(result)
        if operators:
            _print_operators(result)
    if require_full:
        _require_full(result.model, result.mapping)


@command.command("compile", epilog="Example: effnet-lite edgetpu compile model.tflite")
@click.argument("model", type=click.Path())
@click.option("-o", "--output", type=click.Path(), help="[default: MODEL_edgetpu.tflite]")
@click.option(
    "--compiler", type=click.Path(), metavar="FILE",
    help="edgetpu_compiler.  [default: $EFFNET_LITE_EDGETPU_COMPILER, or on PATH]",
)  # fmt: skip
@click.option("--min-runtime-version", type=int, metavar="N",
              help="Of the Edge TPU runtime that is to run it, such as 13.")  # fmt: skip
@click.option("--timeout", default=600.0, show_default=True, help="Seconds for the compiler.")
@click.option("--require-full", is_flag=True, help="Exit 1 unless all of it runs on the Edge TPU.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@json_option
def compile_command(
    model: str, output: str | None, compiler: str | None, min_runtime_version: int | None,
    timeout: float, require_full: bool, overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compile MODEL with Google's edgetpu_compiler; the file keeps its description and labels."""
    from effnet_lite.benchmark.edgetpu.compile import edgetpu_compile

    result = edgetpu_compile(
        model, output, compiler=compiler, min_runtime_version=min_runtime_version,
        timeout=timeout, overwrite=overwrite,
    )  # fmt: skip
    if as_json:
        print_json(result.to_json())
    else:
        _print_mapping(result.model, f"edgetpu_compiler {result.compiler}", result.mapping)
        kept = {True: "description and labels kept", False: "its description is lost",
                None: "it had no description"}[result.description_kept]  # fmt: skip
        click.echo(f"wrote {result.output}, {megabytes(result.bytes)}; {kept}")
        click.echo("\nnext:")
        click.echo(f"  effnet-lite classify {result.output} PHOTO.jpg --delegate edgetpu")
        click.echo(f"  effnet-lite benchmark {result.output} --delegate edgetpu")
    if require_full:
        _require_full(result.model, result.mapping)


@command.command("devices", epilog="Example: effnet-lite edgetpu devices")
@json_option
def devices(as_json: bool) -> None:
    """List the Edge TPUs of this machine, as --delegate takes them."""
    import dataclasses

    from effnet_lite.benchmark.host.delegates import edgetpus

    found = edgetpus()
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    click.echo(f"{found.library}: {found.version}")
    for device in found.devices:
        click.echo(f"{device.delegate}  {device.path}")
    if not found.devices:
        click.echo("no Edge TPU on USB or PCIe")


def _require_full(model: str, mapping: Mapping) -> None:
    if not mapping.full:
        left = ", ".join(f"{count} {kind}" for kind, count in mapping.unmapped.items())
        raise EffnetLiteError(
            f"{model} does not run wholly on the Edge TPU: {left} stay on the CPU"
        )


def _print_check(result: EdgeTpuCheck) -> None:
    _print_mapping(result.model, "checked without the compiler", result.mapping)
    if result.cut:
        name = f"{result.cut.kind} {result.cut.name}".strip()
        _line("cut", f"at operator {result.cut.number}, {name}")
    _line(
        "multiply-adds",
        f"{result.edgetpu_madds / 1e6:,.0f} M on the Edge TPU, "
        f"{result.cpu_madds / 1e6:,.0f} M on the CPU",
    )
    if result.estimate:
        times = f"{result.estimate.low_ms:.1f} to {result.estimate.high_ms:.1f} ms an inference"
        _line("estimate", f"{times} on the Edge TPU: {result.estimate.assumptions}")
    for name, lines in (("change", result.advice), ("beware", result.warnings)):
        for line in lines:
            _line(name, line)


def _print_mapping(model: str, by: str, mapping: Mapping) -> None:
    there, here = sum(mapping.mapped.values()), sum(mapping.unmapped.values())
    click.echo(f"{model}: {there} of {there + here} operators on the Edge TPU ({by})")
    kinds = dict.fromkeys((*mapping.mapped, *mapping.unmapped))
    rows = [[kind, _count(mapping.mapped, kind), _count(mapping.unmapped, kind)] for kind in kinds]
    click.echo(table(["operator", "Edge TPU", "CPU"], rows))
    for reason in mapping.reasons:
        _line("on the CPU", _reason(reason))
    _line("parameters", _parameters(mapping.parameters))


def _print_operators(result: EdgeTpuCheck) -> None:
    rows: list[Sequence[str]] = [
        [placement.name, placement.kind, "x".join(map(str, placement.shape)),
         f"{placement.madds / 1e6:.2f}", "Edge TPU" if placement.mapped else "CPU"]
        for placement in result.placements
    ]  # fmt: skip
    click.echo()
    click.echo(table(["operator", "kind", "output", "MMAdds", "runs on"], rows))


def _line(name: str, text: str) -> None:
    """A name, and beside it a text of as many lines as it needs."""
    click.echo(
        textwrap.fill(
            text, _WIDTH, initial_indent=name.ljust(_INDENT), subsequent_indent=" " * _INDENT,
            break_long_words=False, break_on_hyphens=False,
        )
    )  # fmt: skip


def _count(counts: dict[str, int], kind: str) -> str:
    return str(counts[kind]) if kind in counts else "-"


def _reason(reason: Reason) -> str:
    text = f"{reason.count} {reason.operator}: {reason.reason or reason.status}"
    return f"{text} [{reason.source}]" if reason.source else text


def _parameters(found: Parameters) -> str:
    budget = f" of {megabytes(found.budget_bytes)}" if found.budget_bytes is not None else ""
    return (
        f"{megabytes(found.cached_bytes)} cached on the chip{budget}, "
        f"{megabytes(found.streamed_bytes)} streamed at each inference"
    )
