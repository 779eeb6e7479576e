"""The one place that imports TensorFlow and tf_keras, quietly and only when asked."""

from __future__ import annotations

import os
from typing import Any

from effnet_lite.errors import MissingDependencyError
from effnet_lite.quiet import without_native_logs


def import_tensorflow() -> Any:
    """The module ``tensorflow``, without its start-up messages.

    Raises:
        MissingDependencyError: It is not installed.
    """
    # Both are read once, when TensorFlow's native library loads.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        with without_native_logs():
            import tensorflow

            # It looks for GPUs when it first needs them, and says that there are none.
            tensorflow.config.list_physical_devices()
    except ImportError as error:
        raise MissingDependencyError(
            "building and converting a network", "tensorflow", "convert"
        ) from error
    tensorflow.get_logger().setLevel("ERROR")
    return tensorflow


def import_tf_keras() -> Any:
    """The module ``tf_keras``: Keras 2, which tensorflow-model-optimization needs.

    Raises:
        MissingDependencyError: It, or TensorFlow, is not installed.
    """
    import_tensorflow()
    try:
        import tf_keras
    except ImportError as error:
        raise MissingDependencyError("building a network", "tf-keras", "convert") from error
    return tf_keras
