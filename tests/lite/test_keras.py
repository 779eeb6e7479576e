"""TensorFlow comes quietly, and a clear word where it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from effnet_lite.errors import MissingDependencyError
from effnet_lite.lite.keras import import_tensorflow


def test_tensorflow_says_nothing():
    pytest.importorskip("tensorflow")
    program = (
        "from effnet_lite.lite.keras import import_tensorflow\n"
        "tf = import_tensorflow()\n"
        "print(float(tf.function(lambda x: tf.reduce_sum(x * x))(tf.ones(3))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("3.0\n", "")


def test_where_there_is_no_tensorflow(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingDependencyError, match=r"effnet-lite\[convert\]"):
        import_tensorflow()
