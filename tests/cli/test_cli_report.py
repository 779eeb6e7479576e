from __future__ import annotations

import json

import pytest

from effnet_lite.cli.report import command

RECORD = {
    "output": "out/a.tflite", "sha256": "0" * 64, "bytes": 5, "variant": "lite0",
    "precision": "int8", "recipe": None, "notices": ["the weights are random"],
}  # fmt: skip


@pytest.fixture
def record(tmp_path):
    pytest.importorskip("plotly")
    path = tmp_path / "a.json"
    path.write_text(json.dumps(RECORD))
    return path


def test_report(cli, record, tmp_path):
    page = tmp_path / "r.html"
    answer = cli("report", record, "-o", page, "--title", "For <you>")
    assert answer.code == 0
    assert answer.out.startswith(f"wrote {page}: 1 model, 4.")
    assert answer.err == "note: a: the weights are random\n"
    assert "<h1>For &lt;you&gt;</h1>" in page.read_text("utf-8")


def test_report_as_json(cli, record, tmp_path):
    page = tmp_path / "r.html"
    answer = cli("report", record, "-o", page, "--json")
    document = json.loads(answer.out)
    document.pop("made_by")
    assert document == {
        "output": str(page), "bytes": page.stat().st_size, "candidates": ["a"], "front": [],
        "notes": ["a: the weights are random"],
    }  # fmt: skip
    assert answer.err == ""


def test_errors_are_one_line(cli, record, tmp_path):
    page = tmp_path / "r.html"
    record.write_text(json.dumps(RECORD | {"bytes": "5"}))
    answer = cli("report", record, "-o", page)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        f"effnet-lite: {record}, bytes: expected a number, found '5'; make the record again "
        "with effnet-lite\n"
    )
    assert cli("report").code == 2
    assert not page.exists()


def test_help_says_what_it_reads():
    assert "RECORDs" in command.help
