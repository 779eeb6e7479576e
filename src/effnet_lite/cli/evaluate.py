"""effnet-lite evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from effnet_lite.cli.output import Bar, json_option, print_json, table
from effnet_lite.printable import printable

if TYPE_CHECKING:
    from effnet_lite.benchmark.evaluation.results import Evaluation, ModelEvaluation

SHOWN = 5


@click.command(
    "evaluate", epilog="Example: effnet-lite evaluate float32.tflite int8.tflite --data photos/"
)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--data",
    required=True,
    type=click.Path(),
    help="A folder with a folder a class (names or ImageNet synsets), a .csv with the columns path "
    "and label, or TFRecord shards.",
)
@click.option("--processes", type=int, help="Worker processes.  [default: one a core]")
@click.option("--threads", default=1, show_default=True, help="CPU threads in each process.")
@click.option(
    "--top", default=5, show_default=True, help="Also count the right class among so many."
)
@click.option("--labels", type=click.Path(), help="Class names, if the models have others or none.")
@click.option("--limit", type=int, help="Draw so many photos.")
@click.option("--seed", default=0, show_default=True, help="Of that draw.")
@click.option("--timeout", default=60.0, show_default=True,
              help="Seconds after which a photo that is not decoded is given up.")  # fmt: skip
@click.option("--journal", type=click.Path(), metavar="FILE",
              help="Keep every answer there; goes on where an earlier run was ended.")  # fmt: skip
@click.option("--csv", "csv_file", type=click.Path(), metavar="FILE", help="Write each class.")
@click.option("--plot", type=click.Path(), metavar="FILE",
              help="Draw the confusion into a .png, .svg or .pdf file.")  # fmt: skip
@click.option("--overwrite", is_flag=True,
              help="Replace existing files, and the journal of another evaluation.")  # fmt: skip
@json_option
def command(
    models: tuple[str, ...], data: str, csv_file: str | None, plot: str | None, overwrite: bool,
    as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Measure how often each MODEL (a .tflite file) is right, on photos of known classes."""
    from effnet_lite.benchmark.evaluation.confusion_plot import draw
    from effnet_lite.benchmark.evaluation.evaluate import evaluate
    from effnet_lite.benchmark.evaluation.results import write_csv
    from effnet_lite.files import check_output
    from effnet_lite.pictures import check_picture

    if plot:
        check_picture(plot, overwrite)
    if csv_file:
        check_output(Path(csv_file), overwrite)
    with Bar() as progress:
        result = evaluate(models, data, overwrite=overwrite, progress=progress, **options)
    if csv_file:
        write_csv(result, csv_file, overwrite)
    if plot:
        draw(result, plot, overwrite)
    _warn(result)
    if as_json:
        print_json(result.to_json())
        return
    _print(result)
    for path in filter(None, (csv_file, plot)):
        click.echo(f"wrote {path}")


def _warn(result: Evaluation) -> None:
    for note in result.notes:
        click.echo(f"note: {printable(note)}", err=True)
    if not result.unreadable:
        return
    click.echo(f"{len(result.unreadable)} photos cannot be used:", err=True)
    for entry in result.unreadable[:SHOWN]:
        click.echo(f"  {printable(entry.reason)}", err=True)
    if len(result.unreadable) > SHOWN:
        click.echo(
            f"  and {len(result.unreadable) - SHOWN} others; --json lists them all", err=True
        )


def _print(result: Evaluation) -> None:
    run = result.run
    classes = len(result.models[0].figures.classes)
    speed = f", {run.photos_per_s:.0f} photos/s" if run.photos_per_s else ", all from the journal"
    click.echo(
        f"{result.count} photos of {classes} of {len(result.labels)} classes; "
        f"{run.processes} process(es) with {run.threads} thread(s){speed}"
    )
    top = {1, 5, result.models[0].figures.k}
    header = ["model", "top-1 (95 %)", "top-5 (95 %)"]
    header += [f"top-{k}" for k in sorted(top - {1, 5})] + ["class mean", "ECE"]
    rows = []
    for model in result.models:
        figures = model.figures
        row = [_name(model), _share(figures.top1, figures.top1_interval)]
        row.append(_share(figures.top5, figures.top5_interval))
        row += [_percent(figures.topk)] * (len(top) > 2)
        rows.append([*row, _percent(figures.class_mean_top1), f"{figures.ece:.3f}"])
    click.echo(table(header, rows))
    _print_comparisons(result)
    _print_worst(result)
    _print_confusions(result)


def _print_comparisons(result: Evaluation) -> None:
    if not result.comparisons:
        return
    rows = [
        [
            printable(entry.b),
            "{:+.1f} ({:+.1f} to {:+.1f})".format(entry.difference, *entry.interval),
            f"{entry.only_a}",
            f"{entry.only_b}",
            f"{entry.p_value:.2g}",
            _share(entry.agreement, entry.agreement_interval),
        ]
        for entry in result.comparisons
    ]
    first = f"against {_name(result.models[0])}"
    header = [first, "top-1 points (95 %)", "lost", "won", "McNemar p", "same answer (95 %)"]
    click.echo("\n" + table(header, rows))


def _print_worst(result: Evaluation) -> None:
    """The classes that some model is surely worst at."""
    ends: dict[int, float] = {}
    for model in result.models:
        for entry in model.figures.worst(SHOWN):
            ends[entry.index] = min(entry.interval[1], ends.get(entry.index, 1.0))
    if not ends:
        click.echo("\nright on every photo")
        return
    classes = [{entry.index: entry for entry in model.figures.classes} for model in result.models]
    rows = []
    for index in sorted(ends, key=lambda index: (ends[index], index))[:SHOWN]:
        of = [found[index] for found in classes]
        shares = [_share(entry.top1, entry.interval) for entry in of]
        rows.append([printable(result.label(index)), str(of[0].count), *shares])
    header = ["worst classes", "photos", *map(_name, result.models)]
    click.echo("\n" + table(header, rows))


def _print_confusions(result: Evaluation) -> None:
    counts = [
        {(right, answer): count for right, answer, count in model.figures.confusions()}
        for model in result.models
    ]
    pairs = {
        pair: sum(found.get(pair, 0) for found in counts) for found in counts for pair in found
    }
    rows = [
        [
            f"{printable(result.label(pair[0]))} → {printable(result.label(pair[1]))}",
            *(str(found.get(pair, 0)) for found in counts),
        ]
        for pair in sorted(pairs, key=lambda pair: (-pairs[pair], pair))[:SHOWN]
    ]
    if rows:
        click.echo("\n" + table(["most often confused", *map(_name, result.models)], rows))


def _name(model: ModelEvaluation) -> str:
    return printable(model.name)


def _share(share: float, interval: tuple[float, float]) -> str:
    return f"{_percent(share)} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _percent(share: float) -> str:
    return f"{share:.1%}"
