"""Saying what a file is that is not a .tflite model."""

from __future__ import annotations

_CONVERT = "make a .tflite of it with effnet-lite convert --weights"
_GIVE = "give the .tflite file"

#: offset, leading bytes, what it is, what to do; the first match counts.
_SIGNATURES = (
    (0, b"PK\x03\x04", "a zip archive (.keras models and PyTorch .pth files are)", _CONVERT),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras .h5 weights)", _CONVERT),
    (0, b"\x80\x02\x8a\x0a", "a PyTorch checkpoint", _CONVERT),
    (8, b'{"', "a safetensors file", _CONVERT),
    (0, b"\x08\x01\x12", "a TensorFlow SavedModel", "convert it with TFLiteConverter first"),
    (0, b"\xff\xd8\xff", "a JPEG image", "give the model first, then the images"),
    (0, b"\x89PNG", "a PNG image", "give the model first, then the images"),
    (0, b"GIF8", "a GIF image", "give the model first, then the images"),
    (8, b"WEBP", "a WebP image", "give the model first, then the images"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (0, b"version https://git-lfs", "a Git LFS pointer", "fetch the file with git lfs pull"),
)
_ONNX_STARTS = tuple(bytes((0x08, version)) for version in range(2, 32))


def what_it_looks_like(data: bytes) -> tuple[str, str]:
    """What data without the TFL3 identifier seems to be, and what to do about it."""
    for offset, magic, found, advice in _SIGNATURES:
        if data[offset : offset + len(magic)] == magic:
            return found, advice
    # ModelProto: field 1 is the IR version, then producer name or another string field.
    if data.startswith(_ONNX_STARTS) and data[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a"):
        return "an ONNX model", "convert the original weights instead (effnet-lite convert)"
    head = data[:512]
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, perhaps of a failed download", "download the file itself"
    if _is_text(head):
        return "a text file", _GIVE
    if len(data) < 64:
        return f"{len(data)} bytes of unknown data", _GIVE
    return f"unknown binary data that starts with {data[:4].hex()}", _GIVE


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The cut at 512 bytes may fall into a character.
        if error.start < len(head) - 4:
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)
