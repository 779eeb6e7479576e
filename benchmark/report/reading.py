"""Makes readings out of documents: nothing behind this module meets a wrong value.

Every function raises InputError, with the place in the document, for what is not as it should be.
"""

from __future__ import annotations

from collections.abc import Mapping

from effnet_lite.benchmark.report.checked import Node
from effnet_lite.benchmark.report.readings import (
    Accuracy,
    Bin,
    Change,
    ClassCount,
    Fidelity,
    Layer,
    Operator,
    Photos,
    Profile,
    Setting,
    Speed,
    Timing,
)


def read_timings(document: Node) -> list[Timing]:
    """The records of a ``benchmark``."""
    return [_timing(record) for record in document.items("records")]


def read_speeds(document: Node, timings: list[Timing]) -> list[Speed]:
    """Its comparisons; those of different settings are left out."""
    found = []
    for entry in document.items("comparisons"):
        a, b = (timings[_place(entry.at(key), len(timings))] for key in ("a_index", "b_index"))
        # Of two launches on a busy machine it may reach from next to nothing to anything.
        interval = entry.at("interval").interval(0)
        if interval and a.setting == b.setting and a.sha256 != b.sha256:
            ratio = entry.at("ratio").number(1e-9, 1e9)
            found.append(Speed(a.sha256, b.sha256, a.setting, ratio, interval))
    return found


def read_profiles(document: Node) -> list[Profile]:
    """The profiles of a ``benchmark``, of the host or of devices."""
    return [_profile(node) for node in document.items("profiles")]


def read_accuracies(document: Node) -> list[Accuracy]:
    """The models of an ``evaluate``."""
    data = document.at("data")
    photos = Photos(data.at("digest").digest(), document.at("count").whole(1))
    path = data.at("path").text()
    names = document.at("labels").texts() if "labels" in document else {}
    labels = {int(key): label for key, label in names.items() if _is_index(key)}
    return [_accuracy(model, photos, path, labels) for model in document.items("models")]


def read_changes(document: Node, accuracies: list[Accuracy]) -> list[Change]:
    """Its comparisons."""
    found = []
    for entry in document.items("comparisons"):
        a, b = (
            accuracies[_place(entry.at(key), len(accuracies))] for key in ("a_index", "b_index")
        )
        interval = entry.at("interval").interval(-100, 100)
        if interval and a.sha256 != b.sha256:
            found.append(
                Change(
                    a.sha256, b.sha256, a.photos, entry.at("difference").number(-100, 100),
                    interval, entry.at("only_a").whole(), entry.at("only_b").whole(),
                    entry.at("p_value").number(0, 1), entry.at("agreement").number(0, 1),
                )
            )  # fmt: skip
    return found


def read_fidelity(document: Node, sha256: str, float_sha256: str | None, photos: str) -> Fidelity:
    """Figures of a ``compare``, or those that ``convert`` took."""
    agreement = document.at("top1_agreement").number(0, 1)
    return Fidelity(
        sha256=sha256,
        float_sha256=float_sha256,
        photos=photos,
        count=document.at("count").whole(1),
        agreement=agreement,
        interval=document.at("agreement_interval").interval(0, 1) or (agreement, agreement),
        sqnr_db=document.at("sqnr_db").maybe(),
        kl=document.at("kl").maybe(0),
        layers=tuple(_layer(entry) for entry in document.items("layers")),
    )


def read_comparison(document: Node) -> Fidelity:
    """A ``compare``."""
    quantized, parent = (document.at(key).at("sha256").digest() for key in ("quantized", "float"))
    return read_fidelity(document, quantized, parent, document.at("photos").maybe_text() or "")


def _timing(record: Node) -> Timing:
    def ms(key: str) -> float | None:
        return record.at(key).maybe(0, 1e9)

    setting = Setting(
        kind=record.at("device_kind").text(),
        device=record.at("device").text(),
        serial=record.at("serial").maybe_text() or "",
        runtime=record.at("runtime").text(),
        version=record.at("runtime_version").text(),
        delegate=record.at("delegate").text(),
        threads=record.at("threads").whole(1),
        cores=tuple(core.whole() for core in record.items("cores")),
    )
    return Timing(
        sha256=record.at("model_sha256").digest(),
        model=record.at("model").text(),
        setting=setting,
        runs=record.at("runs").whole(),
        processes=record.at("processes").whole(),
        mean_ms=ms("mean_ms"),
        mean_interval=record.at("mean_interval").interval(-1e9, 1e9),
        p50_ms=ms("p50_ms"),
        p90_ms=ms("p90_ms"),
        p99_ms=ms("p99_ms"),
        init_ms=ms("init_ms"),
        first_run_ms=ms("first_run_ms"),
        peak_rss_mib=record.at("peak_rss_mib").maybe(0),
        noise=tuple(entry.text() for entry in record.items("noise")),
        times_ms=tuple(entry.number(0, 1e9) for entry in record.items("times_ms")),
    )


