from __future__ import annotations

import base64
import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from effnet_lite.errors import InputError
from effnet_lite.quantize.tflite import archive, metadata_schema
from effnet_lite.quantize.tflite.file import check_model, pack, set_metadata_buffer, unpack
from effnet_lite.quantize.tflite.metadata import (
    ENTRY,
    AssociatedFile,
    ModelInfo,
    TensorInfo,
    parse_labels,
    read_labels,
    read_metadata,
    with_metadata,
)

INFO = ModelInfo(
    "EfficientNet-Lite0", "A classifier.", "1", "someone", "Apache-2.0", (127.0,), (128.0,)
)
LABELS = ("tench", "größe", "crane", "crane", "a b", "f", "g", "h", "日本", "last one")

# What tflite-support 0.4.4 wrote for a uint8 classifier, mean 127 and std 128:
# image_classifier.MetadataWriter.create_for_inference(model, [127.0], [128.0], ["labels.txt"]).
REFERENCE = base64.b64decode(
    "HAAAAE0wMDEUABQAEAAMAAAACAAAAAAAAAAEABQAAAAQAAAAGAAAACACAABwAgAABQAAADEuMC4wAAAAAQAAABAAAAAM"
    "AAwAAAAAAAgABAAMAAAACAAAABQBAAABAAAAGAAAAAAAEgAYABQAEAAAAAwAAAAIAAQAEgAAABQAAAB8AAAAlAAAAKQA"
    "AADQAAAAAQAAABAAAAAAAAoAEAAMAAgABwAKAAAAAAAAAggAAAA8AAAAMwAAAExhYmVscyBmb3IgY2F0ZWdvcmllcyB0"
    "aGF0IHRoZSBtb2RlbCBjYW4gcmVjb2duaXplLgAKAAAAbGFiZWxzLnR4dAAAKP///wgAAAAMAAAAAQAAAAAAAAABAAAA"
    "AAB/Q1j///8MAAAAAAAAAQQABAAEAAAAKQAAAFByb2JhYmlsaXRpZXMgb2YgdGhlIGxhYmVscyByZXNwZWN0aXZlbHku"
    "AAAACwAAAHByb2JhYmlsaXR5AAEAAAAUAAAAEAAYABQAEAAAAAwACAAEABAAAAAUAAAALAAAAHAAAACEAAAApAAAAMj/"
    "//8IAAAADAAAAAEAAAAAAAAAAQAAAAAAf0MBAAAADAAAAAgADAALAAQACAAAABAAAAAAAAABCAAMAAgABAAIAAAACAAA"
    "AAwAAAABAAAAAAAAQwEAAAAAAP5CCAAKAAkABAAIAAAADAAAAAACBgAIAAcABgAAAAAAAAEdAAAASW5wdXQgaW1hZ2Ug"
    "dG8gYmUgY2xhc3NpZmllZC4AAAAFAAAAaW1hZ2UAAABPAAAASWRlbnRpZnkgdGhlIG1vc3QgcHJvbWluZW50IG9iamVj"
    "dCBpbiB0aGUgaW1hZ2UgZnJvbSBhIGtub3duIHNldCBvZiBjYXRlZ29yaWVzLgAPAAAASW1hZ2VDbGFzc2lmaWVyAA=="
)


def _with_entry(tiny: bytes, payload: bytes, files: dict[str, bytes] | None = None) -> bytes:
    tree = unpack(tiny)
    set_metadata_buffer(tree, ENTRY, payload)
    return archive.append_files(pack(tree), files or {})


@pytest.mark.parametrize("quantized", [True, False], ids=["uint8", "float32"])
def test_the_model_runs_as_before(tiny_model, run, quantized):
    model = tiny_model(quantized=quantized)
    described = with_metadata(model, INFO, LABELS)
    check_model(described)
    pixels = np.random.default_rng(3).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    assert np.array_equal(run(described, pixels), run(model, pixels))


