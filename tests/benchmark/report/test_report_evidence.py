from __future__ import annotations

import dataclasses

import pytest
from report_documents import (
    benchmarked,
    compared,
    conversion,
    evaluated,
    line,
    nine,
    run_line,
    sha256,
    write_json,
    write_sweep,
)

from effnet_lite.benchmark.report import join, read_documents
from effnet_lite.benchmark.report.arenas import ACCURACY, AGREEMENT
from effnet_lite.files import sha256 as digest_of


def evidence_of(tmp_path, *documents, lines=()):
    paths = [write_json(tmp_path / f"{place}.json", document)
             for place, document in enumerate(documents)]  # fmt: skip
    if lines:
        paths.append(write_sweep(tmp_path / "sweep.jsonl", lines))
    return join(read_documents(paths))


def by_name(evidence):
    return {candidate.name: candidate for candidate in evidence.candidates}


def test_documents_are_joined_by_sha256(tmp_path):
    found = evidence_of(
        tmp_path,
        benchmarked({"a": 4.0, "b": 2.0}),
        evaluated({"a": [40, 40], "b": [36, 40]}),
        compared("a", "b", agreement=0.9),
        conversion("b", 777),
    )
    a, b = found.candidates
    assert (a.name, b.name, b.bytes, b.variant, b.precision) == ("a", "b", 777, "lite0", "int8")
    assert (a.p50_ms, b.p50_ms) == (4.0, 2.0)
    assert (a.quality, b.quality) == (0.8, 0.76)
    assert b.quality_kind == ACCURACY
    assert b.parent == sha256("a") and a.parent is None
    assert b.fidelity.agreement == 0.9
    assert b.speed.verdict == "faster" and b.speed.ratio == 0.5
    assert b.change.points == pytest.approx(-4) and b.change.verdict == "worse"
    assert found.versions == {"litert": ("2.3.0",)}


def test_comparisons_are_turned_where_the_parent_came_second(tmp_path):
    found = evidence_of(
        tmp_path,
        benchmarked({"b": 2.0, "a": 4.0}),
        evaluated({"b": [36, 40], "a": [40, 40]}),
        compared("a", "b"),
    )
    b = by_name(found)["b"]
    assert b.speed.ratio == 0.5
    assert b.speed.interval == pytest.approx((0.5 / 1.01, 0.5 / 0.99))
    assert b.speed.verdict == "faster"
    assert b.change.points == pytest.approx(-4)
    assert b.change.interval == pytest.approx((-5, -3))
    assert (b.change.lost, b.change.won) == (2, 1)


def test_agreement_is_that_of_most_photos(tmp_path):
    right = evaluated({"a": [40, 40], "b": [36, 40]})
    names = conversion("a"), conversion("b")
    for documents, agreement in (
        ([compared("a", "b", 0.75)], (0.75, 20)),
        ([right, compared("a", "b", 0.75)], (0.9, 100)),
        ([right], None),  # nothing says that a is the parent
    ):
        assert by_name(evidence_of(tmp_path, *names, *documents))["b"].agreement == agreement


def test_without_a_parent_the_first_model_of_the_command_serves(tmp_path):
    b = evidence_of(tmp_path, benchmarked({"a": 4.0, "b": 4.0})).candidates[1]
    assert (b.parent, b.speed.a, b.speed.verdict) == (None, sha256("a"), "no difference")


