"""How each source of weights calls the tensors of the network.

A layout builds, from the architecture, the exact names it expects in a file, so that no
pattern ever has to guess what a name means. Sources of the names:

- torch: lukemelas/EfficientNet-PyTorch and its Lite fork, ``model.py``.
- timm: huggingface/pytorch-image-models, ``timm/models/_efficientnet_blocks.py``.
- tf1: tensorflow/tpu ``models/official/efficientnet``, TF1 variable scopes.
- keras: keras.applications, ``efficientnet.py`` and Keras' saving code.
- effnet-lite: our own checkpoints, canonical names as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection

from effnet_lite.lite.architecture import Architecture, Block, Layer

EMA = "/ExponentialMovingAverage"
NORMALIZATION = ("normalization/mean", "normalization/variance")


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a canonical tensor is in a file.

    Attributes:
        name: Its name there.
        axes: ``canonical = stored.transpose(axes)``; None where the layouts agree.
    """

    name: str
    axes: tuple[int, ...] | None = None

    def stored_shape(self, canonical: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that the tensor should have in the file."""
        if self.axes is None:
            return canonical
        return tuple(canonical[self.axes.index(axis)] for axis in range(len(canonical)))


Names = dict[str, Source]


def _none(arch: Architecture, found: Collection[str]) -> Names:
    return {}


@dataclasses.dataclass(frozen=True)
class Layout:
    """One convention of names.

    Attributes:
        name: What ``Weights.layout`` and messages call it.
        sources: Canonical name to its place, for every tensor of the architecture, given
            the names found in the file.
        ignored: Whether a found name is known and of no use here.
        optional: Like ``sources``, for tensors that may be absent, all or none of them.
    """

    name: str
    sources: Callable[[Architecture, Collection[str]], Names]
    ignored: Callable[[str, Collection[str]], bool]
    optional: Callable[[Architecture, Collection[str]], Names] = _none


def _torch(arch: Architecture, found: Collection[str]) -> Names:
    outer = {
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "top_conv": "_conv_head",
        "top_bn": "_bn1",
        "predictions": "_fc",
    }

    def block_names(block: Block) -> dict[str, str]:
        scope = f"_blocks.{block.index}"
        return {
            "expand_conv": f"{scope}._expand_conv",
            "expand_bn": f"{scope}._bn0",
            "dwconv": f"{scope}._depthwise_conv",
            "bn": f"{scope}._bn1",
            "se_reduce": f"{scope}._se_reduce",
            "se_expand": f"{scope}._se_expand",
            "project_conv": f"{scope}._project_conv",
            "project_bn": f"{scope}._bn2",
        }

    return _torch_tensors(arch, outer | _blocks(arch, block_names))


def _timm(arch: Architecture, found: Collection[str]) -> Names:
    outer = {
        "stem_conv": "conv_stem",
        "stem_bn": "bn1",
        "top_conv": "conv_head",
        "top_bn": "bn2",
        "predictions": "classifier",
    }

    def block_names(block: Block) -> dict[str, str]:
        scope = f"blocks.{block.stage}.{block.repeat}"
        names = {"se_reduce": f"{scope}.se.conv_reduce", "se_expand": f"{scope}.se.conv_expand"}
        roles = ["dwconv", "bn", "project_conv", "project_bn"]
        if block.expands:  # InvertedResidual
            roles = ["expand_conv", "expand_bn", *roles]
            parts = ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"]
        else:  # DepthwiseSeparableConv
            parts = ["conv_dw", "bn1", "conv_pw", "bn2"]
        return names | {role: f"{scope}.{part}" for role, part in zip(roles, parts, strict=True)}

    return _torch_tensors(arch, outer | _blocks(arch, block_names))


def _torch_tensors(arch: Architecture, modules: dict[str, str]) -> Names:
    weights = {
        "kernel": "weight",
        "depthwise_kernel": "weight",
        "bias": "bias",
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    }
    axes = {"conv": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1), "dense": (1, 0)}
    return {
        name: Source(
            f"{modules[layer.name]}.{weights[weight]}",
            axes[layer.kind] if weight.endswith("kernel") else None,
        )
        for layer, name, weight in _each(arch)
    }


def _torch_ignored(name: str, found: Collection[str]) -> bool:
    return name.endswith(".num_batches_tracked")


def _tf1(arch: Architecture, found: Collection[str]) -> Names:
    scope = tf1_scope(found)
    # Trained off the TPU, the layer is called after its plain class.
    norm = "tpu_batch_normalization"
    if not any(f"/{norm}" in name for name in found):
        norm = "batch_normalization"
    outer = {
        "stem_conv": "stem/conv2d",
        "stem_bn": f"stem/{norm}",
        "top_conv": "head/conv2d",
        "top_bn": f"head/{norm}",
        "predictions": "head/dense",
    }

    def block_names(block: Block) -> dict[str, str]:
        inside = f"blocks_{block.index}"
        convs = ("expand_conv", "project_conv") if block.expands else ("project_conv",)
        norms = ("expand_bn", "bn", "project_bn") if block.expands else ("bn", "project_bn")
        names = {
            "dwconv": f"{inside}/depthwise_conv2d",
            "se_reduce": f"{inside}/se/conv2d",
            "se_expand": f"{inside}/se/conv2d_1",
        }
        names |= {role: f"{inside}/{_numbered('conv2d', i)}" for i, role in enumerate(convs)}
        return names | {role: f"{inside}/{_numbered(norm, i)}" for i, role in enumerate(norms)}

    modules = outer | _blocks(arch, block_names)
    names = {}
    for layer, name, weight in _each(arch):
        plain = f"{scope}{modules[layer.name]}/{weight}"
        # The published accuracies are those of the averaged weights.
        names[name] = Source(plain + EMA if plain + EMA in found else plain)
    return names


def tf1_scope(found: Collection[str]) -> str:
    """What the variables' names begin with, e.g. ``efficientnet-lite0/``."""
    stem = "stem/conv2d/kernel"
    for name in sorted(found):
        plain = name.removesuffix(EMA)
        if plain == stem or plain.endswith(f"/{stem}"):
            return plain.removesuffix(stem)
    return ""


def _tf1_ignored(name: str, found: Collection[str]) -> bool:
    variable, _, last = name.rpartition("/")
    if last in ("global_step", "beta1_power", "beta2_power"):
        return True
    # An optimizer's slot is named after its variable: …/kernel/RMSProp, …/kernel/Momentum.
    if variable in found or variable + EMA in found:
        return True
    return name + EMA in found


def _keras(arch: Architecture, found: Collection[str]) -> Names:
    names = {}
    for layer, name, weight in _each(arch):
        # Keras 3 calls a depthwise kernel `kernel`, Keras 2 `depthwise_kernel`.
        keras3 = f"{layer.name}/kernel"
        names[name] = Source(keras3 if weight == "depthwise_kernel" and keras3 in found else name)
    return names


def _keras_normalization(arch: Architecture, found: Collection[str]) -> Names:
    return {name: Source(name) for name in NORMALIZATION} if _normalizes(arch) else {}


def _keras_vars(arch: Architecture, found: Collection[str]) -> Names:
    classes = {
        "conv": "conv2d",
        "depthwise": "depthwise_conv2d",
        "bn": "batch_normalization",
        "dense": "dense",
    }
    named = "stem_conv/0" in found
    counts = dict.fromkeys(classes.values(), 0)
    names: Names = {}
    for layer in arch.layers():
        kind = classes[layer.kind]
        stored = layer.name if named else _numbered(kind, counts[kind])
        counts[kind] += 1
        # Keras numbers a layer's tensors in the order of Layer.tensors().
        names |= {name: Source(f"{stored}/{i}") for i, name in enumerate(layer.tensors())}
    return names


def _keras_vars_normalization(arch: Architecture, found: Collection[str]) -> Names:
    if not _normalizes(arch):
        return {}
    return {name: Source(f"normalization/{i}") for i, name in enumerate(NORMALIZATION)}


def _keras_ignored(name: str, found: Collection[str]) -> bool:
    return name in ("normalization/count", "normalization/2")


def _own(arch: Architecture, found: Collection[str]) -> Names:
    return {name: Source(name) for name in arch.tensors()}


def _nothing_ignored(name: str, found: Collection[str]) -> bool:
    return False


def _normalizes(arch: Architecture) -> bool:
    """Whether the graph itself turns pixels into zero-mean, unit-variance numbers."""
    return arch.variant.family.name == "b"


def _blocks(arch: Architecture, names_of: Callable[[Block], dict[str, str]]) -> dict[str, str]:
    return {
        f"{block.name}_{role}": module
        for block in arch.blocks
        for role, module in names_of(block).items()
    }


def _each(arch: Architecture) -> list[tuple[Layer, str, str]]:
    """(layer, canonical name, weight), e.g. (…, "stem_conv/kernel", "kernel")."""
    return [
        (layer, name, name.rpartition("/")[2])
        for layer in arch.layers()
        for name in layer.tensors()
    ]


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


LAYOUTS = {
    "torch": Layout("torch", _torch, _torch_ignored),
    "timm": Layout("timm", _timm, _torch_ignored),
    "tf1": Layout("tf1", _tf1, _tf1_ignored),
    "keras": Layout("keras", _keras, _keras_ignored, _keras_normalization),
    "keras-vars": Layout("keras", _keras_vars, _keras_ignored, _keras_vars_normalization),
    "effnet-lite": Layout("effnet-lite", _own, _nothing_ignored, _keras_normalization),
}
