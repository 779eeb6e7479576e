"""TFRecord shards of tf.train.Example, as ImageNet's are written.

A record's class is its ``image/class/synset``, else its ``image/class/text``, else its number
``image/class/label``. Numbers start at 1 in ImageNet's shards, where 0 is the background; a
data set in which a photo has the number 0 starts there.
"""

from __future__ import annotations

import array
import bisect
import collections
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effnet_lite.errors import InputError
from effnet_lite.lite.datasets.dataset import ClassNumbers, Dataset, Photo
from effnet_lite.lite.datasets.tf_example import LABEL, SYNSET, TEXT, features_of
from effnet_lite.lite.datasets.tfrecord import records
from effnet_lite.lite.photos import PHOTO_SUFFIXES

_SHARD = re.compile(r"\.tfrecords?(-|\.|$)|\.tfrec$|-\d{5}-of-\d{5}$", re.IGNORECASE)
_OF = re.compile(r"^(.*)-(\d{5})-of-(\d{5})")
_SYNSET_ID = re.compile(r"n\d{8}")


def find_shards(folder: Path) -> list[Path]:
    """Files in the folder, not below, that are called like TFRecord shards; sorted.

    Raises:
        InputError: The folder cannot be read.
    """
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if _SHARD.search(path.name)
            and not path.name.startswith(".")
            and path.suffix.lower() not in PHOTO_SUFFIXES
            and path.is_file()
        )
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from error


def open_shards(root: Path, shards: Sequence[Path]) -> RecordDataset:
    """Read every record once, for its class and its place.

    Args:
        root: What the user gave.
        shards: The files, in order.

    Raises:
        InputError: A shard is damaged, compressed or cut short, or there is no record.
    """
    classes = ClassNumbers()
    texts: set[str] = set()
    places = array.array("Q")
    starts: list[int] = []
    for shard in shards:
        starts.append(len(places))
        for offset, record in records(shard):
            name, is_text = _class(record)
            classes.add(name)
            if name is not None and is_text:
                texts.add(name)
            places.append(offset)
    if not places:
        raise InputError(f"no record in {root}; expected TFRecord shards with photos")
    names = list(classes.of)
    notes = _incomplete(shards)
    if names and not texts:
        names, note = _from_zero(names)
        notes.insert(0, note)
    return RecordDataset(
        shards, starts, places, kind="tfrecord", root=root, classes=names,
        numbers=classes.photos, notes=notes,
    )  # fmt: skip


class RecordDataset(Dataset):
    """A record a photo.

    Args:
        shards: The files.
        starts: Number of the first photo of each.
        places: Offset of each photo's record.
    """

    def __init__(
        self, shards: Sequence[Path], starts: list[int], places: array.array[int], **facts: Any
    ) -> None:
        super().__init__(**facts)
        self._shards, self._starts, self._places = shards, starts, places

    def photo(self, number: int) -> Photo:
        """Where a photo is."""
        shard = bisect.bisect_right(self._starts, number) - 1
        path = self._shards[shard]
        name = f"{path.name} record {number - self._starts[shard]}"
        return Photo(name, str(path), self._places[number])


def _class(record: bytes) -> tuple[str | None, bool]:
    """The class, and whether it is more than a number."""
    try:
        found = features_of(record, (SYNSET, TEXT, LABEL))
    except InputError:
        return None, False
    for name in (SYNSET, TEXT):
        value = found.get(name)
        if isinstance(value, bytes) and value.strip():
            text = value.decode("utf-8", "replace").strip()
            if name != SYNSET or _SYNSET_ID.fullmatch(text):
                return text, True
    number = found.get(LABEL)
    return (str(number) if isinstance(number, int) else None), False


def _from_zero(names: list[str]) -> tuple[list[str], str]:
    if "0" in names:
        return names, "the labels are numbers, taken to count the classes from 0"
    return (
        [str(int(name) - 1) for name in names],
        "the labels are numbers, taken to count the classes from 1 as ImageNet's do: none is 0",
    )


def _incomplete(shards: Sequence[Path]) -> list[str]:
    """Notes on shards that are not there, and on sets that lie beside each other."""
    groups: dict[tuple[str, int], set[int]] = collections.defaultdict(set)
    for shard in shards:
        match = _OF.match(shard.name)
        if match:
            groups[match[1], int(match[3])].add(int(match[2]))
    notes = [
        f"only {len(found)} of the {count} shards of {name} are there"
        for (name, count), found in groups.items()
        if len(shards) > 1 and len(found) < count
    ]
    if len(groups) > 1:
        notes.append(
            f"shards of {', '.join(sorted(name for name, _ in groups))} lie beside each other and "
            "were put together; move them apart to evaluate on one alone"
        )
    return notes
