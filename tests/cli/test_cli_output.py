"""Tables, JSON and the progress bar."""

import contextlib
import io
import json
import math

import click
import pytest
from click.testing import CliRunner

from effnet_lite import __version__
from effnet_lite.cli.output import Bar, megabytes, print_json, table


def test_table():
    assert table(["name", "ms"], [["a", "1.25"], ["longer", "10"]]).splitlines() == [
        "name      ms",
        "a       1.25",
        "longer    10",
    ]
    assert table(["name"], []) == "name"


@click.command()
def command():
    print_json({"a": math.inf, "b": [math.nan, 1.5], "c": {"d": (-math.inf,)}, "é": "ß"})


def test_json_has_no_infinities():
    text = CliRunner().invoke(command).stdout
    found = json.loads(text)
    del found["made_by"]
    assert found == {"a": None, "b": [None, 1.5], "c": {"d": [None]}, "é": "ß"}
    assert "é" in text


def test_json_says_what_made_it(cli):
    found = json.loads(cli("variants", "lite0", "lite-w0.5-d1-s160", "--json").out)["made_by"]
    assert found["command"] == "effnet-lite variants lite0 lite-w0.5-d1-s160 --json"
    assert found["versions"]["effnet-lite"] == __version__
    assert set(found["versions"]) >= {"python", "numpy", "ai-edge-litert"}


def test_megabytes():
    assert megabytes(5_430_000) == "5.43 MB"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_draws_itself_on_a_terminal():
    with contextlib.redirect_stderr(Terminal()) as stream, Bar() as bar:
        for done in range(1, 5):
            bar(done, 4, "calibrating")
        bar(1, None, "downloading")
    text = stream.getvalue()
    assert "calibrating" in text
    assert "100 %" in text
    assert "downloading" in text
    assert text.endswith("\r\033[K")  # the line is left clean


@pytest.fixture
def drawn(monkeypatch):
    """``drawn((seconds, done, total, label), …)``: each picture that the bar draws."""

    def draw(*calls):
        times = (1000 + seconds for seconds, *_ in calls)
        monkeypatch.setattr("time.monotonic", lambda: next(times))
        with contextlib.redirect_stderr(Terminal()) as stream:
            bar = Bar()
            for _, *call in calls:
                bar(*call)
        return stream.getvalue().split("\r\033[K")[1:]

    return draw


def test_the_time_left_is_that_of_the_whole(drawn):
    calls = [(0, 100, 1000, "a"), (2, 200, 1000, "a"), (4, 300, 1000, "b"), (5, 1000, 1000, "b")]
    ends = [picture.partition("]")[2].split("%")[1] for picture in drawn(*calls)]
    assert ends == ["", "  16 s left", "  14 s left", ""]


@pytest.mark.parametrize("following", [(1, 10), (6, 12), (10, 10)])
def test_another_stretch_starts_anew(drawn, following):
    calls = [(0, 1, 10, "a"), (8, 5, 10, "a"), (9, 10, 10, "a"), (50, *following, "b")]
    assert drawn(*calls)[1].endswith("10 s left")
    assert not drawn(*calls)[3].endswith("left")


def test_the_bar_is_drawn_ten_times_a_second(drawn):
    calls = [(number / 100, number, 100, "a") for number in range(1, 101)]
    assert 9 <= len(drawn(*calls)) <= 12


def test_the_bar_is_cleared_when_the_work_fails():
    stream = Terminal()
    with (
        pytest.raises(ValueError, match="broken"),
        contextlib.redirect_stderr(stream),
        Bar() as bar,
    ):
        bar(1, 4, "calibrating")
        raise ValueError("broken")
    assert stream.getvalue().endswith("\r\033[K")


def test_the_bar_is_silent_elsewhere(capsys):
    with Bar() as bar:
        bar(1, 4, "calibrating")
        bar(4, 4, "calibrating")
    assert capsys.readouterr() == ("", "")
