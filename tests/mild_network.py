"""A small exported network with the photos and statistics that a stage works from."""

from __future__ import annotations

import numpy as np
from numpy_network import mild_weights

from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.preprocessing import preprocessing_for
from effnet_lite.lite.variants import get_variant
from effnet_lite.quantize.calibration import logits_of, run_activations
from effnet_lite.quantize.calibration_set import choose
from effnet_lite.quantize.export import export
from effnet_lite.quantize.statistics import collect
from effnet_lite.quantize.tflite.runtime import Runner
from effnet_lite.quantize.tflite.writer import to_flatbuffer


class MildNetwork:
    """Of ten classes, with :func:`numpy_network.mild_weights`.

    Args:
        name: Of the variant.
        folder: Photos; the first ``count`` calibrate.
        head: As for ``export``.
        change: Called with the tensors before they are exported.
    """

    def __init__(self, name, folder, count, head="softmax", change=None):
        row = get_variant(name)
        tensors = mild_weights(row)
        if change:
            change(tensors)
        self.preprocessing = preprocessing_for(row)
        self.graph = export(architecture(row, 10), tensors, head)
        self.images = choose(folder, count)
        self.pixels = list(self.images.pixels(self.preprocessing))
        self.statistics = self.measure(self.graph)

    def measure(self, graph):
        return collect(graph, run_activations(graph, self.pixels, self.preprocessing))

    def normalised(self):
        return np.stack([self.preprocessing.normalize(pixels) for pixels in self.pixels])

    def logits(self, graph):
        return self.run(graph, logits_of(graph))

    def run(self, graph, output):
        """One tensor on every photo, photos first."""
        runner = Runner(to_flatbuffer(graph.with_outputs([output])), threads=1)
        return np.concatenate([runner.run(image[np.newaxis]) for image in self.normalised()])
