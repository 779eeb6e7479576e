"""The script that makes the documentation's table."""

import json

import pytest
from small_variants import LITE

from effnet_lite.benchmark.edgetpu.check import edgetpu_check
from effnet_lite.benchmark.scripts import edgetpu_table


def test_the_table(tmp_path, capsys, converted):
    path = tmp_path / "table.json"
    assert edgetpu_table.main(["--variants", LITE, "--json", str(path), "--on-chip", "100000"]) == 0
    header, rule, row = capsys.readouterr().out.splitlines()
    assert header.count("|") == rule.count("|") == row.count("|") == 8
    (found,) = json.loads(path.read_text())["variants"].values()
    parameters = found["parameters"]
    assert parameters["cached_bytes"] == 100_000
    assert f"| 100,000 | {parameters['streamed_bytes']:,} |" in row
    # The figures are of the architecture, whatever the weights and the calibration.
    whole = edgetpu_check(converted("int8").output).mapping.parameters.cached_bytes
    assert parameters["cached_bytes"] + parameters["streamed_bytes"] == whole


def test_the_lite_family_by_default():
    assert edgetpu_table.parse([]).variants == "lite0,lite1,lite2,lite3,lite4"


def test_an_unknown_variant(capsys):
    assert edgetpu_table.main(["--variants", "lite9"]) == 2
    assert "lite9" in capsys.readouterr().err


@pytest.mark.parametrize("row", [["a"], ["a", "b"]])
def test_a_line(row):
    assert edgetpu_table.markdown(row) == "| " + " | ".join(row) + " |"
