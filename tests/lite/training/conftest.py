"""Photos and a training, made once."""

from __future__ import annotations

import pytest
from shapes import SHORT, TINY, save_shapes

from effnet_lite.lite.preprocessing import preprocessing_for
from effnet_lite.lite.variants import get_variant


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """27 photos of three classes."""
    return save_shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="session")
def preprocessing():
    return preprocessing_for(get_variant(TINY))


@pytest.fixture(scope="session")
def trained(shapes, tmp_path_factory):
    """A training that ran from beginning to end; not to be changed."""
    pytest.importorskip("tensorflow")
    from effnet_lite.lite.training.train import train

    return train(
        shapes,
        TINY,
        output=tmp_path_factory.mktemp("trained") / "run",
        weights="random",
        preset="transfer",
        settings=dict(SHORT),
    )
