"""Put the clock of ``benchmark`` to the test: three questions whose answers are known.

    python benchmark/scripts/clock_proof.py
    python benchmark/scripts/clock_proof.py --repeats 5 --json clock.json

1. A model against itself is no different: how often is that the verdict?
2. A model with about 10 % more multiply-adds is slower: how often is it found?
3. With one core kept busy on purpose: how often is the run marked noisy?

Lite0 at full size with random weights, which take as long as any others. The last line says
how many answers were right. Exit code 1 if fewer than 19 of 20 were, for any question.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.host.latency import PROCESSES, processor
from effnet_lite.benchmark.inspection import inspect
from effnet_lite.benchmark.records import NO_DIFFERENCE, BenchmarkResult
from effnet_lite.benchmark.timing import benchmark
from effnet_lite.files import write_bytes
from effnet_lite.quantize.convert import convert

MODEL, LARGER = "lite0", "lite-w1.08-d1.0-s224"
RIGHT = 19 / 20
LINE = "{:<34} {:>6} {:>9} {:>20} {:>6}  {}"


def main(arguments: list[str] | None = None) -> int:
    """Ask, print, return 1 if an answer is wrong too often."""
    options = parse(arguments)
    print(f"host: {processor()}")
    print(LINE.format("question", "repeat", "ratio", "99 % interval", "noisy", "answer"))
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        model, larger = (_model(name, Path(temporary)) for name in (MODEL, LARGER))
        more = inspect(larger).madds / inspect(model).madds - 1
        slower = f"{more:.0%} more multiply-adds"
        for question, other, busy in (
            ("a model against itself", model, False),
            (slower, larger, False),
            ("itself, one core kept busy", model, True),
        ):
            found[question] = []
            for repeat in range(1, options.repeats + 1):
                with _busy_core() if busy else contextlib.nullcontext():
                    result = benchmark([model, other], processes=options.processes)
                answer = _answer(result, busy, expect_slower=other != model)
                found[question].append(answer)
                print(LINE.format(question, repeat, f"{answer['ratio']:.3f}",
                                  "{:.3f} to {:.3f}".format(*answer["interval"]),
                                  str(answer["noisy"]).lower(), answer["verdict"]),
                      flush=True)  # fmt: skip
    if options.json:
        document = {"device": processor(), "repeats": options.repeats, "answers": found}
        write_bytes(options.json, json.dumps(document, indent=2).encode(), overwrite=True)
    good = {name: sum(answer["right"] for answer in answers) for name, answers in found.items()}
    print("; ".join(f"{name}: right {count} of {options.repeats}" for name, count in good.items()))
    return int(any(count < RIGHT * options.repeats for count in good.values()))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=20, help="of each question (20)")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="launches of each model")
    parser.add_argument("--json", metavar="FILE", help="write the answers")
    options = parser.parse_args(arguments)
    if options.repeats < 1 or options.processes < 2:
        parser.error("expected at least 1 repeat and 2 processes")
    return options


def _model(name: str, folder: Path) -> Path:
    return convert(
        name, "int8", "random", folder / f"{name}.tflite", "synthetic", 4, "fast", check=False
    ).output


@contextlib.contextmanager
def _busy_core() -> Iterator[None]:
    """A process that does nothing, as fast as it can."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _answer(result: BenchmarkResult, busy: bool, expect_slower: bool) -> dict[str, Any]:
    (comparison,) = result.comparisons
    noisy = any(record.noisy for record in result.records)
    slower = comparison.interval[0] > 1
    same = comparison.verdict == NO_DIFFERENCE
    right = noisy if busy else slower if expect_slower else same
    return {
        "ratio": comparison.ratio,
        "interval": comparison.interval,
        "verdict": "slower" if slower else comparison.verdict,
        "noisy": noisy,
        "right": right,
        "p50_ms": [record.p50_ms for record in result.records],
        "noise": sorted({reason for record in result.records for reason in record.noise}),
    }


if __name__ == "__main__":
    sys.exit(main())
