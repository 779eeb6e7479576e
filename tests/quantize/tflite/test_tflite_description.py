from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pytest

from effnet_lite.errors import InputError
from effnet_lite.lite.preprocessing import Preprocessing
from effnet_lite.quantize.tflite import golden
from effnet_lite.quantize.tflite.description import (
    ENTRY,
    CalibrationRecord,
    Description,
    WeightsRecord,
    model_info,
    read_description,
    with_description,
)
from effnet_lite.quantize.tflite.file import (
    check_model,
    pack,
    read_model,
    schema,
    set_metadata_buffer,
    unpack,
)
from effnet_lite.quantize.tflite.metadata import read_labels, read_metadata

LABELS = tuple(f"thing {n}" for n in range(10))


@pytest.fixture(scope="module")
def full(tiny, run) -> Description:
    return Description(
        variant="lite0",
        precision="int8",
        head="softmax",
        classes=10,
        preprocessing=Preprocessing(8, 0.875, "bicubic", (127.0,), (128.0,)),
        weights=WeightsRecord("imagenet", "a" * 64, "torch"),
        tool_version="0.1.0",
        family="lite",
        recipe="w8a8-minmax+round+bias",
        calibration=CalibrationRecord("samples", 100, "b" * 64),
        fidelity={"sqnr_db": 24.9, "top1_agreement": 0.99},
        seed=0,
        golden=golden.make_golden(lambda pixels: run(tiny, pixels), 8, 8),
    )


@pytest.fixture(scope="module")
def plain(full) -> Description:
    return Description(
        variant="b0",
        precision="float32",
        head="logits",
        classes=10,
        preprocessing=full.preprocessing,
        weights=WeightsRecord("random"),
        tool_version="0.1.0",
    )


