"""effnet-lite train --qat: the int8 network of a run folder, trained itself."""

from __future__ import annotations

import contextlib
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from effnet_lite.cli.convert import fidelity_lines
from effnet_lite.cli.output import Bar, megabytes
from effnet_lite.errors import InputError, UsageError
from effnet_lite.printable import printable

if TYPE_CHECKING:
    from effnet_lite.quantize.qat.train import QatResult

CHECKPOINT = "qat.npz"


def quantize_aware(
    weights: str,
    variant: str | None,
    data: str | None,
    validation: str | None,
    output: str | None,
    size: int | None,
    unlabelled: bool,
    steps: int,
    seed: int,
    overwrite: bool,
    progress: Bar,
) -> QatResult:
    """Train the int8 network of these weights, and write its file into their run folder.

    Weights that are no run folder get one, ``output``. An interrupted training is kept there,
    and goes on when it is called again.
    """
    from effnet_lite.lite.pretrained import network_for
    from effnet_lite.quantize.qat.loop import Schedule
    from effnet_lite.quantize.qat.train import train_qat

    if data is None:
        raise UsageError("quantization-aware training needs photos: give --data")
    name = network_for(weights, variant, size).name
    run = Path(weights) if Path(weights).is_dir() else Path(output or f"efficientnet-{name}-run")
    checkpoint = run / CHECKPOINT
    if overwrite:
        checkpoint.unlink(missing_ok=True)
    with _folder(run), _stopping() as wants_to_stop:
        return train_qat(
            weights, data, variant, validation, run / f"efficientnet-{name}-int8.tflite",
            unlabelled=unlabelled, schedule=Schedule(steps=steps, seed=seed), size=size,
            checkpoint=checkpoint, overwrite=overwrite, progress=progress,
            wants_to_stop=wants_to_stop,
        )  # fmt: skip


def print_result(result: QatResult) -> None:
    """What was made, and what training gained."""
    for notice in result.notices:
        click.echo(f"note: {printable(notice)}", err=True)
    click.echo(f"{result.variant} int8, recipe {result.recipe}, weights {result.weights}")
    click.echo(f"{len(result.losses)} steps of {result.schedule.batch} photos, "
               f"{result.seconds / 60:.1f} min")  # fmt: skip
    click.echo(fidelity_lines(result.fidelity))
    before, same = result.start, result.simulated
    click.echo(f"  before training  {before.top1_agreement:.1%}, SQNR {before.sqnr_db:.1f} dB")
    click.echo(f"  as trained       {same.top1_agreement:.1%} of the answers are those of the "
               "Keras model")  # fmt: skip
    click.echo(f"wrote {result.output}, {megabytes(result.bytes)}, {result.input_type} input")
    click.echo(f"\nnext:\n  effnet-lite classify {shlex.quote(str(result.output))} PHOTO.jpg")


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Make it if it is missing; where nothing came of it, none is left."""
    missing = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the run folder {path}: {error.strerror}") from error
    try:
        yield
    finally:
        if missing:
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()


@contextlib.contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """SIGINT and SIGTERM ask for an end after the step; a second one does not wait for it."""
    asked = threading.Event()

    def ask(number: int, _: Any) -> None:
        asked.set()
        signal.signal(number, before[number])

    numbers = (signal.SIGINT, signal.SIGTERM)
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number in numbers:
            signal.signal(number, before[number])
