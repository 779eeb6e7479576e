"""convert --max-drop: what is printed, and how it fails."""

import json
import re

import pytest
from small_variants import LITE

QAT = "effnet-lite train --qat --unlabelled"


@pytest.fixture
def convert(cli, photos, weights_file, tmp_path):
    def run(*options):
        return cli(
            "convert", "--variant", LITE, "--weights", weights_file(LITE), "--calibration", photos,
            "--calibration-count", 10, "-o", tmp_path / "a.tflite", *options,
        )  # fmt: skip

    return run


@pytest.fixture
def one_rung(monkeypatch):
    monkeypatch.setattr("effnet_lite.quantize.ladder.LADDER", ("default", "fast"))


@pytest.mark.usefixtures("one_rung")
def test_a_rung_that_passes(convert):
    answer = convert("--recipe", "fast", "--max-drop", 60)
    assert (answer.code, answer.err) == (0, "")
    assert re.search(
        r"^  top-1 drop       \d+\.0 points by agreement on 20 photos \(95 % interval \d",
        answer.out,
        re.MULTILINE,
    )
    assert "wrote" in answer.out


@pytest.mark.usefixtures("one_rung")
def test_json(convert):
    answer = convert("--recipe", "fast", "--max-drop", 60, "--json")
    (rung,) = json.loads(answer.out)["ladder"]
    assert (rung["recipe"], rung["passed"]) == ("w8a8-minmax", True)


@pytest.mark.usefixtures("one_rung")
def test_no_rung_passes(convert, photos, weights_file, tmp_path):
    answer = convert("--recipe", "fast", "--max-drop", 20)
    assert (answer.code, answer.out) == (1, "")
    rung, line = answer.err.splitlines()
    assert re.match(r"fast does not pass: \d+\.0 points by agreement on 20 photos .* s$", rung)
    assert line.startswith("effnet-lite: --max-drop 20 is not met and nothing was written: fast")
    assert "quantization-aware training" in line
    words = f"{QAT} --variant {LITE} --weights {weights_file(LITE)} --data {photos}"
    assert line.endswith(words)
    assert not list(tmp_path.iterdir())


def test_a_precision_that_is_not_trained(convert):
    answer = convert("--dynamic", "--max-drop", 17)
    assert answer.code == 1
    assert QAT not in answer.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--max-drop", "nan"), 2, "above 0 and at most 100"),
        (("--max-drop", -1), 2, "above 0 and at most 100"),
        (("--max-drop", 0), 2, "above 0 and at most 100"),
        (("--max-drop", 101), 2, "above 0 and at most 100"),
        (("--max-drop", 5, "--no-check"), 2, "contradict"),
        (("--max-drop", 5, "--fp32"), 2, "float32"),
        (("--max-drop", 5), 1, "83 photos or more"),
    ],
    ids=str,
)
def test_limits_that_cannot_be_held(convert, tmp_path, options, code, message):
    answer = convert(*options)
    assert (answer.code, answer.out) == (code, "")
    (line,) = answer.err.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())
