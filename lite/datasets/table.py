"""A table of photos: a header, then a line a photo, with its path and its class.

The columns may have any of the usual names, and others beside them; commas, semicolons or tabs
separate them. Paths are relative to the table's folder. A class is a name or, where all classes
are whole numbers, the index of the model's output (not counting a background class).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from effnet_lite.errors import InputError
from effnet_lite.files import read_bytes
from effnet_lite.lite.datasets.dataset import ClassNumbers, FileDataset

PATHS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path")
LABELS = ("label", "class", "class_name", "classname", "category", "target")


def open_table(path: Path) -> FileDataset:
    """The photos in the order of the lines; a line without a class is a photo without one.

    Raises:
        InputError: Not UTF-8 text, no such columns, no photo, a line without a path, or one
            photo with two classes.
    """
    rows = _rows(path)
    header = [name.strip().lower() for name in next(rows, [])]
    where, what = _column(path, header, PATHS), _column(path, header, LABELS)
    classes = ClassNumbers()
    seen: dict[str, str] = {}
    repeated = 0
    for number, row in enumerate(rows, start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= max(where, what) or not row[where]:
            raise InputError(
                f"{path} row {number}: expected a path in column {where + 1} and a class in "
                f"column {what + 1}, found {', '.join(map(repr, row[:8]))}"
            )
        name, label = row[where], row[what].strip()
        if seen.setdefault(name, label) != label:
            raise InputError(
                f"{path} row {number} says that {name!r} is {label!r}, an earlier row that it "
                f"is {seen[name]!r}; remove one of them"
            )
        if len(seen) == len(classes.photos):
            repeated += 1
        else:
            classes.add(label or None)
    if not seen:
        raise InputError(f"{path} has a header and no photo; expected a line for each")
    notes = [f"{repeated} rows repeat a photo and were left out"] if repeated else []
    return FileDataset(
        list(seen), path.parent, kind="table", root=path, classes=list(classes.of),
        numbers=classes.photos, notes=notes,
    )  # fmt: skip


def _rows(path: Path) -> Iterator[list[str]]:
    data = read_bytes(path, "a table with the columns path and label")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; save the table as UTF-8") from error
    separator = max(",;\t", key=text.partition("\n")[0].count)
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from error


def _column(path: Path, header: list[str], names: tuple[str, ...]) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    raise InputError(
        f"{path} has no column {names[0]!r}; expected a header with one of {', '.join(names)}, "
        f"found {', '.join(map(repr, header[:8])) or 'nothing'}"
    )
