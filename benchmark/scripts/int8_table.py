"""Compare ways to make an int8 model: TensorFlow's own converter and our recipes.

    python benchmark/scripts/int8_table.py
    python benchmark/scripts/int8_table.py --variants lite0 --recipes stock,default --count 50

One table: fidelity to the float model on photos that no conversion saw, size and operators
of the file, and what the conversion and an inference cost on this host. Each conversion runs
in a process of its own, from start-up to the written file, without ``convert``'s check.
``stock`` is TFLiteConverter (see stock_convert.py), ``synthetic`` the default recipe with
synthetic images to calibrate on; any other name is a recipe of ``convert --recipe``. Needs
the [convert] extra for ``stock``, [imagenet] for the weights and photos, Linux or macOS.
"""

from __future__ import annotations

import argparse
import collections
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from effnet_lite.benchmark.host.latency import processor
from effnet_lite.benchmark.intervals import Ratio
from effnet_lite.benchmark.scripts._context import write_document
from effnet_lite.benchmark.scripts._trial import STOCK, SYNTHETIC, Photos, Row, Trial
from effnet_lite.errors import EffnetLiteError
from effnet_lite.files import check_output
from effnet_lite.lite.photos import check_photos, find_photos
from effnet_lite.lite.variants import VARIANTS
from effnet_lite.quantize.calibration_set import DEFAULT_COUNT, SYNTHETIC_COUNT
from effnet_lite.quantize.fidelity import Fidelity
from effnet_lite.quantize.tflite.runtime import available_cpus, find_runtime
from effnet_lite.versions import versions

RECIPES = (STOCK, "fast", "default", "best", SYNTHETIC)
PACKAGES = ("numpy", "pillow", "ai-edge-litert", "tensorflow", "tf-keras")
#: Header → width in the plain table; an error fills the columns after the second.
COLUMNS = {
    "variant": 7, "recipe": 9, "SQNR dB": 7, "KL": 7, "agreement % (95 %)": 18, "float %": 7,
    "int8 %": 6, "ties": 4, "bytes": 9, "ops = stock's": 13, "seconds*": 8,
    "peak MiB*": 9, "latency ÷ stock's (95 %)*": 25,
}  # fmt: skip
NONE = "-"

Item = TypeVar("Item")


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return 1 if a row failed."""
    options = parse(arguments)
    try:
        photos = judging_photos(options.data, options.count)
        if options.json:
            check_output(options.json, overwrite=True)
    except EffnetLiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    line = markdown_line if options.markdown else plain_line
    print(line(list(COLUMNS)), flush=True)
    if options.markdown:
        print(line(["---"] * len(COLUMNS)))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for variant in options.variants:
            rounds = options.rounds if options.latency else None
            trial = Trial(variant, Path(folder), photos, options.photos, rounds)
            # Stock's file is what the others are compared with.
            for recipe in sorted(options.recipes, key=lambda name: name != STOCK):
                rows.append(trial.row(recipe))
                print(line(cells(rows[-1])), flush=True)
                if options.json:
                    write_json(options, photos, rows)
    print("\n" + "\n".join(footer(options, photos, rows)))
    failed = sum(row.error is not None for row in rows)
    if failed:
        print(f"{failed} of {len(rows)} rows failed", file=sys.stderr)
    return 1 if failed else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""

    def names(text: str) -> list[str]:
        found = list(dict.fromkeys(text.split(",")))
        if "" in found:
            raise argparse.ArgumentTypeError(f"expected names with commas between, got {text!r}")
        return found

    def variants(text: str) -> list[str]:
        unknown = [name for name in names(text) if name not in VARIANTS]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"unknown {', '.join(unknown)}; expected some of {', '.join(VARIANTS)}"
            )
        return names(text)

    def positive(text: str) -> int:
        if not text.isdecimal() or not int(text):
            raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
        return int(text)

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--variants", type=variants, default=["lite0", "lite1", "lite2"],
                        metavar="A,B", help="default: lite0,lite1,lite2")  # fmt: skip
    parser.add_argument(
        "--recipes",
        type=names,
        default=list(RECIPES),
        metavar="A,B",
        help=f"stock, synthetic or a recipe; default: {','.join(RECIPES)}",
    )
    parser.add_argument("--photos", type=positive, default=DEFAULT_COUNT, metavar="N",
                        help="sample photos to calibrate on, default %(default)s")  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="FOLDER",
                        help="photos to judge on; default: data/imagenet_sample of the shared "
                             "folder, else the installed check photos")  # fmt: skip
    parser.add_argument("--count", type=positive, metavar="N",
                        help="judge on N of them, evenly spread; default: all")  # fmt: skip
    parser.add_argument("--rounds", type=positive, default=300, metavar="N",
                        help="timed runs of each file, default %(default)s")  # fmt: skip
    parser.add_argument("--no-latency", dest="latency", action="store_false",
                        help="leave out the latency")  # fmt: skip
    parser.add_argument("--markdown", action="store_true", help="print GitHub's kind of table")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything here too")
    return parser.parse_args(arguments)


def judging_photos(folder: Path | None, count: int | None = None) -> Photos:
    """The photos of ``folder``, or of where photos usually are.

    Raises:
        InputError: No such folder, or no photo in it.
        MissingDependencyError: No folder was named and the check photos are not installed.
    """
    beside = Path(__file__).resolve().parents[2].parent / "shared"
    usual = Path(os.environ.get("EFFNET_LITE_SHARED", beside)) / "data" / "imagenet_sample"
    if folder or usual.is_dir():
        found = find_photos(folder or usual)
        classes = [class_of(path.name) for path in found.paths]
        source = str(folder or "the ImageNet sample")
    else:
        found, classes = check_photos()
        source = "the installed check photos"
    return Photos(source, tuple(spread(found.paths, count)), tuple(spread(classes, count)))


def class_of(name: str) -> int | None:
    """The class index of a photo named ``IIII_nXXXXXXXX_name.jpg``, None for another name."""
    match = re.fullmatch(r"(\d{4})_n\d{8}_.+\.\w+", name)
    return int(match[1]) if match else None


def spread(items: Sequence[Item], count: int | None) -> Sequence[Item]:
    """``count`` of the items at even distances, since neighbours are alike; all for None."""
    if count is None or count >= len(items):
        return items
    return [items[number * len(items) // count] for number in range(count)]


def cells(row: Row) -> list[str]:
    """One row's text, a string a column; an error takes all columns after the names."""
    if row.error is not None:
        return [row.variant, row.recipe, f"error: {' '.join(row.error.split())}"]
    return [row.variant, row.recipe, *_fidelity_cells(row.fidelity),
            NONE if row.bytes is None else f"{row.bytes:,}",
            {True: "yes", False: "no", None: NONE}[row.same_ops],
            NONE if row.seconds is None else f"{row.seconds:.1f}",
            NONE if row.peak_mib is None else f"{row.peak_mib:.0f}",
            _latency_cell(row.latency)]  # fmt: skip


