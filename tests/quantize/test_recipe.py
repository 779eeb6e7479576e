"""The names of recipes."""

import pytest

from effnet_lite.errors import UsageError
from effnet_lite.quantize.recipe import ALIASES, RANGES, get_recipe


@pytest.mark.parametrize("family", ["lite", "b"])
@pytest.mark.parametrize("alias", ALIASES)
def test_aliases_stand_for_a_name_in_full(alias, family):
    recipe = get_recipe(alias, family)
    assert get_recipe(recipe.name) == recipe
    assert get_recipe(recipe) is recipe


def test_aliases_differ_with_the_family():
    assert get_recipe("default").name == "w8a8-tails+stem+equalize+round+bias"
    assert get_recipe("default", "b").name == "w8a8-mse+equalize+round+bias"
    assert get_recipe("fast") == get_recipe("fast", "b")


def test_stages_may_follow_an_alias():
    assert get_recipe("default+float").stages == (*get_recipe("default").stages, "float")
    assert get_recipe("fast+bias").name == "w8a8-minmax+bias"
    with pytest.raises(UsageError, match="there twice"):
        get_recipe("default+bias")


def test_the_parts_of_a_name():
    recipe = get_recipe("w8a16-minmax+bias")
    assert (recipe.activation_bits, recipe.ranges, recipe.stages) == (16, "minmax", ("bias",))
    assert recipe.with_activation_bits(8).name == "w8a8-minmax+bias"
    assert get_recipe("fast").name == "w8a8-minmax"


@pytest.mark.parametrize("ranges", RANGES)
def test_ranges_go_with_any_stages(ranges):
    recipe = get_recipe(f"w8a8-{ranges}+bias+equalize")
    assert (recipe.ranges, recipe.stages) == (ranges, ("equalize", "bias"))
    assert recipe.name == f"w8a8-{ranges}+equalize+bias"


def test_unknown_ranges_are_named_with_those_that_are_known():
    with pytest.raises(
        UsageError, match=r"'entropy' are .*; ranges are minmax, average, mse, tails$"
    ):
        get_recipe("w8a8-entropy+bias")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "slow",
        "w4a8-minmax",
        "w8a8",
        "w8a8-entropy",
        "w8a8-minmax+",
        "w8a8-minmax+magic",
        "w8a8-minmax+bias+bias",
        "W8A8-minmax",
        "w8a8-minmax bias",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(UsageError, match="recipe"):
        get_recipe(name)
