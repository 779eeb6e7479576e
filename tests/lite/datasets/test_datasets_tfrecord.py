"""TFRecord shards: what TensorFlow writes is read, and nothing else breaks the reader."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import random
import zlib

import numpy as np
import pytest
from dataset_contents import contents
from PIL import Image
from tfrecords import example, field, record, varint, write_records

from effnet_lite.errors import InputError
from effnet_lite.lite.datasets import open_dataset
from effnet_lite.lite.datasets.crc32c import crc32c, masked
from effnet_lite.lite.datasets.tf_example import features_of, image_of
from effnet_lite.lite.datasets.tfrecord import read_record, records

# Written by TensorFlow 2.21 (tf.io.TFRecordWriter), compressed: two examples, the first with all
# kinds of features, the second with a label of two numbers, -3 and 5, and the same 4 x 4 PNG.
GOLDEN = zlib.decompress(
    base64.b85decode(
        "c-nJeWB>!#mHPs?4l;2iaq(v6CZ?zAr{*Q+r=+F`1#<aw`E~~Qx$|;KaRC+bdV0770cjQx=3oMnYLhuNfs}}+"
        "i(^Q|oaB^*r;pkh#iXUBl`I&tF0q8}SfHv4vcl8V&t;ucLKBx3mjJ|$<ebFfV*QfTiV`6)E)g!F5}>6SItn3~"
        "dC7?iB_NVZ46ZgmC%>q;ATc>rh>44VON~nmBA%a=m6}|lpOlnep<j`knJ2^}#KpyN_RJaEvuAwlxJ0>lAnGzw"
        "Gt)Clgjl7Rxfof1UJ*ogLQY~*Y7Rt>kxQ9N2wASUGOswbM2MG*n~O8gz|h3Rz}(D)OB`lyT7FS(Vu=tt7b_Pt"
        "FqFg`#NPBmf|S9Yzaf#Ui;*s2s)Ef!{8B(y|NRdIjI8U!G#LRex`Yt"
    )
)


def encoded(seed=0):
    """A PNG of 5 x 7 pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (7, 5, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue(), pixels


# RFC 3720, appendix B.4, and the check value of the CRC catalogue.
@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_known_checksums(data, checksum):
    assert crc32c(data) == checksum


@pytest.mark.parametrize("size", [255, 256, 257, 259, 383, 384, 385, 512, 513, 5000, 65536, 65537])
def test_long_checksums_are_those_of_the_bytes_one_by_one(size):
    data = random.Random(size).randbytes(size)
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    assert crc32c(data) == state ^ 0xFFFFFFFF


def test_what_tensorflow_wrote(tmp_path):
    path = tmp_path / "golden.tfrecord"
    path.write_bytes(GOLDEN)
    found = list(records(path))
    assert [read_record(str(path), offset) for offset, _ in found] == [data for _, data in found]
    wanted = ("image/class/label", "image/class/text", "image/class/synset", "image/height",
              "image/object/bbox/xmin", "image/colorspace", "nope")  # fmt: skip
    assert [features_of(data, wanted) for _, data in found] == [
        {"image/class/label": 1, "image/class/text": b"tench, Tinca tinca",
         "image/class/synset": b"n01440764", "image/height": 4},
        {"image/class/label": -3},
    ]  # fmt: skip
    with Image.open(io.BytesIO(image_of(found[0][1]))) as image:
        assert (image.format, image.size) == ("PNG", (4, 4))
    dataset = open_dataset(path)
    assert dataset.classes == ("n01440764", "-3")
    np.testing.assert_array_equal(
        dataset.photo(1).load()[1], np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    )


def shard(path, *labels, key="image__class__label"):
    write_records(path, *(
        example(image__encoded=encoded(number)[0], **({} if label is None else {key: label}))
        for number, label in enumerate(labels)
    ))  # fmt: skip


def test_shards_of_a_folder(tmp_path):
    shard(tmp_path / "validation-00001-of-00002", 3)
    shard(tmp_path / "validation-00000-of-00002", 1, 2, None)
    (tmp_path / "README.md").write_text("no shard")
    dataset = open_dataset(tmp_path)
    assert contents(dataset) == [
        ("validation-00000-of-00002 record 0", "0"),
        ("validation-00000-of-00002 record 1", "1"),
        ("validation-00000-of-00002 record 2", None),
        ("validation-00001-of-00002 record 0", "2"),
    ]
    assert dataset.kind == "tfrecord"
    assert dataset.notes == (
        "the labels are numbers, taken to count the classes from 1 as ImageNet's do: none is 0",
    )
    _, pixels = encoded(1)
    digest, found = dataset.photo(1).load()
    np.testing.assert_array_equal(found, pixels)
    assert digest == dataset.photo(1).sha256()


def test_numbers_from_zero(tmp_path):
    shard(tmp_path / "a.tfrecord", 1, 0, 2)
    dataset = open_dataset(tmp_path / "a.tfrecord")
    assert dataset.classes == ("1", "0", "2")
    assert "from 0" in dataset.notes[0]


def test_names(tmp_path):
    shard(tmp_path / "a.tfrec", b"cat", b" dog\n", b"\xff<script>", b"", key="image__class__text")
    dataset = open_dataset(tmp_path)
    assert [name for _, name in contents(dataset)] == ["cat", "dog", "\ufffd<script>", None]
    assert dataset.notes == ()


def test_missing_and_mixed_shards_are_told(tmp_path):
    shard(tmp_path / "train-00000-of-00003", 0)
    shard(tmp_path / "test-00000-of-00001.tfrecord", 0)
    notes = open_dataset(tmp_path).notes
    assert any("only 1 of the 3 shards of train are there" in note for note in notes)
    assert any("test, train lie beside each other" in note for note in notes)


def test_a_damaged_photo_is_found_when_it_is_read(tmp_path):
    path = tmp_path / "a.tfrecord"
    shard(path, 0, 1)
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    dataset = open_dataset(path)
    dataset.photo(0).load()
    with pytest.raises(InputError, match=r"record at byte \d+ of .* does not match its checksum"):
        dataset.photo(1).load()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (example(image__class__label=1), "has no image"),
        (example(image__encoded=b"", image__class__label=1), "has no image"),
        (example(image__encoded=7), "has no image"),
        (example(image__encoded=b"no image", image__class__label=1), "a.tfrecord record 0"),
        (b"\x0a\xff\xff\xff\x0f", "no tf.train.Example"),
        (b"\xff" * 20, "no tf.train.Example"),
        (b"\x0b\x0c", "no tf.train.Example"),
        (b"\x00\x00", "no tf.train.Example"),
        (b"\x08", "no tf.train.Example"),
        (field(1, field(1, b"\x0a\x05ab")), "no tf.train.Example"),
        (b"", "has no image"),
    ],
)
def test_records_that_hold_no_photo(tmp_path, data, message):
    path = write_records(tmp_path / "a.tfrecord", data)
    with pytest.raises(InputError, match=message):
        open_dataset(path).photo(0).load()


