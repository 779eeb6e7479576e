"""The contest with other runtimes; without them, but for ONNX where it is installed."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from effnet_lite.benchmark.intervals import Ratio
from effnet_lite.benchmark.scripts import _rivals, _runtimes, rivals
from effnet_lite.benchmark.scripts._onnx import channels_first, same_padding, to_onnx
from effnet_lite.benchmark.scripts._rivals import OURS, RIVALS, Row, contest
from effnet_lite.benchmark.scripts._runtimes import serve, take_turns
from effnet_lite.errors import ConversionError, InputError
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.pretrained import load_weights
from effnet_lite.lite.variants import get_variant
from effnet_lite.quantize.export import export
from effnet_lite.quantize.graph import Graph, Tensor
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.writer import to_flatbuffer

LITE, B = "lite-w0.35-d0.35-s64", "b-w0.35-d0.35-s64"


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (224, 3, 2, (0, 1)),  # the stem: TFLite's odd zero is behind, PyTorch's in front
        (112, 3, 1, (1, 1)),
        (112, 3, 2, (0, 1)),
        (56, 5, 2, (1, 2)),
        (65, 3, 2, (1, 1)),
        (65, 5, 2, (2, 2)),
        (7, 1, 1, (0, 0)),
        (8, 1, 2, (0, 0)),
        (1, 5, 1, (2, 2)),
    ],
)
def test_padding(size, kernel, stride, expected):
    assert same_padding(size, kernel, stride) == expected


def test_shapes():
    assert channels_first((1, 224, 200, 3)) == (1, 3, 224, 200)
    assert channels_first((1, 1000)) == (1, 1000)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # of its sigmoid
@pytest.mark.parametrize("name", [LITE, B])
@pytest.mark.parametrize("head", ["logits", "softmax"])
def test_the_onnx_file_is_the_same_network(name, head, weights_file):
    """By onnx's own reference; every stride, kernel and operator of both families is there."""
    pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    row = get_variant(name)
    loaded = load_weights(weights_file(name), row)
    graph = export(architecture(row, loaded.classes), loaded.tensors, head)
    image = np.random.default_rng(0).uniform(-1, 1, (1, row.size, row.size, 3)).astype(np.float32)
    if row.family.name == "b":
        image = 127 * (image + 1)
    model = to_onnx(graph)
    [theirs] = ReferenceEvaluator(model).run(None, {"image": image.transpose(0, 3, 1, 2)})
    ours = Runner(to_flatbuffer(graph), 1).run(image)
    assert ours.std() > 0
    np.testing.assert_allclose(
        theirs, ours, rtol=0, atol=_rivals.FLOAT_TOLERANCE * np.abs(ours).max()
    )


def test_operators_that_onnx_was_not_taught():
    pytest.importorskip("onnx")
    graph = Graph()
    graph.inputs = [graph.add_tensor(Tensor("image", (1, 8, 8, 3)))]
    graph.outputs = [graph.add_op("QUANTIZE", graph.inputs, "integers", (1, 8, 8, 3))]
    with pytest.raises(ValueError, match="integers: no ONNX operator for QUANTIZE"):
        to_onnx(graph)


def test_taking_turns():
    calls: list[str] = []
    works = [lambda name=name: calls.append(name) for name in "abc"]
    times = take_turns(works, rounds=3, burst=2, warmup=1)
    assert [len(one) for one in times] == [6, 6, 6]
    assert min(min(one) for one in times) >= 0
    assert "".join(calls) == "abc" + "aaabbbccc" + "bbbcccaaa" + "cccaaabbb"


def test_one_launch(int8_model, photos, tmp_path):
    model = Predictor.open(int8_model)
    pixels = np.stack([model.preprocessing.pixels(path) for path in sorted(photos.iterdir())[:4]])
    floats = model.preprocessing.normalize(pixels)
    np.savez(tmp_path / "photos.npz", pixels=pixels, floats=floats)
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(int8_model.read_bytes()[:1000])
    files = [["one", "litert", str(int8_model), False], ["two", "litert", str(broken), False],
             ["three", "litert", str(int8_model), False]]  # fmt: skip
    answer = serve({"files": files, "photos": str(tmp_path / "photos.npz"), "rounds": 2})
    assert set(answer["times_ms"]) == {"one", "three"}
    assert {len(times) for times in answer["times_ms"].values()} == {2 * _runtimes.BURST}
    assert answer["top1"]["one"] == [int(model.raw(image).argmax()) for image in pixels]
    assert list(answer["errors"]) == ["two"]


@pytest.fixture
def nothing_installed(monkeypatch):
    """No rival is installed, whatever is."""
    wanted = {package for rival in RIVALS.values() for package in rival.packages}
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in wanted else find(name)
    )


def test_without_rivals(nothing_installed, tmp_path):
    ours, *others = contest(LITE, list(RIVALS), tmp_path, "fast", 2, launches=2, rounds=2)
    assert (ours.variant, ours.weights, ours.rival, ours.error) == (LITE, "random", OURS, None)
    assert ours.p50_ms > 0
    assert (ours.ratio, ours.agreement) == (None, None)
    assert ours.bytes == (tmp_path / "ours.tflite").stat().st_size
    assert [row.rival for row in others] == list(RIVALS)
    for row in others:
        assert row.error == "not installed: pip install 'effnet-lite[rivals]'"
        assert not row.failed


