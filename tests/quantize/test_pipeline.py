"""What a recipe tells of its progress."""

from __future__ import annotations

import pytest
from mild_network import MildNetwork
from small_variants import LITE, B

from effnet_lite.lite.variants import get_variant
from effnet_lite.progress import PARTS
from effnet_lite.quantize import mixed
from effnet_lite.quantize.pipeline import expected, run_recipe
from effnet_lite.quantize.recipe import get_recipe


@pytest.mark.parametrize(
    ("variant", "name", "least"),
    [
        (LITE, "fast", 1),
        (LITE, "default", 2),
        (LITE, "w8a8-average+bias", 3),
        (LITE, "best", 4),
        (B, "default+float", 5),
    ],
)
def test_a_recipe_is_one_whole_of_the_stretches_expected(variant, name, least, photos, monkeypatch):
    if name == "best":
        pytest.importorskip("tensorflow")
    monkeypatch.setattr(mixed, "TARGET", 0)  # nothing is good enough
    network = MildNetwork(variant, photos, 4)
    recipe = get_recipe(name, get_variant(variant).family.name)
    calls = []
    run_recipe(
        recipe, network.graph, network.images, network.preprocessing,
        progress=lambda *call: calls.append(call),
    )  # fmt: skip
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert done[-1] == PARTS
    assert {total for _, total, _ in calls} == {PARTS}
    # In order, and none that is not expected; a small network may have nothing for some to do.
    labels = list(dict.fromkeys(label for *_, label in calls))
    assert labels == [label for label in expected(recipe) if label in labels]
    assert len(labels) >= least