def test_a_sweep_of_nine(tmp_path):
    found = evidence_of(tmp_path, lines=nine())
    assert [candidate.name for candidate in found.candidates] == [
        f"lite{n}-{recipe}" for n in range(3) for recipe in ("float32", "fast", "default")
    ]
    assert [candidate.group for candidate in found.candidates[::3]] == ["lite0", "lite1", "lite2"]
    (arena,) = found.arenas
    assert (arena.kind, len(arena.points)) == (ACCURACY, 9)
    # default is as good as float32, smaller and faster; that fast saves a byte does not count.
    names = [candidate.name for candidate in found.front]
    assert names == ["lite0-default", "lite1-default", "lite2-default"]
    for place, candidate in enumerate(found.candidates):
        parent = found.candidates[place // 3 * 3]
        assert candidate.parent == (None if parent is candidate else parent.sha256)
    assert found.machines == ("A processor, 2 cores, Linux",)
    assert found.to_json()["front"] == [candidate.name for candidate in found.front]
    assert found.notes == ()


def test_groups_stay_together_whatever_ends_first(tmp_path):
    lines = [line for line in nine() if line["kind"] == "convert"]
    found = evidence_of(tmp_path, lines=[lines[place] for place in (0, 3, 1, 6, 4, 2, 5, 8, 7)])
    groups = [candidate.group for candidate in found.candidates]
    assert groups == sorted(groups)


def test_without_data_each_parent_has_a_front(tmp_path):
    found = evidence_of(tmp_path, lines=nine(with_data=False))
    assert [arena.kind for arena in found.arenas] == [AGREEMENT] * 3
    assert [len(arena.points) for arena in found.arenas] == [3, 3, 3]
    parent, fast, _ = found.candidates[:3]
    assert (parent.quality, parent.quality_interval, parent.quality_kind) == (1, None, AGREEMENT)
    assert (fast.quality, fast.quality_interval) == (0.95, pytest.approx((0.9, 1.0)))
    assert parent.on_front  # nobody agrees more with itself
    assert any("front of its own" in note for note in found.notes)


def test_different_photos_are_kept_apart(tmp_path):
    found = evidence_of(
        tmp_path,
        benchmarked({"a": 4.0, "b": 2.0, "c": 1.0}),
        evaluated({"a": [40, 40], "b": [41, 40]}),
        evaluated({"c": [50, 50]}, digest="other photos"),
        *(conversion(name) for name in "abc"),
    )
    first, second = found.arenas
    assert [point.sha256 for point in first.points] == [sha256("a"), sha256("b")]
    assert [point.sha256 for point in second.points] == [sha256("c")]
    assert [candidate.on_front for candidate in found.candidates] == [False, True, True]
    assert any("2 different sets of photos (100, 100 photos)" in note for note in found.notes)


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "Another processor"}, {"runtime": "tflite-runtime"}, {"delegate": "none"},
        {"threads": 2}, {"device_kind": "adb", "serial": "x"}, {"cores": (1,)},
        {"runtime_version": "3"},
    ],
)  # fmt: skip
def test_different_settings_are_kept_apart(tmp_path, changes):
    found = evidence_of(
        tmp_path,
        benchmarked({"a": 4.0, "b": 5.0}),
        benchmarked({"b": 1.0}, **changes),
        evaluated({"a": [40, 40], "b": [40, 40]}),
        conversion("a"), conversion("b"),
    )  # fmt: skip
    main, other = found.arenas
    assert [point.latency_ms for point in main.points] == [4.0, 5.0]
    assert [point.latency_ms for point in other.points] == [1.0]
    assert [candidate.on_front for candidate in found.candidates] == [True, False]
    assert [candidate.p50_ms for candidate in found.candidates] == [4.0, 5.0]
    assert len(found.candidates[1].timings) == 2
    assert any("2 settings" in note for note in found.notes)


def test_accuracy_and_agreement_are_not_compared(tmp_path):
    found = evidence_of(
        tmp_path,
        benchmarked({"a": 4.0, "b": 2.0, "c": 1.0}),
        evaluated({"a": [40, 40], "b": [41, 40]}),
        compared("a", "b"), compared("a", "c"),
    )  # fmt: skip
    assert [arena.kind for arena in found.arenas] == [ACCURACY, AGREEMENT]
    assert [point.sha256 for point in found.arenas[1].points] == [sha256("a"), sha256("c")]
    assert by_name(found)["a"].quality_kind == ACCURACY
    assert any("the two are not compared" in note for note in found.notes)


def test_what_lacks_a_figure_is_on_no_front_and_said(tmp_path):
    found = evidence_of(
        tmp_path, benchmarked({"a": 4.0, "b": 2.0}), evaluated({"a": [40, 40], "c": [50, 50]}),
        conversion("a"),
    )  # fmt: skip
    assert [candidate.name for candidate in found.front] == ["a"]
    assert "b has no accuracy or agreement and no size: it is on no front" in found.notes
    assert "c has no latency and no size: it is on no front" in found.notes


def test_bytes_come_from_the_file_only_if_it_is_the_same(tmp_path):
    model = tmp_path / "m.tflite"
    model.write_bytes(b"12345")
    document = benchmarked({"a": 4.0})
    document["records"][0] |= {"model": str(model), "model_sha256": digest_of(b"12345")}
    assert evidence_of(tmp_path, document).candidates[0].bytes == 5
    model.write_bytes(b"123456")
    assert evidence_of(tmp_path, document).candidates[0].bytes is None


