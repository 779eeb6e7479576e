"""explain: the maps are the classifier's weights over the last feature map of each file."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil

import bad_models
import numpy as np
import pytest
from numpy_network import lively_weights

from effnet_lite.benchmark.activation_map import correlation
from effnet_lite.benchmark.explain import explain, split_files
from effnet_lite.errors import InputError, UsageError
from effnet_lite.lite.variants import get_variant
from effnet_lite.quantize.tflite.file import pack, schema, unpack
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.surgery import operator_kinds, with_feature_map_output

LITE, B = "lite-w0.35-d0.35-s128", "b-w0.35-d0.35-s128"  # maps of 4 x 4
PRECISIONS = ["float32", "float16", "dynamic", "int8", "int16x8"]


@pytest.fixture(scope="module")
def logits_model(converted):
    """``logits_model(precision, variant)``: a file whose output is the logits."""
    return lambda precision, variant=LITE, **options: (
        converted(precision, variant, head="logits", check=False, **options).output
    )


def stored_feature_map(model, pixels):
    """What stands before the pooling, read out of an interpreter that keeps everything."""
    from ai_edge_litert.interpreter import Interpreter

    tree = unpack(model)
    graph = tree.subgraphs[0]
    pool = graph.operators[operator_kinds(tree).index("AVERAGE_POOL_2D")]
    keeper = Interpreter(model_content=model, num_threads=1, experimental_preserve_all_tensors=True)
    keeper.allocate_tensors()
    source = keeper.get_input_details()[0]
    keeper.set_tensor(source["index"], Predictor(model)._encode(pixels).astype(source["dtype"]))
    keeper.invoke()
    return keeper.get_tensor(int(pool.inputs[0]))[0]


@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors")
@pytest.mark.parametrize("variant", [LITE, B])
def test_a_map_is_weights_times_features(logits_model, variant, photo):
    """Of the float file: features from an interpreter of our own, weights from their source."""
    path = logits_model("float32", variant)
    (result,) = explain(path, photo).results
    (view,) = result.models
    pixels = Predictor.open(path).preprocessing.pixels(photo)
    features = stored_feature_map(path.read_bytes(), pixels).astype(np.float64)
    kernel = lively_weights(get_variant(variant))["predictions/kernel"]
    assert view.values.shape == (4, 4)
    # float32 sums over a hundred channels; the values are around 1.
    np.testing.assert_allclose(view.values, features @ kernel[:, view.top1], atol=1e-4)


@pytest.mark.parametrize("variant", [LITE, B])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_mean_of_a_map_is_the_logit_less_its_bias(logits_model, precision, variant, photos):
    path = logits_model(precision, variant)
    predictor = Predictor.open(path)
    bias = lively_weights(get_variant(variant))["predictions/bias"]
    images = [photos / f"{number:02}.jpg" for number in range(4)]
    for result in explain(path, images).results:
        (view,) = result.models
        logits = predictor.output(predictor.preprocessing.pixels(result.image))
        assert view.top1 == view.class_index == result.class_index == int(logits.argmax())
        # int8 rounds pooled features and logits: to half a step each, of 100 or more in range.
        tolerance = 1e-4 if precision.startswith("float") else float(0.02 * np.ptp(logits))
        assert view.values.mean() + bias[view.top1] == pytest.approx(
            logits[view.top1], abs=tolerance
        )


@pytest.mark.parametrize("variant", [LITE, B])
def test_all_precisions_look_at_the_same_places(logits_model, variant, photos):
    models = [logits_model(precision, variant) for precision in PRECISIONS]
    found = explain(models, [photos / f"{number:02}.jpg" for number in range(5)])
    for result in found.results:
        assert result.models[0].agrees
        assert {view.class_index for view in result.models} == {result.class_index}
        assert [view.values.shape for view in result.models] == [(4, 4)] * len(models)
    by_model = np.asarray(
        [[view.correlation for view in result.models[1:]] for result in found.results]
    ).T
    float16, dynamic, int8, int16x8 = by_model
    assert float16.min() > 0.9999
    # Noise of an untrained network, whose places differ little: trained ones reach 0.999
    # (tests/slow/test_explain_maps.py). Found here: 0.99, 0.89 and 0.97 at least.
    assert min(dynamic.mean(), int16x8.mean()) > 0.9
    assert int8.mean() > 0.8
    assert found.mean_correlation == pytest.approx(by_model.min(axis=0).mean())


@pytest.mark.parametrize("input_type", ["uint8", "int8", "float32"])
def test_every_input_type(converted, input_type, photo):
    given = {"input_type": input_type, "check": False}
    models = [converted("int8", LITE, check=False).output, converted("int8", LITE, **given).output]
    (result,) = explain(models, photo).results
    assert result.correlation == pytest.approx(1, abs=1e-6)


def as_mean(tree):
    """AVERAGE_POOL_2D → MEAN over height and width, as Keras' converter writes it."""
    s, graph = schema(), tree.subgraphs[0]
    axes = s.TensorT()
    axes.name, axes.shape, axes.type, axes.buffer = (
        "axes", [2], s.TensorType.INT32, len(tree.buffers),
    )  # fmt: skip
    tree.buffers.append(s.BufferT())
    tree.buffers[-1].data = np.asarray([1, 2], np.int32)
    graph.tensors.append(axes)
    pool = graph.operators[operator_kinds(tree).index("AVERAGE_POOL_2D")]
    pool.opcodeIndex = add_code(tree, s.BuiltinOperator.MEAN)
    pool.inputs = [int(pool.inputs[0]), len(graph.tensors) - 1]
    pool.builtinOptionsType, pool.builtinOptions = (
        s.BuiltinOptions.ReducerOptions, s.ReducerOptionsT(),
    )  # fmt: skip
    output = graph.tensors[int(pool.outputs[0])]
    output.shape = list(output.shape)[::3]
    return tree


