"""What every data set is: photos in a fixed order, each with its class, read one at a time."""

from __future__ import annotations

import abc
import array
import dataclasses
import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from effnet_lite.errors import InputError
from effnet_lite.files import check_readable
from effnet_lite.lite.datasets.tf_example import image_of
from effnet_lite.lite.datasets.tfrecord import read_record
from effnet_lite.lite.preprocessing import Pixels, load_image

NO_CLASS = -1
_CHUNK = 2**20


@dataclasses.dataclass(frozen=True)
class Photo:
    """Where one photo is; small, and the same in any process.

    Attributes:
        name: Tells it apart within its data set: the path below the data set's folder, or
            the shard and the record's number.
        path: The file that holds it.
        offset: Of its record in a TFRecord shard; None where the file is the photo.
    """

    name: str
    path: str
    offset: int | None = None

    def load(self) -> tuple[str, Pixels]:
        """The sha256 of the encoded photo, and its decoded pixels, (H, W, 3) uint8 RGB.

        Raises:
            InputError: It cannot be read or decoded.
        """
        if self.offset is None:
            return self.sha256(), load_image(self.path)
        encoded = self._encoded(self.offset)
        with tempfile.TemporaryDirectory(prefix="effnet-lite-") as folder:
            file = Path(folder, "photo")
            file.write_bytes(encoded)
            try:
                return hashlib.sha256(encoded).hexdigest(), load_image(file)
            except InputError as error:
                raise InputError(str(error).replace(str(file), self.name)) from error

    def sha256(self) -> str:
        """Of the encoded photo.

        Raises:
            InputError: It cannot be read.
        """
        if self.offset is not None:
            return hashlib.sha256(self._encoded(self.offset)).hexdigest()
        check_readable(Path(self.path), "a photo (JPEG, PNG, WebP, …)")
        digest = hashlib.sha256()
        try:
            with Path(self.path).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror}") from error
        return digest.hexdigest()

    def sha256_or_none(self) -> str | None:
        """Of the encoded photo; None if it cannot be read."""
        try:
            return self.sha256()
        except InputError:
            return None

    def _encoded(self, offset: int) -> bytes:
        try:
            return image_of(read_record(self.path, offset))
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from error


class Dataset(abc.ABC):
    """Photos by number, from 0; holds their names or places, never their pixels.

    Attributes:
        kind: ``folders``, ``table`` or ``tfrecord``.
        root: What was opened.
        classes: The classes' names as the data set has them, in order of appearance.
        notes: What a user should know about how it was read, a sentence each.
    """

    def __init__(
        self,
        kind: str,
        root: Path,
        classes: Sequence[str],
        numbers: array.array[int],
        notes: Iterable[str] = (),
    ) -> None:
        self.kind = kind
        self.root = root
        self.classes = tuple(classes)
        self.notes = tuple(notes)
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def class_of(self, number: int) -> int | None:
        """The photo's class as an index of ``classes``; None where nothing tells it."""
        found = self._numbers[number]
        return None if found == NO_CLASS else found

    def counts(self) -> list[int]:
        """How many photos each class has."""
        counts = [0] * len(self.classes)
        for number in self._numbers:
            if number != NO_CLASS:
                counts[number] += 1
        return counts

    @abc.abstractmethod
    def photo(self, number: int) -> Photo:
        """Where a photo is."""


class FileDataset(Dataset):
    """A file a photo.

    Args:
        names: Paths of the photos, relative to ``base`` or absolute.
        base: The folder that they are relative to.
    """

    def __init__(self, names: list[str], base: Path, **facts: Any) -> None:
        super().__init__(**facts)
        self._names, self._base = names, base

    def photo(self, number: int) -> Photo:
        """Where a photo is."""
        name = self._names[number]
        return Photo(name, str(self._base / name))


class ClassNumbers:
    """Gives classes their numbers in order of appearance, and collects the photos'."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}
        self.photos = array.array("i")

    def add(self, name: str | None) -> None:
        """The next photo is of that class; None where nothing tells it."""
        self.photos.append(NO_CLASS if name is None else self.of.setdefault(name, len(self.of)))
