"""Class activation maps, from a .tflite file itself.

The map of class k says how much each place (x, y) speaks for it,

    M_k(x, y) = Σ_c w_kc · A_c(x, y),

with A the last feature map before global average pooling and w the classifier's weights (Zhou
et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, equation 2; figure
7 of the EfficientNet paper, arXiv 1905.11946). Its mean over the places is the logit less its
bias. Both A and w are read from the file and dequantized, whatever types it uses. Channels that
a file stores rescaled change nothing: the weights take the scale back.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError, UsageError
from effnet_lite.files import sha256
from effnet_lite.lite.labels import fit_labels, label_offset, read_labels
from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.quantize.fidelity import softmax
from effnet_lite.quantize.layer_weights import LayerFile
from effnet_lite.quantize.tflite import metadata
from effnet_lite.quantize.tflite.file import read_model
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.surgery import with_feature_map_output

Map = npt.NDArray[np.float64]


class ActivationMapper:
    """A model that also gives its last feature map, and its classifier's weights.

    Attributes:
        path, sha256: The file.
        predictor: Its first output is the file's, its second the feature map.
        weights: The classifier's as reals, (classes, channels).
        offset: The output of the data set's class 0.

    Raises:
        InputError: The file is not what it should be, or does not end in global average
            pooling and one dense layer.
    """

    def __init__(
        self,
        path: Path,
        threads: int | None,
        preprocessing: Preprocessing | None,
        labels: str | os.PathLike[str] | None,
    ) -> None:
        data = read_model(path)
        self.path, self.sha256 = path, sha256(data)
        try:
            model, head = with_feature_map_output(data)
            self.predictor = Predictor(
                model, preprocessing, metadata.read_labels(data), threads=threads
            )
            self.weights = _classifier_weights(data, head.logits)
            shape = self.predictor.runner.outputs[1].shape
            if self.weights.shape != (self.classes, shape[-1]):
                raise InputError(
                    f"expected a classifier of {shape[-1]} channels and {self.classes} classes, "
                    f"found weights of shape {self.weights.shape}"
                )
        except InputError as error:
            raise InputError(f"{path} cannot be explained: {error}") from error
        self._probabilities = head.probabilities
        if labels is not None:
            self.predictor.labels = fit_labels(read_labels(labels), self.classes)
        description = self.predictor.description
        self.offset = (
            description.label_offset
            if description
            else label_offset(self.predictor.labels, self.classes)
        )

    @property
    def classes(self) -> int:
        """How many it tells apart."""
        return self.predictor.classes

    def find(self, name: str | int) -> int:
        """The output of a label (letter case matters only where it must), or of a number.

        Raises:
            UsageError: There is none.
        """
        labels = [self.predictor.label(index) for index in range(self.classes)]
        if isinstance(name, str):
            if name in labels:
                return labels.index(name)
            folded = [label.casefold() for label in labels]
            if folded.count(name.casefold()) == 1:
                return folded.index(name.casefold())
            if not re.fullmatch(r"\d{1,9}", name):
                near = difflib.get_close_matches(name.casefold(), folded, n=1)
                hint = f"; did you mean {labels[folded.index(near[0])]!r}?" if near else ""
                raise UsageError(f"the model has no class {name!r}{hint}")
        if not 0 <= int(name) < self.classes:
            raise UsageError(f"expected a class from 0 to {self.classes - 1}, got {name}")
        return int(name)

    def look(self, pixels: Pixels) -> tuple[npt.NDArray[Any], Map]:
        """Probabilities (classes,), and the feature map as reals, (rows, columns, channels).

        Raises:
            InputError: One of them is not finite.
        """
        output = self.predictor.output(pixels)
        runner = self.predictor.runner
        features = runner.outputs[1].dequantize(runner.output(1))[0].astype(np.float64)
        if not (np.isfinite(output).all() and np.isfinite(features).all()):
            raise InputError(f"{self.path} answers with infinities or NaN")
        return output if self._probabilities else softmax(output), features


def correlation(first: Map, second: Map) -> float | None:
    """Pearson's, -1 to 1; None between maps of two sizes, or where one is the same all over."""
    if first.shape != second.shape:
        return None
    one, other = (values - values.mean() for values in (first, second))
    scale = float(np.sqrt(np.square(one).sum() * np.square(other).sum()))
    return float(np.clip((one * other).sum() / scale, -1, 1)) if scale else None


def _classifier_weights(model: bytes, logits: int) -> Map:
    """Reals, (classes, channels), of the dense layer or 1x1 convolution that writes a tensor."""
    layers = LayerFile(model)
    found = [number for number in range(len(layers.names)) if layers.output(number) == logits]
    weights = layers.weights(found[0]) if found else None
    if weights is None:
        raise InputError("its classifier's weights are no constants, or of an unknown type")
    if weights.ndim == 4 and weights.shape[1:3] == (1, 1):
        weights = weights[:, 0, 0]
    if not np.isfinite(weights).all():
        raise InputError("its classifier's weights hold infinities or NaN")
    return weights.astype(np.float64)