def test_files_that_will_not_do(tmp_path):
    path = tmp_path / "a.tfrecord"
    shard(path, 0, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match="cut short: the record at byte"):
        open_dataset(path)
    path.write_bytes(whole + b"\0" * 5)
    with pytest.raises(InputError, match="damaged at byte"):
        open_dataset(tmp_path)
    path.write_bytes(gzip.compress(whole))
    with pytest.raises(InputError, match="is compressed; unpack it first"):
        open_dataset(tmp_path)
    # A length beyond the file, with its right checksum.
    length = (2**63).to_bytes(8, "little")
    path.write_bytes(length + masked(crc32c(length)).to_bytes(4, "little") + bytes(20))
    with pytest.raises(InputError, match="cut short"):
        open_dataset(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="no record"):
        open_dataset(tmp_path)


def test_no_bytes_break_the_reader():
    """Changed and cut examples are read or refused, never anything else."""
    source = random.Random(0)
    whole = example(image__encoded=encoded()[0], image__class__label=300, image__class__text=b"cat")
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(source.randint(1, 4)):
            data[source.randrange(len(data))] = source.randrange(256)
        data = data[: source.randint(0, len(data))] if source.random() < 0.3 else data
        with contextlib.suppress(InputError):
            features_of(bytes(data), ("image/encoded", "image/class/label", "image/class/text"))


def test_the_last_of_repeated_features_counts_and_unpacked_numbers_do():
    unpacked = field(3, b"\x08" + varint(9))
    entries = b"".join(
        field(1, field(1, b"image/class/label") + field(2, value))
        for value in (field(3, field(1, varint(5))), unpacked)
    )
    assert features_of(field(1, entries), ("image/class/label",)) == {"image/class/label": 9}
    assert record(b"")[:8] == bytes(8)
