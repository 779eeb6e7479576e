"""From a variant's row to the exact list of layers, without TensorFlow.

The builder makes Keras layers from this plan, the weight readers map names onto it, and
the parameter and multiply-add counts are sums over it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Literal

from effnet_lite.lite.variants import Variant

BN_EPSILON = 1e-3
BN_MOMENTUM = 0.99
STEM_FILTERS, HEAD_FILTERS = 32, 1280

# What the B family does to pixels (0-1) inside the graph; RGB. ImageNet statistics as in
# keras.applications and tensorflow/tpu efficientnet/main.py.
B_MEAN = (0.485, 0.456, 0.406)
B_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One row of table 1 of the paper, before scaling."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


@dataclasses.dataclass(frozen=True)
class Block:
    """One mobile inverted bottleneck (MBConv).

    Attributes:
        name: ``block2a`` as in keras.applications: stage from 1, letter within the stage.
        index: Position from 0, the number in torch's ``_blocks.N`` and TF1's ``blocks_N``.
        stage, repeat: Position from 0 by stage and within it, timm's ``blocks.S.R``.
        kernel, stride: Of the depthwise convolution.
        in_filters, expanded, out_filters: Channels before, inside and after the block.
        se_filters: Channels of the squeeze, 0 for no squeeze-and-excite.
        in_size: Side of the square feature map that enters, in pixels.
    """

    name: str
    index: int
    stage: int
    repeat: int
    kernel: int
    stride: int
    in_filters: int
    expanded: int
    out_filters: int
    se_filters: int
    in_size: int

    @property
    def expands(self) -> bool:
        """Whether there is a 1x1 convolution before the depthwise one."""
        return self.expanded != self.in_filters

    @property
    def residual(self) -> bool:
        """Whether the block's input is added to its output."""
        return self.stride == 1 and self.in_filters == self.out_filters

    @property
    def out_size(self) -> int:
        """Side of the feature map that leaves, in pixels ('same' padding)."""
        return -(-self.in_size // self.stride)


LayerKind = Literal["conv", "depthwise", "bn", "dense"]


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer that holds parameters, in Keras' names and layouts.

    Attributes:
        name: As in keras.applications, e.g. ``block2a_expand_conv``.
        kind: Decides the tensors: conv ``kernel`` (k,k,in,out) and perhaps ``bias``;
            depthwise ``depthwise_kernel`` (k,k,in,1); bn gamma, beta, moving_mean,
            moving_variance (in,); dense ``kernel`` (in,out) and ``bias``.
        kernel: Side of the kernel in pixels, 1 where there is none.
        inputs, outputs: Channels.
        out_size: Side of the output feature map in pixels.
        bias: Whether it has one.
    """

    name: str
    kind: LayerKind
    kernel: int
    inputs: int
    outputs: int
    out_size: int
    bias: bool = False

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Tensor name (``layer/weight``) to shape, trainable ones first."""
        shapes: dict[str, tuple[int, ...]]
        if self.kind == "bn":
            names = ("gamma", "beta", "moving_mean", "moving_variance")
            shapes = dict.fromkeys(names, (self.outputs,))
        elif self.kind == "depthwise":
            shapes = {"depthwise_kernel": (self.kernel, self.kernel, self.inputs, 1)}
        elif self.kind == "conv":
            shapes = {"kernel": (self.kernel, self.kernel, self.inputs, self.outputs)}
        else:
            shapes = {"kernel": (self.inputs, self.outputs)}
        if self.bias:
            shapes["bias"] = (self.outputs,)
        return {f"{self.name}/{name}": shape for name, shape in shapes.items()}

    @property
    def params(self) -> int:
        """Trainable parameters."""
        moving = ("moving_mean", "moving_variance")
        return sum(math.prod(s) for n, s in self.tensors().items() if not n.endswith(moving))

    @property
    def madds(self) -> int:
        """Multiply-adds for one image; batch norm folds away and counts nothing."""
        if self.kind == "bn":
            return 0
        if self.kind == "dense":
            return self.inputs * self.outputs
        per_pixel = self.kernel**2 * self.outputs * (1 if self.kind == "depthwise" else self.inputs)
        return per_pixel * self.out_size**2


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The scaled network: stem, blocks, head.

    Attributes:
        variant: The row it was made from.
        classes: Outputs of the classifier; 0 leaves the classifier out.
        stem_filters, head_filters: Channels of the first and the last convolution.
        blocks: The MBConv blocks in order.
        final_size: Side of the last feature map in pixels.
    """

    variant: Variant
    classes: int
    stem_filters: int
    head_filters: int
    blocks: tuple[Block, ...]
    final_size: int

    def layers(self) -> Iterator[Layer]:
        """Every layer with parameters, in the order in which an image meets them."""
        stem_size = -(-self.variant.size // 2)
        yield Layer("stem_conv", "conv", 3, 3, self.stem_filters, stem_size)
        yield _bn("stem_bn", self.stem_filters, stem_size)
        for block in self.blocks:
            yield from _block_layers(block)
        last = self.blocks[-1].out_filters
        yield Layer("top_conv", "conv", 1, last, self.head_filters, self.final_size)
        yield _bn("top_bn", self.head_filters, self.final_size)
        if self.classes:
            yield Layer("predictions", "dense", 1, self.head_filters, self.classes, 1, bias=True)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the network: canonical name to shape."""
        return {name: shape for layer in self.layers() for name, shape in layer.tensors().items()}

    @property
    def params(self) -> int:
        """Trainable parameters (batch norm statistics left out), as the papers count."""
        return sum(layer.params for layer in self.layers())

    @property
    def madds(self) -> int:
        """Multiply-adds of convolutions and dense layers for one image."""
        return sum(layer.madds for layer in self.layers())


def round_filters(filters: int, width: float, divisor: int = 8) -> int:
    """Scale channels and round to a multiple of ``divisor``, never below 90 % of the scaled.

    ``efficientnet_model.py: round_filters`` of the reference implementation.
    """
    scaled = filters * width
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    if rounded < 0.9 * scaled:
        rounded += divisor
    return rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Scale block repeats, rounding up."""
    return math.ceil(repeats * depth)


def architecture(variant: Variant, classes: int = 1000) -> Architecture:
    """Scale the baseline stages by the variant's row."""
    family = variant.family
    fixed = family.fixed_stem_head
    stem = STEM_FILTERS if fixed else round_filters(STEM_FILTERS, variant.width)
    head = HEAD_FILTERS if fixed else round_filters(HEAD_FILTERS, variant.width)
    blocks: list[Block] = []
    filters, size = stem, -(-variant.size // 2)
    for number, stage in enumerate(STAGES):
        out_filters = round_filters(stage.filters, variant.width)
        unscaled = fixed and number in (0, len(STAGES) - 1)
        repeats = stage.repeats if unscaled else round_repeats(stage.repeats, variant.depth)
        for repeat in range(repeats):
            block = Block(
                name=f"block{number + 1}{_letters(repeat)}",
                index=len(blocks),
                stage=number,
                repeat=repeat,
                kernel=stage.kernel,
                stride=stage.stride if repeat == 0 else 1,
                in_filters=filters,
                expanded=filters * stage.expansion,
                out_filters=out_filters,
                se_filters=max(1, int(filters * family.se_ratio)) if family.se_ratio else 0,
                in_size=size,
            )
            blocks.append(block)
            filters, size = out_filters, block.out_size
    return Architecture(variant, classes, stem, head, tuple(blocks), size)


def _letters(repeat: int) -> str:
    """a, b, … z, then aa, ab, …: a custom depth may need more than 26."""
    letters = chr(97 + repeat % 26)
    return letters if repeat < 26 else _letters(repeat // 26 - 1) + letters


def _bn(name: str, channels: int, size: int) -> Layer:
    return Layer(name, "bn", 1, channels, channels, size)


def _block_layers(block: Block) -> Iterator[Layer]:
    name, wide, out = block.name, block.expanded, block.out_size
    if block.expands:
        yield Layer(f"{name}_expand_conv", "conv", 1, block.in_filters, wide, block.in_size)
        yield _bn(f"{name}_expand_bn", wide, block.in_size)
    yield Layer(f"{name}_dwconv", "depthwise", block.kernel, wide, wide, out)
    yield _bn(f"{name}_bn", wide, out)
    if block.se_filters:
        yield Layer(f"{name}_se_reduce", "conv", 1, wide, block.se_filters, 1, bias=True)
        yield Layer(f"{name}_se_expand", "conv", 1, block.se_filters, wide, 1, bias=True)
    yield Layer(f"{name}_project_conv", "conv", 1, wide, block.out_filters, out)
    yield _bn(f"{name}_project_bn", block.out_filters, out)