def test_round_trip_through_json(full, plain):
    for description in (full, plain):
        assert Description.from_json(description.to_json()) == description
    text = full.to_json()
    assert text == json.dumps(
        json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def test_round_trip_through_the_model(tiny, full, plain, run):
    pixels = full.golden.pixels()
    for description, labels in ((full, LABELS), (plain, ())):
        model = with_description(tiny, description, labels)
        check_model(model)
        assert read_description(model) == description
        assert read_labels(model) == (labels or None)
        assert read_metadata(model).inputs[0].mean == (127.0,)
        assert np.array_equal(run(model, pixels), run(tiny, pixels))


def test_the_golden_check_can_be_replayed_from_the_file(tiny, full, run):
    model = with_description(tiny, full, LABELS)
    check = read_description(model).golden
    assert golden.replay(check, lambda pixels: run(model, pixels)).passed


def test_same_bytes_twice_and_when_described_again(tiny, full, plain):
    model = with_description(tiny, full, LABELS)
    assert with_description(tiny, full, LABELS) == model
    assert with_description(with_description(tiny, plain), full, LABELS) == model


def test_the_metadata_says_the_same(full, plain):
    assert model_info(full).output == "probability"
    assert model_info(plain).output == "logits"
    assert model_info(full).name == "EfficientNet-Lite0"


def test_a_foreign_model_has_no_description(tiny):
    assert read_description(tiny) is None
    with pytest.raises(InputError, match="TFL3"):
        read_description(b"not a model at all")


def test_reading_does_not_touch_the_weights(tiny, full):
    tree = unpack(tiny)
    weights = schema().BufferT()
    weights.data = bytes(50_000_000)
    tree.buffers.append(weights)
    model = with_description(pack(tree), full, LABELS)
    start = time.perf_counter()
    assert read_description(model) == full
    assert time.perf_counter() - start < 0.02


def test_labels_and_classes_must_agree(tiny, full):
    with pytest.raises(InputError, match="10 classes apart, but got 9 labels"):
        with_description(tiny, full, LABELS[:9])
    wrong = dataclasses.replace(full, classes=9)
    with pytest.raises(InputError, match="10 outputs, but got 9 labels"):
        with_description(tiny, wrong, LABELS[:9])


def _with_record(tiny: bytes, record: bytes) -> bytes:
    tree = unpack(tiny)
    set_metadata_buffer(tree, ENTRY, record)
    return pack(tree)


def test_keys_of_a_later_version_are_passed_over(tiny, full):
    tree = json.loads(full.to_json())
    tree["later"] = {"a": [1]}
    tree["weights"]["license"] = "Apache-2.0"
    tree["schema"] = 2
    read = read_description(_with_record(tiny, json.dumps(tree).encode()))
    assert read == dataclasses.replace(full, schema=2)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("variant",), 0),
        (("classes",), "10"),
        (("classes",), True),
        (("classes",), 0),
        (("classes",), None),
        (("label_offset",), -1),
        (("precision",), "int4"),
        (("head",), ["softmax"]),
        (("preprocessing",), "bicubic"),
        (("preprocessing", "size"), 224.5),
        (("preprocessing", "size"), 10**9),
        (("preprocessing", "crop_fraction"), 0),
        (("preprocessing", "mean"), 127),
        (("preprocessing", "mean"), [1, 2]),
        (("preprocessing", "std"), [0.0]),
        (("preprocessing", "std"), ["128"]),
        (("preprocessing", "std"), [10**400]),
        (("weights",), None),
        (("calibration", "count"), {}),
        (("fidelity",), [1]),
        (("golden", "dtype"), "complex"),
        (("golden", "grid"), "????"),
    ],
    ids=str,
)
def test_wrong_values_are_refused_in_one_line(tiny, full, path, value):
    tree = json.loads(full.to_json())
    inner = tree
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(InputError) as caught:
        read_description(_with_record(tiny, json.dumps(tree).encode()))
    assert "\n" not in str(caught.value)
    assert type(caught.value) is InputError  # the file is wrong, not the usage
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "record",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"variant": NaN}', b"[" * 100_000, b"1" * 5000],
    ids=lambda record: repr(record[:10]),
)
def test_what_is_no_json_object_is_refused(tiny, record):
    with pytest.raises(InputError, match="record") as caught:
        read_description(_with_record(tiny, record))
    assert "\n" not in str(caught.value)


def test_a_record_that_lacks_a_key_says_which(tiny, full):
    tree = json.loads(full.to_json())
    del tree["preprocessing"]["size"]
    with pytest.raises(InputError, match="preprocessing lacks 'size'"):
        read_description(_with_record(tiny, json.dumps(tree).encode()))


def test_infinite_figures_become_null(tiny, plain):
    """Two equal models have an infinite SQNR, which JSON cannot say."""
    model = with_description(
        tiny, dataclasses.replace(plain, fidelity={"sqnr_db": float("inf"), "l": [1.0]})
    )
    assert read_description(model).fidelity == {"sqnr_db": None, "l": [1.0]}


def test_random_damage_is_read_or_refused(tiny, full, tmp_path):
    """Cut anywhere, flip up to four bytes anywhere: an answer or an InputError, in one line."""
    model = with_description(tiny, full, LABELS)
    random = np.random.default_rng(7)
    path = tmp_path / "model.tflite"
    refused = 0
    for attempt in range(400):
        data = bytearray(model)
        if attempt % 4 == 0:
            data = data[: random.integers(0, len(data))]
        else:
            # Half of the flips hit the tables rather than the bulk of the buffers.
            end = len(data) if attempt % 2 else 600
            for position in random.integers(0, end, random.integers(1, 5)):
                data[position] = random.integers(0, 256)
        path.write_bytes(data)
        for read in (_read_file(path), read_metadata, read_labels, read_description, unpack):
            try:
                read(bytes(data))
            except InputError as error:
                refused += 1
                assert "\n" not in str(error)
    assert refused > 400


def _read_file(path):
    return lambda _: read_model(path)