def test_what_is_written_is_read(tiny):
    metadata = read_metadata(with_metadata(tiny, INFO, LABELS))
    assert (metadata.name, metadata.description, metadata.version) == (
        "EfficientNet-Lite0",
        "A classifier.",
        "1",
    )
    assert (metadata.author, metadata.license) == ("someone", "Apache-2.0")
    assert metadata.min_parser_version == "1.0.0"
    (image,), (scores,) = metadata.inputs, metadata.outputs
    assert (image.name, image.content, image.color_space) == ("image", "ImageProperties", "RGB")
    assert (image.mean, image.std) == ((127.0,), (128.0,))
    assert (image.minimum, image.maximum) == ((0.0,), (255.0,))
    assert (scores.name, scores.content, scores.mean) == ("probability", "FeatureProperties", None)
    assert [(file.name, file.type) for file in scores.files] == [
        ("labels.txt", "TENSOR_AXIS_LABELS")
    ]


def test_the_same_as_tflite_support_writes(tiny):
    """Everything but the wording for humans."""

    def bare(message):
        if isinstance(message, dict):
            return {key: bare(value) for key, value in message.items() if key != "description"}
        if isinstance(message, (list, tuple)):
            return [bare(item) for item in message]
        return message

    ours = with_metadata(tiny, ModelInfo("ImageClassifier"), LABELS)
    entry = next(entry for entry in unpack(ours).metadata if entry.name == ENTRY.encode())
    written = metadata_schema.decode(bytes(unpack(ours).buffers[entry.buffer].data))
    assert bare(written) == bare(metadata_schema.decode(REFERENCE))


def test_foreign_metadata_is_read(tiny):
    names = "\r\n".join(LABELS).encode()
    model = _with_entry(tiny, REFERENCE, {"labels.txt": names, "notes.txt": b"hello"})
    metadata = read_metadata(model)
    assert metadata.name == "ImageClassifier"
    assert metadata.inputs == (
        TensorInfo(
            "image",
            "Input image to be classified.",
            "ImageProperties",
            "RGB",
            (127.0,),
            (128.0,),
            (0.0,),
            (255.0,),
        ),
    )
    assert metadata.outputs[0].files == (
        AssociatedFile(
            "labels.txt",
            "Labels for categories that the model can recognize.",
            "TENSOR_AXIS_LABELS",
        ),
    )
    assert read_labels(model) == LABELS


def test_the_label_file_without_a_locale_comes_first(tiny):
    files = [
        {"name": "de.txt", "type": 2, "locale": "de"},
        {"name": "notes.txt", "type": 1},
        {"name": "en.txt", "type": 2},
    ]
    payload = metadata_schema.encode(
        {"subgraph_metadata": [{"output_tensor_metadata": [{"associated_files": files}]}]}
    )
    archived = {"de.txt": b"Kran\n", "en.txt": b"crane\n", "notes.txt": b"x\n"}
    assert read_labels(_with_entry(tiny, payload, archived)) == ("crane",)
    del archived["en.txt"]
    assert read_labels(_with_entry(tiny, payload, archived)) == ("Kran",)
    assert read_labels(_with_entry(tiny, payload)) is None


def test_floats_get_normalised_limits_and_logits_none(tiny_model):
    model = tiny_model(quantized=False)
    info = ModelInfo("x", mean=(0.0, 51.0, 127.5), std=(255.0,), output="logits")
    metadata = read_metadata(with_metadata(model, info, LABELS))
    assert metadata.inputs[0].minimum == pytest.approx((0.0, -0.2, -0.5))
    assert metadata.inputs[0].maximum == pytest.approx((1.0, 0.8, 0.5))
    assert (metadata.outputs[0].name, metadata.outputs[0].maximum) == ("logits", None)
    metadata = read_metadata(with_metadata(model, INFO))
    assert (metadata.outputs[0].minimum, metadata.outputs[0].maximum) == ((0.0,), (1.0,))


