"""effnet-lite benchmark."""

from __future__ import annotations

from typing import Any

import click

from effnet_lite.cli.output import Bar, json_option, print_json, table


@click.command("benchmark", epilog="Example: effnet-lite benchmark model.tflite --threads 2")
@click.argument("models", nargs=-1, required=True, type=click.Path())
@click.option("--threads", default=1, show_default=True, help="CPU threads.")
@click.option("--runs", default=50, show_default=True, help="Timed runs, at least.")
@click.option("--min-seconds", default=1.0, show_default=True, help="Timed seconds, at least.")
@click.option("--warmup", default=5, show_default=True, help="Runs thrown away first.")
@click.option("--no-xnnpack", is_flag=True, help="Without the CPU delegate.")
@click.option("--runtime", help="litert, tflite-runtime or tensorflow.  [default: first found]")
@json_option
def command(models: tuple[str, ...], as_json: bool, no_xnnpack: bool, **options: Any) -> None:
    """Time MODELS (.tflite files) on this machine's processor."""
    from effnet_lite.benchmark.latency import benchmark

    with Bar() as progress:
        records = benchmark(models, xnnpack=not no_xnnpack, progress=progress, **options)
    if as_json:
        print_json({"records": [record.to_json() for record in records], "comparisons": []})
        return
    first = records[0]
    click.echo(
        f"host: {first.device}, {first.runtime} {first.runtime_version}, "
        f"delegate {first.delegate}, {first.threads} thread(s), one image, inference only"
    )
    rows = [
        [record.model, str(record.runs)]
        + [f"{value:.2f}" for value in (record.p50_ms, record.p90_ms, record.p99_ms,
                                        record.first_run_ms, record.init_ms)]
        + [f"{record.peak_rss_mib:.0f}" if record.peak_rss_mib else "?"]
        for record in records
    ]  # fmt: skip
    header = ["model", "runs", "p50 ms", "p90 ms", "p99 ms", "first run", "init", "peak MiB"]
    click.echo(table(header, rows))