def as_convolution(tree):
    """FULLY_CONNECTED → CONV_2D of 1x1 and a RESHAPE, as MobileNets have it."""
    s, graph = schema(), tree.subgraphs[0]
    dense = graph.operators[operator_kinds(tree).index("FULLY_CONNECTED")]
    weights = graph.tensors[int(dense.inputs[1])]
    classes, channels = (int(side) for side in weights.shape)
    weights.shape = [classes, 1, 1, channels]
    dense.opcodeIndex = add_code(tree, s.BuiltinOperator.CONV_2D)
    dense.builtinOptionsType, dense.builtinOptions = (
        s.BuiltinOptions.Conv2DOptions, s.Conv2DOptionsT(),
    )  # fmt: skip
    dense.builtinOptions.strideW = dense.builtinOptions.strideH = 1
    wide = s.TensorT()
    wide.name, wide.shape, wide.type, wide.buffer = "wide", [1, 1, 1, classes], 0, 0
    graph.tensors.append(wide)
    reshape = s.OperatorT()
    reshape.opcodeIndex = add_code(tree, s.BuiltinOperator.RESHAPE)
    reshape.inputs, reshape.outputs = [len(graph.tensors) - 1], [int(dense.outputs[0])]
    reshape.builtinOptionsType, reshape.builtinOptions = (
        s.BuiltinOptions.ReshapeOptions, s.ReshapeOptionsT(),
    )  # fmt: skip
    reshape.builtinOptions.newShape = [1, classes]
    dense.outputs = [len(graph.tensors) - 1]
    graph.operators.insert(graph.operators.index(dense) + 1, reshape)
    return tree


def add_code(tree, builtin):
    code = schema().OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = 1
    tree.operatorCodes.append(code)
    return len(tree.operatorCodes) - 1


@pytest.mark.parametrize("rewrite", [as_mean, as_convolution])
@pytest.mark.parametrize("head", ["softmax", "logits"])
def test_heads_of_other_converters(converted, rewrite, head, photo, tmp_path):
    path = converted("float32", LITE, head=head, check=False).output
    other = tmp_path / "other.tflite"
    other.write_bytes(pack(rewrite(unpack(path.read_bytes()))))
    (result,) = explain([path, other], photo).results
    first, second = result.models
    np.testing.assert_allclose(second.values, first.values, atol=1e-5)
    assert second.top1 == first.top1
    assert second.score == pytest.approx(first.score, abs=1e-5)
    assert 0 < first.score <= 1