def test_any_zip_tool_opens_the_file(tiny, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(with_metadata(tiny, INFO, LABELS))
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
        (entry,) = opened.infolist()
        assert (entry.filename, entry.compress_type) == ("labels.txt", zipfile.ZIP_STORED)
        assert opened.read("labels.txt").decode().splitlines() == list(LABELS)
        # Readers that do not look for a prefix need offsets from the start of the file.
        header = path.read_bytes()[entry.header_offset :]
    assert header.startswith(b"PK\x03\x04")
    listing = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "labels.txt" in listing.stdout


def test_same_bytes_twice_and_when_written_over(tiny):
    model = with_metadata(tiny, INFO, LABELS)
    assert with_metadata(tiny, INFO, LABELS) == model
    assert with_metadata(with_metadata(tiny, ModelInfo("y"), LABELS[::-1]), INFO, LABELS) == model


def test_a_model_without_metadata_has_none(tiny):
    assert read_metadata(tiny) is None
    assert read_labels(tiny) is None
    assert read_labels(with_metadata(tiny, INFO)) is None


def test_labels_are_one_line_each(tiny):
    messy = ("a\nb", " c\r", "d\u2028e", "f\x0bg", "h\x85", "i\0j", "\ufeffk", "l", "m", "\ud800n")
    labels = read_labels(with_metadata(tiny, INFO, messy))
    assert len(labels) == 10
    assert labels[:6] == ("a b", "c", "d e", "f g", "h", "i j")
    assert labels[9] == "?n"


@pytest.mark.parametrize("empty", ["", " \r\n", "\0"])
def test_an_empty_label_is_refused(tiny, empty):
    with pytest.raises(InputError, match="label 3 is empty"):
        with_metadata(tiny, INFO, (*LABELS[:3], empty, *LABELS[4:]))


def test_labels_and_outputs_must_agree(tiny):
    with pytest.raises(InputError, match="10 outputs, but got 3 labels"):
        with_metadata(tiny, INFO, LABELS[:3])


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (b"a\nb\n", ("a", "b")),
        (b"a\r\nb", ("a", "b")),
        (b"\xef\xbb\xbfa\n\nb\n", ("a", "", "b")),
        (b"\xff\n", ("\ufffd",)),
        (b"", ()),
    ],
)
def test_label_files_of_others(content, labels):
    assert parse_labels(content) == labels


@pytest.mark.parametrize("payload", [b"", b"M001", b"\0" * 200, REFERENCE[:100], REFERENCE[8:]])
def test_damaged_metadata_is_refused(tiny, payload):
    model = _with_entry(tiny, payload)
    for read in (read_metadata, read_labels):
        with pytest.raises(InputError, match="metadata cannot be read") as caught:
            read(model)
        assert "\n" not in str(caught.value)


def test_a_cut_archive_is_refused(tiny):
    model = with_metadata(tiny, INFO, LABELS)
    end = model.rindex(b"PK\x01\x02")
    for size in (len(model) - 1, end + 10, end - 20):
        with pytest.raises(InputError, match=r"labels\.txt"):
            read_labels(model[:size])


def test_changed_labels_are_refused(tiny):
    model = with_metadata(tiny, INFO, LABELS)
    with pytest.raises(InputError, match="damaged zip archive"):
        read_labels(model.replace(b"tench", b"bench"))


def _zipped(model: bytes, content: bytes, method: int) -> bytearray:
    stream = io.BytesIO(model)
    with zipfile.ZipFile(stream, "a", method) as opened:
        opened.writestr("labels.txt", content)
    return bytearray(stream.getvalue())


def test_zip_bombs_are_refused(tiny):
    model = _with_entry(tiny, REFERENCE)
    bomb = _zipped(model, bytes(archive.MAX_FILE_BYTES + 1), zipfile.ZIP_DEFLATED)
    assert len(bomb) < 50_000
    with pytest.raises(InputError, match="expected at most"):
        read_labels(bytes(bomb))
    # The same, with a directory that claims 9 bytes.
    entry = bomb.rindex(b"PK\x01\x02")
    bomb[entry + 24 : entry + 28] = (9).to_bytes(4, "little")
    with pytest.raises(InputError, match=r"labels\.txt"):
        read_labels(bytes(bomb))


def test_odd_archives_are_refused(tiny):
    model = _with_entry(tiny, REFERENCE)
    with pytest.raises(InputError, match="oddly compressed"):
        read_labels(bytes(_zipped(model, b"a\n", zipfile.ZIP_BZIP2)))
    encrypted = _zipped(model, b"a\n", zipfile.ZIP_STORED)
    encrypted[encrypted.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(InputError, match="encrypted"):
        read_labels(bytes(encrypted))
    assert read_labels(bytes(_zipped(model, b"a\nb\n", zipfile.ZIP_DEFLATED))) == ("a", "b")
