"""What one batch teaches: the right classes, and what the float network makes of the same pixels.

    loss = λ · CE(label, s) + (1 - λ) · T² · KL(softmax(t / T) ‖ softmax(s / T)) + φ · F
    F    = Σ (f - g)² / Σ g²

with logits s and pooled features f of the network that learns, t and g those of the float
network, its teacher. Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network"
(arXiv 1503.02531): T² keeps the parts' gradients in proportion. Photos without a label count in
the second part alone. The teacher sees the very pixels that the student sees (arXiv 2106.05237).

A handful of logits leave most of what rounding may do to a network undetermined, and what they
do not tell, noise decides: F asks for every one of a thousand features (Romero et al.,
"FitNets", arXiv 1412.6550).

By default the teacher alone is heard. Of 341 validation photos, a Lite0 classifier had 297 right
in float, 297 after λ = 0 and 296 after λ = 0.1; a shortly trained B0 271, 273 and 267: a parent
that knows its training photos has little to learn from their labels.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from effnet_lite.errors import UsageError
from effnet_lite.lite.keras import import_tensorflow
from effnet_lite.quantize.calibration import logits_of
from effnet_lite.quantize.differentiable import forward
from effnet_lite.quantize.graph import Graph

#: The label of a photo whose class is not known.
NO_LABEL = -1


@dataclasses.dataclass(frozen=True)
class Objective:
    """The weights of the parts.

    Attributes:
        labels: λ, 0 to 1; 0 learns from the float network alone.
        temperature: T, above 0.
        features: φ, 0 or more.
        smoothing: Of the labels: this much of each is spread over all classes.
    """

    labels: float = 0.0
    temperature: float = 2.0
    features: float = 2.0
    smoothing: float = 0.1

    def __post_init__(self) -> None:
        for name, value, true in (
            ("labels", self.labels, 0 <= self.labels <= 1),
            ("temperature", self.temperature, 0 < self.temperature < math.inf),
            ("features", self.features, 0 <= self.features < math.inf),
            ("smoothing", self.smoothing, 0 <= self.smoothing < 1),
        ):
            if not true:
                raise UsageError(f"the objective cannot have {name} {value:g}")

    def __call__(self, found: Answer, taught: Answer, labels: Any) -> Any:
        """The loss, a scalar tensor.

        Args:
            found: Of the network that learns.
            taught: Of the float network.
            labels: (N,) integers, ``NO_LABEL`` where there is none.
        """
        tf = import_tensorflow()
        share = self.labels * tf.cast(labels != NO_LABEL, tf.float32)
        classes = found.logits.shape[-1]
        wanted = tf.one_hot(labels, classes) * (1 - self.smoothing) + self.smoothing / classes
        wrong = tf.nn.softmax_cross_entropy_with_logits(wanted, found.logits)
        soft = tf.nn.log_softmax(taught.logits / self.temperature)
        gap = soft - tf.nn.log_softmax(found.logits / self.temperature)
        distance = tf.reduce_sum(tf.exp(soft) * gap, -1) * self.temperature**2
        loss = tf.reduce_mean(share * wrong + (1 - share) * distance)
        if not self.features:
            return loss
        missed = tf.reduce_sum(tf.square(found.features - taught.features))
        power = tf.reduce_sum(tf.square(taught.features)) + 1e-12
        return loss + self.features * missed / power


@dataclasses.dataclass(frozen=True)
class Answer:
    """Of one network to a batch: logits (N, classes), pooled features (N, 1, 1, channels)."""

    logits: Any
    features: Any


class Teacher:
    """The float network.

    Args:
        graph: Float32.
    """

    def __init__(self, graph: Graph) -> None:
        self.logits, self.features = logits_of(graph), features_of(graph)
        self.graph = graph.with_outputs([self.logits, self.features])

    def __call__(self, images: Any) -> Answer:
        """Its answer to normalised images, (N, size, size, 3)."""
        found = forward(self.graph, images).outputs
        return Answer(found[self.logits], found[self.features])


def features_of(graph: Graph) -> int:
    """Index of the pooled features, which the classifier reads."""
    return next(op.inputs[0] for op in reversed(graph.ops) if op.kind == "FULLY_CONNECTED")
