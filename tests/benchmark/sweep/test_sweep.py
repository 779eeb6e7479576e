"""A sweep from variants to the page: goes on where it was, and takes more in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from evaluated import save_photo
from small_variants import LITE, B

from effnet_lite import sweep
from effnet_lite.benchmark.sweep import sweep as module
from effnet_lite.benchmark.sweep.record import NAME, Record
from effnet_lite.errors import InputError, UsageError

SYNSETS = ("n01440764", "n01443537", "n01484850")


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """12 photos of three of ImageNet's classes."""
    root = tmp_path_factory.mktemp("classes")
    for number in range(12):
        save_photo(root / SYNSETS[number % 3] / f"{number:02}.png", number)
    return root


@pytest.fixture
def options(weights_file, photos, classes, tmp_path, monkeypatch):
    """Of a sweep over two small variants; timing is cut short."""
    timed = module.benchmark
    monkeypatch.setattr(
        module, "benchmark",
        lambda *models, **given: timed(*models, **given, runs=2, min_seconds=0, processes=2),
    )  # fmt: skip
    monkeypatch.setattr(module, "_has_profiler", lambda **_: False)
    return {
        "variants": [LITE], "recipes": ["fast"], "data": classes, "output": tmp_path / "out",
        "weights": {name: weights_file(name) for name in (LITE, B)}, "calibration": photos,
        "calibration_count": 10, "processes": 2,
    }  # fmt: skip


def given(options, *variants, **changes):
    found = {**options, **changes, "variants": list(variants)}
    found["weights"] = {name: options["weights"][name] for name in variants}
    return found


def lines(folder):
    return [json.loads(line) for line in (folder / NAME).read_text().splitlines()]


def kinds(folder):
    return [line.get("kind") for line in lines(folder)]


def test_from_variants_to_the_page(options):
    calls = []
    result = sweep(**given(options, LITE, B), progress=lambda *call: calls.append(call))
    assert result.failures == ()
    names = [one.name for one in result.evidence.candidates]
    assert sorted(names) == sorted(f"{v}-{r}" for v in (LITE, B) for r in ("float32", "fast"))
    for one in result.evidence.candidates:
        assert one.bytes == (options["output"] / f"{one.name}.tflite").stat().st_size
        assert one.quality is not None
        assert one.quality_kind == "top-1 accuracy"
        assert one.p50_ms > 0
    assert result.page.read_text().count("fast") > 0
    assert {label for _, _, label in calls} >= {
        "converting", "comparing layers", f"timing {LITE}", f"evaluating {B}"
    }  # fmt: skip
    assert sorted(kinds(options["output"])[2:]) == sorted(
        ["convert"] * 4 + ["benchmark"] * 2 + ["compare"] * 2 + ["evaluate"] * 2
    )
    evaluated = [line["document"] for line in lines(options["output"])
                 if line.get("kind") == "evaluate"]  # fmt: skip
    assert [document["count"] for document in evaluated] == [12, 12]
    assert not list(options["output"].glob("*answers*"))


def test_nothing_is_done_twice_and_more_can_be_added(options, converted):
    first = sweep(**given(options, LITE))
    before = lines(options["output"])
    again = sweep(**given(options, LITE))
    assert lines(options["output"])[: len(before)] == before
    assert kinds(options["output"])[len(before) :] == ["run"]
    assert again.evidence.candidates == first.evidence.candidates
    other = converted("float32", head="logits").output
    more = sweep([other], **given(options, LITE, B, recipes=["fast", "dynamic"]))
    added = lines(options["output"])[len(before) + 2 :]
    made = {line["name"] for line in added if line["kind"] == "convert"}
    assert made == {f"{LITE}-dynamic", f"{B}-float32", f"{B}-fast", f"{B}-dynamic"}
    timed = {line["group"]: len(line["document"]["records"])
             for line in added if line["kind"] == "benchmark"}  # fmt: skip
    assert timed == {LITE: 2, B: 3, "files": 1}  # the float model again, to compare with
    assert len(more.evidence.candidates) == 7


def test_without_classes_models_are_judged_by_agreement(options, photos):
    result = sweep(**given(options, LITE, data=photos))
    found = {one.name: one for one in result.evidence.candidates}
    assert found[f"{LITE}-fast"].quality_kind != "top-1 accuracy"
    assert 0 <= found[f"{LITE}-fast"].quality <= 1
    assert "evaluate" not in kinds(options["output"])


KILLED = """
import json, sys
from effnet_lite.benchmark.sweep import sweep as module
timed = module.benchmark
module.benchmark = lambda *models, **given: timed(
    *models, **given, runs=2, min_seconds=0, processes=2
)
module._has_profiler = lambda **_: False
module.sweep(**json.loads(sys.argv[1]))
"""


@pytest.mark.parametrize("until", ["convert", "benchmark"])
def test_killed_and_resumed(options, until):
    wanted = given(options, LITE)
    plain = json.loads(json.dumps(wanted, default=str))
    process = subprocess.Popen([sys.executable, "-c", KILLED, json.dumps(plain)])
    record = options["output"] / NAME
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if record.exists() and f'"kind":"{until}"' in record.read_text():
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result = sweep(**wanted)
    assert result.failures == ()
    assert len(result.evidence.candidates) == 2
    for kind, count in (("convert", 2), ("benchmark", 1), ("compare", 1), ("evaluate", 1)):
        assert kinds(options["output"]).count(kind) == count


def test_operators_are_timed_where_they_can_be():
    assert module._has_profiler(threads=1, delegate="cpu", device="host")
    assert not module._has_profiler(threads=2, delegate="none", device="host")
    assert not module._has_profiler(threads=1, delegate="edgetpu", device="host")
    assert not module._has_profiler(threads=1, delegate="cpu", device="adb")


def test_what_fails_does_not_hold_up_the_rest(options, weights_file, tmp_path):
    torn = tmp_path / "torn.pth"
    torn.write_bytes(weights_file(B).read_bytes()[:5000])
    wanted = given(options, LITE, B)
    wanted["weights"][B] = torn
    result = sweep(**wanted)
    assert len(result.failures) == 2
    assert all(failure.startswith(f"convert {B}-") for failure in result.failures)
    names = {one.name for one in result.evidence.candidates}  # two conversions at a time
    assert names == {f"{LITE}-float32", f"{LITE}-fast"}
    assert "torn.pth" in result.page.read_text()


def test_mistakes_show_before_the_work(options, tmp_path):
    with pytest.raises(UsageError, match="limit is for --data"):
        sweep(**given(options, LITE, data=None, limit=3))
    with pytest.raises(UsageError, match="processes must be 1 to"):
        sweep(**given(options, LITE, processes=0))
    with pytest.raises(UsageError, match="delegate"):
        sweep(**given(options, LITE), delegate="gpux")
    with pytest.raises(InputError, match="does not exist"):
        sweep(**given(options, LITE, data=tmp_path / "gone"))
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(InputError, match="is a file; expected a folder"):
        sweep(**given(options, LITE, output=file))
    assert not (tmp_path / "out").exists()


def test_photos_of_unknown_classes_are_refused_before_the_work(tmp_path):
    save_photo(tmp_path / "data" / "no such class" / "1.png", 1)
    with pytest.raises(InputError, match="no such class"):
        sweep(variants=["lite0"], data=tmp_path / "data", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_sweep_with_other_photos_is_refused(options, photos):
    options["output"].mkdir()
    Record(options["output"], {"data": {"path": "other photos"}}, overwrite=False).__exit__()
    with pytest.raises(InputError, match=r"record of another sweep, with another .*data"):
        sweep(**given(options, LITE, data=photos))
