"""Decoded photos: as many as memory may hold, the next ones in a file, the rest decoded anew."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import IO

import numpy as np
from PIL import Image

from effnet_lite.errors import InputError
from effnet_lite.lite.datasets import Photo
from effnet_lite.lite.preprocessing import Pixels
from effnet_lite.progress import Progress

#: Of the temporary file's disk, at most this share of what is free.
_DISK_SHARE = 0.5
# A panorama's sides are cut to this ratio: its ends would cost memory and hardly be seen.
_MAX_RATIO = 4


@dataclasses.dataclass(frozen=True)
class Seen:
    """What reading a photo gave: the sha256 of the file, or why it cannot be read."""

    sha256: str = ""
    problem: str = ""


class PhotoCache:
    """The pixels of photos, by number.

    Args:
        photos: Where they are.
        prepare: From decoded pixels (H, W, 3) uint8 to those that are kept.
        memory: Bytes that may be kept in memory.
    """

    def __init__(
        self, photos: Sequence[Photo], prepare: Callable[[Pixels], Pixels], memory: int
    ) -> None:
        self.photos = photos
        self._prepare = prepare
        self._memory = memory
        self._kept: dict[int, Pixels] = {}
        self._spilled: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._file: IO[bytes] | None = None
        self._disk = 0
        self._lock = threading.Lock()

    def scan(self, progress: Progress | None = None, label: str = "reading photos") -> list[Seen]:
        """Decode every photo once, keep what there is room for, and say what was found."""
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as readers:
            found = []
            for seen in readers.map(self._scan, range(len(self.photos))):
                found.append(seen)
                if progress:
                    progress(len(found), len(self.photos), label)
        return found

    def load(self, number: int) -> Pixels:
        """The prepared pixels.

        Raises:
            InputError: The photo was readable, and is not any more.
        """
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        spilled = self._spilled.get(number)
        if spilled is None or self._file is None:
            return self._prepare(self.photos[number].load()[1])
        place, shape = spilled
        data = os.pread(self._file.fileno(), math.prod(shape), place)
        return np.frombuffer(data, np.uint8).reshape(shape)

    def forget(self, number: int) -> None:
        """Free what is kept of a photo that is not needed after all."""
        with self._lock:
            found = self._kept.pop(number, None)
            if found is not None:
                self._memory += found.nbytes

    def _scan(self, number: int) -> Seen:
        try:
            sha256, pixels = self.photos[number].load()
        except InputError as error:
            return Seen(problem=str(error))
        self._keep(number, self._prepare(pixels))
        return Seen(sha256)

    def _keep(self, number: int, pixels: Pixels) -> None:
        with self._lock:
            if pixels.nbytes <= self._memory:
                self._memory -= pixels.nbytes
                # A copy: a view would keep the whole photo.
                self._kept[number] = np.array(pixels)
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="effnet-lite-")  # noqa: SIM115
                free = os.statvfs(tempfile.gettempdir())
                self._disk = int(_DISK_SHARE * free.f_bavail * free.f_frsize)
            if pixels.nbytes > self._disk:
                return
            place = self._file.seek(0, os.SEEK_END)
            try:
                self._file.write(np.ascontiguousarray(pixels).tobytes())
                self._file.flush()
            except OSError:  # full after all: this photo and the next are decoded each time
                self._disk = 0
                return
            self._disk -= pixels.nbytes
            self._spilled[number] = (place, pixels.shape)


def shrunken(pixels: Pixels, shorter: int) -> Pixels:
    """The photo with its shorter side at most ``shorter`` pixels, its longer one bounded."""
    height, width = pixels.shape[:2]
    limit = _MAX_RATIO * min(height, width)
    top, left = max(0, height - limit) // 2, max(0, width - limit) // 2
    pixels = pixels[top : top + limit, left : left + limit]
    height, width = pixels.shape[:2]
    factor = shorter / min(height, width)
    if factor >= 1:
        return pixels
    size = (max(shorter, round(width * factor)), max(shorter, round(height * factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
