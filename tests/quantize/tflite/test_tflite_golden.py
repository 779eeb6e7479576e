from __future__ import annotations

import base64
import dataclasses

import numpy as np
import pytest

from effnet_lite.errors import InputError
from effnet_lite.quantize.tflite.golden import (
    GoldenCheck,
    default_grids,
    enlarge,
    make_golden,
    photo_grid,
    replay,
)
from effnet_lite.quantize.tflite.records import from_json, to_json


@pytest.fixture(scope="module", params=[True, False], ids=["uint8", "float32"])
def runner(request, tiny_model, run):
    model = tiny_model(quantized=request.param)
    return lambda pixels: run(model, pixels)


def test_enlarge_follows_the_documented_formula():
    grid = default_grids(count=1)[0]
    for height, width in ((16, 16), (224, 260), (5, 7)):
        pixels = enlarge(grid, height, width)
        assert pixels.shape == (1, height, width, 3)
        for y, x in ((0, 0), (height // 3, width // 2), (height - 1, width - 1)):
            assert pixels[0, y, x].tolist() == grid[y * 16 // height, x * 16 // width].tolist()


def test_default_grids_never_change():
    """A grid is stored with the check, but the same model should give the same file."""
    grids = default_grids()
    assert [grid.shape for grid in grids] == [(16, 16, 3)] * 8
    # First and last pixel and sum of the first grid, as PCG64(0) gives them.
    assert (grids[0][0, 0].tolist(), int(grids[0].astype(int).sum())) == (
        [171, 104, 120],
        109762,
    )


def test_a_photo_becomes_block_means():
    photo = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    grid = photo_grid(photo, 2)
    assert grid.shape == (2, 2, 3)
    assert grid[0, 0].tolist() == photo[:2, :3].reshape(-1, 3).mean(0).astype(int).tolist()
    assert grid[1, 1].tolist() == photo[2:, 3:].reshape(-1, 3).mean(0).astype(int).tolist()
    assert photo_grid(photo).shape == (4, 4, 3)
    assert photo_grid(np.full((225, 301, 3), 255, np.uint8)).tolist() == [[[255] * 3] * 32] * 32


def test_the_same_model_passes_exactly(runner):
    check = make_golden(runner, 8, 8)
    result = replay(check, runner)
    assert (result.passed, result.max_difference_steps, result.top1_matches) == (True, 0.0, True)
    assert replay(from_json(GoldenCheck, to_json(check), "check"), runner) == result
    assert make_golden(runner, 8, 8) == check


def test_the_grid_whose_first_class_stands_out_is_kept(runner):
    def margin(check: GoldenCheck) -> float:
        second, first = np.sort(check.expected().astype(float))[-2:]
        return float(first - second)

    each = [make_golden(runner, 8, 8, [grid]) for grid in default_grids()]
    assert margin(make_golden(runner, 8, 8)) == max(margin(check) for check in each)


def test_steps_of_integers_are_counts_and_of_floats_1_255_of_the_range():
    for dtype, spread, step in (("int8", 100, 1.0), ("float32", 51.0, 0.2)):
        output = np.array([0, spread, 20], dtype)
        check = make_golden(lambda _, output=output: output, 4, 4, default_grids(count=1))
        assert check.step == pytest.approx(step)
        moved = output + np.array([0, 3, -2], dtype)
        result = replay(check, lambda _, moved=moved: moved)
        assert result.max_difference_steps == pytest.approx(3 / step)


def test_the_tolerance_is_the_border():
    output = np.array([10, 210, 60], np.uint8)
    check = make_golden(lambda _: output, 4, 4)
    assert check.tolerance == 32.0
    assert replay(check, lambda _: output - np.uint8([0, 32, 0])).passed
    assert not replay(check, lambda _: output - np.uint8([0, 33, 0])).passed


def test_an_output_without_content_never_passes():
    """Probabilities of at most 12 steps: within 32 steps of zero everywhere."""
    output = np.array([0, 12, 3], np.uint8)
    check = make_golden(lambda _: output, 4, 4)
    assert check.tolerance == 3.0
    assert not replay(check, lambda _: np.zeros(3, np.uint8)).passed


def test_top1_is_reported_on_its_own():
    output = np.array([100, 101, 0], np.uint8)
    check = make_golden(lambda _: output, 4, 4)
    result = replay(check, lambda _: np.array([101, 100, 0], np.uint8))
    assert (result.passed, result.max_difference_steps, result.top1_matches) == (True, 1.0, False)


def test_signed_differences_do_not_wrap():
    output = np.array([-128, 127], np.int8)
    check = make_golden(lambda _: output, 4, 4)
    assert replay(check, lambda _: output[::-1]).max_difference_steps == 255


def test_swapped_colours_fail(runner):
    check = make_golden(runner, 8, 8)
    assert not replay(check, lambda pixels: runner(np.ascontiguousarray(pixels[..., ::-1]))).passed


def test_not_a_number_fails_and_another_model_is_refused():
    output = np.array([0.0, 1.0], np.float32)
    check = make_golden(lambda _: output, 4, 4)
    assert not replay(check, lambda _: output * np.float32("nan")).passed
    with pytest.raises(InputError, match="2 float32 outputs, found 3 float32"):
        replay(check, lambda _: np.zeros(3, np.float32))
    with pytest.raises(InputError, match="found 2 uint8"):
        replay(check, lambda _: np.zeros(2, np.uint8))
    with pytest.raises(InputError, match="NaN"):
        make_golden(lambda _: np.array([0, np.inf], np.float32), 4, 4)


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0},
        {"width": 10**9},
        {"grid_size": 65},
        {"grid": "AAAA"},
        {"grid": "not base64!"},
        {"dtype": "object"},
        {"output": ""},
        {"output": base64.b64encode(b"12345").decode()},
        {"step": 0.0},
        {"tolerance": -1.0},
    ],
    ids=str,
)
def test_hostile_checks_are_refused(change):
    check = make_golden(lambda _: np.array([0.0, 1.0], np.float32), 4, 4)
    with pytest.raises(InputError, match="golden check"):
        dataclasses.replace(check, **change)
