"""Heat maps over photos as one PNG: panels side by side, captions, a legend.

Drawn with Pillow's own font and NumPy alone, so that it works from the base install and the
same maps give the same bytes on any machine.
"""

from __future__ import annotations

import dataclasses
import io
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from effnet_lite.errors import InputError
from effnet_lite.files import check_output, write_bytes
from effnet_lite.lite.preprocessing import Pixels
from effnet_lite.printable import printable

Map = npt.NDArray[np.floating[Any]]

# Points of matplotlib's "inferno" (Nathaniel Smith and Stéfan van der Walt, CC0) at equal
# distances: its lightness rises evenly, so that it reads in grey and without colour vision.
_INFERNO = np.asarray(
    [
        (0, 0, 4), (22, 11, 57), (66, 10, 104), (106, 23, 110), (147, 38, 103), (188, 55, 84),
        (221, 81, 58), (243, 120, 25), (252, 165, 10), (246, 215, 70), (252, 255, 164),
    ],
    np.float64,
)  # fmt: skip
# How much of the colour covers the photo, at the lowest and at the highest value.
_OPACITY = (0.35, 0.75)

_PANEL, _GAP, _MARGIN, _COLUMNS = 340, 14, 18, 4
_TITLE, _TEXT, _LEADING = 20, 16, 21
_BAR = 14
_INK, _FAINT, _PAPER = (20, 20, 20), (95, 95, 95), (255, 255, 255)
# What the font that comes with Pillow writes beyond ASCII.
_ALSO = "…·°™“”"
_LONGEST_NAME = 100  # bytes; file systems end at 255


@dataclasses.dataclass(frozen=True)
class Panel:
    """One picture of a row.

    Attributes:
        pixels: uint8 RGB, (side, side, 3).
        lines: The caption, one text a line; the first is set darker.
        values: Over the same square, coarser, (rows, columns); None shows the pixels alone.
    """

    pixels: Pixels
    lines: tuple[str, ...]
    values: Map | None = None


