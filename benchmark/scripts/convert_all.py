"""Convert every variant and print time, peak memory, size and operators of each.

    python benchmark/scripts/convert_all.py
    python benchmark/scripts/convert_all.py --variants lite0,b0 --precisions int8 --json all.json

Runs the command line, each conversion in a process of its own, so that the figures are what
a user sees: start-up, reading weights and photos, calibrating, the check against float and
the embedded description included. ImageNet weights are used where they are installed or
cached, random ones elsewhere; nothing is downloaded. Needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.scripts._context import has_weights
from effnet_lite.benchmark.scripts._process import effnet_lite
from effnet_lite.lite.variants import VARIANTS

FLAGS = {"float32": "--fp32", "int8": "--int8", "float16": "--fp16", "dynamic": "--dynamic",
         "int16x8": "--int16x8"}  # fmt: skip
COLUMNS = "{:<8} {:<8} {:<9} {:>8} {:>9} {:>9} {:>5}  {}"


@dataclasses.dataclass(frozen=True)
class Row:
    """One conversion; ``error`` is None if it worked, else what the command said.

    ``sqnr_db`` is against float32 on the check photos; it says something of the method only
    where the weights are ImageNet's.
    """

    variant: str
    precision: str
    weights: str
    seconds: float
    peak_mib: float
    bytes: int = 0
    ops: int = 0
    sqnr_db: float | None = None
    top1_agreement: float | None = None
    error: str | None = None


def main(arguments: list[str] | None = None) -> int:
    """Convert, print the table, return 1 if a conversion failed."""
    options = parse(arguments)
    print(COLUMNS.format("variant", "type", "weights", "seconds", "peak MiB", "MB", "ops",
                         "SQNR dB, agreement"))  # fmt: skip
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.output or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for variant in options.variants:
            for precision in options.precisions:
                row = convert(variant, precision, folder, options)
                rows.append(row)
                print(line(row), flush=True)
                if options.json:
                    write_json(options, rows)
                if not options.output:
                    for path in folder.iterdir():
                        path.unlink()
    failed = sum(row.error is not None for row in rows)
    if failed:
        print(f"{failed} of {len(rows)} conversions failed", file=sys.stderr)
    return 1 if failed else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""

    def names(choices: list[str]) -> Any:
        def split(text: str) -> list[str]:
            unknown = [name for name in text.split(",") if name not in choices]
            if unknown:
                raise argparse.ArgumentTypeError(
                    f"unknown {', '.join(unknown)}; expected some of {', '.join(choices)}"
                )
            return text.split(",")

        return split

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--variants", type=names(list(VARIANTS)), default=list(VARIANTS),
                        metavar="A,B", help="default: all 13")  # fmt: skip
    parser.add_argument("--precisions", type=names(list(FLAGS)), default=["float32", "int8"],
                        metavar="A,B", help="default: float32,int8")  # fmt: skip
    parser.add_argument("--photos", type=int, default=100, metavar="N",
                        help="sample photos to calibrate on, default 100")  # fmt: skip
    parser.add_argument("--recipe", default="default", help="of int8 and int16x8")
    parser.add_argument("--size", type=int, metavar="PIXELS",
                        help="input of all variants, to save time; default: their own")  # fmt: skip
    parser.add_argument("--no-check", dest="check", action="store_false",
                        help="leave out the check against float32")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--output", metavar="FOLDER", help="keep the models here")
    return parser.parse_args(arguments)


def convert(variant: str, precision: str, folder: Path, options: argparse.Namespace) -> Row:
    """Run one conversion and look at what it wrote."""
    weights = "imagenet" if has_weights(variant) else "random"
    path = folder / f"{variant}-{precision}.tflite"
    command = ["convert", "--variant", variant, FLAGS[precision], "--weights", weights, "--json",
               "--overwrite", "-o", str(path), "--calibration", "samples",
               "--calibration-count", str(options.photos)]  # fmt: skip
    if precision in ("int8", "int16x8"):
        command += ["--recipe", options.recipe]
    if options.size:
        command += ["--size", str(options.size)]
    if not options.check:
        command.append("--no-check")
    done = effnet_lite(command)
    row = Row(variant, precision, weights, done.seconds, done.peak_mib)
    if done.error:
        return dataclasses.replace(row, error=done.error)
    fidelity = json.loads(done.output)["fidelity"] or {}
    found = effnet_lite(["inspect", "--json", str(path)])
    if found.error:
        return dataclasses.replace(row, error=f"inspect: {found.error}")
    return dataclasses.replace(
        row,
        bytes=path.stat().st_size,
        ops=sum(json.loads(found.output)["ops"].values()),
        sqnr_db=fidelity.get("sqnr_db"),
        top1_agreement=fidelity.get("top1_agreement"),
    )


def write_json(options: argparse.Namespace, rows: list[Row]) -> None:
    """Everything so far, so that an interrupted run leaves what it has."""
    asked = {name: getattr(options, name) for name in ("photos", "size", "recipe", "check")}
    document = {**asked, "rows": [dataclasses.asdict(row) for row in rows]}
    options.json.write_text(json.dumps(document, indent=2) + "\n")


def line(row: Row) -> str:
    """One line of the table."""
    last = row.error or ""
    # Random weights say nothing of what int8 costs: their signal drowns over the layers.
    measured = row.sqnr_db is not None and row.top1_agreement is not None
    if measured and row.weights == "imagenet":
        last = f"{row.sqnr_db:.1f}, {row.top1_agreement:.1%}"
    return COLUMNS.format(
        row.variant, row.precision, row.weights, f"{row.seconds:.1f}", f"{row.peak_mib:.0f}",
        f"{row.bytes / 1e6:.2f}", row.ops, last,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