def without_pooling(tree):
    """The pooling becomes another operator, which the runtime need not run."""
    pool = tree.subgraphs[0].operators[operator_kinds(tree).index("AVERAGE_POOL_2D")]
    pool.opcodeIndex = add_code(tree, schema().BuiltinOperator.MAX_POOL_2D)


def two_subgraphs(tree):
    tree.subgraphs.append(tree.subgraphs[0])


def no_outputs(tree):
    tree.subgraphs[0].outputs = []


def output_is_input(tree):
    tree.subgraphs[0].outputs = list(tree.subgraphs[0].inputs)


def pooled_in_part(tree):
    pool = tree.subgraphs[0].operators[operator_kinds(tree).index("AVERAGE_POOL_2D")]
    tree.subgraphs[0].tensors[int(pool.outputs[0])].shape = [1, 2, 2, 64]


def weights_are_computed(tree):
    graph = tree.subgraphs[0]
    dense = graph.operators[operator_kinds(tree).index("FULLY_CONNECTED")]
    graph.tensors[int(dense.inputs[1])].buffer = 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_pooling, "found MAX_POOL_2D in place of AVERAGE_POOL_2D or MEAN"),
        (two_subgraphs, "one subgraph, found 2"),
        (no_outputs, "has no output"),
        (output_is_input, "found nothing in place of FULLY_CONNECTED or CONV_2D"),
        (pooled_in_part, r"found pooling of \(1, 4, 4, \d+\) to \(1, 2, 2, 64\)"),
    ],
)
def test_models_without_such_a_head(float_4x4, photo, tmp_path, change, message):
    tree = unpack(float_4x4.read_bytes())
    change(tree)
    path = tmp_path / "it's\nmine.tflite"
    path.write_bytes(pack(tree))
    with pytest.raises(InputError, match=message) as error:
        explain([float_4x4, path], photo)
    assert str(path) in str(error.value)


@pytest.fixture(scope="module")
def float_4x4(converted):
    return converted("float32", LITE, check=False).output


def test_the_tiny_classifier_cannot_be_explained(tiny_model, photo, tmp_path):
    path = tmp_path / "a.tflite"
    for quantized in (True, False):
        path.write_bytes(tiny_model(quantized=quantized))
        with pytest.raises(InputError, match="global average pooling and one dense layer"):
            explain(path, photo)


@pytest.mark.parametrize(
    "model",
    [
        bad_models.no_inputs(),
        bad_models.two_inputs(),
        bad_models.string_input(),
        bad_models.compiled_for_edgetpu(),
        bad_models.unknown_operator(),
    ],
)
def test_other_models(model, photo, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(model)
    with pytest.raises(InputError, match="cannot be explained: "):
        explain(path, photo)


def test_weights_that_are_no_constant(float_4x4, photo):
    from effnet_lite.benchmark.activation_map import _classifier_weights

    tree = unpack(float_4x4.read_bytes())
    _, head = with_feature_map_output(float_4x4.read_bytes())
    weights_are_computed(tree)
    with pytest.raises(InputError, match="no constants"):
        _classifier_weights(pack(tree), head.logits)


def test_a_map_of_one_place_says_nothing(converted, photo):
    path = converted("float32", "lite-w0.35-d0.35-s32", check=False).output
    with pytest.raises(InputError, match="several places"):
        explain(path, photo)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("kind", "message"),
    [("FULLY_CONNECTED", "weights hold inf"), ("CONV_2D", "answers with infinities or NaN")],
)
def test_what_is_not_finite(float_4x4, photo, tmp_path, kind, value, message):
    tree = unpack(float_4x4.read_bytes())
    graph = tree.subgraphs[0]
    kinds = operator_kinds(tree)
    ops = [op for op, name in zip(graph.operators, kinds, strict=True) if name == kind]
    # Weights of the classifier; the bias of the projection before the last layer.
    constant = ops[-1].inputs[1] if kind == "FULLY_CONNECTED" else ops[-2].inputs[2]
    buffer = tree.buffers[graph.tensors[int(constant)].buffer]
    values = np.frombuffer(buffer.data, np.float32).copy()
    values[:] = value
    if value == np.inf:
        values[::2] = -np.inf  # the sums over channels are NaN
    buffer.data = values
    path = tmp_path / "a.tflite"
    path.write_bytes(pack(tree))
    with pytest.raises(InputError, match=message):
        explain(path, photo)


