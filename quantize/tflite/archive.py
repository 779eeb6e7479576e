"""The zip archive of label files behind a .tflite file.

The flatbuffer ends where its tables end, so TFLite ignores what follows, and a zip
archive is found from its end, so zip tools ignore what precedes. That is how
tflite-support and MediaPipe attach the files that the metadata names.
"""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping

from effnet_lite.errors import InputError

# The largest label list in use (21,841 ImageNet-21k names) is 0.4 MB.
MAX_FILE_BYTES = 8 * 2**20

# The first moment that a zip archive can express, so that the bytes are reproducible.
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
_LOCAL_HEADER = b"PK\x03\x04"
_LOCAL_HEADER_SIZE = 30
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def append_files(flatbuffer: bytes, files: Mapping[str, bytes]) -> bytes:
    """The flatbuffer with ``files`` behind it; the same input gives the same bytes.

    The files are stored, not deflated: MediaPipe maps them from the model's memory and
    refuses others ("Expected uncompressed zip archive").
    """
    if not files:
        return flatbuffer
    stream = io.BytesIO()
    stream.write(flatbuffer)
    # Mode "w" from here on makes the archive's offsets count from the start of the file.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIMESTAMP)
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return stream.getvalue()


def read_file(model: bytes, name: str) -> bytes | None:
    """The file ``name`` of the archive behind a model; None where no archive holds it.

    Raises:
        InputError: The archive is damaged or cut short, the file is encrypted, compressed
            in an unusual way, or larger than ``MAX_FILE_BYTES``.
    """
    stream = io.BytesIO(model)
    with _damage_as_input_error(name):
        if not zipfile.is_zipfile(stream):
            if _has_local_header(model, name):
                raise InputError(f"the label archive behind the model is cut short: {name} is lost")
            return None
        with zipfile.ZipFile(stream) as archive:
            if name not in archive.namelist():
                return None
            entry = archive.getinfo(name)
            if entry.compress_type not in _METHODS or entry.flag_bits & 1:
                raise InputError(f"{name} behind the model is encrypted or oddly compressed")
            if entry.file_size > MAX_FILE_BYTES:
                raise InputError(
                    f"{name} behind the model claims {entry.file_size} bytes; "
                    f"expected at most {MAX_FILE_BYTES}"
                )
            # The claimed size may be a lie: never inflate more than the limit.
            with archive.open(entry) as file:
                content = file.read(MAX_FILE_BYTES + 1)
            if len(content) > MAX_FILE_BYTES:
                raise InputError(f"{name} behind the model is larger than {MAX_FILE_BYTES} bytes")
            return content


def _has_local_header(model: bytes, name: str) -> bool:
    """Whether an archive that holds ``name`` begins in the data, its end being lost."""
    encoded = name.encode("utf-8", "replace")
    start = model.find(_LOCAL_HEADER)
    while start >= 0:
        begin = start + _LOCAL_HEADER_SIZE
        if model[begin : begin + len(encoded)] == encoded:
            return True
        start = model.find(_LOCAL_HEADER, start + 1)
    return False


@contextlib.contextmanager
def _damage_as_input_error(name: str) -> Iterator[None]:
    """What zipfile raises on a damaged archive, as one InputError."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        struct.error,
        EOFError,
        LookupError,
        MemoryError,
        NotImplementedError,
        OSError,
        OverflowError,
        RuntimeError,
        ValueError,
    ) as error:
        raise InputError(f"{name} behind the model cannot be read: damaged zip archive") from error
