"""The journal: an evaluation that was ended goes on, and comes to the same result."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from evaluated import save_photo

from effnet_lite.benchmark.evaluation.answers import Answer
from effnet_lite.benchmark.evaluation.evaluate import evaluate
from effnet_lite.benchmark.evaluation.journal import Journal
from effnet_lite.benchmark.evaluation.workers import Outcome
from effnet_lite.errors import InputError
from effnet_lite.lite.photos import find_photos

RUN = """
import sys
from effnet_lite.benchmark.evaluation.answers import Answer
from effnet_lite.benchmark.evaluation.evaluate import evaluate
from effnet_lite.benchmark.evaluation.journal import Journal
from effnet_lite.benchmark.evaluation.workers import Outcome
evaluate(sys.argv[1], sys.argv[2], processes=2, journal=sys.argv[3])
"""


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "journal.jsonl"


@pytest.fixture
def run(model_file, labelled, journal):
    def evaluate_with_journal(**options):
        defaults = {"models": model_file(), "data": labelled, "journal": journal, "processes": 1}
        return evaluate(**defaults | options)

    return evaluate_with_journal


@pytest.fixture(scope="module")
def whole(model_file, labelled, tmp_path_factory):
    """An evaluation of 10 photos, and its journal's lines."""
    path = tmp_path_factory.mktemp("whole") / "journal.jsonl"
    found = evaluate(model_file(), labelled, processes=1, limit=10, journal=path)
    return found, path.read_bytes().splitlines(keepends=True)


def photos_of(journal):
    """Numbers of the photos in the journal, line by line."""
    return [json.loads(line)["photo"] for line in journal.read_bytes().splitlines()[1:]]


@pytest.mark.usefixtures("hooked")
def test_killed_halfway_and_resumed(model_file, journal, tmp_path):
    root = tmp_path / "slow"
    for number in range(40):
        save_photo(root / f"class {'abc'[number % 3]}" / f"slow {number:02}.png", number)
    process = subprocess.Popen([sys.executable, "-c", RUN, model_file(), root, journal])
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if journal.exists() and journal.read_bytes().count(b"\n") > 12:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    lines = journal.read_bytes().splitlines(keepends=True)
    answered = len(lines) - (not lines[-1].endswith(b"\n")) - 1
    assert 12 <= answered < 40, "it was not killed half-way"
    resumed = evaluate(model_file(), root, processes=1, journal=journal)
    assert resumed.run.evaluated == 40 - answered
    assert sorted(photos_of(journal)) == list(range(40))  # each once
    alone = evaluate(model_file(), root, processes=2)
    assert resumed == alone
    documents = [{**found.to_json(), "run": None} for found in (resumed, alone)]
    assert json.dumps(documents[0]) == json.dumps(documents[1])


def test_a_whole_journal_needs_no_work(run, journal, whole):
    first, lines = whole
    journal.write_bytes(b"".join(lines))
    again = run(limit=10)
    assert again == first
    assert (again.run.evaluated, again.run.photos_per_s) == (0, None)
    assert journal.read_bytes() == b"".join(lines)


def test_a_last_line_that_was_cut_short_is_dropped(run, journal, whole):
    first, lines = whole
    journal.write_bytes(b"".join(lines)[:-200])
    again = run(limit=10)
    assert again == first
    assert 0 < again.run.evaluated < 10
    assert sorted(photos_of(journal)) == list(range(10))


RUN_OF = {"models": ["0" * 64], "data": "1" * 64}


def open_journal(path, **options):
    defaults = {"run": RUN_OF, "models": 1, "photos": 10, "classes": 4, "overwrite": False}
    return Journal(path, **defaults | options)


def outcome(number):
    return Outcome(number, (Answer((number % 4, 1), 0.5, number % 3),), "ab" * 32)


BAD = Outcome(6, sha256=None, unreadable="it is <bad> \udce9", final=False)


@pytest.fixture
def lines(journal):
    """Of a journal with six photos."""
    with open_journal(journal) as made:
        for number in range(5):
            made.add(outcome(number))
        made.add(BAD)
    return journal.read_bytes().splitlines(keepends=True)


def kept(journal):
    """What is read, and that adding goes on behind it."""
    with open_journal(journal) as opened:
        found = list(opened.outcomes())
        opened.add(outcome(9))
    with open_journal(journal) as opened:
        assert list(opened.outcomes()) == [*found, outcome(9)]
    return found


WHOLE = [*map(outcome, range(5)), BAD]


@pytest.mark.parametrize("cut", [0, 1, 2, 20, 150, 400])
def test_cut_short_anywhere(journal, lines, cut):
    data = b"".join(lines)
    journal.write_bytes(data[: len(data) - cut])
    assert kept(journal) == WHOLE[: data[: len(data) - cut].count(b"\n") - 1]


@pytest.mark.parametrize("size", [0, 1, 30])
def test_a_first_line_that_was_cut_short(journal, lines, size):
    journal.write_bytes(lines[0][:size])
    assert kept(journal) == []