def test_emulated_runs_have_no_latency(tmp_path):
    nothing = dict.fromkeys(("mean_ms", "mean_interval", "p90_ms", "p99_ms"))
    document = benchmarked({"a": 4.0}, device_kind="emulated", **nothing)
    document["records"][0] |= {"p50_ms": None, "times_ms": []}
    found = evidence_of(tmp_path, document, evaluated({"a": [40, 40]}))
    assert found.arenas[0].setting is None
    assert found.candidates[0].p50_ms is None and found.candidates[0].timing is not None


def test_later_lines_win(tmp_path):
    lines = [
        line("convert", conversion("a"), name="a", group="g", parent=None),
        {"kind": "failure", "step": "benchmark", "name": "g", "message": "too hot"},
        {"kind": "failure", "step": "compare", "name": "a", "message": "no photos"},
        line("benchmark", benchmarked({"a": 4.0}), group="g"),
        line("benchmark", benchmarked({"a": 3.0}), group="g"),
        line("evaluate", evaluated({"a": [1, 1]}), group="g"),
        line("evaluate", evaluated({"a": [40, 40]}), group="g"),
    ]
    found = evidence_of(tmp_path, lines=lines)
    (candidate,) = found.candidates
    assert (candidate.p50_ms, candidate.quality) == (3.0, 0.8)
    assert [(one.step, one.name, one.message) for one in found.failures] == [
        ("compare", "a", "no photos")
    ]


def test_a_model_made_anew_replaces_the_older(tmp_path):
    lines = [
        line("convert", conversion("x"), name="a", group="g", parent=None),
        line("benchmark", benchmarked({"x": 4.0}), group="g"),
        line("convert", conversion("y"), name="a", group="g", parent=None),
    ]
    found = evidence_of(tmp_path, lines=lines)
    assert [(one.name, one.sha256) for one in found.candidates] == [("a", sha256("y"))]
    assert any("made anew" in note for note in found.notes)


def test_two_names_of_one_file_are_one_candidate(tmp_path):
    lines = [
        line("convert", conversion("x"), name="fast", group="g", parent=None),
        line("convert", conversion("x"), name="default", group="g", parent="fast"),
    ]
    found = evidence_of(tmp_path, lines=lines)
    assert [candidate.name for candidate in found.candidates] == ["fast"]
    assert found.candidates[0].parent is None
    assert "default is the same file as fast, bit for bit" in found.notes


def test_a_users_own_file(tmp_path):
    document = {"output": "x/own.tflite", "sha256": sha256("own"), "bytes": 5, "variant": None,
                "precision": None, "recipe": None}  # fmt: skip
    lines = [run_line(), line("file", document, name="own", group="files", parent=None)]
    lines[1]["command"] = None
    (candidate,) = evidence_of(tmp_path, lines=lines).candidates
    assert (candidate.name, candidate.bytes, candidate.group) == ("own", 5, "files")


def test_models_of_the_same_name_are_told_apart(tmp_path):
    one, other = benchmarked({"a": 4.0}), benchmarked({"b": 4.0})
    other["records"][0]["model"] = "elsewhere/a.tflite"
    names = [candidate.name for candidate in evidence_of(tmp_path, one, other).candidates]
    assert names == [f"a {sha256('a')[:8]}", f"a {sha256('b')[:8]}"]


def test_what_convert_measured_counts_until_compare_did(tmp_path):
    fidelity = {key: value for key, value in compared("a", "b", 0.8, count=99).items()
                if key != "layers"}  # fmt: skip
    converted = conversion("b", fidelity=fidelity)
    (candidate,) = evidence_of(tmp_path, converted).candidates
    assert (candidate.quality, candidate.fidelity.count) == (0.8, 99)
    (candidate,) = evidence_of(tmp_path, compared("a", "b"), converted).candidates
    assert candidate.quality == 0.95


def test_a_record_is_the_same_read_twice(tmp_path):
    path = write_sweep(tmp_path / "s", nine())
    once, twice = join(read_documents([path])), join(read_documents([path, path]))
    assert dataclasses.replace(twice, commands=once.commands) == once
