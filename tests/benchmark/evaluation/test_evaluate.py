"""evaluate: the right figures, whatever is in the data set and however the work is done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from bad_models import mirror
from evaluated import CLASSES, save_photo
from tfrecords import example, write_records

from effnet_lite.benchmark.evaluation.evaluate import evaluate
from effnet_lite.errors import InputError, UsageError
from effnet_lite.lite.photos import find_photos
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.quantize.fidelity import softmax
from effnet_lite.quantize.tflite.predictor import Predictor


def by_hand(model, root):
    """Rank of the right class, top-1, and its probability of every photo, one by one."""
    predictor = Predictor.open(model)
    found = []
    for path in find_photos(root).paths:
        output = predictor.output(predictor.preprocessing.pixels(path))
        order = np.argsort(-output, kind="stable").tolist()
        right = CLASSES.index(path.parent.name)
        found.append((order.index(right), order[0], softmax(output).max(), right))
    return found


def test_figures_are_those_of_one_photo_after_the_other(figures, model_file, labelled):
    assert figures.count == 40
    answers = []
    for entry, quantized in zip(figures.models, (True, False), strict=True):
        found = by_hand(model_file(quantized=quantized), labelled)
        answers.append(found)
        ranks = np.array([rank for rank, *_ in found])
        assert entry.figures.top1 == (ranks == 0).mean()
        assert entry.figures.top5 == (ranks < 5).mean()
        assert entry.figures.topk == (ranks < 3).mean()
        assert 0 < entry.figures.top1 < entry.figures.top5 < 1  # else this says little
        confidence = sum(entry.confidence * entry.count for entry in entry.figures.bins
                         if entry.count)  # fmt: skip
        assert confidence == pytest.approx(sum(p for *_, p, _ in found), rel=1e-6)
        for right, answer, count in entry.figures.confusion:
            assert count == sum((t, r) == (answer, right) for _, t, _, r in found)
    (pair,) = figures.comparisons
    same = np.mean([a[1] == b[1] for a, b in zip(*answers, strict=True)])
    assert pair.agreement == same
    assert pair.difference == pytest.approx(
        100 * (figures.models[1].figures.top1 - figures.models[0].figures.top1)
    )
    digests = (hashlib.sha256(path.read_bytes()).digest() for path in find_photos(labelled).paths)
    assert figures.digest == hashlib.sha256(b"".join(digests)).hexdigest()
    assert figures.digest == find_photos(labelled).digest()  # as `convert` names photos


def test_the_number_of_processes_changes_nothing(figures, model_file, labelled):
    models = [model_file(), model_file(quantized=False)]
    found = evaluate(models, labelled, processes=3, top=3)
    assert found == figures
    assert found.run.processes == 3


def test_the_json(figures):
    document = json.loads(json.dumps(figures.to_json()))
    first, second = document["models"]
    for key in ("count", "top1", "top5", "top1_interval"):
        assert document[key] == first[key]
    low, high = document["top1_interval"]
    assert 0 <= low < document["top1"] < high <= 1
    assert len(second["calibration"]) == 15
    assert sum(entry["count"] for entry in second["classes"]) == 40
    assert sum(count for *_, count in second["confusion"]) == 40
    assert document["labels"]["0"] == "class a"
    assert [entry["b"] for entry in document["comparisons"]] == [second["name"]]
    assert document["run"]["evaluated"] == 40
    assert document["run"]["worker_peak_rss_mib"] > 10


def test_one_model_in_the_same_shape(model_file, labelled):
    document = evaluate(model_file(), labelled, limit=5, processes=1).to_json()
    assert (len(document["models"]), document["comparisons"]) == (1, [])


def test_a_table_and_shards_give_what_the_folders_give(model_file, labelled, figures, tmp_path):
    models = [model_file(), model_file(quantized=False)]
    paths = find_photos(labelled).paths
    table = tmp_path / "photos.csv"
    rows = [f"{path},{path.parent.name.upper()}" for path in paths]
    table.write_text("\n".join(["path,label", *rows]))
    numbers = [CLASSES.index(path.parent.name) for path in paths]
    shard = write_records(tmp_path / "a.tfrecord", *(
        example(image__encoded=path.read_bytes(), image__class__label=number)
        for path, number in zip(paths, numbers, strict=True)
    ))  # fmt: skip
    for data in (table, shard):
        found = evaluate(models, data, processes=1, top=3)
        assert [entry.figures for entry in found.models] == [e.figures for e in figures.models]
        assert found.digest == figures.digest


def test_a_background_class(model_file, tmp_path):
    labels = ("background", *CLASSES[:9])
    model = model_file(labels=labels)
    predictor = Predictor.open(model)
    wanted = 0
    for number in range(12):
        path = save_photo(tmp_path / CLASSES[number % 3] / f"{number}.png", number)
        answer = predictor.output(predictor.preprocessing.pixels(path)).argmax()
        wanted += answer == number % 3 + 1
    found = evaluate(model, tmp_path, processes=1)
    assert len(found.labels) == 9
    assert round(found.models[0].figures.top1 * 12) == wanted
    plain = evaluate(model_file(labels=CLASSES), tmp_path, processes=1)
    assert plain.models[0].figures.confusion != found.models[0].figures.confusion


def test_1001_outputs_are_imagenet_with_a_background(model_file, tmp_path):
    model = model_file(classes=1001, labels=None)
    save_photo(tmp_path / "n01440764" / "1.png", 1)
    save_photo(tmp_path / "toilet tissue" / "2.png", 2)
    found = evaluate([model, model_file(classes=1000, labels=None)], tmp_path, processes=1)
    assert [entry.index for entry in found.models[0].figures.classes] == [0, 999]
    assert found.labels[0] == "tench"


def test_nan_names_the_model_and_the_photo(model_file, labelled):
    model = model_file(quantized=False, nan=True)
    with pytest.raises(InputError, match=rf"{model} answers with infinities or NaN for class "):
        evaluate([model_file(), model], labelled, processes=1)


def test_models_that_do_not_belong_together(model_file, labelled):
    with pytest.raises(InputError, match="tell 10 and 11 classes apart"):
        evaluate([model_file(), model_file(classes=11, labels=None)], labelled)
    other = model_file(labels=("x", *CLASSES[1:]))
    with pytest.raises(InputError, match=r"class 0 is 'class a' in .* and 'x' in .*--labels"):
        evaluate([model_file(), other], labelled)


def test_a_model_that_is_no_classifier(labelled, tmp_path):
    path = tmp_path / "boxes.tflite"
    path.write_bytes(mirror("UINT8", (1, 8, 8, 3)))
    with pytest.raises(InputError, match=r"output of shape \(1, 8, 8, 3\); expected one score a"):
        evaluate(path, labelled)


def test_a_model_twice(model_file, labelled):
    found = evaluate([model_file(), model_file()], labelled, limit=5, processes=1)
    (pair,) = found.comparisons
    assert (pair.agreement, pair.difference, pair.p_value) == (1, 0, 1)
    assert pair.a != pair.b


@pytest.fixture
def mixed(tmp_path, labelled):
    """Six good photos, and what cannot be read."""
    root = tmp_path / "mixed"
    for number, path in enumerate(find_photos(labelled).paths[:6]):
        (root / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / path.parent.name / f"good {number}.png")
    return root


def test_unreadable_photos_are_listed(model_file, mixed):
    (mixed / "class a").mkdir(exist_ok=True)
    (mixed / "class a" / "empty.jpg").touch()
    (mixed / "class a" / "text\n'\"<script>.jpg").write_text("no photo")
    (mixed / "class a" / "gone.jpg").symlink_to(mixed / "nowhere")
    found = evaluate(model_file(), mixed, processes=2)
    assert found.count == 6
    assert [entry.name for entry in found.unreadable] == [
        "class a/empty.jpg", "class a/gone.jpg", "class a/text\n'\"<script>.jpg",
    ]  # fmt: skip
    reasons = [entry.reason for entry in found.unreadable]
    for part, reason in zip(("is empty", "does not exist", "not an image"), reasons, strict=True):
        assert part in reason
    assert len(found.to_json()["unreadable"]) == 3
    (only := mixed / "only" / "class a").mkdir(parents=True)
    (only / "bad.jpg").write_text("no photo")
    with pytest.raises(InputError, match=r"none of the 1 photos in .* can be used.*not an image"):
        evaluate(model_file(), only.parent, processes=1)


@pytest.mark.usefixtures("hooked")
def test_photos_that_crash_or_stall_a_decoder(model_file, mixed):
    plain = evaluate(model_file(), mixed, processes=1)
    save_photo(mixed / "class a" / "crash.png", 1)
    save_photo(mixed / "class b" / "hang.png", 2)
    found = evaluate(model_file(), mixed, processes=2, timeout=1)
    assert found.models[0].figures == plain.models[0].figures
    crash, hang = (entry.reason for entry in found.unreadable)
    assert "crash.png cannot be decoded: the decoder's process ended with SIGSEGV" in crash
    assert "hang.png took longer than 1 s to decode" in hang


@pytest.mark.usefixtures("hooked")
def test_a_crash_that_does_not_come_again_is_forgiven(model_file, mixed):
    """The system ends processes when memory is short, whatever photo they are at."""
    save_photo(mixed / "class a" / "crash once.png", 1)
    found = evaluate(model_file(), mixed, processes=1)
    assert (found.count, found.unreadable) == (7, ())


def endless_jpeg(side=6000, scans=3000):
    """A progressive JPEG of a few hundred KB that takes libjpeg minutes.

    Each scan codes no coefficient at all, with runs of 32767 empty blocks, and has the decoder
    visit every block.
    """
    blocks = (side // 8) ** 2

    def segment(marker, payload):
        return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload

    def entropy(bits):
        bits += "1" * (-len(bits) % 8)
        data = int(bits, 2).to_bytes(len(bits) // 8, "big")
        return data.replace(b"\xff", b"\xff\x00")

    # One code each: DC difference 0 is "0"; AC symbol 0xE0, a run of 2^14 + 14 bits, is "0".
    tables = bytes([0x00, 1, *[0] * 15, 0x00]) + bytes([0x10, 1, *[0] * 15, 0xE0])
    run = 2**15 - 1
    codes = "0" + f"{run - 2**14:014b}"
    runs = entropy(codes * -(-blocks // run))
    head = (
        b"\xff\xd8"
        + segment(0xDB, bytes([0, *[1] * 64]))
        + segment(0xC2, bytes([8, *side.to_bytes(2, "big") * 2, 1, 1, 0x11, 0]))
        + segment(0xC4, tables)
        + segment(0xDA, bytes([1, 1, 0, 0, 0, 0]))
        + entropy("0" * blocks)
    )
    scan = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + runs
    return head + scan * scans + b"\xff\xd9"


def test_a_photo_that_decodes_forever(model_file, mixed):
    data = endless_jpeg()
    assert len(data) < 500_000
    (mixed / "class a").mkdir(exist_ok=True)
    (mixed / "class a" / "endless.jpg").write_bytes(data)
    found = evaluate(model_file(), mixed, processes=1, timeout=1)
    assert found.count == 6
    (entry,) = found.unreadable
    assert "endless.jpg took longer than 1 s" in entry.reason


def test_no_process_is_left(model_file, labelled):
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if not children.is_file():
        pytest.skip("this system does not list a process's children")
    before = set(children.read_text().split())

    def stop(done, total, label):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(model_file(), labelled, processes=2, progress=stop)
    assert set(children.read_text().split()) <= before


def test_names_that_are_not_text(model_file, tmp_path):
    name = os.fsdecode(b"caf\xe9 \xff.png")
    try:
        save_photo(tmp_path / "class a" / name, 1)
    except (OSError, ValueError):
        pytest.skip("this file system takes only text as names")
    (tmp_path / "class a" / f"bad {name}").write_text("no photo")
    found = evaluate(model_file(), tmp_path, processes=1)
    assert (found.count, len(found.unreadable)) == (1, 1)
    json.dumps(found.to_json(), ensure_ascii=False).encode()


def test_preprocessing_of_the_caller(model_file, labelled):
    one = evaluate(model_file(), labelled, processes=1)
    other = evaluate(
        model_file(), labelled, processes=1, preprocessing=Preprocessing(8, crop_fraction=0.5)
    )
    assert one.models[0].figures != other.models[0].figures


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"processes": 0}, "processes must be 1 to"),
        ({"threads": 0}, "threads must be 1 to"),
        ({"top": 0}, "top must be 1 to"),
        ({"limit": 0}, "limit must be 1 to"),
        ({"timeout": 0.0}, "timeout must be above 0"),
        ({"timeout": float("nan")}, "timeout must be above 0"),
        ({"models": []}, "at least one .tflite file"),
    ],
)
def test_wrong_usage(model_file, labelled, options, message):
    with pytest.raises(UsageError, match=message):
        evaluate(**{"models": model_file(), "data": labelled, **options})


def test_results_are_frozen(figures):
    with pytest.raises(dataclasses.FrozenInstanceError):
        figures.count = 1
