"""The table of ways to make an int8 model; TensorFlow and real conversions stay out of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from effnet_lite import compare
from effnet_lite.benchmark.intervals import Ratio, ratio
from effnet_lite.benchmark.scripts import _process, _trial, convert_all, int8_table
from effnet_lite.benchmark.scripts._interleaved import interleave
from effnet_lite.benchmark.scripts._trial import Photos, Row, Trial
from effnet_lite.quantize.fidelity import Fidelity
from effnet_lite.quantize.tflite.predictor import Predictor


def fidelity(agreement: float = 0.9, **others) -> Fidelity:
    figures = {"agreement_interval": (0.85, 0.95), "sqnr_db": 25.5, "kl": 0.0021, "ties": 3}
    return Fidelity(count=100, top1_agreement=agreement, **figures | others)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("0000_n01440764_tench.jpg", 0),
        ("0022_n01614925_bald_eagle.jpg", 22),
        ("0999_n15075141_toilet_tissue.jpeg", 999),
        ("022_n01614925_bald_eagle.jpg", None),
        ("0022_n0161492_bald_eagle.jpg", None),
        ("0022_bald_eagle.jpg", None),
        ("imagenet_00_243.jpg", None),
        ("x0022_n01614925_bald_eagle.jpg", None),
    ],
)
def test_labels_from_file_names(name, index):
    assert int8_table.class_of(name) == index


def test_photos_keep_their_labels(tmp_path):
    for number in range(0, 10, 2):
        (tmp_path / f"{number:04}_n01440764_a.jpg").write_bytes(b"photo")
        (tmp_path / f"{number:04}_other.jpg").write_bytes(b"photo")
    photos = int8_table.judging_photos(tmp_path, 5)
    assert len(photos.paths) == len(photos.classes) == 5
    assert photos.classes == tuple(int8_table.class_of(path.name) for path in photos.paths)
    assert len(int8_table.judging_photos(tmp_path).paths) == 10


def test_photos_of_the_shared_folder(tmp_path, monkeypatch, sample_photos):
    monkeypatch.setenv("EFFNET_LITE_SHARED", str(tmp_path))
    photos = int8_table.judging_photos(None)  # the installed ones: nothing is shared
    assert (len(photos.paths), sum(index is not None for index in photos.classes)) == (120, 20)
    folder = tmp_path / "data" / "imagenet_sample"
    folder.mkdir(parents=True)
    (folder / "0007_n01514668_cock.jpg").write_bytes(b"photo")
    assert int8_table.judging_photos(None).classes == (7,)


def test_spread():
    assert int8_table.spread(range(10), 4) == [0, 2, 5, 7]
    assert int8_table.spread("abc", None) == int8_table.spread("abc", 9) == "abc"


def test_columns_stand_below_their_headers():
    row = Row("lite0", "default", 12.34, 456.7, 5_265_568, same_ops=True, fidelity=fidelity(),
              latency=Ratio(0.9876, 0.9, 1.1, 4.0, 3.95, 300))  # fmt: skip
    texts = int8_table.cells(row)
    assert texts == [
        "lite0", "default", "25.50", "0.0021", "90.0 (85.0-95.0)", "-", "-", "3", "5,265,568",
        "yes", "12.3", "457", "0.988 (0.900-1.100)",
    ]  # fmt: skip
    header, line = map(int8_table.plain_line, (list(int8_table.COLUMNS), texts))
    assert len(header) == len(line)
    assert header.index("KL") + len("KL") == line.index("0.0021") + len("0.0021")


def test_top1_where_labels_are_known():
    found = fidelity(labelled=40, top1_float=0.775, top1_quantized=0.75)
    assert int8_table.cells(Row("lite0", "fast", fidelity=found))[5:8] == ["77.5", "75.0", "3"]


def test_a_row_that_failed():
    texts = int8_table.cells(Row("lite0", "best", 1.0, 40.0, error="no such|recipe\nat all"))
    assert int8_table.plain_line(texts).endswith("error: no such|recipe at all")
    line = int8_table.markdown_line(texts)
    assert r"error: no such\|recipe at all" in line
    header = int8_table.markdown_line(list(int8_table.COLUMNS))
    assert line.replace(r"\|", "").count("|") == header.count("|")


def test_mean_agreement():
    rows = [
        Row("lite0", "fast", fidelity=fidelity(0.9)),
        Row("lite1", "fast", fidelity=fidelity(0.8)),
        Row("lite0", "best", fidelity=fidelity(0.7)),
        Row("lite1", "best", error="no"),
        Row("lite0", "stock", error="no"),
    ]
    means = int8_table.mean_agreement(rows)
    assert means == {"fast": (pytest.approx(0.85), 2), "best": (pytest.approx(0.7), 1)}


def test_taking_turns():
    calls = []
    one, other = interleave(lambda: calls.append("a"), lambda: calls.append("b"), 3, warmup=2)
    assert "".join(calls) == "ab" * 5
    assert len(one) == len(other) == 3
    assert min(*one, *other) > 0


def test_ratio_under_common_noise():
    """A neighbour that slows both down changes the medians' ratio little."""
    random = np.random.default_rng(0)
    load = np.repeat(random.uniform(1, 2, 40), 10)
    first = 4 * load * random.normal(1, 0.02, 400)
    second = 5 * load * random.normal(1, 0.02, 400)
    found = ratio(first, second)
    assert (found.first_ms, found.second_ms) == (np.median(first), np.median(second))
    assert found.value == found.second_ms / found.first_ms
    assert found.low <= 1.25 <= found.high
    assert found.high - found.low < 0.15
    assert found == ratio(first, second)  # seeded


