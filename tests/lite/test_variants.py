"""The variant table, compound scaling, and names that are not in the table."""

import pytest

from effnet_lite.errors import UsageError
from effnet_lite.lite.variants import LITE, VARIANTS, B, get_variant, scaled


def test_the_table_holds_both_families_in_order():
    assert list(VARIANTS) == [f"lite{n}" for n in range(5)] + [f"b{n}" for n in range(8)]
    assert all(name == variant.name for name, variant in VARIANTS.items())


# width, depth, size, dropout: tensorflow/tpu efficientnet_lite_builder.py and
# efficientnet_builder.py, efficientnet_params().
REFERENCE = {
    "lite0": (1.0, 1.0, 224, 0.2),
    "lite1": (1.0, 1.1, 240, 0.2),
    "lite2": (1.1, 1.2, 260, 0.3),
    "lite3": (1.2, 1.4, 280, 0.3),
    "lite4": (1.4, 1.8, 300, 0.3),
    "b0": (1.0, 1.0, 224, 0.2),
    "b1": (1.0, 1.1, 240, 0.2),
    "b2": (1.1, 1.2, 260, 0.3),
    "b3": (1.2, 1.4, 300, 0.3),
    "b4": (1.4, 1.8, 380, 0.4),
    "b5": (1.6, 2.2, 456, 0.4),
    "b6": (1.8, 2.6, 528, 0.5),
    "b7": (2.0, 3.1, 600, 0.5),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_coefficients_are_those_of_the_reference(name):
    row = VARIANTS[name]
    assert (row.width, row.depth, row.size, row.dropout) == REFERENCE[name]
    assert row.family is (LITE if name.startswith("lite") else B)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("spelling", ["{}", " {} ", "efficientnet-{}", "EfficientNet_{}"])
def test_spellings(name, spelling):
    assert get_variant(spelling.format(name)) is VARIANTS[name]
    assert get_variant(VARIANTS[name]) is VARIANTS[name]


@pytest.mark.parametrize("family", ["lite", "b"])
def test_compound_scaling_starts_at_the_baseline(family):
    base, row = VARIANTS[f"{family}0"], scaled(0, family)
    assert (row.width, row.depth, row.size, row.dropout) == (1, 1, base.size, base.dropout)


def test_compound_scaling():
    # 1.1² = 1.21, 1.2² = 1.44; 224 · 1.15² = 296.24, and 296 = 37 · 8 is the nearest.
    row = scaled(2, "b")
    assert (row.width, row.depth) == pytest.approx((1.21, 1.44))
    assert (row.name, row.size, row.published) == ("b-phi2", 296, None)
    assert get_variant("b-phi2") == row


def test_compound_scaling_keeps_a_cost_of_about_two_to_the_phi():
    from effnet_lite.lite.architecture import architecture

    ratio = architecture(scaled(2, "b")).madds / architecture(scaled(0, "b")).madds
    assert ratio == pytest.approx(4, rel=0.25)


def test_negative_phi_shrinks():
    small = get_variant("lite-phi-2")
    assert small.width < 1
    assert small.depth < 1
    assert small.size == 168  # 224 / 1.15² = 169.4
    assert small.dropout == 0.2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lite-w0.75-d1.1-s192", (0.75, 1.1, 192)),
        ("b-w2-s96", (2.0, 1.0, 96)),
        ("b-d0.5", (1.0, 0.5, 224)),
        ("lite-s33", (1.0, 1.0, 33)),
    ],
)
def test_free_scaling(name, expected):
    row = get_variant(name)
    assert (row.width, row.depth, row.size) == expected
    # The full name leads back to the same row.
    assert get_variant(row.name) == row


@pytest.mark.parametrize(
    ("name", "nearest"), [("lite9", "lite"), ("b8", "b"), ("litte0", "lite0"), ("l1te3", "lite3")]
)
def test_an_unknown_name_suggests_the_nearest(name, nearest):
    with pytest.raises(UsageError, match=f"did you mean '{nearest}"):
        get_variant(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "lite",
        "b",
        "lite-",
        "resnet50",
        "lite-w-1",
        "lite-q1",
        "lite0-s192",
        "b-s64-w1",
        "lite0\n1",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(UsageError, match="unknown variant"):
        get_variant(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lite-phi11", "between -4 and 10"),
        ("b-phi-5", "between -4 and 10"),
        ("lite-s31", "32 to 2048"),
        ("lite-s2049", "32 to 2048"),
        ("lite-w0.01", "width multiplier"),
        ("lite-d11", "depth multiplier"),
    ],
)
def test_scales_out_of_range_are_refused(name, message):
    with pytest.raises(UsageError, match=message):
        get_variant(name)


def test_another_size_drops_the_published_figures():
    row = VARIANTS["lite0"].with_size(192)
    assert (row.size, row.published, row.width) == (192, None, 1.0)
    assert VARIANTS["lite0"].with_size(None) is VARIANTS["lite0"]
    assert VARIANTS["lite0"].with_size(224) is VARIANTS["lite0"]
    with pytest.raises(UsageError):
        row.with_size(31)
