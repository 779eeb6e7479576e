"""What int8 models ask of the Edge TPU: a table for the documentation.

    python benchmark/scripts/edgetpu_table.py
    python benchmark/scripts/edgetpu_table.py --variants b0,b1,b2 --json b.json

Each variant is converted as ``convert --int8`` does and checked as ``edgetpu check`` does:
operators on the Edge TPU, bytes of parameters that stay on the chip and that stream at each
inference, multiply-adds, and the estimated time of an inference. Weights are ImageNet's where
they are installed, random elsewhere, and one picture is calibrated on: neither changes a
figure of the table, which are all of the architecture. Markdown; needs no TensorFlow, no
board, and no compiler.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from effnet_lite.benchmark.edgetpu.check import ON_CHIP_BYTES, EdgeTpuCheck, edgetpu_check
from effnet_lite.benchmark.scripts._context import has_weights, write_document
from effnet_lite.errors import EffnetLiteError
from effnet_lite.lite.variants import VARIANTS, get_variant
from effnet_lite.quantize.convert import convert

LITE = [name for name, variant in VARIANTS.items() if variant.family.name == "lite"]
HEADER = (
    "variant", "input", "operators on the Edge TPU", "multiply-adds", "parameters cached",
    "streamed at each inference", "estimated time",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return 1 if a variant failed."""
    options = parse(arguments)
    names = [name.strip() for name in options.variants.split(",") if name.strip()]
    found: dict[str, EdgeTpuCheck] = {}
    try:
        print(markdown(HEADER), markdown(["---"] + ["---:"] * (len(HEADER) - 1)), sep="\n")
        for name in names:
            found[name] = checked(name, options.on_chip)
            print(markdown(cells(name, found[name])), flush=True)
        if options.json:
            rows = {name: result.to_json() for name, result in found.items()}
            write_document(options.json, {"on_chip_bytes": options.on_chip, "variants": rows})
    except EffnetLiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--variants", default=",".join(LITE), help=f"default: {','.join(LITE)}")
    parser.add_argument("--on-chip", type=int, default=ON_CHIP_BYTES, metavar="BYTES",
                        help=f"the chip's memory for them, default: {ON_CHIP_BYTES}")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="keep all that the check says")
    return parser.parse_args(arguments)


def checked(name: str, on_chip_bytes: int) -> EdgeTpuCheck:
    """Convert a variant and check it."""
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder, "photos")
        photos.mkdir()
        pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(photos / "one.png")
        model = convert(
            name, "int8", weights="imagenet" if has_weights(name) else "random",
            output=Path(folder, f"{name}.tflite"), calibration=photos, calibration_count=1,
            recipe="fast", check=False,
        ).output  # fmt: skip
        return edgetpu_check(model, on_chip_bytes)


def cells(name: str, result: EdgeTpuCheck) -> list[str]:
    """One row."""
    there, here = (sum(counts.values()) for counts in (result.mapping.mapped,
                                                       result.mapping.unmapped))  # fmt: skip
    parameters, estimate = result.mapping.parameters, result.estimate
    return [
        name,
        f"{get_variant(name).size}",
        f"{there} of {there + here}",
        f"{(result.edgetpu_madds + result.cpu_madds) / 1e6:,.0f} M",
        f"{parameters.cached_bytes:,}",
        f"{parameters.streamed_bytes:,}",
        f"{estimate.low_ms:.1f}-{estimate.high_ms:.1f} ms" if estimate else "-",
    ]


def markdown(row: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(row)} |"


if __name__ == "__main__":
    sys.exit(main())
