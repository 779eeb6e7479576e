"""Files that grow by a line of JSON, so that work can go on where it was ended.

The first line says whose lines follow. Every line goes to the system at once, where it outlives
this process, and to the disk once a second, for the case that the machine stops. A line that was
cut short is dropped, with whatever follows it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from effnet_lite.errors import InputError
from effnet_lite.files import check_output

_SYNC_SECONDS = 1.0
_LONGEST_HEADER = 2**20

Read = TypeVar("Read")


class AppendOnlyFile:
    """Opens or makes the file; use as a context manager.

    Args:
        path: The file.
        kind: What the first line's first key is called.
        schema: Its value: the version of the format.
        work: The rest of the first line, as JSON. Keys are words for a message.
        what: What the file is to the user, as ``("journal", "evaluation")``.
        option: The option that names another file.
        overwrite: Replace the file if it is of other work.

    Raises:
        InputError: The file is something else, or of other work, is being written by another
            process, or cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        kind: str,
        schema: int,
        work: dict[str, Any],
        what: tuple[str, str],
        option: str,
        overwrite: bool,
    ) -> None:
        self._path = Path(path)
        self._kind, self._what, self._option = kind, what, option
        check_output(self._path, overwrite=True)
        if self._path.exists() and not self._path.is_file():  # a device, which may never end
            raise InputError(f"{path} is not a regular file; give another {option}")
        self._header = {kind: schema, **json.loads(json.dumps(work))}
        try:
            self._file = self._path.open("a+b", buffering=0)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from error
        self._synced = time.monotonic()
        try:
            self._lock()
            self._begin(overwrite)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> AppendOnlyFile:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # a full disk was reported when it was written to
            os.fsync(self._file.fileno())
        self._file.close()

    def lines(self, read: Callable[[Any], Read | None]) -> Iterator[Read]:
        """What was added before, up to the first damaged line, where the file is cut off.

        What follows a damaged line is damaged, too, or not worth the doubt.

        Args:
            read: Makes something of a line's JSON; None, TypeError, ValueError or KeyError say
                that it cannot.
        """
        self._file.seek(0)
        end = len(self._file.readline())
        with self._path.open("rb") as lines:
            lines.seek(end)
            for line in lines:
                try:
                    found = read(json.loads(line)) if line.endswith(b"\n") else None
                except (TypeError, ValueError, KeyError):
                    found = None
                if found is None:
                    break
                end += len(line)
                yield found
        self._file.truncate(end)

    def add(self, record: dict[str, Any], sync: bool = False) -> None:
        """Append one line.

        Args:
            record: JSON.
            sync: Wait until the disk has it.

        Raises:
            InputError: The disk refuses it.
        """
        try:
            line = _line(record)
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if sync or time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {error.strerror}") from error

    def _begin(self, overwrite: bool) -> None:
        name, work = self._what
        self._file.seek(0)
        line = self._file.readline(_LONGEST_HEADER)
        if not line.strip(b"\0\n"):
            return self._make()
        try:
            found = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            found = None
        if not isinstance(found, dict) or self._kind not in found:
            # A start that was cut short is the beginning of what would have been written.
            if _line(self._header).startswith(line):
                return self._make()
            article = "an" if work[0] in "aeiou" else "a"
            raise InputError(
                f"{self._path} is not the {name} of {article} {work}; give another {self._option}"
            )
        if found == self._header:
            return None
        if overwrite:
            return self._make()
        others = [name for name in self._header if found.get(name) != self._header[name]]
        raise InputError(
            f"{self._path} is the {name} of another {work}, with another "
            f"{' and '.join(others).replace(self._kind, 'version')}; give another "
            f"{self._option}, or --overwrite to replace it"
        )

    def _make(self) -> None:
        self._file.truncate(0)
        self.add(self._header, sync=True)

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{self._path} is being written by another {self._what[1]}; wait for it, or give "
                f"another {self._option}"
            ) from error
        except OSError:  # a file system without locks
            return


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
