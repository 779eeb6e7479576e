"""The plan: layers, parameters and multiply-adds, against published and Keras' own counts."""

import math

import pytest

from effnet_lite.lite.architecture import architecture, round_filters, round_repeats
from effnet_lite.lite.variants import VARIANTS, get_variant, scaled

# Lite: tensorflow/tpu lite/README.md. B: the trainable parameters that
# keras.applications.EfficientNetBN().summary() prints.
PARAMS = {
    "lite0": 4_652_008,
    "lite1": 5_416_680,
    "lite2": 6_092_072,
    "lite3": 8_197_096,
    "lite4": 13_006_568,
    "b0": 5_288_548,
    "b1": 7_794_184,
    "b2": 9_109_994,
    "b3": 12_233_232,
    "b4": 19_341_616,
    "b5": 30_389_784,
    "b6": 43_040_704,
    "b7": 66_347_960,
}


@pytest.mark.parametrize("name", VARIANTS)
def test_parameters(name):
    assert architecture(VARIANTS[name]).params == PARAMS[name]


@pytest.mark.parametrize("name", VARIANTS)
def test_published_figures_are_near(name):
    plan, published = architecture(VARIANTS[name]), VARIANTS[name].published
    # The paper rounds to two digits, so that 12M stands for 12.23M; the Lite README counts
    # what TensorFlow's profiler counts, additions of residuals and biases included.
    assert plan.params == pytest.approx(published.params, rel=0.025)
    assert plan.madds == pytest.approx(published.madds, rel=0.06)


@pytest.mark.parametrize(
    ("filters", "width", "expected"),
    [
        (32, 1.0, 32),
        (32, 1.1, 32),  # 35.2 → 32, which is not below 90 % of it (31.68)
        (40, 1.1, 48),  # 44.0 is half way: up
        (16, 1.4, 24),  # 22.4 → 24
        (80, 1.4, 112),
        (320, 1.1, 352),
        (24, 0.75, 24),  # 18 → 16 would be below 90 % of it (16.2)
        (16, 0.1, 8),  # never below the divisor
        (1280, 2.0, 2560),
    ],
)
def test_round_filters(filters, width, expected):
    assert round_filters(filters, width) == expected


@pytest.mark.parametrize("width", [0.1, 0.33, 0.5, 0.77, 1.0, 1.25, 2.2, 9.9])
def test_round_filters_never_loses_a_tenth(width):
    for filters in (16, 24, 32, 40, 80, 112, 192, 320, 1280):
        rounded = round_filters(filters, width)
        assert rounded % 8 == 0
        assert rounded >= 0.9 * filters * width


@pytest.mark.parametrize(
    ("repeats", "depth", "expected"), [(1, 1.1, 2), (3, 1.0, 3), (4, 3.1, 13), (2, 0.1, 1)]
)
def test_round_repeats(repeats, depth, expected):
    assert round_repeats(repeats, depth) == expected


def test_lite_leaves_stem_head_and_end_stages_unscaled():
    plan = architecture(VARIANTS["lite4"])
    assert (plan.stem_filters, plan.head_filters) == (32, 1280)
    stages = [block.stage for block in plan.blocks]
    assert [stages.count(stage) for stage in range(7)] == [1, 4, 4, 6, 6, 8, 1]
    # The channels of the end stages are scaled all the same.
    assert (plan.blocks[0].out_filters, plan.blocks[-1].out_filters) == (24, 448)


def test_b_scales_everything():
    plan = architecture(VARIANTS["b4"])
    assert (plan.stem_filters, plan.head_filters) == (48, 1792)
    stages = [block.stage for block in plan.blocks]
    assert [stages.count(stage) for stage in range(7)] == [2, 4, 4, 6, 6, 8, 2]


def test_squeeze_is_a_quarter_of_the_input_channels():
    blocks = architecture(VARIANTS["b0"]).blocks
    assert [block.se_filters for block in blocks[:4]] == [8, 4, 6, 6]
    assert not any(block.se_filters for block in architecture(VARIANTS["lite0"]).blocks)


def test_b0_blocks():
    plan = architecture(VARIANTS["b0"])
    names = [block.name for block in plan.blocks]
    assert (len(names), names[0], names[1], names[-1]) == (16, "block1a", "block2a", "block7a")
    assert not plan.blocks[0].expands
    assert all(block.expands for block in plan.blocks[1:])
    assert [block.residual for block in plan.blocks[:5]] == [False, False, True, False, True]
    assert plan.final_size == 7


def test_letters_go_on_after_z():
    names = [block.name for block in architecture(get_variant("lite-d10-s32")).blocks]
    assert len(set(names)) == len(names)
    assert "block6z" in names
    assert "block6aa" in names
    assert "block6an" in names  # 40 repeats: 26 + 14


@pytest.mark.parametrize("size", [32, 33, 63, 64, 65, 225, 299])
def test_sizes_halve_as_same_padding_does(size):
    plan = architecture(VARIANTS["lite0"].with_size(size))
    expected = size
    for _ in range(5):
        expected = (expected + 1) // 2
    assert plan.final_size == expected


@pytest.mark.parametrize("name", ["lite0", "b0", "lite-phi1", "b-w0.5-d1-s96"])
def test_classes_only_change_the_classifier(name):
    row = get_variant(name)
    full, small, none = (architecture(row, classes) for classes in (1000, 10, 0))
    per_class = full.head_filters + 1
    assert full.params - small.params == 990 * per_class
    assert small.params - none.params == 10 * per_class
    assert "predictions/kernel" not in none.tensors()
    assert full.madds - none.madds == 1000 * full.head_filters


@pytest.mark.parametrize(
    "variant", [*VARIANTS.values(), scaled(-2), scaled(3, "b")], ids=lambda v: v.name
)
def test_layers_follow_each_other(variant):
    plan = architecture(variant)
    names = [layer.name for layer in plan.layers()]
    assert len(set(names)) == len(names)
    tensors = plan.tensors()
    moving = 2 * sum(layer.outputs for layer in plan.layers() if layer.kind == "bn")
    assert sum(math.prod(shape) for shape in tensors.values()) == plan.params + moving