def draw(
    panels: Sequence[Panel],
    path: str | os.PathLike[str],
    title: str,
    legend: Sequence[str],
    overwrite: bool = False,
) -> None:
    """Write the panels, at most four to a row, with one colour scale for all of them.

    Args:
        panels: One with values at least.
        path: The .png file.
        title: Above the panels.
        legend: Beside the colours below them, at most two lines.
        overwrite: Replace an existing file.

    Raises:
        InputError: The file exists and ``overwrite`` is off, or cannot be written.
    """
    limits = value_range(panels)
    rows = -(-len(panels) // _COLUMNS)
    columns = -(-len(panels) // rows)
    captions = _LEADING * max(len(panel.lines) for panel in panels)
    pitch = (_PANEL + _GAP, _PANEL + 10 + captions + _GAP)
    top = _MARGIN + _TITLE + 16
    bottom = top + rows * pitch[1]
    width = 2 * _MARGIN + columns * pitch[0] - _GAP
    picture = Image.new("RGB", (width, bottom + _BAR + 24 + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(picture)
    room = width - 2 * _MARGIN
    pen.text((_MARGIN, _MARGIN), _fit(title, _font(_TITLE), room), _INK, _font(_TITLE))
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        _draw_panel(picture, panel, (_MARGIN + column * pitch[0], top + row * pitch[1]), limits)
    _draw_legend(picture, legend, bottom, limits)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    write_bytes(path, buffer.getvalue(), overwrite)


def value_range(panels: Sequence[Panel]) -> tuple[float, float]:
    """The lowest and the highest value of all panels."""
    maps = [panel.values for panel in panels if panel.values is not None]
    return min(float(values.min()) for values in maps), max(float(values.max()) for values in maps)


def colours(shares: Map) -> Pixels:
    """Shares (0-1) of any shape to RGB, one axis more: black, violet, red, yellow."""
    place = np.clip(shares, 0, 1) * (len(_INFERNO) - 1)
    low = np.minimum(place.astype(int), len(_INFERNO) - 2)
    part = (place - low)[..., np.newaxis]
    mixed: Pixels = np.rint(_INFERNO[low] * (1 - part) + _INFERNO[low + 1] * part).astype(np.uint8)
    return mixed


def overlay(pixels: Pixels, values: Map, limits: tuple[float, float]) -> Pixels:
    """The photo in grey under the values' colours, the same shape as ``pixels``.

    Args:
        pixels: uint8 RGB, (height, width, 3).
        values: (rows, columns), spread evenly over the photo and interpolated (bicubic).
        limits: What the first and the last colour stand for.
    """
    height, width = pixels.shape[:2]
    low, high = limits
    coarse = Image.fromarray(values.astype(np.float32))
    fine = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    shares = np.clip((fine - low) / (high - low), 0, 1) if high > low else np.zeros_like(fine)
    grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float64)[..., np.newaxis]
    opacity = (_OPACITY[0] + (_OPACITY[1] - _OPACITY[0]) * shares)[..., np.newaxis]
    mixed: Pixels = np.rint(grey * (1 - opacity) + colours(shares) * opacity).astype(np.uint8)
    return mixed


def picture_paths(
    folder: Path, images: Sequence[str | os.PathLike[str]], overwrite: bool = False
) -> list[Path]:
    """A .png in the folder for each image, no two the same, checked before the long work.

    Raises:
        InputError: One exists and ``overwrite`` is off, is one of the images, or cannot be
            written.
    """
    try:
        exists = folder.is_dir()
        if folder.exists() and not exists:
            raise InputError(f"the output {folder} is a file; give a folder")
        if not exists:
            check_output(folder, overwrite)  # that it can be made
    except OSError as error:  # a name too long, say
        raise InputError(f"cannot use the folder {folder}: {error.strerror}") from error
    taken: set[str] = set()
    sources = {Path(image).resolve() for image in images}
    paths = []
    for image in images:
        stem = _safe_stem(Path(image).stem)
        names = (f"{stem}-{number}" if number > 1 else stem for number in range(1, 10**9))
        # Some file systems do not tell letter case apart.
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        path = folder / f"{name}.png"
        if path.resolve() in sources:
            raise InputError(f"{path} is one of the photos; choose another --output")
        if exists:
            check_output(path, overwrite)
        paths.append(path)
    return paths


def _safe_stem(stem: str) -> str:
    """A file name that every system, shell and page takes: letters, digits, ``-_.``."""
    clean = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in stem)
    short = clean.encode("utf-8", "replace")[:_LONGEST_NAME].decode("utf-8", "ignore")
    return short.strip(".-") or "photo"


def _draw_panel(
    picture: Image.Image, panel: Panel, place: tuple[int, int], limits: tuple[float, float]
) -> None:
    square = Image.fromarray(panel.pixels).resize((_PANEL, _PANEL), Image.Resampling.BICUBIC)
    if panel.values is not None:
        square = Image.fromarray(overlay(np.asarray(square), panel.values, limits))
    picture.paste(square, place)
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(panel.lines):
        where = (place[0], place[1] + _PANEL + 8 + number * _LEADING)
        colour = _FAINT if number else _INK
        pen.text(where, _fit(line, _font(_TEXT), _PANEL), colour, _font(_TEXT))


def _draw_legend(
    picture: Image.Image, lines: Sequence[str], top: int, limits: tuple[float, float]
) -> None:
    """The colours with their lowest and highest value, and 0 where it lies well between."""
    pen, font = ImageDraw.Draw(picture), _font(_TEXT)
    scale = Image.fromarray(colours(np.linspace(0, 1, _PANEL)[np.newaxis].repeat(_BAR, axis=0)))
    picture.paste(scale, (_MARGIN, top))
    low, high = limits
    below = top + _BAR + 4
    pen.text((_MARGIN, below), f"{low:.3g}", _FAINT, font)
    pen.text((_MARGIN + _PANEL, below), f"{high:.3g}", _FAINT, font, anchor="ra")
    if low < 0 < high and 0.15 < -low / (high - low) < 0.85:
        zero = _MARGIN + round(_PANEL * -low / (high - low))
        pen.line((zero, top + _BAR, zero, top + _BAR + 4), _FAINT)
        pen.text((zero, below), "0", _FAINT, font, anchor="ma")
    left = _MARGIN + _PANEL + _GAP
    for number, line in enumerate(lines):
        text = _fit(line, font, picture.width - left - _MARGIN)
        pen.text((left, top - 4 + number * _LEADING), text, _FAINT, font)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fit(text: str, font: Any, width: int) -> str:
    """The text as the font can write it, its middle left out where it is too long."""
    text = _writable(text)
    if font.getlength(text) <= width:
        return text
    keep = len(text)
    while keep > 1 and font.getlength(_shortened(text, keep)) > width:
        keep -= 1
    return _shortened(text, keep)


def _shortened(text: str, keep: int) -> str:
    return f"{text[: keep - keep // 2]}…{text[len(text) - keep // 2 :]}"


def _writable(text: str) -> str:
    """Without accents, and ``?`` for each letter that the font lacks: é is e, 猫 is ?."""
    plain = []
    for letter in printable(text):
        base = letter if letter in _ALSO else unicodedata.normalize("NFKD", letter)
        plain += [sign for sign in base if not unicodedata.combining(sign)] or ["?"]
    return "".join(sign if sign.isascii() or sign in _ALSO else "?" for sign in plain)
