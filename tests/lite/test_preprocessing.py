"""From photos of every kind to pixels."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from effnet_lite.errors import InputError, UsageError
from effnet_lite.lite.preprocessing import (
    MAX_PIXELS,
    Preprocessing,
    load_image,
    preprocessing_for,
)
from effnet_lite.lite.variants import VARIANTS, get_variant


@pytest.mark.parametrize("name", ["lite0", "lite1", "lite2"])
def test_pixels_equal_the_reference_in_every_byte(name, shared, foolbox_photos):
    reference = np.load(shared / "golden" / f"{name}_reference.npz")
    preprocessing = preprocessing_for(VARIANTS[name])
    for file, expected in zip(reference["files"], reference["pixels"], strict=True):
        np.testing.assert_array_equal(preprocessing.pixels(foolbox_photos / file), expected)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_rows_preprocessing(name):
    row = VARIANTS[name]
    found = preprocessing_for(row)
    assert (found.size, found.resize) == (row.size, "bicubic")
    assert found.crop_fraction == pytest.approx(row.size / (row.size + 32))
    expected = (127, 128) if name.startswith("lite") else (0, 1)
    assert (found.mean, found.std) == ((expected[0],), (expected[1],))


def test_small_inputs_do_not_crop_ever_more_away():
    assert preprocessing_for(get_variant("lite-s32")).crop_fraction == 0.875


def test_normalize():
    pixels = np.asarray([[[0, 127, 255]]], np.uint8)
    lite = Preprocessing(1).normalize(pixels)
    assert lite.dtype == np.float32
    np.testing.assert_array_equal(lite, [[[-127 / 128, 0, 1]]])
    by_channel = Preprocessing(1, mean=(0.0, 100.0, 200.0), std=(1.0, 2.0, 5.0)).normalize(pixels)
    np.testing.assert_array_equal(by_channel, [[[0, 13.5, 11]]])


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(10, 20, (1, 9), (6, 14)), (20, 10, (6, 14), (1, 9)), (11, 11, (1, 10), (1, 10))],
)
def test_the_crop_is_central(height, width, rows, columns):
    """10 · 0.875 = 8.75 → 8 pixels; the odd pixel left over falls to the top and left."""
    image = np.zeros((height, width, 3), np.uint8)
    image[rows[0] : rows[1], columns[0] : columns[1]] = 255
    crop = rows[1] - rows[0]
    found = Preprocessing(crop, resize="nearest").fit(image)
    assert (found == 255).all()
    image[rows[0], columns[0]] = 7
    image[rows[1] - 1, columns[1] - 1] = 9
    found = Preprocessing(crop, resize="nearest").fit(image)
    assert (found[0, 0, 0], found[-1, -1, 0]) == (7, 9)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (2, 3), (3, 2000), (2, 2)])
def test_tiny_and_extreme_shapes(shape):
    image = np.full((*shape, 3), (10, 20, 30), np.uint8)
    found = Preprocessing(64).fit(image)
    assert found.shape == (64, 64, 3)
    assert (found == (10, 20, 30)).all()


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0},
        {"size": 10**6},
        {"crop_fraction": 0},
        {"crop_fraction": 1.1},
        {"crop_fraction": float("nan")},
        {"resize": "lanczos"},
        {"mean": ()},
        {"mean": (1.0, 2.0)},
        {"mean": (float("inf"),)},
        {"std": (0.0,)},
        {"std": (1.0, -1.0, 1.0)},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(UsageError):
        Preprocessing(**{"size": 8, **options})


# Red, green, blue and white by quadrants: tells rotations and mirrorings apart.
QUADRANTS = np.asarray(
    [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8
).repeat(8, 0).repeat(8, 1)  # fmt: skip

# What a camera stores so that the viewer, undoing the orientation, shows QUADRANTS.
ORIENTATIONS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_exif_orientation(tmp_path, orientation, suffix):
    stored = np.ascontiguousarray(ORIENTATIONS[orientation](QUADRANTS))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(stored).save(path, exif=exif, lossless=True)
    np.testing.assert_array_equal(load_image(path), QUADRANTS)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"]
)
@pytest.mark.filterwarnings("error")
def test_broken_exif_is_no_broken_photo(tmp_path, exif):
    path = tmp_path / "a.jpg"
    Image.fromarray(QUADRANTS).save(path, exif=exif)
    assert load_image(path).shape == (16, 16, 3)


def saved(folder, image, name="a.png", **options):
    path = folder / name
    image.save(path, **options)
    return load_image(path)


def assert_all(pixels, colour):
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    np.testing.assert_array_equal(
        pixels.reshape(-1, 3), np.broadcast_to(colour, (len(pixels) * pixels.shape[1], 3))
    )


def test_grey(tmp_path):
    assert_all(saved(tmp_path, Image.new("L", (4, 3), 77)), (77, 77, 77))


def test_black_and_white(tmp_path):
    assert_all(saved(tmp_path, Image.new("1", (4, 3), 1)), (255, 255, 255))


def test_grey_with_alpha_is_laid_over_white(tmp_path):
    # 0 at alpha 51/255 = 0.2 over white: 255 · 0.8 = 204.
    assert_all(saved(tmp_path, Image.new("LA", (4, 3), (0, 51))), (204, 204, 204))


def test_alpha_is_laid_over_white(tmp_path):
    assert_all(saved(tmp_path, Image.new("RGBA", (4, 3), (255, 0, 0, 51))), (255, 204, 204))
    assert_all(saved(tmp_path, Image.new("RGBA", (4, 3), (1, 2, 3, 0))), (255, 255, 255))
    assert_all(saved(tmp_path, Image.new("RGBA", (4, 3), (1, 2, 3, 255))), (1, 2, 3))


def test_palette(tmp_path):
    image = Image.new("P", (4, 3), 1)
    image.putpalette([9, 9, 9, 10, 20, 30])
    assert_all(saved(tmp_path, image), (10, 20, 30))


def test_palette_with_a_transparent_entry(tmp_path):
    image = Image.new("P", (4, 3), 1)
    image.putpalette([9, 9, 9, 10, 20, 30])
    assert_all(saved(tmp_path, image, transparency=1), (255, 255, 255))
    assert_all(saved(tmp_path, image, "a.gif", transparency=1), (255, 255, 255))
    assert_all(saved(tmp_path, image, transparency=0), (10, 20, 30))


def test_cmyk(tmp_path):
    found = saved(tmp_path, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "a.jpg", quality=100)
    assert np.abs(found.astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (65535, 255), (32896, 128), (257, 1)])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path, value, expected, name):
    image = Image.fromarray(np.full((3, 4), value, np.uint16))
    assert_all(saved(tmp_path, image, name), (expected,) * 3)


def test_16_bit_colour(tmp_path):
    """Pillow writes none; a PNG by hand: 48-bit RGB, one row of filter byte 0."""
    row = b"\0" + struct.pack(">3H", 65535, 32896, 0) * 2
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 1, 16, row))
    assert_all(load_image(path), (255, 128, 0))


def png(width, height, depth, rows):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">2I5B", width, height, depth, 2, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        )
    )


def test_one_pixel(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (1, 1), (1, 2, 3)).save(path)
    assert_all(Preprocessing(32).pixels(path), (1, 2, 3))


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    found = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert_all(found, (255, 0, 0))


def test_the_suffix_does_not_count(tmp_path):
    found = saved(tmp_path, Image.new("RGB", (4, 4), (9, 8, 7)), "a.jpg", format="PNG")
    assert_all(found, (9, 8, 7))


def jpeg(folder):
    path = folder / "a.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path, path.read_bytes()


@pytest.mark.parametrize("keep", [2, 20, 300, 0.5, 0.9])
def test_truncated_jpeg(tmp_path, keep):
    path, data = jpeg(tmp_path)
    path.write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    with pytest.raises(InputError, match=r"a\.jpg (cannot be decoded|is not an image)"):
        load_image(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"I am a text, not a photo.\n", "is not an image"),
        (b"<!doctype html><html>404</html>", "is not an image"),
        (b"\xff\xd8\xff", "is not an image|cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n", "is not an image|cannot be decoded"),
        (bytes(range(256)) * 10, "is not an image"),
    ],
)
def test_files_that_are_no_photos(tmp_path, content, message):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_image(path)
    assert str(path) in str(error.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_image(tmp_path / "nope.jpg")
    with pytest.raises(InputError, match="is a folder"):
        load_image(tmp_path)
    with pytest.raises(InputError, match=r"cannot read|does not exist"):
        load_image("a\0b.jpg")


def test_floating_point_pixels_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(np.zeros((4, 4), np.float32)).save(path)
    with pytest.raises(InputError, match="floating-point"):
        load_image(path)


@pytest.mark.parametrize("side", [15_000, 25_000, 60_000])
@pytest.mark.filterwarnings("error")
def test_decompression_bomb(tmp_path, side):
    """A header of 225 million pixels and more, before a byte of them is decoded."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side, 8, b""))
    assert side**2 > MAX_PIXELS
    with pytest.raises(InputError, match="resize it first"):
        load_image(path)


@pytest.mark.filterwarnings("error")
def test_the_largest_phones_photos_are_no_bombs(tmp_path):
    """16320 x 12240, above Pillow's own limit: refused for its missing data, not its size."""
    path = tmp_path / "big.png"
    path.write_bytes(png(16_320, 12_240, 8, b""))
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(InputError, match="cannot be decoded"):
        load_image(path)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif", "bmp"])
def test_flipped_bytes_never_escape(tmp_path, suffix):
    """Whatever a damaged file makes Pillow raise arrives as InputError, or it decodes."""
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(QUADRANTS).save(path)
    data = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(data)
        for position in random.integers(0, len(data), 4):
            damaged[position] = random.integers(0, 256)
        path.write_bytes(damaged)
        try:
            assert load_image(path).ndim == 3
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused
