"""effnet-lite train."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from effnet_lite.cli.output import Bar, json_option, print_json
from effnet_lite.errors import UsageError
from effnet_lite.printable import printable

if TYPE_CHECKING:
    from effnet_lite.lite.training.loop import Epoch
    from effnet_lite.lite.training.train import TrainingResult


@click.command(
    "train",
    epilog="Example: effnet-lite train --variant lite0 --data photos/train --validation photos/val",
)
@click.option("--variant", help="lite0-lite4, b0-b7, or e.g. lite-w0.75-d1-s192.  [default: lite0]")
@click.option(
    "--data",
    type=click.Path(),
    help="A folder with a folder a class, a .csv with the columns path and label, or TFRecord "
    "shards.",
)
@click.option("--validation", type=click.Path(),
              help="The same, to judge on.  [default: a tenth of --data]")  # fmt: skip
@click.option("-o", "--output", type=click.Path(), metavar="RUN",
              help="The run folder.  [default: efficientnet-VARIANT-run]")  # fmt: skip
@click.option("--weights", help="imagenet, random, or a file to start from.  [default: imagenet]")
@click.option("--size", type=int, help="Side of the input in pixels, if not the variant's own.")
@click.option("--preset", help="transfer or paper.  [default: transfer; paper for random weights]")
@click.option("--epochs", type=int, help="Over the photos.")
@click.option("--batch", type=int, help="Photos a step, over all devices.")
@click.option("--lr", "rate", type=float, help="Learning rate at its highest.")
@click.option("--minutes", type=float, help="Be done within so many; the rate falls accordingly.")
@click.option("--patience", type=int, help="Stop after so many epochs without a better one.")
@click.option("--class-weights", is_flag=True, help="Weigh photos of rare classes more.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other setting, e.g. mixup=0 (config.json lists them); repeatable.",
)
@click.option("--seed", type=int, help="Of everything random.  [default: 0]")
@click.option(
    "--strategy",
    default="auto",
    show_default=True,
    help="auto, cpu, mirrored (all GPUs), or multiworker (machines, see TF_CONFIG).",
)
@click.option(
    "--qat",
    is_flag=True,
    help="Then train the int8 network itself, into RUN; if --weights is a run, only that.",
)
@click.option("--qat-steps", default=200, show_default=True, help="Of the int8 network.")
@click.option(
    "--unlabelled",
    is_flag=True,
    help="With --qat: only that, from photos without classes; the network of --weights teaches.",
)
@click.option("--resume", is_flag=True, help="Go on with the training in RUN.")
@click.option("--overwrite", is_flag=True, help="Begin anew where RUN holds a training.")
@json_option
def command(
    qat: bool, qat_steps: int, unlabelled: bool, as_json: bool, **options: Any
) -> None:  # fmt: skip
    """Train a network on photos, starting from ImageNet weights.

    RUN holds the weights, which `convert --weights RUN` takes, learning curves, and all that it
    takes to go on after an interruption or to do it again.
    """
    from effnet_lite.cli.train_qat import print_result, quantize_aware

    if unlabelled and not qat:
        raise UsageError("photos without classes teach the int8 network alone: add --qat")
    int8 = {name: options[name] for name in ("data", "validation", "output", "size", "overwrite")}
    int8 |= {"unlabelled": unlabelled, "steps": qat_steps, "seed": options["seed"] or 0}
    weights, variant = options["weights"] or "imagenet", options["variant"]
    document: dict[str, Any] = {}
    if not unlabelled and not (qat and Path(weights).is_dir()):
        result = _train(**options)
        document, weights, variant = result.to_json(), str(result.run), None
        int8 |= {"size": None}
        if not as_json:
            _print(result, follow=not qat)
    if qat:
        with Bar() as progress:
            found = quantize_aware(weights, variant, progress=progress, **int8)
        document["qat"] = found.to_json()
        if not as_json:
            print_result(found)
    if as_json:
        print_json(document)


def _train(changes: tuple[str, ...], class_weights: bool, **options: Any) -> TrainingResult:
    """The float network."""
    from effnet_lite.lite.training.train import TrainingInterrupted, train

    settings: dict[str, Any] = dict(map(_setting, changes))
    if class_weights:
        settings["class_weights"] = True
    for name in ("epochs", "batch", "rate", "minutes", "patience", "seed"):
        value = options.pop(name)
        if value is not None:
            settings[name] = value
    with Bar() as progress:

        def report(epoch: Epoch, epochs: int) -> None:
            progress.clear()
            click.echo(_line(epoch, epochs), err=True)

        try:
            result = train(settings=settings, progress=progress, on_epoch=report, **options)
        except TrainingInterrupted as interruption:
            progress.clear()
            click.echo(f"effnet-lite: {interruption}; to go on:\n  {_go_on(options)}", err=True)
            raise click.exceptions.Exit(1) from interruption
    for notice in result.notices:
        click.echo(f"note: {printable(notice)}", err=True)
    return result


def _setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value a number, true, false or a word."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name or not value:
        raise UsageError(f"--set takes NAME=VALUE, got {text!r}")
    if value in ("true", "false"):
        return name, value == "true"
    for number in (int, float):
        try:
            return name, number(value)
        except ValueError:
            continue
    return name, value


def _line(epoch: Epoch, epochs: int) -> str:
    return (
        f"epoch {epoch.epoch}/{epochs}  loss {epoch.loss:.3f}  validation loss "
        f"{epoch.validation_loss:.3f}, top-1 {epoch.validation_top1:.1%}"
        f"{'  (best)' if epoch.best else ''}"
    )


def _go_on(options: dict[str, Any]) -> str:
    words = ["effnet-lite", "train"]
    if options["output"]:
        words += ["-o", options["output"]]
    elif options["variant"]:
        words += ["--variant", options["variant"]]
    if options["strategy"] != "auto":
        words += ["--strategy", options["strategy"]]
    return shlex.join([*words, "--resume"])


def _print(result: TrainingResult, follow: bool) -> None:
    photos, best = result.photos, result.best
    click.echo(
        f"{result.variant} at {result.size} pixels, {len(result.labels)} classes, "
        f"{photos['training']} photos, {result.strategy} x {result.devices}"
    )
    right = round(best.validation_top1 * photos["validation"])
    reasons = {"patience": ", no better epoch came", "minutes": ", the time was used up"}
    rows = [
        ["epochs", f"{result.history[-1].epoch} of {result.config.epochs}"
                   f"{reasons.get(result.stopped, '')}, {result.seconds / 60:.1f} min"],
        ["best epoch", f"{best.epoch}"],
        ["validation top-1", f"{best.validation_top1:.1%} ({right} of {photos['validation']})"],
    ]  # fmt: skip
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.echo(f"  {name:<{width}}  {text}")
    click.echo(f"wrote {result.run}")
    if not follow:
        return
    click.echo(
        "\nnext:\n"
        f"  effnet-lite convert --int8 --weights {shlex.quote(str(result.run))} "
        "--calibration PHOTOS"
    )