def _profile(node: Node) -> Profile:
    host = "layers" in node
    threads = node.at("threads").whole(1)
    kernels = f"{node.at('kernels').text()} kernels" if host else (
        f"delegate {node.at('delegate').text()}"
    )  # fmt: skip
    where = "host measurement" if host else "device measurement"
    plural = "s" * (threads != 1)
    return Profile(
        sha256=node.at("sha256").digest(),
        model=node.at("model").text(),
        how=f"{where} on {node.at('device').text()}, {threads} thread{plural}, {kernels}",
        operators=tuple(
            Operator(
                name=entry.at("name").text(),
                kind=entry.at("kind").text(),
                ms=entry.at("ms").number(0, 1e9),
                roof=entry.at("roof").maybe(0),
                within=entry.at("within_delegate").value is True,
            )
            for entry in node.items("layers" if host else "ops")
        ),
        inference_ms=node.at("inference_ms").maybe(0, 1e9),
        noise=tuple(entry.text() for entry in node.items("noise")),
    )


def _accuracy(model: Node, photos: Photos, path: str, labels: Mapping[int, str]) -> Accuracy:
    top1, top5 = model.at("top1").number(0, 1), model.at("top5").number(0, 1)
    classes = {}
    for entry in model.items("classes"):
        count, share = entry.at("count").whole(1), entry.at("top1").number(0, 1)
        classes[entry.at("index").whole()] = ClassCount(
            entry.at("label").text(), count, round(share * count),
            entry.at("interval").interval(0, 1) or (share, share),
        )  # fmt: skip
    return Accuracy(
        sha256=model.at("sha256").digest(),
        model=model.at("model").text(),
        name=model.at("name").text(),
        photos=photos,
        path=path,
        top1=top1,
        top1_interval=model.at("top1_interval").interval(0, 1) or (top1, top1),
        top5=top5,
        top5_interval=model.at("top5_interval").interval(0, 1),
        ece=model.at("ece").maybe(0, 1),
        bins=tuple(
            Bin(
                entry.at("low").number(0, 1), entry.at("high").number(0, 1),
                entry.at("count").whole(), entry.at("confidence").maybe(0, 1.000001),
                entry.at("accuracy").maybe(0, 1),
            )
            for entry in model.items("calibration")
        ),
        classes=classes,
        confusion=tuple(_confusion(entry) for entry in model.items("confusion")),
        labels={**{index: found.label for index, found in classes.items()}, **labels},
    )  # fmt: skip


def _confusion(entry: Node) -> tuple[int, int, int]:
    row = entry.entries()
    if len(row) != 3:
        raise entry.wrong("a class, an answer and a number of photos")
    return row[0].whole(), row[1].whole(-1), row[2].whole()


def _layer(entry: Node) -> Layer:
    saturation = None
    if "saturation" in entry:
        node = entry.at("saturation")
        counts = [node.at(key).whole() for key in ("low", "high", "total")]
        saturation = min(1.0, (counts[0] + counts[1]) / max(1, counts[2]))
    return Layer(
        name=entry.at("name").text(),
        kind=entry.at("kind").text(),
        sqnr_db=entry.at("sqnr_db").maybe(-1e6, 1e6),
        weights_db=entry.at("weights_sqnr_db").maybe(-1e6, 1e6),
        activation_db=entry.at("activation_sqnr_db").maybe(-1e6, 1e6),
        saturation=saturation,
    )


def _place(node: Node, length: int) -> int:
    place = node.whole()
    if place >= length:
        raise node.wrong(f"a place among {length}")
    return place


def _is_index(key: str) -> bool:
    return key == "-1" or (key.isascii() and key.isdigit() and len(key) < 10)
