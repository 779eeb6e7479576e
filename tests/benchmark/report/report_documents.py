"""Documents as our commands print them, small and made up, and a sweep's record of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from records import measurement

from effnet_lite.benchmark.records import BenchmarkResult, Comparison
from effnet_lite.quantize.fidelity import wilson_interval

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "<!-- <b>bold</b> &amp; $x^2$ %{x} %{text}",
    "\"quotes' `back`",
    "two\nlines\u2028three\u202ertl",
    "\ud800 lone",
    "x" * 5000,
    "2020-01-01",
    "#1a1a1a",
)


def sha256(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def conversion(name: str, size: int = 5_000_000, **changes: Any) -> dict[str, Any]:
    given = {
        "output": f"out/{name}.tflite", "sha256": sha256(name), "bytes": size, "variant": "lite0",
        "precision": "int8", "recipe": "w8a8-minmax", "input_type": "uint8", "classes": 1000,
        "weights": "imagenet", "fidelity": None, "calibration": None, "notices": [], "ladder": [],
    }  # fmt: skip
    return given | changes


def benchmarked(times: dict[str, float], runs: int = 40, **changes: Any) -> dict[str, Any]:
    """Models with their median latencies, the others compared with the first."""
    random = np.random.default_rng(0)
    records = []
    for name, ms in times.items():
        found = np.sort(random.normal(ms, 0.02 * ms, runs))
        records.append(
            measurement(**{
                "model": f"out/{name}.tflite", "model_sha256": sha256(name), "p50_ms": ms,
                "times_ms": tuple(found.tolist()), "runs": runs, **changes,
            })
        )  # fmt: skip
    comparisons = [
        Comparison("a", "b", 0, place, ms / records[0].p50_ms, interval(ms / records[0].p50_ms),
                   "as the interval says")
        for place, ms in enumerate(times.values()) if place
    ]  # fmt: skip
    return BenchmarkResult(tuple(records), tuple(comparisons)).to_json()


def interval(value: float) -> tuple[float, float]:
    return value * 0.99, value * 1.01


def profile(name: str, layers: Sequence[str] = ("conv", "pool")) -> dict[str, Any]:
    return {
        "model": f"out/{name}.tflite", "sha256": sha256(name), "runtime": "litert",
        "version": "2.3.0", "kernels": "xnnpack", "device": "A processor", "threads": 1,
        "warmup": 5, "runs": 50, "inference_ms": 3.1, "noise": [], "cores": [],
        "layers": [
            {"number": place, "kind": "CONV_2D" if place % 2 == 0 else layer, "name": layer,
             "ms": 1.0 + place, "share": 0.1, "madds": 5, "bytes": 6, "gops": 1.0, "roof": 0.5,
             "kernel": "k", "timed_in": None}
            for place, layer in enumerate(layers)
        ],
    }  # fmt: skip


def evaluated(
    right: dict[str, Sequence[int]],
    photos: int = 50,
    labels: Sequence[str] = ("cat", "dog"),
    digest: str = "photos",
    confusions: Sequence[tuple[int, int, int]] = (),
) -> dict[str, Any]:
    """Models with the photos of each class that they get right, of ``photos`` a class."""
    models, hits = [], []
    for name, counts in right.items():
        total = photos * len(counts)
        hits.append(sum(counts))
        models.append({
            "model": f"out/{name}.tflite", "name": f"{name}.tflite", "sha256": sha256(name),
            "count": total, "top1": sum(counts) / total, "top5": 1.0,
            "top1_interval": list(wilson_interval(sum(counts), total)), "top5_interval": [0.9, 1],
            "class_mean_top1": 0.5, "ece": 0.1,
            "calibration": [{"low": 0.5, "high": 1.0, "count": total, "confidence": 0.9,
                             "accuracy": sum(counts) / total}],
            "classes": [
                {"index": index, "label": labels[index], "count": photos, "top1": hit / photos,
                 "top5": 1.0, "interval": list(wilson_interval(hit, photos)), "answered": photos,
                 "precision": 0.5}
                for index, hit in enumerate(counts)
            ],
            "confusion": [
                *([index, index, hit] for index, hit in enumerate(counts)),
                *([index, (index + 1) % len(counts), photos - hit]
                  for index, hit in enumerate(counts) if hit < photos),
                *map(list, confusions),
            ],
        })  # fmt: skip
    total = models[0]["count"]
    return {
        "count": total, "top1": 0.5, "top5": 1.0, "top1_interval": [0, 1], "ece": 0.1,
        "data": {"path": "photos", "kind": "folders", "digest": sha256(digest), "limit": None,
                 "seed": 0},
        "models": models,
        "comparisons": [
            {"a": "a", "b": "b", "a_index": 0, "b_index": place, "count": total,
             "difference": 100 * (count - hits[0]) / total,
             "interval": [100 * (count - hits[0]) / total - 1, 100 * (count - hits[0]) / total + 1],
             "only_a": 1, "only_b": 2, "p_value": 0.5, "agreement": 0.9,
             "agreement_interval": [0.8, 1.0]}
            for place, count in enumerate(hits) if place
        ],
        "labels": {str(index): label for index, label in enumerate(labels)},
        "unreadable": [], "unknown_classes": [], "without_class": 0, "notes": [], "run": {},
    }  # fmt: skip


def compared(
    parent: str, name: str, agreement: float = 0.95, layers: Sequence[str] = ("conv", "pool"),
    count: int = 20,
) -> dict[str, Any]:  # fmt: skip
    return {
        "count": count, "top1_agreement": agreement, "agreement_interval": [agreement - 0.05, 1.0],
        "sqnr_db": 25.0, "kl": 0.001, "ties": 0, "labelled": 0, "top1_float": None,
        "top1_quantized": None, "photos": "samples", "float": {"sha256": sha256(parent)},
        "quantized": {"sha256": sha256(name)},
        "layers": [
            {"name": layer, "kind": "CONV_2D", "sqnr_db": 40.0 - place, "weights_sqnr_db": 38.0,
             "activation_sqnr_db": 50.0, "inputs": [], "rescaled": False,
             "saturation": {"low": 1, "high": 2, "total": 100, "low_share": 0, "high_share": 0}}
            for place, layer in enumerate(layers)
        ],
    }  # fmt: skip


def nine(with_data: bool = True, classes: int = 2, names: Sequence[str] = ()) -> list[Any]:
    """Lines of a sweep over three variants and three recipes; ``names`` replace theirs."""
    short = [f"lite{n}-{recipe}" for n in range(3) for recipe in ("float32", "fast", "default")]
    called = dict(zip(short, names or short, strict=False))
    labels = [called.get(name, name) for name in short][:classes]
    labels += [f"class {n}" for n in range(len(labels), classes)]
    found: list[Any] = [run_line()]
    for n in range(3):
        group = short[3 * n : 3 * n + 3]
        of = [called.get(name, name) for name in group]
        for place, name in enumerate(of):
            size = int((20 if place == 0 else 5) * 1e6 * (1 + n / 10)) + place
            changes = {"variant": f"lite{n}", "precision": "int8" if place else "float32"}
            found.append(
                line("convert", conversion(name, size, **changes), name=name, group=f"lite{n}",
                     parent=of[0] if place else None)
            )  # fmt: skip
        ms = [(10 + 4 * n) * share for share in (1, 0.5, 0.49)]
        document = benchmarked(dict(zip(of, ms, strict=True)), runs=3000)
        document["profiles"] = [profile(name, [*of, "pool"]) for name in of]
        found.append(line("benchmark", document, group=f"lite{n}"))
        for name in of[1:]:
            document = compared(of[0], name, layers=of)
            found.append(line("compare", document, name=name, group=f"lite{n}"))
        if with_data:
            right = {name: [max(0, 40 + n - 2 * (place == 1) - index % 3)
                            for index in range(classes)]
                     for place, name in enumerate(of)}  # fmt: skip
            found.append(line("evaluate", evaluated(right, 50, labels), group=f"lite{n}"))
    return found


def run_line(**changes: Any) -> dict[str, Any]:
    given = {
        "kind": "run", "command": "effnet-lite sweep", "versions": {"effnet-lite": "0.1.0"},
        "machine": {"processor": "A processor", "cores": 2, "system": "Linux"},
        "when": "2026-01-01T00:00:00+00:00", "makes": [],
    }  # fmt: skip
    return given | changes


def line(kind: str, document: Any, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "command": f"effnet-lite {kind} x", "document": document, **more}


def write_sweep(path: Path, lines: Iterable[Any], end: str = "\n") -> Path:
    texts = [json.dumps(entry) for entry in ({"effnet_lite_sweep": 1, "settings": {}}, *lines)]
    path.write_text("\n".join(texts) + end, "utf-8")
    return path


def write_json(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document), "utf-8")
    return path
