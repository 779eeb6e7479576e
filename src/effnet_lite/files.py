"""Reading and writing files so that a failure leaves nothing half-done behind."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from effnet_lite.errors import InputError


def read_bytes(path: str | os.PathLike[str], what: str) -> bytes:
    """The whole file.

    Args:
        path: The file.
        what: What it should be, for the message ("a .tflite model").

    Raises:
        InputError: Missing, a folder, unreadable, or empty.
    """
    path = Path(path)
    check_readable(path, what)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {_reason(error)}") from error


def check_readable(path: Path, what: str) -> None:
    """Raise InputError unless ``path`` is a file that is there, not empty, and readable."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; expected {what}")
        if not path.is_file():
            raise InputError(f"{path} does not exist; expected {what}")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); expected {what}")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise InputError(f"cannot read {path}: {_reason(error)}") from error


def sha256(data: bytes) -> str:
    """Hex digest of ``data``."""
    return hashlib.sha256(data).hexdigest()


def check_output(path: Path, overwrite: bool) -> None:
    """Raise InputError early if ``path`` cannot become an output file.

    Called before the long work, so that a typing error does not cost minutes.
    """
    if path.is_dir():
        raise InputError(f"the output {path} is a folder; give a file name")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already; pass --overwrite to replace it")
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; make it first")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"cannot write in {path.parent}: {_reason(error)}") from error


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; renamed to it on success, removed otherwise.

    Raises:
        InputError: The output exists and ``overwrite`` is off, or the disk refuses it.
    """
    path = Path(path)
    check_output(path, overwrite)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; an output gets the permissions any other file would.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {_reason(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes, overwrite: bool = False) -> None:
    """Write ``data`` whole or not at all."""
    with atomic_path(path, overwrite) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
