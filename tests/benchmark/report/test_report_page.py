"""What the page says, without a browser."""

from __future__ import annotations

import html
import html.parser
import json
import re

import pytest
from report_documents import (
    HOSTILE,
    benchmarked,
    compared,
    conversion,
    evaluated,
    line,
    nine,
    profile,
    write_json,
    write_sweep,
)

from effnet_lite.benchmark.report import join, read_documents, report
from effnet_lite.benchmark.report.page import render
from effnet_lite.benchmark.report.sections import sections
from effnet_lite.errors import InputError, MissingDependencyError

plotly = pytest.importorskip("plotly")

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(html.parser.HTMLParser):
    """Tags, texts and figures of a page; fails where an element is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.figures: list[dict] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self._json = False
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[key] for key in ("href", "src") if key in found]
        if tag not in VOID:
            self._open.append(tag)
        self._json = tag == "script" and found.get("type") == "application/json"

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._json and data.strip():
            self.figures.append(json.loads(data))
            self._json = False
        elif self._open and self._open[-1] not in ("script", "style"):
            self.text += data


def page_of(tmp_path, lines) -> Page:
    evidence = join(read_documents([write_sweep(tmp_path / "s.jsonl", lines)]))
    return Page(render(evidence, "A title"))


def test_every_section_of_a_full_record(tmp_path):
    lines = nine(classes=3)
    lines.append({"kind": "failure", "step": "convert", "name": "x", "message": "no memory"})
    page = page_of(tmp_path, lines)
    assert [anchor for anchor in page.ids if "-" not in anchor] == [
        "summary", "front", "candidates", "latency", "operators", "layers", "confusion", "classes",
        "calibration", "notes", "origin",
    ]  # fmt: skip
    assert len(set(page.ids)) == len(page.ids)
    assert set(page.links) == {f"#{anchor}" for anchor in page.ids if "-" not in anchor} | {
        "data:,"
    }
    assert "convert of x: no memory" in page.text
    assert "effnet-lite sweep" in page.text


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (conversion("a"), ["summary", "candidates", "origin"]),
        (benchmarked({"a": 4.0, "b": 2.0}), ["summary", "candidates", "latency"]),
        (compared("a", "b"), ["summary", "candidates", "layers"]),
        (evaluated({"a": [40, 40], "b": [39, 40]}),
         ["summary", "candidates", "confusion", "classes", "calibration"]),
    ],
)  # fmt: skip
def test_sections_only_where_there_is_something(tmp_path, document, expected):
    evidence = join(read_documents([write_json(tmp_path / "x", document)]))
    found = [section.anchor for section in sections(evidence)]
    assert [anchor for anchor in found if anchor not in ("notes", "origin", "front")] == [
        anchor for anchor in expected if anchor != "origin"
    ]


def test_figures_are_what_plotly_knows(tmp_path):
    import plotly.graph_objects

    page = page_of(tmp_path, nine(classes=3))
    assert len(page.figures) == 2 + 1 + 1 + 9 + 1 + 6 + 9 + 1
    for figure in page.figures:
        layout = {**figure["layout"], "height": figure["height"]}
        plotly.graph_objects.Figure(figure["data"], layout)  # refuses what it does not know
        assert figure["data"] and figure["height"] > 100


def test_runs_are_thinned_and_the_page_stays_small(tmp_path):
    lines = nine(classes=1000)
    for entry in lines:
        if entry["kind"] == "evaluate":
            for model in entry["document"]["models"]:
                model["confusion"] += [[a, (a * 7 + b) % 1000, 1] for a in range(1000)
                                       for b in range(1, 6)]  # fmt: skip
    path = write_sweep(tmp_path / "s.jsonl", lines)
    result = report([path], tmp_path / "r.html")
    assert path.stat().st_size > 1_000_000
    assert result.bytes == (tmp_path / "r.html").stat().st_size < 6_000_000
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    assert "at most 150 a model" in page.text
    assert "heatmap" not in {trace["type"] for figure in page.figures for trace in figure["data"]}
    assert "The 20 of" in page.text  # pairs in place of a heat map


def test_the_summary_names_what_to_ship(tmp_path):
    document = evaluated({"a": [40, 40], "b": [40, 41]})
    paths = [
        write_json(tmp_path / f"{place}", entry)
        for place, entry in enumerate([
            benchmarked({"a": 4.0, "b": 2.0}), document, conversion("a", 9_000_000),
            conversion("b", 3_000_000),
        ])
    ]  # fmt: skip
    page = Page(render(join(read_documents(paths)), "t"))
    assert "Ship b: of 2 candidates, none is more accurate, faster or smaller." in page.text
    assert "81.0% (72.2 to 87.5), 2.00 ms, 3.00 MB" in page.text
    assert "top-1 accuracy on 100 photos; latency: host measurement on A processor" in page.text
    assert "Not significant: the accuracy of b (+1.0 points, +0.0 to +2.0)" in page.text


def test_noise_is_marked(tmp_path):
    noisy = benchmarked({"a": 4.0, "b": 2.0}, noise=("the machine was busy",))
    page = page_of(tmp_path, [line("benchmark", noisy, group="g")])
    assert "a: the machine was busy" in page.text and "noisy" in page.text
    assert "⚠" in json.dumps(page.figures, ensure_ascii=False)


def test_classes_that_change(tmp_path):
    document = evaluated({"a": [40, 40, 30], "b": [30, 40, 33]}, labels=("cat", "dog", "cow"))
    page = page_of(tmp_path, [line("evaluate", document, group="g")])
    assert "Against a, 2 of 3 classes have another number of right answers: 1 fewer, 1 more" in (
        page.text
    )
    assert "40/50 (67 to 89)30/50 (46 to 72)" in page.text  # Wilson's intervals


def test_hostile_text_stays_text(tmp_path):
    lines = nine(classes=9, names=HOSTILE)
    for entry in lines:
        entry["command"] = f"effnet-lite {HOSTILE[0]} {HOSTILE[4]}"
        if entry["kind"] == "convert":
            entry["document"] |= {"recipe": HOSTILE[2], "notices": [HOSTILE[1]]}
        if entry["kind"] == "benchmark":
            for record in entry["document"]["records"]:
                record |= {"device": HOSTILE[0], "noise": [HOSTILE[2]]}
    lines.append({"kind": "failure", "step": HOSTILE[0], "name": HOSTILE[1], "message": HOSTILE[6]})
    plain, hostile = page_of(tmp_path, nine(classes=9)), page_of(tmp_path, lines)
    # The notes and the failures add elements; nothing else may.
    more = [tag for tag in set(hostile.tags) if tag not in plain.tags]
    assert more == [] and hostile.tags.count("script") == plain.tags.count("script")
    assert hostile.tags.count("img") == 0 and hostile.tags.count("b") == 0
    for name in HOSTILE[:2]:
        assert name in hostile.text
    assert not re.search("[\ud800-\udfff\u2028\u202e]", hostile.text)
    assert max(map(len, re.findall("x+", hostile.text))) < 5000


def test_texts_of_figures_are_escaped_for_plotly(tmp_path):
    """Plotly reads tags and entities in labels; templates fill themselves in from %{…}."""
    page = page_of(tmp_path, nine(classes=9, names=HOSTILE))
    templates = set()

    def walk(node, key=""):
        if isinstance(node, dict):
            for name, value in node.items():
                walk(value, name)
        elif isinstance(node, list):
            for value in node:
                walk(value, key)
        elif isinstance(node, str) and key.endswith("template"):
            templates.add(node)
        elif isinstance(node, str):
            assert not re.search("<(?!br>)|&(?!(amp|lt|gt);)", node)

    walk(page.figures)
    assert templates and not any("script" in found or "x^2" in found for found in templates)


def test_only_these_scripts_may_run(tmp_path):
    evidence = join(read_documents([write_json(tmp_path / "x", conversion("a"))]))
    text = render(evidence, "<b>'\"&")
    policy = html.unescape(re.search('Content-Security-Policy" content="([^"]*)"', text)[1])
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy and "unsafe-inline" not in policy.split("style-src")[0]
    assert "<title>&lt;b&gt;&#x27;&quot;&amp;</title>" in text


def test_the_same_records_give_the_same_bytes(tmp_path):
    path = write_sweep(tmp_path / "s.jsonl", nine())
    report([path], tmp_path / "a.html")
    report([path], tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_an_existing_page_needs_overwrite(tmp_path):
    record = write_json(tmp_path / "x", conversion("a"))
    page = tmp_path / "r.html"
    page.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        report([record], page)
    assert page.read_text() == "mine"
    assert report([record], page, overwrite=True).candidates == ("a",)


def test_a_record_without_models(tmp_path):
    with pytest.raises(InputError, match="expected records that speak of models"):
        report([write_sweep(tmp_path / "s", [])], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_plotly_is_asked_for_first(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'effnet-lite\[report\]'"):
        report([tmp_path / "missing"], tmp_path / "r.html")


def test_profiles_of_devices(tmp_path):
    document = benchmarked({"a": 4.0}, device_kind="adb", serial="xyz")
    document["profiles"] = [{
        "model": "a", "sha256": document["records"][0]["model_sha256"], "device": "A phone",
        "serial": "xyz", "delegate": "gpu", "threads": 4,
        "ops": [{"number": 0, "kind": "GPU", "name": "conv", "ms": 2.0, "calls": 1,
                 "within_delegate": False},
                {"number": None, "kind": "INNER", "name": "inner", "ms": 1.5, "calls": 1,
                 "within_delegate": True}],
    }]  # fmt: skip
    page = page_of(tmp_path, [line("benchmark", document, group="g")])
    assert "device measurement on A phone, 4 threads, delegate gpu" in page.text
    assert "Device measurement on A processor (xyz)" in page.text or (
        "device measurement on A processor (xyz)" in page.text
    )
    kinds = next(figure for figure in page.figures if figure["layout"].get("barmode") == "stack")
    assert [trace["name"] for trace in kinds["data"]] == ["GPU"]  # not what is part of it


def test_a_profile_of_long_names(tmp_path):
    document = benchmarked({"a": 4.0})
    document["profiles"] = [profile("a", ["y" * 5000] * 20)]
    page = page_of(tmp_path, [line("benchmark", document, group="g")])
    assert max(map(len, re.findall("y+", json.dumps(page.figures)))) < 100
