"""Train a B network shortly, so that int8 can be judged on weights that mean something.

    python benchmark/scripts/train_b0.py --data shared/data/clothing --output b0.safetensors
    python benchmark/scripts/train_b0.py --data FOLDER --variant b-w0.35-d0.35-s64 --epochs 20 \\
        --output small.safetensors

``FOLDER`` has ``train/CLASS/*.jpg`` and ``validation/CLASS/*.jpg``. There are no installable
ImageNet weights of the B family, but B0 has Lite0's convolutions: where a tensor of the
network is in Lite0 with the same shape, it starts from there (``[imagenet]``), the stem moved
to the B family's normalisation; squeeze-and-excite starts near a gate of 1, the rest at
random. The file is a checkpoint that ``convert --weights`` reads. Needs ``[convert]``.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import EffnetLiteError, InputError
from effnet_lite.files import check_output
from effnet_lite.lite.architecture import B_MEAN, B_STD, architecture
from effnet_lite.lite.builder import build_model, get_weights, set_weights
from effnet_lite.lite.keras import import_tensorflow, import_tf_keras
from effnet_lite.lite.photos import find_photos
from effnet_lite.lite.preprocessing import Pixels, preprocessing_for
from effnet_lite.lite.pretrained import load_weights
from effnet_lite.lite.variants import Variant, get_variant
from effnet_lite.lite.weights import random_weights, save_checkpoint

Tensors = dict[str, npt.NDArray[np.float32]]
Labels = npt.NDArray[np.int64]

BATCH = 32
WEIGHT_DECAY = 1e-4
LABEL_SMOOTHING = 0.1
DROP_CONNECT = 0.1
WARMUP = 0.1  # of all steps; then a half cosine down to 0
GATE_BIAS = 2.0  # sigmoid(2) = 0.88


@dataclasses.dataclass(frozen=True)
class Photos:
    """Photos with their classes.

    Attributes:
        pixels: (N, side, side, 3) uint8; for training larger than the network's input, to
            crop from at random.
        labels: (N,) numbers of the sorted class folders.
    """

    pixels: Pixels
    labels: Labels


def main(arguments: list[str] | None = None) -> int:
    """Train, save, and print the accuracy on the validation photos."""
    options = parse(arguments)
    # Before TensorFlow is imported: its oneDNN kernels train twice as fast, to other last bits.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        check_output(options.output, options.overwrite)
        variant = get_variant(options.variant).with_size(options.size)
        accuracy = train(
            variant, options.data, options.output, options.epochs, options.learning_rate,
            options.seed, options.threads,
        )  # fmt: skip
    except EffnetLiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{options.output}: {variant.name}, {accuracy:.1%} of the validation photos")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER",
                        help="holds train/ and validation/ with a folder a class")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="FILE",
                        help="the checkpoint, by habit *.safetensors")  # fmt: skip
    parser.add_argument("--variant", default="b0", help="default: b0")
    parser.add_argument("--size", type=int, metavar="PIXELS",
                        help="side of the input; default: the variant's own")  # fmt: skip
    parser.add_argument("--epochs", type=int, default=6, help="default: %(default)s")
    parser.add_argument("--learning-rate", type=float, default=1e-3, metavar="RATE",
                        help="at its highest, default: %(default)s")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return parser.parse_args(arguments)


def train(
    variant: Variant,
    data: Path,
    output: Path,
    epochs: int,
    learning_rate: float = 1e-3,
    seed: int = 0,
    threads: int = 1,
) -> float:
    """Train with AdamW on random crops and flips, and write the checkpoint.

    Args:
        variant: Of the B family, with the size to train at.
        data: Holds ``train`` and ``validation``.
        output: The checkpoint; replaced.
        epochs: Over the training photos.
        learning_rate: At its highest.
        seed: Of initial weights, order, crops and flips.
        threads: Of TensorFlow.

    Returns:
        The share of the validation photos that are classified rightly.
    """
    tf, keras = import_tensorflow(), import_tf_keras()
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(seed)
    names = classes_in(data / "train")
    training = read(data / "train", names, variant, margin=True)
    validation = read(data / "validation", names, variant)
    model = build_model(architecture(variant, len(names)), 0.2, DROP_CONNECT)
    set_weights(model, initial(variant, len(names), seed))
    per_epoch = math.ceil(len(training.labels) / BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        round((1 - WARMUP) * epochs * per_epoch),
        warmup_target=learning_rate,
        warmup_steps=round(WARMUP * epochs * per_epoch),
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY),
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=LABEL_SMOOTHING),
    )
    rng = np.random.default_rng(seed)
    one_hot = np.eye(len(names), dtype=np.float32)
    for epoch in range(epochs):
        order = rng.permutation(len(training.labels))
        losses = []
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            batch = augment(training.pixels[chosen], variant.size, rng)
            losses.append(model.train_on_batch(batch, one_hot[training.labels[chosen]]))
        print(
            f"epoch {epoch + 1}/{epochs}: loss {np.mean(losses):.3f}, "
            f"validation {accuracy_on(model, validation):.1%}",
            file=sys.stderr,
            flush=True,
        )
    accuracy = accuracy_on(model, validation)
    extra = {"epochs": str(epochs), "seed": str(seed), "validation_accuracy": f"{accuracy:.4f}"}
    save_checkpoint(output, get_weights(model), variant, names, overwrite=True, extra=extra)
    return accuracy


def initial(variant: Variant, classes: int, seed: int) -> Tensors:
    """Random weights, and over them the leading channels of Lite0's where it has as many."""
    tensors = random_weights(variant, classes, seed).tensors
    known = _lite0()
    for name, tensor in tensors.items():
        if name.endswith("se_expand/bias"):
            tensors[name] = np.full_like(tensor, GATE_BIAS)
        elif name in known and np.all(np.less_equal(tensor.shape, known[name].shape)):
            tensors[name] = known[name][tuple(map(slice, tensor.shape))]
    return tensors


