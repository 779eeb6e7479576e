"""A model with its preprocessing: pixels in, reals out, whatever types the file uses."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError
from effnet_lite.files import sha256
from effnet_lite.lite.labels import default_labels
from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.quantize.tflite.description import Description, read_description
from effnet_lite.quantize.tflite.file import read_model
from effnet_lite.quantize.tflite.metadata import read_labels, read_metadata
from effnet_lite.quantize.tflite.runtime import Runner, input_codec

Array = npt.NDArray[Any]


class Predictor:
    """An image classifier from a .tflite file.

    Args:
        model: The file's bytes.
        preprocessing: None takes what the file says of itself; for a file that says
            nothing, a central crop of 0.875, bicubic, and what its input type suggests.
        labels: None takes the file's own, or ImageNet's for 1000 or 1001 outputs.
        runner_options: Passed on to :class:`Runner`.

    Raises:
        InputError: Not one image in, or the runtime refuses the model.
    """

    def __init__(
        self,
        model: bytes,
        preprocessing: Preprocessing | None = None,
        labels: tuple[str, ...] | None = None,
        **runner_options: Any,
    ) -> None:
        self.sha256 = sha256(model)
        self.runner = Runner(model, **runner_options)
        info = self.runner.image_input
        if info.shape[1] != info.shape[2]:
            raise InputError(f"expected a square input, found {info.shape[1]} x {info.shape[2]}")
        self.description = read_description(model)
        self.preprocessing = preprocessing or preprocessing_of(model, self.runner, self.description)
        if self.preprocessing.size != info.shape[1]:
            raise InputError(
                f"the preprocessing makes {self.preprocessing.size} pixels a side, "
                f"the model takes {info.shape[1]}"
            )
        self.classes = self.runner.outputs[0].shape[-1]
        self.labels = labels or read_labels(model) or default_labels(self.classes)
        self._encode = input_codec(info, self.preprocessing.mean, self.preprocessing.std)

    @classmethod
    def open(cls, path: str | os.PathLike[str], **options: Any) -> Predictor:
        """From a file; see the class for the options."""
        return cls(read_model(path), **options)

    def raw(self, pixels: Pixels) -> Array:
        """The output vector as the file types it, shape (classes,)."""
        if pixels.ndim == 4:
            pixels = pixels[0]
        return self.runner.run(self._encode(pixels)).reshape(-1)

    def output(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """The output vector as reals: probabilities or logits, shape (classes,)."""
        return self.runner.outputs[0].dequantize(self.raw(pixels))

    def label(self, index: int) -> str:
        """The name of an output; its number where there are no names."""
        if self.labels and index < len(self.labels):
            return self.labels[index]
        return f"class {index}"


def preprocessing_of(
    model: bytes, runner: Runner, description: Description | None
) -> Preprocessing:
    """What the file says of its preprocessing, in our record or in TFLite Metadata.

    A foreign file without either gets a guess: an integer input takes its scale and zero
    point at their word (``mean = zero_point``, ``std = 1 / scale``, so that pixels go in
    unchanged), a float input the Lite family's mean 127 and std 128.
    """
    if description:
        return description.preprocessing
    info = runner.image_input
    size = info.shape[1]
    metadata = read_metadata(model)
    image = metadata.inputs[0] if metadata and metadata.inputs else None
    if image and image.mean and image.std and not info.quantized:
        return Preprocessing(size, mean=image.mean, std=image.std)
    if info.quantized:
        zero_point = info.zero_point + (128 if info.dtype == "int8" else 0)
        return Preprocessing(size, mean=(float(zero_point),), std=(1 / info.scale,))
    return Preprocessing(size)
