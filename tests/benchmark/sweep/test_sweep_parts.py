"""What a sweep is made of: the plan, the record, the jobs, the command lines."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_variants import LITE, B

from effnet_lite.benchmark.sweep.commands import command_line
from effnet_lite.benchmark.sweep.jobs import Job, run_jobs
from effnet_lite.benchmark.sweep.plan import Candidate, Group, plan
from effnet_lite.benchmark.sweep.record import NAME, Record
from effnet_lite.cli import main
from effnet_lite.errors import EffnetLiteError, InputError, UsageError
from effnet_lite.files import sha256

FOLDER = Path("out")


def planned(variants=(LITE,), recipes=("fast",), models=(), weights=None):
    return plan(variants, recipes, models, FOLDER, weights or {}, {"seed": 1})


def test_the_float_model_comes_first_in_any_case():
    (group,) = planned(recipes=("fast", "int16x8"))
    assert [one.name for one in group.candidates] == [
        f"{LITE}-float32", f"{LITE}-fast", f"{LITE}-int16x8"
    ]  # fmt: skip
    assert group.parent is group.candidates[0]
    assert group.candidates[0].conversion == {
        "variant": LITE, "precision": "float32", "weights": "imagenet", "seed": 1
    }  # fmt: skip
    assert group.candidates[1].conversion["recipe"] == "fast"
    assert group.candidates[1].path == FOLDER / f"{LITE}-fast.tflite"


def test_a_group_a_variant_and_one_for_files(tmp_path):
    files = [tmp_path / "a" / "x.tflite", tmp_path / "b" / "x.tflite"]
    for path in files:
        path.parent.mkdir()
        path.write_bytes(b"x")
    groups = planned((LITE, B), models=files, weights={B: "mine.pth"})
    assert [group.name for group in groups] == [LITE, B, "files"]
    assert groups[1].candidates[1].conversion["weights"] == "mine.pth"
    assert [one.name for one in groups[2].candidates] == list(map(str, files))
    assert groups[2].parent is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": ("lite9",)}, "lite9"),
        ({"recipes": ("quick",)}, "unknown recipe 'quick'"),
        ({"recipes": ("w8a16-minmax",)}, "contradict"),
        ({"recipes": ("fast", "fast")}, "recipe fast is there twice"),
        ({"weights": {"lite1": "x"}}, "weights for lite1"),
        ({"variants": ()}, "nothing to sweep over"),
        ({"recipes": ()}, "nothing to sweep over"),
    ],
)
def test_a_plan_that_makes_no_sense(changes, message):
    with pytest.raises(UsageError, match=message):
        planned(**changes)


def test_a_file_that_is_missing():
    with pytest.raises(InputError, match=r"gone\.tflite does not exist"):
        planned(models=[Path("gone.tflite")])


def test_command_lines_are_words_that_the_command_takes():
    text = command_line(
        "convert", variant="lite0", precision="float32", output=Path("my $(models)/a b.tflite"),
        seed=3, recipe=None, no_check=True, overwrite=False,
    )  # fmt: skip
    words = shlex.split(text)
    assert words == [
        "effnet-lite", "convert", "--variant", "lite0", "--fp32", "-o", "my $(models)/a b.tflite",
        "--seed", "3", "--no-check",
    ]  # fmt: skip
    assert "--recipes fast,default" in command_line("sweep", ["a"], recipes=("fast", "default"))


@pytest.mark.parametrize("command", ["sweep", "benchmark", "compare", "evaluate"])
def test_recorded_commands_parse(command, tmp_path):
    options = {
        "sweep": {"variants": ("lite0",), "recipes": ("fast",), "data": "d", "output": "o",
                  "labels": "l", "limit": 3, "calibration": "c", "calibration_count": 5, "seed": 1,
                  "threads": 1, "delegate": "cpu", "device": "host"},
        "benchmark": {"threads": 1, "delegate": "cpu", "device": "host", "json": True},
        "compare": {"data": "d", "count": 20, "json": True},
        "evaluate": {"data": "d", "limit": 3, "seed": 0, "labels": "l", "json": True},
    }[command]  # fmt: skip
    words = shlex.split(command_line(command, ["a.tflite", "b.tflite"], **options))[1:]
    context = main.make_context("effnet-lite", list(words))
    main.get_command(context, command).make_context(command, words[1:], parent=context)


GROUP = Group("lite0", (
    Candidate("lite0-float32", Path("a.tflite"), {"variant": "lite0", "seed": 0}),
    Candidate("lite0-fast", Path("b.tflite"), {"variant": "lite0", "recipe": "fast", "seed": 0}),
))  # fmt: skip


def placed(folder):
    """The group, its files in a folder."""
    return Group("lite0", tuple(
        Candidate(one.name, folder / one.path, one.conversion) for one in GROUP.candidates
    ))  # fmt: skip


def opened(folder, **changes):
    settings = {"data": {"photos": 3}, "limit": None}
    return Record(folder, {**settings, **changes}, overwrite=False)


def convert(record, candidate, data=b"model"):
    candidate.path.write_bytes(data)
    record.add("convert", "lite0", "effnet-lite convert", {"sha256": sha256(data)},
               name=candidate.name, options=candidate.conversion)  # fmt: skip


def test_a_record_knows_what_is_done(tmp_path):
    group = placed(tmp_path)
    first, second = group.candidates
    with opened(tmp_path) as record:
        record.begin("effnet-lite sweep", [group], overwrite=False)
        assert record.converted(first) is None
        convert(record, first)
        both = [(first, sha256(b"model")), (second, "1" * 64)]
        document = {"records": [{"model_sha256": sha256(b"model")}]}
        record.add("benchmark", "lite0", "effnet-lite benchmark", document)
    with opened(tmp_path) as record:
        assert record.converted(first) == sha256(b"model")
        assert record.converted(second) is None
        assert record.unmeasured("benchmark", both) == [second]
        assert record.unmeasured("evaluate", both) == [first, second]
    lines = [json.loads(line) for line in (tmp_path / NAME).read_text().splitlines()]
    assert [line.get("kind") for line in lines] == [None, "run", "convert", "benchmark"]
    assert lines[1]["versions"]["effnet-lite"]
    assert lines[1]["machine"]["cores"] == os.cpu_count()


def test_a_file_that_changed_is_made_again(tmp_path):
    first = placed(tmp_path).candidates[0]
    with opened(tmp_path) as record:
        convert(record, first)
        first.path.write_bytes(b"other")
        assert record.converted(first) is None
        first.path.unlink()
        assert record.converted(first) is None


def test_other_options_are_not_mixed_up(tmp_path):
    first = placed(tmp_path).candidates[0]
    with opened(tmp_path) as record:
        convert(record, first)
        other = Candidate(first.name, first.path, {"variant": "lite0", "seed": 1})
        with pytest.raises(InputError, match="made with another seed; give another --output"):
            record.converted(other)


def test_a_record_of_other_settings_is_refused(tmp_path):
    opened(tmp_path).__exit__()
    with pytest.raises(InputError, match="the record of another sweep, with another limit"):
        opened(tmp_path, limit=3)
    Record(tmp_path, {"limit": 3}, overwrite=True).__exit__()


def test_a_file_of_somebody_else_is_not_replaced(tmp_path):
    group = placed(tmp_path)
    group.candidates[1].path.write_bytes(b"precious")
    with opened(tmp_path) as record, pytest.raises(InputError, match="exists"):
        record.begin("effnet-lite sweep", [group], overwrite=False)
    assert group.candidates[1].path.read_bytes() == b"precious"


def test_a_file_that_a_killed_sweep_made_is_replaced(tmp_path):
    group = placed(tmp_path)
    with opened(tmp_path) as record:
        record.begin("effnet-lite sweep", [group], overwrite=False)
    group.candidates[1].path.write_bytes(b"without a line in the record")
    with opened(tmp_path) as record:
        record.begin("effnet-lite sweep", [group], overwrite=False)


def test_a_failure_counts_until_the_step_is_done(tmp_path):
    group = placed(tmp_path)
    with opened(tmp_path) as record:
        record.fail("convert", "lite0-float32", EffnetLiteError("no weights"))
        record.fail("benchmark", "lite0", EffnetLiteError("no delegate"))
        record.fail("convert", "lite7-fast", EffnetLiteError("of another sweep"))
        assert record.failures([group]) == [
            "convert lite0-float32: no weights", "benchmark lite0: no delegate"
        ]  # fmt: skip
        convert(record, group.candidates[0])
        assert record.failures([group]) == ["benchmark lite0: no delegate"]


def job(converted_options, name, **options):
    return Job("convert", name, {**converted_options, **options})


@pytest.fixture
def options(weights_file, photos):
    """Of a quick conversion."""
    return {"variant": LITE, "precision": "float32", "weights": str(weights_file(LITE)),
            "calibration": str(photos), "calibration_count": 10, "check": False}  # fmt: skip


def test_jobs_fail_alone(options, tmp_path):
    good, bad = tmp_path / "good.tflite", tmp_path / "gone" / "bad.tflite"
    calls = []
    jobs = [job(options, "bad", output=str(bad)), job(options, "good", output=str(good))]
    found = {
        one.job.name: one
        for one in run_jobs(jobs, 2, "converting", lambda *call: calls.append(call))
    }
    assert found["good"].document["sha256"] == sha256(good.read_bytes())
    assert found["good"].error is None
    assert isinstance(found["bad"].error, InputError)
    assert "does not exist; make it first" in str(found["bad"].error)
    assert calls[0] == (0, 2, "converting")
    assert calls[-1] == (2, 2, "converting")


def test_a_job_whose_process_dies_says_so(monkeypatch):
    dying = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr(
        "effnet_lite.benchmark.host.child.command", lambda module: [sys.executable, "-c", dying]
    )
    (found,) = run_jobs([Job("convert", "lite0-best", {})], 1, "converting")
    assert "was to convert lite0-best was ended by SIGKILL" in str(found.error)
    assert "fewer --processes" in str(found.error)


ORPHAN = """
from effnet_lite.benchmark.sweep.jobs import Job, _Running
with _Running(Job("convert", "x", {})) as running:
    print(running._process.pid, flush=True)
    import time; time.sleep(100)
"""


def test_a_job_ends_with_its_sweep(monkeypatch, tmp_path):
    # A conversion that would last: it reads its photos from a pipe that nobody writes to.
    slow = tmp_path / "sitecustomize.py"
    slow.write_text("import effnet_lite.quantize.convert as c, time\n"
                    "c.convert = lambda **options: time.sleep(100)\n")  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, env=environment
    )
    child = int(parent.stdout.readline())
    time.sleep(0.5)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until = time.monotonic() + 30
    while time.monotonic() < until and _alive(child):
        time.sleep(0.05)
    assert not _alive(child)


def _alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