def test_the_class_of_choice(float_4x4, photos):
    images = sorted(photos.iterdir())[:2]
    for chosen, index in [("tench", 0), ("Great White SHARK", 2), ("7", 7), (999, 999)]:
        found = explain(float_4x4, images, class_name=chosen).results
        assert [entry.class_index for entry in found] == [index] * 2
        assert {entry.models[0].class_score for entry in found} != {found[0].models[0].score}
    first, second = (explain(float_4x4, images[:1], name).results[0] for name in (3, 4))
    assert not np.allclose(first.models[0].values, second.models[0].values)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("great white shrak", "no class 'great white shrak'; did you mean 'great white shark'"),
        ("CARDIGAN", "did you mean '[cC]ardigan'"),  # a dog and a jacket
        ("zzzzzzzz", "no class 'zzzzzzzz'$"),
        ("1000", "0 to 999, got 1000"),
        ("-1", "no class '-1'"),
        (-1, "0 to 999, got -1"),
        ("9" * 5000, "no class '9"),
        ("", "no class ''"),
    ],
)
def test_classes_that_do_not_exist(float_4x4, photo, chosen, message):
    with pytest.raises(UsageError, match=message):
        explain(float_4x4, photo, class_name=chosen)


def test_names_of_the_caller(converted, photo, tmp_path):
    model = converted("int8", weights="random", classes=3, check=False).output
    labels = tmp_path / "labels.txt"
    labels.write_text('2\n<script>\nit\'s "it"\n', "utf-8")
    (result,) = explain(model, photo, class_name="2", labels=labels).results
    assert (result.class_index, result.label) == (0, "2")  # the name, not the number
    (result,) = explain(model, photo, class_name="1", labels=labels).results
    assert (result.class_index, result.label) == (1, "<script>")
    (result,) = explain(model, photo, class_name="class 2").results
    assert result.class_index == 2


def test_the_models_own_names_survive(converted, photo, tmp_path):
    """They lie behind the flatbuffer that gets another output."""
    model = converted("int8", weights="random", labels=("owl", "cat"), classes=2, check=False)
    (result,) = explain(model.output, photo, class_name="cat").results
    assert result.class_index == 1
    assert result.models[0].label in ("owl", "cat")


def test_a_background_class_shifts_the_others(converted, photo):
    given = {"weights": "random", "check": False}
    plain = converted("float32", classes=1000, **given).output
    shifted = converted("float32", classes=1001, **given).output
    (result,) = explain([plain, shifted], photo, class_name="tench").results
    assert [view.class_index for view in result.models] == [0, 1]
    (result,) = explain([shifted, plain], photo, class_name="tench").results
    assert [view.class_index for view in result.models] == [1, 0]
    with pytest.raises(InputError, match="no background class"):
        explain([shifted, plain], photo, class_name="background")
    other = converted("float32", classes=3, **given).output
    with pytest.raises(InputError, match="1000 and 3 classes apart"):
        explain([plain, other], photo)


def test_maps_of_two_sizes_are_not_compared(float_4x4, float_model, photo, tmp_path):
    (result,) = explain([float_4x4, float_model], photo, output=tmp_path / "out").results
    assert [view.values.shape for view in result.models] == [(4, 4), (2, 2)]
    assert result.correlation is None
    assert result.output.exists()


def test_correlation():
    random = np.random.default_rng(0)
    one, other = random.normal(size=(2, 7, 7))
    expected = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert correlation(one, other) == pytest.approx(expected)
    assert correlation(one, -3 * one + 1) == pytest.approx(-1)
    assert correlation(one, np.full((7, 7), 2.0)) is None
    assert correlation(one, other[:6]) is None


def test_one_model_compares_nothing(float_4x4, photo):
    found = explain(float_4x4, [photo])
    assert found.mean_correlation is None
    document = found.to_json()
    assert document["mean_correlation"] is document["results"][0]["correlation"] is None


