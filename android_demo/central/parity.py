"""What Python answers, for the Android library's tests to compare with.

    python android_demo/central/parity.py MODEL.tflite FOLDER [--photos DIR]

FOLDER gets ``index.json`` and what it refers to:

- ``photos/``: pictures as Pillow decodes them (.png), and the files they came from (.jpg);
- ``pixels/``: what ``Preprocessing.fit`` makes of them, size x size x 3 bytes of RGB each;
- ``models/``: the model; the same one with logits, with its feature map, without its record,
  without anything; small ones with random weights and other types of input and output;
- in ``index.json``: each model's answers to each picture, its activation maps, its golden check.

The tests are tests/PreprocessingParityTest.kt and others of the module effnetlite.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from effnet_lite.benchmark.classify import classify
from effnet_lite.benchmark.explain import explain
from effnet_lite.errors import InputError
from effnet_lite.files import write_bytes
from effnet_lite.lite.photos import check_photos, find_photos
from effnet_lite.lite.preprocessing import Preprocessing, load_image
from effnet_lite.quantize.convert import convert
from effnet_lite.quantize.tflite import archive, metadata
from effnet_lite.quantize.tflite.description import (
    ENTRY,
    Description,
    read_description,
    with_description,
)
from effnet_lite.quantize.tflite.file import pack, read_model, unpack
from effnet_lite.quantize.tflite.golden import replay
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.surgery import with_feature_map_output, with_logits_output

SCHEMA = 1
COUNT = 26  # photos: the 20 square ones of foolbox, then wide ones of ai-benchmark
TOP = 5

# Small enough to convert in a second.
SMALL = "lite-w0.35-d0.35-s64"
OTHER_LABELS = ("alpaca", "bicycle", "cup")

#: Beyond the model's own: (pictures, rotation, size, crop_fraction, resize).
_EXTRA_FITS = (
    (6, 90, 224, 0.875, "bicubic"),
    (6, 180, 224, 0.875, "bicubic"),
    (6, 270, 224, 0.875, "bicubic"),
    (3, 0, 224, 0.875, "bilinear"),
    (3, 90, 240, 0.9, "nearest"),
    (3, 0, 300, 0.904, "bicubic"),
    (3, 270, 448, 1.0, "bicubic"),
    (3, 0, 600, 0.949, "bilinear"),
)
# Shapes that photos do not have: (height, width); up to a strip and more of the Kotlin code.
_NOISE = ((1, 1), (1, 7), (5, 300), (300, 5), (31, 33), (224, 224), (256, 256), (257, 256),
          (700, 1500), (1300, 1250))  # fmt: skip

Pixels = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of the folder.

    Attributes:
        name: Of its files.
        png: What Pillow decodes, without loss.
        jpeg: The file that it came from; None for noise.
        rgba: The pixels of a transparent one, height x width x 4 bytes.
    """

    name: str
    png: str
    jpeg: str | None = None
    rgba: str | None = None


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path, help="an int8 .tflite of this tool")
    parser.add_argument("folder", type=Path, help="made anew")
    parser.add_argument("--photos", type=Path, help="a folder; default: installed sample photos")
    arguments = parser.parse_args()
    found = find_photos(arguments.photos) if arguments.photos else check_photos()[0]
    make(arguments.model, arguments.folder, found.paths[:COUNT])


def make(model: Path, folder: Path, photos: Sequence[Path]) -> None:
    """Fill the folder, which is removed first if it is one that this wrote.

    Args:
        model: An int8 .tflite with a record.
        folder: Where to.
        photos: JPEG files.

    Raises:
        InputError: The folder holds something else, or a file is not what it should be.
    """
    data = read_model(model)
    description = read_description(data)
    if description is None:
        raise InputError(f"{model} carries no record; expected a model of effnet-lite")
    if folder.exists():
        if not (folder / "index.json").exists():
            raise InputError(f"{folder} exists and holds something else; remove it first")
        shutil.rmtree(folder)
    for name in ("photos", "pixels", "models"):
        (folder / name).mkdir(parents=True)
    pictures = _pictures(folder, photos)
    fits = _fits(folder, pictures, description.preprocessing)
    models = [_answers(folder, path, pictures) for path in _models(folder, data, description)]
    index = {
        "schema": SCHEMA,
        "pictures": [dataclasses.asdict(picture) for picture in pictures],
        "fits": fits,
        "models": models,
    }
    write_bytes(folder / "index.json", json.dumps(index, indent=1).encode(), overwrite=True)


