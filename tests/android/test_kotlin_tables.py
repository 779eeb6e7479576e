"""Tables that the Android library restates: they must say what Python's say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from effnet_lite.lite import preprocessing
from effnet_lite.quantize.tflite import archive, check, golden
from effnet_lite.quantize.tflite.description import ENTRY, HEADS, PRECISIONS
from effnet_lite.quantize.tflite.file import schema

SOURCES = Path(__file__).parents[2] / "android_demo/effnetlite/src/main/kotlin/org/effnetlite"


def source(name: str) -> str:
    return (SOURCES / f"{name}.kt").read_text("utf-8")


@pytest.mark.parametrize(("count", "name"), [(2, "TWO"), (3, "THREE"), (4, "FOUR")])
def test_operators_need_as_many_inputs(count: int, name: str) -> None:
    found = re.search(rf"val {name} = setOf\(([\d,\s]+)\)", source("Operators"))
    assert found
    codes = vars(schema().BuiltinOperator)
    expected = {codes[operator] for operator in check._NEEDED[count].split()}
    assert {int(code) for code in found[1].split(",") if code.strip()} == expected


def test_operators_are_numbered_as_in_the_schema() -> None:
    constants = re.findall(r"const val (\w+) = (\d+)", source("Operators"))
    codes = vars(schema().BuiltinOperator)
    assert len(constants) > 5
    assert {name: int(code) for name, code in constants} == {
        name: codes[name] for name, _ in constants
    }


def test_tensor_types_are_numbered_as_in_the_schema() -> None:
    entries = re.findall(r"^    (\w+)\((\d), (\d)\)[,;]", source("Engine"), re.MULTILINE)
    codes = vars(schema().TensorType)
    assert {name: int(code) for name, _, code in entries} == {
        name: codes[name] for name in ("FLOAT32", "UINT8", "INT16", "INT8")
    }


def test_the_record_has_the_same_names() -> None:
    text = source("ModelRecord")
    assert f'ENTRY = "{ENTRY}"' in text
    precisions = re.search(r"PRECISIONS = listOf\((.*)\)", text)
    assert precisions and re.findall(r'"(\w+)"', precisions[1]) == list(PRECISIONS)
    heads = re.search(r"enum class Head { (.*) }", source("ModelDescription"))
    assert heads and [name.lower() for name in heads[1].split(", ")] == list(HEADS)
    methods = re.search(r"enum class Resize { (.*) }", source("ModelDescription"))
    assert methods
    assert {name.lower() for name in methods[1].split(", ")} == set(preprocessing.RESIZE_METHODS)


def test_limits_are_the_same() -> None:
    assert f"MAX_SIZE = {preprocessing.MAX_SIZE}" in source("ModelRecord")
    assert f"MAX_GRID_SIZE = {golden.MAX_GRID_SIZE}" in source("GoldenCheck")
    found = re.search(r"MAX_FILE_BYTES = ([\d* ]+)", source("LabelArchive"))
    assert found
    product = 1
    for factor in found[1].split("*"):
        product *= int(factor)
    assert product == archive.MAX_FILE_BYTES