def _fidelity_cells(found: Fidelity | None) -> list[str]:
    if found is None:
        return [NONE] * 6
    low, high = found.agreement_interval
    tops = [NONE if share is None else f"{100 * share:.1f}"
            for share in (found.top1_float, found.top1_quantized)]  # fmt: skip
    agreement = f"{100 * found.top1_agreement:.1f} ({100 * low:.1f}-{100 * high:.1f})"
    return [f"{found.sqnr_db:.2f}", f"{found.kl:.4f}", agreement, *tops, str(found.ties)]


def _latency_cell(found: Ratio | None) -> str:
    return f"{found.value:.3f} ({found.low:.3f}-{found.high:.3f})" if found else NONE


def plain_line(texts: Sequence[str]) -> str:
    """The cells below their headers: names to the left, figures to the right."""
    widths = list(COLUMNS.values())
    names = [text.ljust(width) for text, width in zip(texts[:2], widths, strict=False)]
    rest = texts[2:]
    if len(texts) == len(widths):
        rest = [text.rjust(width) for text, width in zip(rest, widths[2:], strict=True)]
    return "  ".join([*names, *rest])


def markdown_line(texts: Sequence[str]) -> str:
    """The cells as one line of a GitHub table."""
    padded = [*texts, *[""] * (len(COLUMNS) - len(texts))]
    return "| " + " | ".join(text.replace("|", r"\|") for text in padded) + " |"


def mean_agreement(rows: Iterable[Row]) -> dict[str, tuple[float, int]]:
    """Recipe → mean agreement (0-1) over the variants that have one, and how many have."""
    found = collections.defaultdict(list)
    for row in rows:
        if row.fidelity:
            found[row.recipe].append(row.fidelity.top1_agreement)
    return {recipe: (sum(all_) / len(all_), len(all_)) for recipe, all_ in found.items()}


def footer(options: argparse.Namespace, photos: Photos, rows: Sequence[Row]) -> list[str]:
    """What stands below the table, a string a line."""
    means = [
        f"{recipe} {mean:.2%}" + (f" (of {count})" if count < len(options.variants) else "")
        for recipe, (mean, count) in mean_agreement(rows).items()
    ]
    runtime = find_runtime()
    labelled = sum(index is not None for index in photos.classes)
    lines = [
        f"mean agreement over {len(options.variants)} variant(s): {', '.join(means) or NONE}",
        f"judged on {len(photos.paths)} photos of {photos.source}; {labelled} are labelled, but "
        "the network may have been trained on them: no claim of accuracy",
        f"calibrated on {options.photos} sample photos, but {SYNTHETIC} on {SYNTHETIC_COUNT} drawn "
        "images; our files hold labels and a description, too",
        f"* host measurements: {processor()}, {available_cpus()} cores; seconds and peak MiB of a "
        "conversion's process, with start-up and reading the weights",
    ]
    medians = [(row.variant, row.latency.first_ms) for row in rows if row.latency]
    if medians:
        stock = ", ".join(f"{name} {ms:.2f}" for name, ms in dict(medians).items())
        lines.append(
            f"* latency: {runtime.name} {runtime.version}, delegate xnnpack, 1 thread, "
            f"{options.rounds} runs of each file by turns; stock's p50 ms: {stock}"
        )
    return [f"{line}  " for line in lines] if options.markdown else lines


def write_json(options: argparse.Namespace, photos: Photos, rows: Sequence[Row]) -> None:
    """Everything so far, so that an interrupted run leaves what it has."""
    runtime = find_runtime()
    document = {
        "versions": versions(PACKAGES),
        "device": processor(),
        "cores": available_cpus(),
        "host_measurements": ["seconds", "peak_mib", "latency"],
        "latency": {"runtime": runtime.name, "runtime_version": runtime.version,
                    "delegate": "xnnpack", "threads": 1, "rounds": options.rounds},
        "calibration_photos": options.photos,
        "judged_on": {"source": photos.source, "photos": len(photos.paths),
                      "labelled": sum(index is not None for index in photos.classes)},
        "mean_agreement": {
            recipe: {"mean": mean, "variants": count}
            for recipe, (mean, count) in mean_agreement(rows).items()
        },
        "rows": [row.to_json() for row in rows],
    }  # fmt: skip
    write_document(options.json, document)


if __name__ == "__main__":
    sys.exit(main())
