"""How ``evaluate`` scales: photos a second with one process and with two, and memory.

    python benchmark/scripts/evaluate_scaling.py --data PHOTOS
    python benchmark/scripts/evaluate_scaling.py --data PHOTOS --models a.tflite b.tflite

Rounds of one and two processes take turns, and the medians are compared, so that a machine that
gets slower or faster on the way does not decide. Two processes are no faster than one where
something else keeps a core busy: each round waits until the machine is quiet (--wait), and is
marked if it did not get so. Memory is the peak of the command's process and
of all its workers. By default the models are a float32 and an int8 Lite0 with random weights,
which take as long as any others. Exit code 1 if two processes are not at least 1.7 times as fast
as one, or if 500 photos take over 10 % more memory than 100. Needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.host.conditions import MAX_OTHERS, snapshot
from effnet_lite.benchmark.host.latency import processor
from effnet_lite.benchmark.scripts._process import run
from effnet_lite.errors import EffnetLiteError, InputError
from effnet_lite.quantize.convert import convert
from effnet_lite.quantize.tflite.runtime import available_cpus

FASTER, MORE_MEMORY = 1.7, 1.10
FEW, MANY = 100, 500

EVALUATE = """
import json, sys
from effnet_lite.benchmark.evaluation.evaluate import evaluate
result = evaluate(**json.loads(sys.argv[1]))
print(json.dumps(result.to_json()))
"""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, return 1 if a limit is missed."""
    options = parse(arguments)
    print(f"host: {processor()}, {available_cpus()} cores")
    try:
        with tempfile.TemporaryDirectory() as folder:
            models = options.models or random_models(Path(folder))
            faster = speed(models, options.data, options.photos, options.rounds, options.wait)
            same = memory(models, options.data)
    except EffnetLiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0 if faster and same else 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True, help="photos with their classes")
    parser.add_argument("--models", nargs="+", help="default: Lite0 in float32 and int8")
    parser.add_argument("--photos", type=int, default=MANY, help="for the speed (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--wait", type=float, default=120, help="seconds at most (%(default)s)")
    return parser.parse_args(arguments)


def random_models(folder: Path) -> list[str]:
    """Lite0 in float32 and int8, random weights."""
    found = []
    for precision in ("float32", "int8"):
        path = folder / f"lite0-{precision}.tflite"
        options: dict[str, Any] = {"recipe": "fast"} if precision == "int8" else {}
        convert("lite0", precision, output=path, weights="random", calibration="synthetic",
                calibration_count=4, check=False, **options)  # fmt: skip
        found.append(str(path))
    return found


def speed(models: Sequence[str], data: str, photos: int, rounds: int, wait: float) -> bool:
    """Whether two processes are fast enough; prints what was measured."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    noisy: dict[int, list[bool]] = {1: [], 2: []}
    for _ in range(rounds):
        for processes, found in rates.items():
            noisy[processes].append(not quiet(wait))
            found.append(measure(models, data, photos, processes)["run"]["photos_per_s"])
    medians = {processes: statistics.median(found) for processes, found in rates.items()}
    for processes, found in rates.items():
        marks = (" noisy" * mark for mark in noisy[processes])
        single = ", ".join(f"{rate:.1f}{mark}" for rate, mark in zip(found, marks, strict=True))
        print(f"{processes} process(es): {medians[processes]:6.1f} photos/s  (rounds: {single})")
    ratio = medians[2] / medians[1]
    print(f"2 processes do {ratio:.2f} times as many photos as 1 (expected: {FASTER} or more)")
    return bool(ratio >= FASTER)


def quiet(wait: float) -> bool:
    """Wait until others leave the cores alone; whether they did."""
    until = time.monotonic() + wait
    while True:
        before = snapshot()
        time.sleep(1)
        after = snapshot()
        if before.busy is None or after.busy is None:  # this system does not tell
            return True
        if (after.busy - before.busy) / (after.when - before.when) < MAX_OTHERS:
            return True
        if time.monotonic() > until:
            return False


def memory(models: Sequence[str], data: str) -> bool:
    """Whether memory is flat; prints what was measured."""
    peaks = {}
    for photos in (FEW, MANY):
        found = measure(models, data, photos, 2)
        own, worker = found["run"]["peak_rss_mib"], found["run"]["worker_peak_rss_mib"]
        peaks[photos] = own + 2 * worker
        print(f"{found['count']} photos: peak {own:.1f} MiB, and {worker:.1f} MiB a worker")
    ratio = peaks[MANY] / peaks[FEW]
    print(f"{MANY} photos take {ratio:.3f} times the memory of {FEW} (expected: ≤ {MORE_MEMORY})")
    return bool(ratio <= MORE_MEMORY)


def measure(models: Sequence[str], data: str, photos: int, processes: int) -> dict[str, Any]:
    """The document of ``evaluate --json``, from a process of its own.

    Raises:
        InputError: It failed.
    """
    options = {"models": list(models), "data": data, "limit": photos, "processes": processes}
    finished = run(["-c", EVALUATE, json.dumps(options)])
    if finished.error:
        raise InputError(finished.error)
    document: dict[str, Any] = json.loads(finished.output)
    return document


if __name__ == "__main__":
    sys.exit(main())
