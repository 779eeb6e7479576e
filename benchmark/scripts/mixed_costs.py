"""What it costs to keep layers wide: bytes, operators, fidelity and latency of each choice.

    python benchmark/scripts/mixed_costs.py --weights b0.safetensors --size 128 \\
        --calibration clothing/train --data clothing/validation

One row a recipe, and one for float32: the file's bytes, the operators more than in the first
recipe's file, fidelity to float32 on the photos of ``--data`` (with the accuracy, where they
lie in a folder a class, named as the weights' labels), the latency over that of the first
recipe's file, timed by turns on one thread of this host, and which layers are wide.
train_b0.py makes such weights.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from effnet_lite.benchmark.host.latency import processor
from effnet_lite.benchmark.inspection import Inspection, inspect
from effnet_lite.benchmark.intervals import ratio
from effnet_lite.benchmark.scripts._interleaved import interleave
from effnet_lite.benchmark.scripts._trial import RememberingPredictor
from effnet_lite.errors import EffnetLiteError
from effnet_lite.lite.photos import find_photos, known_classes
from effnet_lite.lite.preprocessing import Pixels
from effnet_lite.quantize.convert import convert
from effnet_lite.quantize.fidelity import Fidelity, measure
from effnet_lite.quantize.tflite.file import read_model
from effnet_lite.quantize.tflite.metadata import read_labels
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.runtime import available_cpus, find_runtime
from effnet_lite.quantize.tflite.surgery import with_logits_output

BASE = "default"
RECIPES = (BASE, f"{BASE}+int16", f"{BASE}+float", "w8a16-minmax")
FLOAT = "float32"
COLUMNS = "{:<36} {:>10} {:>5} {:>8} {:>7} {:>7} {:>8}  {:<18} {}"


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    options = parse(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            table(options, Path(folder))
    except EffnetLiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--variant", default="b0", help="default: b0")
    parser.add_argument("--weights", default="imagenet", help="default: imagenet")
    parser.add_argument("--size", type=int, metavar="PIXELS")
    parser.add_argument("--calibration", metavar="FOLDER", help="photos to calibrate on")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER",
                        help="other photos, to judge on")  # fmt: skip
    parser.add_argument("--recipes", type=lambda text: text.split(","), default=list(RECIPES),
                        metavar="A,B", help=f"default: {','.join(RECIPES)}")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=100, metavar="N",
                        help="timed runs of each file, default %(default)s")  # fmt: skip
    return parser.parse_args(arguments)


def table(options: argparse.Namespace, folder: Path) -> None:
    """Convert, judge, time and print."""
    paths = [folder / (re.sub(r"\W", "-", name) + ".tflite") for name in options.recipes]
    float_path = folder / f"{FLOAT}.tflite"
    given = {"variant": options.variant, "weights": options.weights, "size": options.size,
             "check": False}  # fmt: skip
    convert(precision=FLOAT, output=float_path, **given)
    judge = RememberingPredictor(with_logits_output(read_model(float_path)))
    photos = find_photos(options.data)
    pixels = [judge.preprocessing.pixels(path) for path in photos.paths]
    classes = known_classes(photos, options.data, read_labels(read_model(float_path)))
    print(COLUMNS.format("recipe", "bytes", "ops +", "SQNR dB", "KL", "agree %", "top-1 %",
                         "latency (95 %)*", "wide"))  # fmt: skip
    first: Inspection | None = None
    for name, path in zip([*options.recipes, FLOAT], [*paths, float_path], strict=True):
        if name != FLOAT:
            bits = "int16x8" if name.startswith("w8a16") else "int8"
            convert(precision=bits, recipe=name, calibration=options.calibration, output=path,
                    **given)  # fmt: skip
        found = inspect(path)
        first = first or found
        model = Predictor(with_logits_output(read_model(path)), judge.preprocessing)
        fidelity = measure(judge, model, pixels, classes)
        one, other = (_inference(timed, pixels[0]) for timed in (paths[0], path))
        timing = ratio(*interleave(one, other, options.rounds))
        latency = f"{timing.value:.2f} ({timing.low:.2f}-{timing.high:.2f})"
        cells = [
            name,
            f"{found.bytes:,}",
            sum(found.ops.values()) - sum(first.ops.values()),
            f"{fidelity.sqnr_db:.2f}",
            f"{fidelity.kl:.4f}",
            f"{100 * fidelity.top1_agreement:.1f}",
            _accuracy(fidelity),
            "1" if found is first else latency,
            wide(found),
        ]
        print(COLUMNS.format(*cells), flush=True)
    runtime = find_runtime()
    print(f"\n* of {timing.first_ms:.2f} ms p50; {processor()}, {available_cpus()} cores, "
          f"{runtime.name} {runtime.version}, delegate xnnpack, 1 thread, {options.rounds} runs "
          f"of each file by turns\njudged on {len(photos)} photos of {options.data}")  # fmt: skip


def wide(found: Inspection) -> str:
    """The parts of the network whose layers are wider than int8; "all" for all blocks."""
    parts: dict[str, bool] = {}
    for layer in found.layers:
        if layer.kind not in ("QUANTIZE", "DEQUANTIZE"):
            part = layer.name.partition("_")[0]
            parts[part] = parts.get(part, False) or layer.dtype in ("int16", "float32")
    chosen = [part for part, is_wide in parts.items() if is_wide]
    blocks = [part for part in parts if part.startswith("block")]
    return "all" if set(blocks) <= set(chosen) else ", ".join(chosen) or "-"


def _inference(path: Path, pixels: Pixels) -> Callable[[], None]:
    model = Predictor(read_model(path), threads=1)
    model.raw(pixels)  # leaves a photo in the input
    return model.runner.invoke


def _accuracy(found: Fidelity) -> str:
    return "-" if found.top1_quantized is None else f"{100 * found.top1_quantized:.1f}"


if __name__ == "__main__":
    sys.exit(main())