def test_the_interval_holds_the_ratio():
    """In 95 of 100 experiments, by definition; in 85 at least, by what chance allows."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(20):
        found = ratio(random.lognormal(0, 0.1, 100), random.lognormal(0, 0.1, 100))
        held += found.low <= 1 <= found.high
    assert held >= 17


def test_few_rounds():
    assert ratio([2.0], [3.0]) == Ratio(1.5, 1.5, 1.5, 2.0, 3.0, 1)


def test_the_peak_is_the_childs_own():
    ballast = np.ones(2**25)  # 256 MiB
    done = _process.run(["-c", "print('hi')"])
    assert (done.code, done.output, done.error) == (0, "hi\n", None)
    assert 1 < done.peak_mib < 100 < ballast.nbytes / 2**20
    assert 0 < done.seconds < 10


def test_what_a_process_says_when_it_fails():
    done = _process.run(["-c", "import sys; print('out'); sys.exit('first\\nlast')"])
    assert (done.code, done.error) == (1, "last")
    done = _process.run(["-c", "import os; os.kill(os.getpid(), 9)"])
    assert (done.code, done.error) == (-9, "exit status -9")


@pytest.fixture
def trial(float_model, int8_model, photos, tmp_path, monkeypatch) -> Trial:
    """Whose conversions are copies of models made before."""

    def copied(arguments: list[str]) -> _process.Finished:
        if "best" in arguments:
            return _process.Finished(2, "", "no recipe best\n", 0.5, 30.0)
        # stock_convert.py takes its output by position, effnet-lite by an option.
        place = arguments.index("-o") + 1 if "-o" in arguments else 2
        shutil.copy(float_model if "--fp32" in arguments else int8_model, arguments[place])
        return _process.Finished(0, "", "", 1.5, 64.0)

    monkeypatch.setattr(_process, "run", copied)
    monkeypatch.setattr(_process, "effnet_lite", copied)
    paths = tuple(sorted(photos.iterdir())[:4])
    return Trial("lite0", tmp_path, Photos("here", paths, (1, 2, None, None)), 8, rounds=5)


def test_judged_as_compare_does(trial, float_model, int8_model, photos):
    rows = [trial.row(name) for name in ("stock", "fast")]
    assert [row.error for row in rows] == [None, None]
    wanted = compare(float_model, int8_model, photos, 4, layers=False).fidelity
    for row in rows:
        assert row.fidelity.sqnr_db == pytest.approx(wanted.sqnr_db)
        assert row.fidelity.top1_agreement == wanted.top1_agreement
        assert row.fidelity.labelled == 2
        assert (row.seconds, row.peak_mib, row.bytes) == (1.5, 64.0, int8_model.stat().st_size)
    assert rows[1].same_ops
    assert rows[0].latency is None
    assert rows[1].latency.rounds == 5
    json.dumps([row.to_json() for row in rows], allow_nan=False)


def test_the_float_model_runs_once_on_a_photo(trial, monkeypatch):
    calls = []
    output = Predictor.output
    monkeypatch.setattr(Predictor, "output", lambda self, x: calls.append(self) or output(self, x))
    trial.rounds = None
    for name in ("stock", "fast", "synthetic"):
        trial.row(name)
    assert calls.count(trial._float) == 4
    assert len(calls) == 4 + 3 * 4


def test_a_failure_ends_its_row_only(trial, monkeypatch):
    assert trial.row("best").error == "no recipe best"
    with monkeypatch.context() as patch:
        patch.setattr(_trial, "measure", lambda *_: 1 / 0)
        assert trial.row("stock").error == "ZeroDivisionError: division by zero"
    found = trial.row("fast")
    assert found.error is None
    assert found.latency  # over the stock file, which is there


def test_no_latency_across_io_types(trial, converted):
    trial.row("stock")
    shutil.copy(converted("int8", input_type="int8").output, trial._path("stock"))
    assert "uint8 at both ends, found ['int8', 'int8']" in trial.row("fast").error


def test_the_documents(photos, tmp_path, monkeypatch, capsys):
    def row(self: Trial, recipe: str) -> Row:
        if recipe == "best":
            return Row(self.variant, recipe, error="unknown recipe")
        return Row(self.variant, recipe, 1.0, 50.0, fidelity=fidelity())

    monkeypatch.setattr(Trial, "row", row)
    path = tmp_path / "table.json"
    options = ["--data", str(photos), "--variants", "lite0,lite1", "--recipes", "best,fast,stock"]
    assert int8_table.main([*options, "--count", "5", "--markdown", "--json", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.err == "2 of 6 rows failed\n"
    table = [line for line in printed.out.splitlines() if line.startswith("|")]
    assert table[1] == "|" + " --- |" * len(int8_table.COLUMNS)
    assert [line.split(" | ")[1] for line in table[2:]] == ["stock", "best", "fast"] * 2
    assert "mean agreement over 2 variant(s): stock 90.00%, fast 90.00%" in printed.out
    assert "host measurements" in printed.out
    document = json.loads(path.read_text("utf-8"))
    assert len(document["rows"]) == 6
    assert document["judged_on"]["photos"] == 5
    assert document["versions"]["effnet-lite"]
    assert document["mean_agreement"]["fast"] == {"mean": pytest.approx(0.9), "variants": 2}


@pytest.mark.parametrize(
    "options",
    [
        ["--variants", "lite9"],
        ["--recipes", "stock,"],
        ["--count", "0"],
        ["--photos", "many"],
    ],
    ids=" ".join,
)
def test_wrong_usage(options):
    with pytest.raises(SystemExit) as stop:
        int8_table.main(options)
    assert stop.value.code == 2


def test_no_such_photos(tmp_path, capsys):
    assert int8_table.main(["--data", str(tmp_path / "none")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_convert_all_reports_what_failed(tmp_path, monkeypatch, capsys):
    """convert_all.py runs its conversions by the same module."""

    def effnet_lite(arguments: list[str]) -> _process.Finished:
        if "--int8" in arguments:
            return _process.Finished(1, "", "warning\neffnet-lite: no luck\n", 2.0, 99.0)
        if arguments[0] == "convert":
            Path(arguments[arguments.index("-o") + 1]).write_bytes(bytes(2_000_000))
            return _process.Finished(0, '{"fidelity": null}', "", 2.0, 99.0)
        return _process.Finished(0, '{"ops": {"CONV_2D": 30, "ADD": 9}}', "", 0.1, 40.0)

    monkeypatch.setattr(convert_all, "effnet_lite", effnet_lite)
    assert convert_all.main(["--variants", "lite0", "--output", str(tmp_path)]) == 1
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert first.split()[3:] == ["2.0", "99", "2.00", "39"]
    assert second.endswith("effnet-lite: no luck")