def _pictures(folder: Path, photos: Sequence[Path]) -> list[Picture]:
    pictures = []
    for number, path in enumerate(photos):
        name = f"{number:02d}"
        picture = Picture(name, f"photos/{name}.png", f"photos/{name}{path.suffix.lower()}")
        Image.fromarray(load_image(path)).save(folder / picture.png, compress_level=1)
        shutil.copyfile(path, folder / str(picture.jpeg))
        pictures.append(picture)
    random = np.random.default_rng(0)
    for height, width in _NOISE:
        picture = Picture(f"noise-{height}x{width}", f"photos/noise-{height}x{width}.png")
        # Blocks of one colour beside single pixels: overshoots and clips.
        noise = random.integers(0, 256, (height, width, 3), np.uint8)
        noise[height // 3 : height // 2] = 255
        noise[:, width // 3 : width // 2] = 0
        Image.fromarray(noise).save(folder / picture.png, compress_level=1)
        pictures.append(picture)
    picture = Picture("transparent", "photos/transparent.png", rgba="photos/transparent.rgba")
    noise = random.integers(0, 256, (256, 256, 4), np.uint8)
    noise[:64, :, 3], noise[64:80, :, 3] = 255, 0
    Image.fromarray(noise).save(folder / picture.png)
    (folder / str(picture.rgba)).write_bytes(noise.tobytes())
    return [*pictures, picture]


def _fits(folder: Path, pictures: Sequence[Picture], own: Preprocessing) -> list[dict[str, Any]]:
    real = [number for number, picture in enumerate(pictures) if picture.jpeg]
    others = [number for number, picture in enumerate(pictures) if not picture.jpeg]
    wanted = [(number, 0, own.size, own.crop_fraction, own.resize) for number in real]
    for count, rotation, size, fraction, resize in _EXTRA_FITS:
        chosen = [*real[-count:], *others]
        wanted += [(number, rotation, size, fraction, resize) for number in chosen]
    fits = []
    for order, (number, rotation, size, fraction, resize) in enumerate(wanted):
        image = load_image(folder / pictures[number].png)
        # A rotation by 90 turns the picture clockwise.
        upright = np.ascontiguousarray(np.rot90(image, -rotation // 90))
        pixels = Preprocessing(size, fraction, resize).fit(upright)
        name = f"pixels/{order:03d}.rgb"
        (folder / name).write_bytes(pixels.tobytes())
        fits.append({
            "picture": number, "rotation": rotation, "size": size, "crop_fraction": fraction,
            "resize": resize, "pixels": name,
        })  # fmt: skip
    return fits


def _models(folder: Path, data: bytes, description: Description) -> list[Path]:
    """Write the models; those from the model first."""
    labels = metadata.read_labels(data) or ()
    files = {metadata.LABELS_FILE: metadata.label_file(labels)} if labels else {}
    unsaid = dataclasses.replace(description, head="logits", golden=None, fidelity=None)
    made = {
        "int8": data,
        "logits": with_description(with_logits_output(data), unsaid, labels),
        "activation-map": archive.append_files(with_feature_map_output(data)[0], files),
        "foreign-metadata": archive.append_files(_without(data, ENTRY), files),
        "foreign": _without(data, ENTRY, metadata.ENTRY),
    }
    for name, content in made.items():
        (folder / "models" / f"{name}.tflite").write_bytes(content)
    options: dict[str, dict[str, Any]] = {
        "float32": {"precision": "float32"},
        "float16": {"precision": "float16"},
        "int16x8": {"precision": "int16x8", "classes": 10},
        "int8-io": {"input_type": "int8", "classes": 10},
        "float-io": {"input_type": "float32", "classes": 10},
        "ties": {},  # 1000 classes that random weights hardly tell apart
        "other-labels": {"labels": OTHER_LABELS, "classes": len(OTHER_LABELS)},
        "float-logits": {"precision": "float32", "head": "logits"},
    }
    for name, keywords in options.items():
        if keywords.get("precision", "int8").startswith("int"):
            keywords |= {"recipe": "fast", "calibration": folder / "photos"}
        convert(
            SMALL, weights="random", output=folder / "models" / f"{name}.tflite", check=False,
            **keywords,
        )  # fmt: skip
    plain = _without((folder / "models/float32.tflite").read_bytes(), ENTRY, metadata.ENTRY)
    (folder / "models/foreign-float.tflite").write_bytes(plain)
    return sorted((folder / "models").glob("*.tflite"), key=lambda path: path.stem)


def _without(model: bytes, *entries: str) -> bytes:
    """The flatbuffer alone, without these metadata entries."""
    tree = unpack(model)
    names = [entry.encode() for entry in entries]
    tree.metadata = [entry for entry in tree.metadata or [] if entry.name not in names]
    return pack(tree)


def _answers(folder: Path, path: Path, pictures: Sequence[Picture]) -> dict[str, Any]:
    """What Python says of one model: how it reads it, and its answers."""
    plain = folder / "models/int8.tflite"
    maps = path.stem == "activation-map"
    # Python adds the feature map by itself, and takes no model that has it already.
    predicted = plain if maps else path
    predictor = Predictor.open(predicted, threads=1)
    description = predictor.description
    golden, builtin = None, None
    if description and description.golden:
        kernels = Predictor.open(predicted, threads=1, default_delegate=False)
        golden = dataclasses.asdict(replay(description.golden, predictor.raw))
        builtin = dataclasses.asdict(replay(description.golden, kernels.raw))
    sources = [(number, "png", picture.png) for number, picture in enumerate(pictures)]
    sources += [
        (number, "jpeg", picture.jpeg) for number, picture in enumerate(pictures) if picture.jpeg
    ]
    results = classify(predicted, [folder / file for _, _, file in sources], TOP, threads=1)
    return {
        "name": path.stem,
        "file": os.fspath(path.relative_to(folder)),
        "size": predictor.preprocessing.size,
        "input": predictor.runner.inputs[0].dtype,
        "classes": predictor.classes,
        "described": description is not None,
        "labels": [predictor.label(index) for index in range(predictor.classes)],
        "output_scale": predictor.runner.outputs[0].scale,
        "golden": golden,
        "golden_builtin": builtin,
        "answers": [
            {
                "picture": number,
                "source": source,
                "categories": [dataclasses.asdict(category) for category in result.categories],
            }
            for (number, source, _), result in zip(sources, results, strict=True)
        ],
        "maps": _maps(folder, plain, pictures) if maps else [],
    }


def _maps(folder: Path, model: Path, pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    numbers = [number for number, picture in enumerate(pictures) if picture.jpeg][:8]
    found = explain(model, [folder / pictures[number].png for number in numbers], threads=1)
    return [
        {
            "picture": number,
            "class": explanation.class_index,
            "rows": explanation.models[0].values.shape[0],
            "columns": explanation.models[0].values.shape[1],
            "values": [float(value) for value in explanation.models[0].values.reshape(-1)],
        }
        for number, explanation in zip(numbers, found.results, strict=True)
    ]


if __name__ == "__main__":
    main()
