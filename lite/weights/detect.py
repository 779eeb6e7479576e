"""Telling weights files apart by what is in them; names and suffixes do not count."""

from __future__ import annotations

import codecs
import enum
import zipfile
from pathlib import Path

from effnet_lite.errors import InputError
from effnet_lite.files import check_readable
from effnet_lite.lite.weights.contents import ACCEPTED
from effnet_lite.lite.weights.tf_checkpoint import INDEX_MAGIC, find_prefix

_HEAD_BYTES = 512
# The limit of the safetensors library itself.
_MAX_SAFETENSORS_HEADER = 100_000_000


class Format(enum.Enum):
    """The kinds of file that have a reader."""

    TORCH = "torch"
    SAFETENSORS = "safetensors"
    HDF5 = "hdf5"
    CHECKPOINT = "checkpoint"
    TARBALL = "tarball"


def detect(path: Path) -> Format:
    """What kind of weights file this is.

    Args:
        path: A file; for a TF1 checkpoint also its folder or its prefix.

    Raises:
        InputError: There is nothing, or nothing that has a reader; says what it looks like.
    """
    if _is_checkpoint(path):
        return Format.CHECKPOINT
    check_readable(path, ACCEPTED)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            file.seek(-min(8, path.stat().st_size), 2)
            tail = file.read(8)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    found = _format(head, tail)
    if found is Format.TORCH and head.startswith(b"PK"):
        found = _zip_format(path)
    if found is None:
        raise InputError(f"{path} {_looks_like(head, path)}; expected {ACCEPTED}")
    return found


def _is_checkpoint(path: Path) -> bool:
    """Whether this is a folder, a prefix or a .data file; an .index has a magic number."""
    try:
        if path.is_dir():
            return True
        prefix = find_prefix(path)
        is_index = path.name == f"{prefix.name}.index"
        if is_index or (path.is_file() and prefix == path):
            return False
        return prefix.with_name(f"{prefix.name}.index").is_file()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise InputError(f"cannot read {path}: {error}") from error


def _format(head: bytes, tail: bytes) -> Format | None:
    header = int.from_bytes(head[:8], "little")
    # Every pickle goes to the restricted reader, which says what is wrong with it.
    is_pickle = head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5")
    checks = {
        Format.TORCH: is_pickle or head.startswith(b"PK\x03\x04"),
        Format.SAFETENSORS: head[8:9] == b"{" and 2 <= header <= _MAX_SAFETENSORS_HEADER,
        Format.HDF5: head.startswith(b"\x89HDF\r\n\x1a\n"),
        Format.TARBALL: head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar",
        Format.CHECKPOINT: tail == INDEX_MAGIC,
    }
    return next((kind for kind, fits in checks.items() if fits), None)


def _zip_format(path: Path) -> Format | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise InputError(f"{path} is damaged: a zip archive that is cut off ({error})") from error
    if "model.weights.h5" in names:
        raise InputError(
            f"{path} is a whole .keras model; load it in Keras and save its weights with "
            'model.save_weights("x.weights.h5")'
        )
    return Format.TORCH if any(name.endswith("data.pkl") for name in names) else None


_LOOKS = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself (run: git lfs pull)"),
    (b"PK", "is a zip archive without torch's data.pkl"),
    (b"\x89PNG", "looks like a PNG image"),
    (b"\xff\xd8\xff", "looks like a JPEG image"),
    (b"\x93NUMPY", "looks like a NumPy .npy file"),
)


def _looks_like(head: bytes, path: Path) -> str:
    for magic, words in _LOOKS:
        if head.startswith(magic):
            return words
    if head[4:8] == b"TFL3":
        return "looks like a .tflite model, which is converted already"
    if path.name == "saved_model.pb":
        return "is part of a SavedModel"
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "looks like a web page, perhaps a download that failed"
    if _is_text(head):
        return "looks like a text file"
    return f"is of no known kind (it begins with {head[:8].hex(' ')})"


def _is_text(head: bytes) -> bool:
    try:
        # Incremental: the last character may be cut in two.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(char.isprintable() or char.isspace() for char in text)
