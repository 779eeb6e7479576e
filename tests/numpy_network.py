"""The networks in plain NumPy: slow, short, and written from the papers alone.

A reference for the exporter and the Keras builder where neither can vouch for the other, and
the way to weights that tell photos apart: an untrained network answers nearly the same to
every photo, so that every comparison of two of its versions would pass.
"""

from __future__ import annotations

import numpy as np

from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.preprocessing import preprocessing_for
from effnet_lite.lite.weights import random_weights


def forward(variant, classes, tensors, images, fit=False):
    """Logits (n, classes) of normalised images (n, size, size, 3), in float64.

    ``fit`` writes each batch norm's statistics over these images into ``tensors``.
    """
    network = _Network(variant, tensors, fit)
    plan = architecture(variant, classes)
    x = np.asarray(images, np.float64)
    if variant.family.name == "b":
        mean = tensors.get("normalization/mean", np.asarray([0.485, 0.456, 0.406]))
        variance = tensors.get("normalization/variance", np.square([0.229, 0.224, 0.225]))
        x = (x / 255 - mean) / np.sqrt(variance)
    x = network.act(network.bn(network.conv(x, "stem_conv", 2), "stem_bn"))
    for block in plan.blocks:
        x = network.block(x, block)
    x = network.act(network.bn(network.conv(x, "top_conv"), "top_bn"))
    return x.mean((1, 2)) @ tensors["predictions/kernel"] + tensors["predictions/bias"]


def lively_weights(variant, classes=1000, seed=0):
    """Random weights whose batch norms fit a few random pictures, and a confident head."""
    tensors = dict(random_weights(variant, classes, seed).tensors)
    random = np.random.default_rng(seed)
    for name, value in tensors.items():
        if name.endswith(("beta", "bias")):
            tensors[name] = random.normal(0, 0.2, value.shape).astype(np.float32)
    tensors["predictions/kernel"] = tensors["predictions/kernel"] * np.float32(4)
    coarse = random.integers(0, 256, (4, 4, 4, 3)).astype(np.uint8)
    side = -(-variant.size // 4)
    pictures = coarse.repeat(side, 1).repeat(side, 2)[:, : variant.size, : variant.size]
    forward(variant, classes, tensors, preprocessing_for(variant).normalize(pictures), fit=True)
    return tensors


def mild_weights(variant, classes=10, seed=5):
    """Random weights whose batch norms differ as training leaves them, but mildly.

    An untrained network that amplifies from layer to layer would amplify float32 rounding too.
    """
    tensors = dict(random_weights(variant, classes, seed=1).tensors)
    random = np.random.default_rng(seed)
    for name, value in tensors.items():
        if name.endswith("gamma"):
            tensors[name] = random.uniform(0.4, 1.1, value.shape).astype(np.float32)
        elif name.endswith(("beta", "moving_mean")):
            tensors[name] = random.normal(0, 0.3, value.shape).astype(np.float32)
    return tensors


class _Network:
    def __init__(self, variant, tensors, fit):
        self.swish = variant.family.activation == "swish"
        self.tensors = tensors
        self.fit = fit

    def block(self, inputs, block):
        x, name = inputs, block.name
        if block.expands:
            x = self.act(self.bn(self.conv(x, f"{name}_expand_conv"), f"{name}_expand_bn"))
        x = self.conv(x, f"{name}_dwconv", block.stride, depthwise=True)
        x = self.act(self.bn(x, f"{name}_bn"))
        if block.se_filters:
            gate = self.conv(x.mean((1, 2), keepdims=True), f"{name}_se_reduce")
            gate = gate * _sigmoid(gate)
            x = x * _sigmoid(self.conv(gate, f"{name}_se_expand"))
        x = self.bn(self.conv(x, f"{name}_project_conv"), f"{name}_project_bn")
        return x + inputs if block.residual else x

    def conv(self, x, name, stride=1, depthwise=False):
        kernel = self.tensors[f"{name}/{'depthwise_' if depthwise else ''}kernel"]
        side, size = x.shape[1], kernel.shape[0]
        out = -(-side // stride)
        padding = max((out - 1) * stride + size - side, 0)
        before = padding // 2  # TensorFlow puts the odd one behind
        x = np.pad(x, ((0, 0), *[(before, padding - before)] * 2, (0, 0)))
        total = 0
        for row in range(size):
            for column in range(size):
                end = (out - 1) * stride + 1
                window = x[:, row : row + end : stride, column : column + end : stride]
                weights = kernel[row, column].astype(np.float64)
                total = total + (window * weights[:, 0] if depthwise else window @ weights)
        return total + self.tensors.get(f"{name}/bias", 0)

    def bn(self, x, name):
        if self.fit:
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            self.tensors[f"{name}/moving_mean"] = mean.astype(np.float32)
            self.tensors[f"{name}/moving_variance"] = variance.astype(np.float32)
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, variance = (
            self.tensors[f"{name}/{part}"].astype(np.float64) for part in names
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def act(self, x):
        return x * _sigmoid(x) if self.swish else np.clip(x, 0, 6)


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))  # does not overflow