def test_a_foreign_file_sees_the_same_pixels(float_4x4, photo, tmp_path):
    """Its own guess would be another crop; in a file of another size it stays."""
    from effnet_lite.quantize.tflite.description import read_description, with_description

    data = float_4x4.read_bytes()
    record = read_description(data)
    crop = dataclasses.replace(record.preprocessing, crop_fraction=0.5)
    told, foreign = tmp_path / "told.tflite", tmp_path / "foreign.tflite"
    told.write_bytes(with_description(data, dataclasses.replace(record, preprocessing=crop)))
    tree = unpack(data)
    tree.metadata = []
    foreign.write_bytes(pack(tree))
    for models in itertools.permutations([told, foreign]):
        (result,) = explain(models, photo).results
        assert result.correlation == pytest.approx(1, abs=1e-6)
    (alone,) = explain(foreign, photo).results
    (cropped,) = explain(told, photo, class_name=alone.class_index).results
    assert not np.allclose(alone.models[0].values, cropped.models[0].values)


def test_the_json_document(float_4x4, converted, photo, tmp_path):
    models = [float_4x4, converted("int8", LITE, check=False).output]
    steps = []
    found = explain(
        models, [photo, photo], output=tmp_path / "out", progress=lambda *step: steps.append(step)
    )
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert set(document) == {"results", "mean_correlation"}
    entry = document["results"][0]
    assert set(entry) == {"image", "class", "label", "models", "correlation", "output"}
    assert entry["image"] == str(photo)
    assert entry["models"][0]["sha256"] == Predictor.open(float_4x4).sha256
    assert entry["models"][1]["correlation"] == entry["correlation"]
    assert entry["models"][0]["correlation"] is None
    assert {"top1", "label", "score", "class_score", "map_shape"} <= set(entry["models"][0])
    assert [entry["output"] for entry in document["results"]] == [
        str(tmp_path / "out" / f"{photo.stem}{number}.png") for number in ("", "-2")
    ]
    assert steps == [(1, 2, "explaining"), (2, 2, "explaining")]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.results[0].label = "else"


def test_nothing_is_drawn_without_a_folder(float_4x4, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (result,) = explain(float_4x4, photo).results
    assert result.output is None
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_checked_before_the_work(photo, tmp_path):
    (tmp_path / f"{photo.stem}.png").write_bytes(b"mine")
    with pytest.raises(InputError, match="--overwrite"):
        explain(tmp_path / "missing.tflite", photo, output=tmp_path)
    assert (tmp_path / f"{photo.stem}.png").read_bytes() == b"mine"


@pytest.mark.parametrize("options", [{"threads": 0}, {"threads": -1}, {"threads": 10**6}])
def test_numbers_out_of_range(float_4x4, photo, options):
    with pytest.raises(UsageError, match="threads"):
        explain(float_4x4, photo, **options)


def test_nothing_to_do(float_4x4, photo):
    for models, images in (([], [photo]), ([float_4x4], [])):
        with pytest.raises(UsageError, match="at least one"):
            explain(models, images)


def test_photos_that_will_not_do(float_4x4, photo, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        explain(float_4x4, [photo, tmp_path / "nope.jpg"], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(photo.read_bytes()[:300])
    with pytest.raises(InputError, match=r"cut\.jpg"):
        explain(float_4x4, [photo, cut], output=tmp_path / "out")
    # What was done before stays, whole.
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{photo.stem}.png"]


def test_which_files_are_models(float_4x4, photo, tmp_path):
    bare = tmp_path / "model"
    shutil.copy(float_4x4, bare)
    upper = str(tmp_path / "missing.TFLITE")
    files = [str(photo), str(bare), "a.jpg", str(float_4x4), upper, str(tmp_path)]
    assert split_files(files) == (
        [str(bare), str(float_4x4), upper],
        [str(photo), "a.jpg", str(tmp_path)],
    )
    assert split_files([str(photo), "b.jpg"]) == ([str(photo)], ["b.jpg"])
    assert split_files(["model.h5"]) == (["model.h5"], [])
