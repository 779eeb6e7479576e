"""Top-1, top-5, calibration and confusion of .tflite files on photos with known classes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Sequence
from typing import Any

from effnet_lite.benchmark.evaluation.contenders import Contender, open_contenders
from effnet_lite.benchmark.evaluation.journal import Journal
from effnet_lite.benchmark.evaluation.results import Evaluation, Run
from effnet_lite.benchmark.evaluation.selection import Selection, select
from effnet_lite.benchmark.evaluation.tally import Tally
from effnet_lite.benchmark.evaluation.workers import Pool
from effnet_lite.benchmark.host.session import peak_rss_mib
from effnet_lite.errors import UsageError
from effnet_lite.lite.datasets import open_dataset
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.progress import Progress
from effnet_lite.quantize.tflite.runtime import MAX_THREADS, available_cpus

PathLike = str | os.PathLike[str]

MAX_PROCESSES = 1024


def evaluate(
    models: PathLike | Sequence[PathLike],
    data: PathLike,
    processes: int | None = None,
    threads: int = 1,
    top: int = 5,
    labels: PathLike | None = None,
    limit: int | None = None,
    seed: int = 0,
    timeout: float = 60.0,
    journal: PathLike | None = None,
    overwrite: bool = False,
    preprocessing: Preprocessing | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Classify every photo with every model, and count.

    The result is the same with any number of processes, and whether or not a journal was
    resumed.

    Args:
        models: .tflite files for the same classes; the others are compared with the first.
        data: See :func:`effnet_lite.lite.datasets.open_dataset`. Photos of classes that the
            models do not know are left out.
        processes: Worker processes; None for as many as there are cores for.
        threads: CPU threads of each model in each process.
        top: Also count the right classes among so many.
        labels: A file of class names; None takes the models' own.
        limit: Draw so many photos; None takes all.
        seed: Of that draw.
        timeout: Seconds after which a photo is given up that is still not decoded.
        journal: A file that keeps every answer. If it exists, photos that it has answers
            for are not evaluated again.
        overwrite: Replace the journal of another evaluation.
        preprocessing: None takes what each file says of itself.
        progress: Called after each photo.

    Raises:
        UsageError: No model, or an option is out of range.
        InputError: A model, the data set, the labels or the journal are not what they should
            be, no photo can be used, or a model answers with NaN.
    """
    paths = [models] if isinstance(models, (str, os.PathLike)) else list(models)
    _check(len(paths), processes, threads, top, limit, timeout)
    contenders = open_contenders(paths, labels, preprocessing)
    selection = select(open_dataset(data), contenders, limit, seed)
    tally = Tally(selection, contenders, top)
    with contextlib.ExitStack() as stack:
        kept = None
        if journal is not None:
            kept = stack.enter_context(
                Journal(
                    journal,
                    _identity(contenders, selection, preprocessing),
                    models=len(contenders),
                    photos=len(selection),
                    classes=contenders[0].classes,
                    overwrite=overwrite,
                )
            )
            tally.resume(kept, progress)
        before, began, peak = tally.done, time.monotonic(), None
        left = len(selection) - before
        workers = min(processes or max(1, available_cpus() // threads), max(1, left))
        if left:
            pool = stack.enter_context(Pool(contenders, workers, threads, timeout, preprocessing))
            for outcome in pool.outcomes(tally.tasks()):
                if kept:
                    kept.add(outcome)
                tally.add(outcome)
                if progress:
                    progress(tally.done, len(selection), "evaluating")
            peak = pool.peak_rss_mib()
    seconds = time.monotonic() - began
    run = Run(
        processes=workers,
        threads=threads,
        evaluated=left,
        seconds=seconds,
        photos_per_s=left / seconds if left else None,
        peak_rss_mib=peak_rss_mib(),
        worker_peak_rss_mib=peak,
    )
    return tally.result(run)


def _identity(
    models: Sequence[Contender], selection: Selection, preprocessing: Preprocessing | None
) -> dict[str, Any]:
    """What the answers of a journal depend on."""
    return {
        "models": [model.sha256 for model in models],
        "data": selection.digest(),
        "preprocessing": dataclasses.asdict(preprocessing) if preprocessing else None,
        "offsets": [model.offset for model in models],
        "labels": hashlib.sha256(json.dumps(selection.labels).encode()).hexdigest(),
    }


def _check(
    models: int, processes: int | None, threads: int, top: int, limit: int | None, timeout: float
) -> None:
    if not models:
        raise UsageError("expected at least one .tflite file")
    for name, value, most in (
        ("processes", 1 if processes is None else processes, MAX_PROCESSES),
        ("threads", threads, MAX_THREADS),
        ("top", top, 10**6),
        ("limit", 1 if limit is None else limit, 10**9),
    ):
        if not 1 <= value <= most:
            raise UsageError(f"{name} must be 1 to {most}, got {value}")
    if not timeout > 0:  # NaN, too
        raise UsageError(f"timeout must be above 0 seconds, got {timeout:g}")