@pytest.mark.parametrize(
    "line",
    [
        b"\0" * 50 + b"\n",
        b"\n",
        b'{"photo":3}\n',
        b'{"photo":10,"sha256":"","answers":[[[1],0.5,0]]}\n',
        b'{"photo":-1,"sha256":"","answers":[[[1],0.5,0]]}\n',
        b'{"photo":3,"sha256":"","answers":[[[4],0.5,0]]}\n',
        b'{"photo":3,"sha256":"","answers":[[[1],1.5,0]]}\n',
        b'{"photo":3,"sha256":"","answers":[]}\n',
        b"[1,2]\n",
        b"7\n",
        b"\xff\xfe\n",
    ],
)
def test_damage_ends_what_is_believed(journal, lines, line):
    journal.write_bytes(b"".join([*lines[:4], line, *lines[4:]]))
    assert kept(journal) == WHOLE[:3]


def test_journals_of_other_evaluations_are_refused(run, journal, model_file, labelled, tmp_path):
    run(limit=3)
    before = journal.read_bytes()
    other = tmp_path / "other"
    shutil.copytree(labelled, other)
    next(other.rglob("*.png")).unlink()
    for options, name in (
        ({"models": model_file(quantized=False)}, "models"),
        ({"models": [model_file(), model_file()]}, "models and offsets"),
        ({"limit": 4}, "data"),
        ({"seed": 9}, "data"),
        ({"data": other, "limit": None}, "data"),
    ):
        with pytest.raises(InputError, match=f"another evaluation, with another {name}; give"):
            run(**{"limit": 3, **options})
    assert journal.read_bytes() == before
    assert run(limit=4, overwrite=True).count == 4
    assert sorted(photos_of(journal)) == [0, 1, 2, 3]


def test_overwrite_goes_on_with_a_journal_that_fits(run, journal, whole):
    first, lines = whole
    journal.write_bytes(b"".join(lines))
    again = run(limit=10, overwrite=True)
    assert (again, again.run.evaluated) == (first, 0)


@pytest.mark.parametrize("content", [b"my diary\n", b'{"a": 1}\n', b"[]\n", b"\xff\xd8\xff\xe0"])
def test_other_files_are_left_alone(run, journal, content):
    journal.write_bytes(content)
    with pytest.raises(InputError, match="is not the journal of an evaluation"):
        run(overwrite=True)
    assert journal.read_bytes() == content


def test_places_where_no_journal_can_be(run, tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        run(journal=tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        run(journal=tmp_path / "nope" / "a.jsonl")


def test_one_evaluation_writes_at_a_time(run, journal, whole):
    fcntl = pytest.importorskip("fcntl")
    journal.write_bytes(b"".join(whole[1]))
    with journal.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="being written by another evaluation"):
            run(limit=10)
    run(limit=10)


def test_photos_that_changed_are_evaluated_again(run, labelled, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(labelled, root)
    run(data=root)
    first, second, third = find_photos(root).paths[:3]
    second.write_bytes(third.read_bytes())
    first.write_text("no photo")
    again = run(data=root)
    assert again.run.evaluated == 2
    assert again == evaluate(again.models[0].model, root, processes=1)
    third.write_bytes(second.read_bytes())  # the same bytes: nothing changed
    shutil.copy(labelled / first.relative_to(root), first)  # repaired, as it was at first
    last = run(data=root)
    assert (last.run.evaluated, last.unreadable) == (0, ())


@pytest.mark.usefixtures("hooked")
def test_what_a_photo_cannot_be_blamed_for_is_tried_again(run, tmp_path):
    root = tmp_path / "bad"
    save_photo(root / "class a" / "good.png", 0)
    (root / "class b").mkdir()
    (root / "class b" / "text.png").write_text("no photo")
    save_photo(root / "class b" / "hang.png", 1)
    found = run(data=root, timeout=0.5)
    assert len(found.unreadable) == 2
    again = run(data=root, timeout=0.5)
    assert (again, again.run.evaluated) == (found, 1)


def test_progress_counts_what_was_done_before(run, journal, whole):
    calls = []
    journal.write_bytes(b"".join(whole[1]))
    run(limit=10, progress=lambda *call: calls.append(call))
    assert calls == [(number, 10, "reading the journal") for number in range(1, 11)]


def test_a_full_disk(model_file, labelled, journal):
    resource = pytest.importorskip("resource")
    code = f"import resource; resource.setrlimit({int(resource.RLIMIT_FSIZE)}, (1500, 1500))" + RUN
    done = subprocess.run(
        [sys.executable, "-c", code, model_file(), labelled, journal],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert f"InputError: cannot write {journal}: " in done.stderr
    found = evaluate(model_file(), labelled, journal=journal, processes=1)
    assert 0 < found.run.evaluated < 40
    assert sorted(photos_of(journal)) == list(range(40))


def test_a_device_is_no_journal(run):
    with pytest.raises(InputError, match="not a regular file"):
        run(journal="/dev/zero")
