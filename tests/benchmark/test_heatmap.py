"""The pictures of explain: colours, places, names, and files that come out whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from effnet_lite.benchmark.heatmap import (
    Panel,
    _fit,
    _writable,
    colours,
    draw,
    overlay,
    picture_paths,
    value_range,
)
from effnet_lite.errors import InputError


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)


@pytest.fixture
def panels(pixels):
    values = np.random.default_rng(1).normal(size=(7, 7))
    return [
        Panel(pixels, ("the photo",)),
        Panel(pixels, ("a.tflite", "cat: 93.0%"), values),
        Panel(pixels, ("b.tflite", "cat: 92.1%", "correlation 0.99"), values * 0.9),
    ]


def lightness(rgb):
    """CIE L*, of sRGB (Rec. 709 luminance)."""
    linear = ((rgb / 255 + 0.055) / 1.055) ** 2.4
    return 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16


def test_the_colours_grow_lighter_evenly():
    found = lightness(colours(np.linspace(0, 1, 21)).astype(float))[1:]  # black: below sRGB's toe
    steps = np.diff(found)
    assert steps.min() > 3
    assert steps.max() < 8


def test_the_colours_are_matplotlibs():
    matplotlib = pytest.importorskip("matplotlib")
    shares = np.linspace(0, 1, 256)
    # Between the points straight lines stand for curves.
    expected = matplotlib.colormaps["inferno"](shares)[:, :3] * 255
    np.testing.assert_allclose(colours(shares), expected, atol=9)
    np.testing.assert_allclose(colours(shares[::51]), expected[::51], atol=1)


def test_values_beyond_the_limits_get_the_last_colours():
    np.testing.assert_array_equal(colours(np.asarray([-1.0, 2.0])), colours(np.asarray([0.0, 1.0])))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 3), (6, 2), (1, 6)])
def test_the_warm_place_is_where_the_map_is_high(row, column):
    grey = np.full((224, 224, 3), 128, np.uint8)
    values = np.zeros((7, 7))
    values[row, column] = 1
    light = overlay(grey, values, (0, 1)).astype(float).sum(axis=-1)
    high = np.unravel_index(light.argmax(), light.shape)
    # Inside the cell, of 32 pixels; a bicubic peak at the edge moves outwards.
    assert (high[0] // 32, high[1] // 32) == (row, column)


def test_the_photo_shows_through_in_grey(pixels):
    values = np.full((7, 7), 3.0)
    flat = overlay(pixels, values, (0.0, 6.0)).astype(float)
    grey = np.asarray(Image.fromarray(pixels).convert("L"), float).ravel()
    for channel in range(3):
        assert np.corrcoef(flat[..., channel].ravel(), grey)[0, 1] > 0.99


def test_a_map_without_contrast(pixels, tmp_path):
    values = np.full((7, 7), 2.0)
    assert overlay(pixels, values, (2.0, 2.0)).shape == pixels.shape
    draw([Panel(pixels, ("a",), values)], tmp_path / "a.png", "t", ["l"])
    assert Image.open(tmp_path / "a.png").size[0] > 340


def test_all_panels_share_one_scale(panels):
    low, high = value_range(panels)
    assert low == min(panels[1].values.min(), panels[2].values.min())
    assert high == max(panels[1].values.max(), panels[2].values.max())


def test_the_same_panels_give_the_same_bytes(panels, tmp_path):
    for name in ("a.png", "b.png"):
        draw(panels, tmp_path / name, "photo.jpg", ["evidence"])
    first = (tmp_path / "a.png").read_bytes()
    assert first == (tmp_path / "b.png").read_bytes()
    picture = Image.open(io.BytesIO(first))
    assert (picture.format, picture.mode) == ("PNG", "RGB")
    # No more than the panels, the photo's in the colours it has.
    assert picture.width == 3 * 340 + 2 * 14 + 2 * 18
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (4, 4), (5, 3), (9, 3)])
def test_at_most_four_to_a_row(panels, tmp_path, count, columns):
    draw([panels[1]] * count, tmp_path / "a.png", "", [])
    width, height = Image.open(tmp_path / "a.png").size
    assert width == columns * 340 + (columns - 1) * 14 + 36
    assert height > -(-count // columns) * 340


def test_an_existing_picture_is_kept(panels, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="--overwrite"):
        draw(panels, path, "t", [])
    assert path.read_bytes() == b"mine"
    draw(panels, path, "t", [], overwrite=True)
    assert path.read_bytes()[:4] == b"\x89PNG"


AWKWARD = 'it\'s "<script>"\n\r\t\0 \u202e 猫 é \udcff & \\ .. $x^2$ 🐈'


def test_awkward_texts_can_be_drawn(panels, tmp_path, pixels):
    panel = Panel(pixels, (AWKWARD, AWKWARD * 20, ""), panels[1].values)
    draw([panel], tmp_path / "a.png", AWKWARD, [AWKWARD])
    assert (tmp_path / "a.png").exists()


def test_what_the_font_lacks():
    assert _writable("Käse, crème brûlée…") == "Kase, creme brulee…"
    assert _writable("猫 x") == "? x"
    assert _writable("\u0301") == "?"


def test_long_texts_lose_their_middle():
    font = ImageFont.load_default(16)
    text = "efficientnet-lite0-" + "x" * 200 + "-int8.tflite"
    fitted = _fit(text, font, 340)
    assert font.getlength(fitted) <= 340
    assert fitted.startswith("efficientnet")
    assert fitted.endswith("int8.tflite")
    assert _fit("short", font, 340) == "short"
    assert len(_fit(text, font, 1)) <= 2


def test_every_image_gets_a_file_of_its_own(tmp_path):
    images = ["a.jpg", "b/a.png", "A.gif", "a-2.jpg", "a.jpg", "a.b.jpg"]
    names = [path.name for path in picture_paths(tmp_path, images)]
    assert names == ["a.png", "a-2.png", "A-3.png", "a-2-2.png", "a-4.png", "a.b.png"]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ('it\'s "<script>"\n.jpg', "it_s___script___.png"),
        ("猫 é.jpg", "猫_é.png"),
        ("....png", "photo.png"),
        ("a\udcffb.png", "a_b.png"),
        ("x" * 255, "x" * 100 + ".png"),
        ("猫" * 80 + ".jpg", "猫" * 33 + ".png"),
        ("-rf.jpg", "rf.png"),
        ("a:b\\c*?.jpg", "a_b_c__.png"),
    ],
)
def test_names_that_every_system_takes(tmp_path, image, name):
    (path,) = picture_paths(tmp_path, [image])
    assert path == tmp_path / name


def test_a_photo_is_never_replaced(tmp_path):
    (tmp_path / "a.png").write_bytes(b"photo")
    with pytest.raises(InputError, match="one of the photos"):
        picture_paths(tmp_path, [tmp_path / "a.png"], overwrite=True)


def test_folders_that_will_not_do(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder, message in [
        (tmp_path / "file", "is a file; give a folder"),
        (tmp_path / "no" / "such", "does not exist"),
        (tmp_path / ("x" * 300), "cannot use the folder"),
    ]:
        with pytest.raises(InputError, match=message):
            picture_paths(folder, ["a.jpg"])
    assert picture_paths(tmp_path / "new", ["a.jpg"]) == [tmp_path / "new" / "a.png"]
    assert not (tmp_path / "new").exists()


def test_an_existing_file_is_told_at_once(tmp_path):
    Path(tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(InputError, match="--overwrite"):
        picture_paths(tmp_path, ["a.jpg", "b.jpg"])
    assert len(picture_paths(tmp_path, ["a.jpg", "b.jpg"], overwrite=True)) == 2
