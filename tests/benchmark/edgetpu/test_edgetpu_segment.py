"""Which operators end up in the one Edge TPU operator."""

import pytest
from edgetpu_models import Op, T, graph, ints

from effnet_lite.benchmark.edgetpu.check import edgetpu_check

MAP = T((1, 8, 8, 4))
FLOAT = T((1, 8, 8, 4), "FLOAT32")


def mapped(tmp_path, tensors, ops, outputs):
    """Names of what the mapped operators write, and the check."""
    path = tmp_path / "model.tflite"
    path.write_bytes(graph(tensors, ops, outputs))
    result = edgetpu_check(path)
    return {one.name for one in result.placements if one.mapped}, result


def test_a_chain_is_cut_at_the_first_operator_that_cannot(tmp_path):
    tensors = dict.fromkeys("xabcd", MAP)
    ops = [Op("RELU", ["x"], ["a"]), Op("ABS", ["a"], ["b"]), Op("RELU", ["b"], ["c"]),
           Op("TANH", ["c"], ["d"])]  # fmt: skip
    found, result = mapped(tmp_path, tensors, ops, ["d"])
    assert found == {"a"}
    assert (result.cut.number, result.cut.kind) == (1, "ABS")
    behind = [one for one in result.placements if one.name in "cd"]
    assert {one.status for one in behind} == {"More than one subgraph is not supported"}
    assert {one.reason for one in behind} == {"behind ABS (b)"}


def test_a_branch_without_it_is_mapped_wherever_it_stands(tmp_path):
    """Movenet's heads behind the first ARG_MAX."""
    tensors = dict.fromkeys("xabcdef", MAP)
    ops = [Op("RELU", ["x"], ["a"]), Op("ABS", ["a"], ["b"]), Op("TANH", ["b"], ["c"]),
           Op("LOGISTIC", ["a"], ["d"]), Op("MUL", ["d", "a"], ["e"]),
           Op("ADD", ["c", "e"], ["f"])]  # fmt: skip
    found, _ = mapped(tmp_path, tensors, ops, ["f"])
    assert found == {"a", "d", "e"}


def test_what_stands_before_the_segment_may_stay_on_the_cpu(tmp_path):
    """A float input's QUANTIZE, and a float output's DEQUANTIZE."""
    tensors = {"x": FLOAT, "a": MAP, "b": MAP, "y": FLOAT}
    ops = [Op("QUANTIZE", ["x"], ["a"]), Op("RELU", ["a"], ["b"]), Op("DEQUANTIZE", ["b"], ["y"])]
    found, result = mapped(tmp_path, tensors, ops, ["y"])
    assert found == {"b"}
    assert result.mapping.unmapped == {"QUANTIZE": 1, "DEQUANTIZE": 1}
    assert result.cut.kind == "DEQUANTIZE"
    assert [line.split(":")[0] for line in result.advice] == [
        "give the model uint8 input (convert --input uint8)",
        "give the model uint8 output (convert --input uint8)",
    ]


def test_only_the_first_of_two_segments_is_taken_though_it_be_smaller(tmp_path):
    """google-coral/edgetpu#342: two operators, then a TRANSPOSE, then 83 that could be mapped."""
    names = ["x", *(f"t{number}" for number in range(12))]
    ops = [Op("ABS" if number == 1 else "RELU", [names[number]], [names[number + 1]])
           for number in range(12)]  # fmt: skip
    found, _ = mapped(tmp_path, dict.fromkeys(names, MAP), ops, ["t11"])
    assert found == {"t0"}


def test_an_input_that_meets_the_cpu_first_is_a_second_segment(tmp_path):
    """The epoch of the first operator takes what is ready; the other input is not."""
    tensors = dict.fromkeys(["x", "y", "a", "b", "c", "d"], MAP)
    ops = [Op("RELU", ["x"], ["a"]), Op("ABS", ["y"], ["b"]), Op("RELU", ["b"], ["c"]),
           Op("ADD", ["a", "c"], ["d"])]  # fmt: skip
    found, result = mapped(tmp_path, tensors, ops, ["d"])
    assert found == {"a"}
    assert result.mapping.unmapped == {"ABS": 1, "RELU": 1, "ADD": 1}


def test_a_leading_cpu_operator_is_waited_for(tmp_path):
    """When the first epoch is the CPU's, its results are there for the whole segment."""
    tensors = dict.fromkeys(["x", "y", "a", "b", "c", "d"], MAP)
    ops = [Op("ABS", ["y"], ["b"]), Op("RELU", ["x"], ["a"]), Op("RELU", ["b"], ["c"]),
           Op("ADD", ["a", "c"], ["d"])]  # fmt: skip
    found, _ = mapped(tmp_path, tensors, ops, ["d"])
    assert found == {"a", "c", "d"}


def test_nothing_at_all(tmp_path):
    tensors = {"x": FLOAT, "shape": ints(1, 256), "y": T((1, 256), "FLOAT32")}
    found, result = mapped(tmp_path, tensors, [Op("RESHAPE", ["x", "shape"], ["y"])], ["y"])
    assert not found
    assert result.estimate is None
    assert result.mapping.mapped == {}
    assert not result.full
    assert result.advice == ("quantize the model to 8 bits: effnet-lite convert --int8",)


@pytest.mark.parametrize("count", [3, 2000])
def test_operators_in_any_number(tmp_path, count):
    names = [f"t{number}" for number in range(count + 1)]
    ops = [Op("RELU", [names[number]], [names[number + 1]]) for number in range(count)]
    found, _ = mapped(tmp_path, dict.fromkeys(names, MAP), ops, [names[-1]])
    assert len(found) == count
