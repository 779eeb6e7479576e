from __future__ import annotations

import json

import pytest
from report_documents import (
    benchmarked,
    compared,
    conversion,
    evaluated,
    line,
    nine,
    profile,
    run_line,
    write_json,
    write_sweep,
)

from effnet_lite.benchmark.report import join, read_documents
from effnet_lite.errors import InputError

DOCUMENTS = {
    "benchmark": benchmarked({"a": 4.0, "b": 2.0}),
    "evaluate": evaluated({"a": [40, 40], "b": [39, 40]}),
    "compare": compared("a", "b"),
    "convert": conversion("a"),
    "inspect": {"inputs": [], "outputs": [], "ops": {}, "sha256": "0" * 64, "bytes": 5},
}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_command_is_known_by_its_keys(tmp_path, kind):
    made_by = {"command": f"effnet-lite {kind}", "versions": {"effnet-lite": "0.1.0"}}
    path = write_json(tmp_path / "x.json", DOCUMENTS[kind] | {"made_by": made_by})
    (entry,) = read_documents([path])
    assert (entry.kind, entry.command) == (kind, f"effnet-lite {kind}")
    assert entry.versions == {"effnet-lite": "0.1.0"}
    assert entry.document == json.loads(json.dumps(DOCUMENTS[kind]))


def test_a_sweep_with_a_cut_last_line_and_unknown_kinds(tmp_path):
    lines = [run_line(), line("dance", {}), *nine()]
    path = write_sweep(tmp_path / "sweep.jsonl", lines, '\n{"kind": "conv')
    notes: list[str] = []
    entries = read_documents([path], notes.append)
    assert len(entries) == 1 + len(nine())
    assert ["dance" in note or "cut short" in note for note in notes] == [True, True]


def test_a_sweep_that_has_only_begun(tmp_path):
    notes: list[str] = []
    assert read_documents([write_sweep(tmp_path / "s", [])], notes.append) == ()
    assert notes == [f"{tmp_path / 's'} holds no result yet"]


def test_a_name_may_hold_what_python_takes_for_a_line_break(tmp_path):
    name = "a\u2028b\x85c"
    text = json.dumps(line("convert", conversion("x"), name=name), ensure_ascii=False)
    path = tmp_path / "s"
    path.write_text(f'{{"effnet_lite_sweep": 1, "settings": {{}}}}\n{text}\n', "utf-8")
    assert read_documents([path])[0].name == name


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"\xff\xfe\x00", "not text"),
        (b"hello", "not JSON"),
        (b"[1, 2]", "JSON, but not what was expected"),
        (b'{"a": 1}', "JSON, but not what was expected"),
        (b'{"records": [NaN], "comparisons": []}', "JSON has no NaN"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 10_000, "not JSON"),
        (b'{"effnet_lite_sweep": 2}', "version 2"),
        (b'{"effnet_lite_sweep": true}', "version True"),
        (b'{"effnet_lite_sweep": 1}\n{"kind": 5}\n', "expected a text, found 5"),
        (b'{"effnet_lite_sweep": 1}\n7\n', "expected a table"),
        (b'{"effnet_lite_sweep": 1}\nrubbish\n{}\n', "line 2 is not JSON"),
        (b'{"effnet_lite_sweep": 1}\n{"kind": "compare", "document": {}}\n', "lacks 'float'"),
        (b'{"effnet_lite_sweep": 1}\n{"kind": "file", "document": 5}\n', "document of file"),
    ],
)
def test_bad_files(tmp_path, content, expected):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        join(read_documents([path]))
    assert expected in str(error.value)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_and_no_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_documents([tmp_path / "x"])
    with pytest.raises(InputError, match="at least one file"):
        read_documents([])


def paths_of(tree, path=()):
    """Every place in a JSON tree, the tree itself left out."""
    entries = (
        tree.items() if isinstance(tree, dict) else enumerate(tree)
        if isinstance(tree, list) else ()
    )  # fmt: skip
    for key, value in entries:
        yield (*path, key)
        yield from paths_of(value, (*path, key))


def changed(tree, path, value):
    copy = json.loads(json.dumps(tree))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


SMALL = {
    "benchmark": benchmarked({"a": 4.0, "b": 2.0}, runs=2) | {"profiles": [profile("a")]},
    "evaluate": evaluated({"a": [40, 40], "b": [39, 40]}),
    "compare": compared("a", "b"),
    "convert": conversion("a") | {"fidelity": compared("a", "b")},
}


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("value", ["<b>", -7, 1e300, True, None, [], {}, [None], {"a": "\ud800"}])
def test_any_wrong_value_is_an_input_error_or_does_not_matter(tmp_path, kind, value):
    from effnet_lite.benchmark.report.page import render

    pytest.importorskip("plotly")
    pages = 0
    for path in paths_of(SMALL[kind]):
        document = changed(SMALL[kind], path, value)
        try:
            evidence = join(read_documents([write_json(tmp_path / "x", document)]))
        except InputError as error:
            assert "\n" not in str(error)
            continue
        if pages % 10 == 0:
            render(evidence, "title")
        pages += 1