def test_a_rival_that_fails(monkeypatch, tmp_path):
    """Its row says so, the others are timed."""

    def make(network, ours):
        raise RuntimeError("no such\n operator")

    copy = _rivals.Rival("a copy", (), "litert", False, lambda network, ours: ours)
    broken = _rivals.Rival("broken", (), "litert", False, make)
    absent = _rivals.Rival("absent", (), "litert", False, lambda network, ours: tmp_path / "no")
    monkeypatch.setattr(_rivals, "RIVALS", {"copy": copy, "broken": broken, "absent": absent})
    rows = contest(LITE, ["copy", "broken", "absent"], tmp_path, "fast", 2, launches=2, rounds=2)
    assert rows[1].error is None
    assert rows[1].ratio.low <= rows[1].ratio.value <= rows[1].ratio.high
    assert rows[2].error == "RuntimeError: no such operator"
    assert rows[3].error.startswith("FileNotFoundError")
    assert [row.failed for row in rows] == [False, False, True, True]


def test_a_process_that_dies(monkeypatch, tmp_path):
    def launch(*_):
        raise ConversionError("timing by turns failed: Killed")

    monkeypatch.setattr(_rivals, "_launch", launch)
    [row] = contest(LITE, [], tmp_path, "fast", 2, launches=2, rounds=2)
    assert row.failed
    assert row.error == "timing by turns failed: Killed"


def test_another_network_is_found_out(monkeypatch, tmp_path, int8_model):
    """The check of the float32 logits, with a runtime that answers something else."""
    pytest.importorskip("onnx")
    row = get_variant(LITE)
    loaded = load_weights("random", row, None, 0)
    network = _rivals.Network(
        export(architecture(row, loaded.classes), loaded.tensors),
        Predictor.open(int8_model).preprocessing,
        _rivals.choose("synthetic", 2),
        tmp_path,
        "lite",
    )
    logits = network.graph.with_outputs([network.graph.ops[-2].output])
    for difference, fails in ((1e-6, False), (1e-3, True), (np.nan, True)):
        runner = Runner(to_flatbuffer(logits), 1)

        def output(runner=runner, difference=difference):
            expected = runner.output().reshape(-1)
            return expected + difference * np.abs(expected).max()

        opened = _runtimes.Opened(
            lambda image, runner=runner: runner.set_input(image[np.newaxis]), runner.invoke, output
        )
        monkeypatch.setitem(_rivals.OPENERS, "other", lambda path, opened=opened: opened)
        if fails:
            with pytest.raises(ConversionError, match="same float32 logits in other"):
                _rivals.float_onnx(network, "other")
        else:
            assert _rivals.float_onnx(network, "other").stat().st_size > 1000


ROWS = [
    Row("lite0", "imagenet", OURS, 4.2, None, 0.975, 5_265_260),
    Row("lite0", "imagenet", "onnxruntime", 4.1, Ratio(0.9512, 0.9, 1.01, 4.3, 4.1, 1000), 1.0, 5),
    Row("lite0", "imagenet", "nncf", error="RuntimeError: a|b"),
]


def test_columns_stand_below_their_headers():
    texts = rivals.cells(ROWS[1])
    assert texts == [
        "lite0", "imagenet", "onnxruntime, QDQ U8S8", "4.10", "0.95 (0.90-1.01)", "100.0", "5",
    ]  # fmt: skip
    header, line = map(rivals.plain_line, (list(rivals.COLUMNS), texts))
    assert len(header) == len(line)
    assert header.index("p50 ms*") + len("p50 ms*") == line.index("4.10") + len("4.10")
    assert rivals.cells(ROWS[0])[2:5] == ["LiteRT, ours", "4.20", "1"]
    assert all(len(rivals.label(name)) <= rivals.COLUMNS["int8 by"] for name in (OURS, *RIVALS))


def test_a_row_that_failed():
    texts = rivals.cells(ROWS[2])
    assert rivals.plain_line(texts).endswith("RuntimeError: a|b")
    line, header = map(rivals.markdown_line, (texts, list(rivals.COLUMNS)))
    assert line.replace(r"\|", "").count("|") == header.count("|")


@pytest.mark.parametrize(("rows", "code"), [(ROWS, 1), (ROWS[:2], 0)])
def test_the_document(rows, code, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(rivals, "contest", lambda *_: rows)
    path = tmp_path / "rivals.json"
    arguments = ["--variants", "lite0", "--rounds", "4", "--json", str(path)]
    assert rivals.main(arguments) == code
    document = json.loads(path.read_text())
    assert document["protocol"]["threads"] == 1
    assert set(rivals.PACKAGES) <= set(document["versions"])
    one = document["rows"][1]
    assert (one["ratio"]["value"], one["ratio"]["low"], one["label"]) == (
        0.9512, 0.9, "onnxruntime, QDQ U8S8",
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert "5 processes with 20 runs" in printed
    assert len(printed.splitlines()) == 1 + len(rows) + 1 + 4


def test_our_own_file_cannot_be_made(monkeypatch, capsys):
    def refuse(*_):
        raise InputError("no photos")

    monkeypatch.setattr(rivals, "contest", refuse)
    assert rivals.main(["--variants", "lite0"]) == 1
    assert capsys.readouterr().err == "error: no photos\n"


@pytest.mark.parametrize(
    "arguments",
    [["--variants", "lite9"], ["--rivals", "tvm"], ["--launches", "1"], ["--rounds", "0"],
     ["--photos", "x"], ["--variants", ""]],
)  # fmt: skip
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        rivals.parse(arguments)
    assert stop.value.code == 2
    assert "expected" in capsys.readouterr().err