def _lite0() -> Tensors:
    """Lite0's backbone, made to read what the B family normalises.

    With p = 255·(σ·x + μ) the pixel and x what B's stem reads, Lite0's reads
    (p - 127)/128 = x·255σ/128 + (255μ - 127)/128: the factor goes into the stem's kernel, the
    constant into the mean behind it.
    """
    tensors = load_weights("imagenet", get_variant("lite0"), classes=0).tensors
    mean, std = (255 * np.asarray(values) for values in (B_MEAN, B_STD))
    kernel = tensors["stem_conv/kernel"]
    shift = (kernel * ((mean - 127) / 128).reshape(3, 1)).sum((0, 1, 2))
    return tensors | {
        "stem_conv/kernel": (kernel * (std / 128).reshape(3, 1)).astype(np.float32),
        "stem_bn/moving_mean": (tensors["stem_bn/moving_mean"] - shift).astype(np.float32),
    }


def classes_in(folder: Path) -> list[str]:
    """The names of the folders in ``folder``, sorted: the classes.

    Raises:
        InputError: There are fewer than two.
    """
    names = (
        sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    )
    if len(names) < 2:
        raise InputError(f"{folder} has {len(names)} folders; expected one for each class")
    return names


def read(folder: Path, names: list[str], variant: Variant, margin: bool = False) -> Photos:
    """The photos of all classes, as the network sees them.

    Args:
        folder: Holds a folder a class.
        names: The classes, in order.
        variant: Gives size and crop.
        margin: Leave what the central crop cuts off, at the same scale, to crop from.
    """
    preprocessing = preprocessing_for(variant)
    if margin:
        side = round(variant.size / preprocessing.crop_fraction)
        preprocessing = dataclasses.replace(preprocessing, size=side, crop_fraction=1.0)
    found = [(path, label) for label, name in enumerate(names)
             for path in find_photos(folder / name).paths]  # fmt: skip
    pixels = np.stack([preprocessing.pixels(path) for path, _ in found])
    return Photos(pixels, np.asarray([label for _, label in found]))


def augment(pixels: Pixels, size: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A random crop of each photo, mirrored every other time: (N, size, size, 3), 0-255."""
    crops = np.empty((len(pixels), size, size, 3), np.float32)
    room = pixels.shape[1] - size + 1
    for crop, photo in zip(crops, pixels, strict=True):
        top, left = rng.integers(0, room, 2)
        crop[:] = photo[top : top + size, left : left + size, :: rng.choice((-1, 1))]
    return crops


def accuracy_on(model: Any, photos: Photos) -> float:
    """The share of the photos (0-1) whose highest logit is that of their class."""
    logits = [
        model(photos.pixels[start : start + BATCH].astype(np.float32), training=False).numpy()
        for start in range(0, len(photos.labels), BATCH)
    ]
    return float((np.concatenate(logits).argmax(1) == photos.labels).mean())


if __name__ == "__main__":
    sys.exit(main())
