"""effnet-lite benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from effnet_lite.cli.output import Bar, json_option, names, print_json, table
from effnet_lite.errors import EffnetLiteError, UsageError

if TYPE_CHECKING:
    from effnet_lite.benchmark.records import BenchmarkResult, LayerProfile, Measurement


MAX_CORES = 4096
COLUMNS = ["model", "runs", "p50 ms", "p90 ms", "p99 ms", "mean ms (95 %)", "first run", "init",
           "preprocess", "peak MiB"]  # fmt: skip


def _cores(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """``0,2-3``: each core once, in order."""
    found: set[int] = set()
    for part in filter(None, value.split(",")):
        first, _, last = part.partition("-")
        try:
            ends = int(first), int(last or first)
        except ValueError:
            ends = -1, -1
        if not 0 <= ends[0] <= ends[1] < MAX_CORES:
            raise click.BadParameter(f"expected cores such as 0 or 0,2-3, got {value!r}")
        found.update(range(ends[0], ends[1] + 1))
    return tuple(sorted(found))


def _options(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for key, sign, _ in pairs:
        if not key or not sign:
            raise UsageError(f"expected --delegate-option KEY=VALUE, got {key!r}")
    return {key: value for key, _, value in pairs}


@click.command("benchmark", epilog="Example: effnet-lite benchmark a.tflite b.tflite --threads 2")
@click.argument("models", nargs=-1, required=True, type=click.Path())
@click.option("--threads", default=1, show_default=True, help="CPU threads.")
@click.option("--runs", default=50, show_default=True, help="Timed runs, at least.")
@click.option("--min-seconds", default=1.0, show_default=True, help="Timed seconds, at least.")
@click.option("--warmup", default=5, show_default=True, help="Runs thrown away in each process.")
@click.option("--processes", default=6, show_default=True, help="Launches to spread the runs over.")
@click.option(
    "--delegate", callback=names, default="cpu", show_default=True,
    help="cpu (XNNPACK), none (built-in kernels), edgetpu, or a delegate library's path; on a "
    "device gpu and nnapi, too. Several are compared.",
)  # fmt: skip
@click.option("--delegate-option", "delegate_options", multiple=True, callback=_options,
              metavar="KEY=VALUE", help="For an external delegate; may be repeated.")  # fmt: skip
@click.option("--runtime", callback=names, help="litert, tflite-runtime, tensorflow, or several.")
@click.option("--device", callback=names, default="host", show_default=True,
              help="host, adb (the phone that is plugged in), adb:SERIAL, or several.")  # fmt: skip
@click.option("--binary", type=click.Path(), help="benchmark_model for the device.")
@click.option("--cool-down", default=60.0, show_default=True,
              help="Seconds to wait at most until a device is as cool as before.")  # fmt: skip
@click.option("--profile", is_flag=True, help="Time every layer, too, against the roof.")
@click.option("--profile-plot", type=click.Path(), metavar="FILE",
              help="Draw the first model's layers and roofline; implies --profile.")  # fmt: skip
@click.option("--cores", callback=_cores, default="", help="Pin to these cores: 0 or 0,2-3.")
@click.option("--image", type=click.Path(), help="Photo to time the preprocessing on.")
@click.option("--seed", default=0, show_default=True, help="Of the random input.")
@click.option("--csv", "csv_file", type=click.Path(), metavar="FILE", help="Write the records.")
@click.option("--plot", type=click.Path(), metavar="FILE",
              help="Draw the latencies into a .png, .svg or .pdf file.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@json_option
def command(
    models: tuple[str, ...], as_json: bool, csv_file: str | None, plot: str | None,
    profile: bool, profile_plot: str | None, overwrite: bool, **options: Any,
) -> None:  # fmt: skip
    """Time MODELS (.tflite files), by turns, and compare each with the first."""
    from pathlib import Path

    from effnet_lite.benchmark.latency_plot import draw
    from effnet_lite.benchmark.records import write_csv
    from effnet_lite.benchmark.timing import benchmark
    from effnet_lite.files import check_output
    from effnet_lite.pictures import check_picture

    for picture in filter(None, (plot, profile_plot)):
        check_picture(picture, overwrite)
    if csv_file:
        check_output(Path(csv_file), overwrite)
    with Bar() as progress:
        result = benchmark(
            models, progress=progress, profile=profile or profile_plot is not None, **options
        )
    # First of all what was measured: a picture may still fail.
    if as_json:
        print_json(result.to_json())
    else:
        _print(result)
    written = []
    if csv_file:
        write_csv(result.records, csv_file, overwrite)
        written.append(csv_file)
    if plot:
        draw(result, plot, overwrite)
        written.append(plot)
    if profile_plot and _draw_profile(result, profile_plot, overwrite):
        written.append(profile_plot)
    for path in written if not as_json else ():
        click.echo(f"wrote {path}")
    if result.failures:
        raise EffnetLiteError("not everything was measured: " + "; ".join(result.failures))


def _draw_profile(result: BenchmarkResult, path: str, overwrite: bool) -> bool:
    from effnet_lite.benchmark.profiling.plot import draw
    from effnet_lite.benchmark.profiling.profile import Profile

    for found in result.profiles:
        if isinstance(found, Profile):
            draw(found, path, overwrite, title=found.model)
            return True
    return False


def _print(result: BenchmarkResult) -> None:
    titles = dict(zip(map(id, result.records), result.labels, strict=True))
    devices: dict[object, list[Measurement]] = {}
    for record in result.records:
        devices.setdefault((record.device_kind, record.device, record.serial), []).append(record)
    for records in devices.values():
        click.echo(_headline(records))
        rows = [[titles[id(record)], str(record.runs), *_figures(record)] for record in records]
        click.echo(table(COLUMNS, rows))
        for reason, marked in _noise(records):
            which = (
                "" if len(marked) == len(records) else f" ({', '.join(titles[n] for n in marked)})"
            )
            click.echo(f"noisy: {reason}{which}")
        for note in _notes(records):
            click.echo(note)
    for first in dict.fromkeys(found.a for found in result.comparisons):
        rows = [
            [found.b, f"{found.ratio:.3f}", "{:.3f} to {:.3f}".format(*found.interval),
             found.verdict.removeprefix(f"{found.b} is ")]
            for found in result.comparisons if found.a == first
        ]  # fmt: skip
        click.echo(table([f"against {first}", "ratio", "99 % interval", "verdict"], rows))
    for profile in result.profiles:
        _print_profile(profile)


def _print_profile(found: LayerProfile) -> None:
    from effnet_lite.benchmark.adb.report import DeviceProfile
    from effnet_lite.benchmark.profiling import report
    from effnet_lite.benchmark.profiling.profile import TOP, Profile

    if isinstance(found, Profile):
        click.echo(f"\n{found.model}: the costliest of {len(found.layers)} layers, {found.kernels}")
        click.echo(table(*report.layer_table(found)))
        click.echo(table(*report.kind_table(found)))
        for line in [*report.notes(found), *(f"noisy: {reason}" for reason in found.noise)]:
            click.echo(line)
    elif isinstance(found, DeviceProfile):
        ops = sorted(found.ops, key=lambda op: -op.ms)[:TOP]
        click.echo(f"\n{found.model} on {found.device}, delegate {found.delegate}: the costliest "
                   f"of {len(found.ops)} operators")  # fmt: skip
        rows = [[op.name, op.kind, f"{op.ms:.3f}", "delegate" if op.within_delegate else ""]
                for op in ops]  # fmt: skip
        click.echo(table(["operator", "kind", "ms", "within"], rows))


def _headline(records: Sequence[Measurement]) -> str:
    first = records[0]
    cores = f" on cores {', '.join(map(str, first.cores))}" if first.cores else ""
    ways = dict.fromkeys(
        f"  {record.runtime} {record.runtime_version}, {_delegate(record)}" for record in records
    )
    return "\n".join([
        f"{first.device_kind}: {first.device}, {first.threads} thread(s){cores}, one image, "
        f"inference only, {first.processes} processes by turns",
        *ways,
    ])  # fmt: skip


def _noise(records: Sequence[Measurement]) -> Iterator[tuple[str, list[int]]]:
    """Each reason once, with the identities of the records that it marks."""
    reasons: dict[str, list[int]] = {}
    for record in records:
        for reason in record.noise:
            reasons.setdefault(reason, []).append(id(record))
    yield from reasons.items()


def _notes(records: Sequence[Measurement]) -> Iterator[str]:
    dynamic = [line for record in records for line in record.conditions.get("dynamic_inputs", ())]
    yield from dict.fromkeys(dynamic)
    emulation = records[0].conditions.get("emulation")
    if emulation:
        yield f"no latencies: {emulation}, whose times say nothing of a board's"
    pictures = {record.preprocess_of for record in records if record.preprocess_of}
    if pictures:
        yield f"preprocess: from {' and '.join(sorted(pictures))} to the input tensor"


def _figures(record: Measurement) -> list[str]:
    mean = _ms(record.mean_ms)
    if record.mean_interval:
        mean += " ({:.2f}-{:.2f})".format(*record.mean_interval)
    times = [_ms(value) for value in (record.p50_ms, record.p90_ms, record.p99_ms)]
    rest = [_ms(value) for value in (record.first_run_ms, record.init_ms, record.preprocess_ms)]
    return [*times, mean, *rest, f"{record.peak_rss_mib:.0f}" if record.peak_rss_mib else "-"]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _delegate(record: Measurement) -> str:
    text = f"delegate {record.delegate}"
    if record.delegated_ops is not None:
        text += f" on {record.delegated_ops} of {record.ops} operators"
    return text
