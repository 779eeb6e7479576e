"""Int8 latency of our files in LiteRT against onnxruntime and OpenVINO, on one thread.

    pip install -e '.[imagenet,rivals]'
    python benchmark/scripts/rivals.py
    python benchmark/scripts/rivals.py --variants lite0 --recipe fast --rivals openvino

The same network, weights and calibration photos for all. Ours is ``convert --int8``;
onnxruntime quantizes the network as ONNX (whose float32 logits are checked against ours first);
OpenVINO reads our .tflite, or what its NNCF makes of the ONNX file. All files of a
variant are timed by turns in one process, several launches one after the other; a ratio above
1 says that the rival is slower. Lite weights are ImageNet's; those of the B family random,
unless they are installed: latency does not depend on them. No TensorFlow is needed.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.host.latency import processor
from effnet_lite.benchmark.intervals import CONFIDENCE
from effnet_lite.benchmark.scripts._context import write_document
from effnet_lite.benchmark.scripts._rivals import CHECK_PHOTOS, RIVALS, Row, contest
from effnet_lite.benchmark.scripts._runtimes import BURST, WARMUP
from effnet_lite.errors import EffnetLiteError
from effnet_lite.files import check_output
from effnet_lite.lite.variants import VARIANTS
from effnet_lite.quantize.calibration_set import DEFAULT_COUNT
from effnet_lite.quantize.tflite.runtime import available_cpus
from effnet_lite.versions import versions

PACKAGES = ("numpy", "ai-edge-litert", "onnx", "onnxruntime", "openvino", "nncf")
#: Header → width in the plain table; an error fills the columns after the names.
COLUMNS = {"variant": 7, "weights": 8, "int8 by": 21, "p50 ms*": 7, "÷ ours (99 %)*": 19,
           "top-1 as float %": 16, "bytes": 10}  # fmt: skip
NAMES = 3
NONE = "-"


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return 1 if a row failed, a rival that is not installed aside."""
    options = parse(arguments)
    line = markdown_line if options.markdown else plain_line
    rows: list[Row] = []
    load = _load()
    try:
        if options.json:
            check_output(options.json, overwrite=True)
        print(line(list(COLUMNS)), flush=True)
        if options.markdown:
            print(line(["---"] * len(COLUMNS)))
        for variant in options.variants:
            with tempfile.TemporaryDirectory() as folder:
                found = contest(
                    variant, options.rivals, Path(folder), options.recipe, options.photos,
                    options.launches, options.rounds,
                )  # fmt: skip
            rows += found
            for row in found:
                print(line(cells(row)), flush=True)
            if options.json:
                write_json(options, rows, load)
    except EffnetLiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print("\n" + "\n".join(footer(options, load)))
    return 1 if any(row.failed for row in rows) else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""

    def names(*known: str) -> Any:
        def some(text: str) -> list[str]:
            found = list(dict.fromkeys(text.split(",")))
            unknown = [name for name in found if name not in known]
            if unknown:
                raise argparse.ArgumentTypeError(
                    f"unknown {', '.join(map(repr, unknown))}; expected some of {', '.join(known)}"
                )
            return found

        return some

    def at_least(least: int) -> Any:
        def number(text: str) -> int:
            if not text.isdecimal() or int(text) < least:
                raise argparse.ArgumentTypeError(f"expected at least {least}, got {text!r}")
            return int(text)

        return number

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--variants", type=names(*VARIANTS), metavar="A,B",
                        default=["lite0", "lite1", "lite2", "b0"],
                        help="default: lite0,lite1,lite2,b0")  # fmt: skip
    parser.add_argument("--rivals", type=names(*RIVALS), default=list(RIVALS), metavar="A,B",
                        help=f"default: {','.join(RIVALS)}")  # fmt: skip
    parser.add_argument("--recipe", default="default", help="of our file, default %(default)s")
    parser.add_argument("--photos", type=at_least(1), default=DEFAULT_COUNT, metavar="N",
                        help="sample photos to calibrate on, default %(default)s")  # fmt: skip
    parser.add_argument("--launches", type=at_least(2), default=5, metavar="N",
                        help="processes, default %(default)s")  # fmt: skip
    parser.add_argument("--rounds", type=at_least(1), default=40, metavar="N",
                        help=f"turns of each file in a launch, {BURST} timed runs each, "
                             "default %(default)s")  # fmt: skip
    parser.add_argument("--markdown", action="store_true", help="print GitHub's kind of table")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything here too")
    return parser.parse_args(arguments)


def cells(row: Row) -> list[str]:
    """One row's text, a string a column; an error takes all columns after the names."""
    names = [row.variant, row.weights, label(row.rival)]
    if row.error:
        return [*names, row.error]
    found = row.ratio
    return [*names, NONE if row.p50_ms is None else f"{row.p50_ms:.2f}",
            f"{found.value:.2f} ({found.low:.2f}-{found.high:.2f})" if found else "1",
            NONE if row.agreement is None else f"{100 * row.agreement:.1f}",
            NONE if row.bytes is None else f"{row.bytes:,}"]  # fmt: skip


def label(name: str) -> str:
    """What the table calls a rival."""
    return RIVALS[name].label if name in RIVALS else "LiteRT, ours"


def plain_line(texts: Sequence[str]) -> str:
    """The cells below their headers: names to the left, figures to the right."""
    widths = list(COLUMNS.values())
    names = [text.ljust(width) for text, width in zip(texts[:NAMES], widths, strict=False)]
    rest = list(texts[NAMES:])
    if len(texts) == len(widths):
        rest = [text.rjust(width) for text, width in zip(rest, widths[NAMES:], strict=True)]
    return "  ".join([*names, *rest])


def markdown_line(texts: Sequence[str]) -> str:
    """The cells as one line of a GitHub table."""
    padded = [*texts, *[""] * (len(COLUMNS) - len(texts))]
    return "| " + " | ".join(text.replace("|", r"\|") for text in padded) + " |"


def footer(options: argparse.Namespace, load: float | None) -> list[str]:
    """What stands below the table, a string a line."""
    loads = ", ".join(NONE if one is None else f"{one:.1f}" for one in (load, _load()))
    found = versions(PACKAGES)
    installed = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    lines = [
        f"* host measurements: {processor()}, {available_cpus()} cores; load before and after: "
        f"{loads}, of which 1 is this script's",
        f"* 1 thread, one image, inference only; {options.launches} processes with "
        f"{options.rounds * BURST} runs of each file by turns; {CONFIDENCE:.0%} interval over "
        "the processes",
        f"ours: convert --int8 --recipe {options.recipe}; all calibrated on the same "
        f"{options.photos} photos; top-1 as float on {CHECK_PHOTOS} others",
        installed,
    ]
    return [f"{line}  " for line in lines] if options.markdown else lines


def write_json(options: argparse.Namespace, rows: Sequence[Row], load: float | None) -> None:
    """Everything so far, so that an interrupted run leaves what it has."""
    document = {
        "versions": versions(PACKAGES),
        "device": processor(),
        "cores": available_cpus(),
        "load": [load, _load()],
        "protocol": {"threads": 1, "launches": options.launches, "rounds": options.rounds,
                     "burst": BURST, "warmup": WARMUP, "interval": CONFIDENCE},
        "recipe": options.recipe,
        "calibration_photos": options.photos,
        "rows": [dataclasses.asdict(row) | {"label": label(row.rival)} for row in rows],
    }  # fmt: skip
    write_document(options.json, document)


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows
        return None


if __name__ == "__main__":
    sys.exit(main())
