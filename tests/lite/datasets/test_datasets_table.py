"""Tables of photos."""

from __future__ import annotations

import pytest
from dataset_contents import contents

from effnet_lite.errors import InputError
from effnet_lite.lite.datasets import open_dataset


@pytest.fixture
def table(tmp_path):
    def make(text, name="photos.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na/1.jpg,cat\n/b/2.jpg,dog\n",
        "\ufeffpath,label\r\na/1.jpg,cat\r\n\r\n/b/2.jpg,dog",
        "Class;id;FILE\ncat;7;a/1.jpg\ndog;8;/b/2.jpg\n",
        "filename\tsplit\tclass_name\na/1.jpg\ttest\t cat \n/b/2.jpg\ttest\tdog\n",
        '"image","label"\n"a/1.jpg","cat"\n"/b/2.jpg","dog"\n',
    ],
)
def test_usual_tables(table, text):
    path = table(text)
    dataset = open_dataset(path)
    assert contents(dataset) == [("a/1.jpg", "cat"), ("/b/2.jpg", "dog")]
    assert dataset.kind == "table"
    assert dataset.photo(0).path == str(path.parent / "a" / "1.jpg")
    assert dataset.photo(1).path == "/b/2.jpg"


def test_names_with_separators_quotes_and_line_breaks(table):
    text = 'path,label\n"a, ""b""\nc.jpg","<script>alert(1)</script>"\n'
    assert contents(open_dataset(table(text))) == [
        ('a, "b"\nc.jpg', "<script>alert(1)</script>"),
    ]


def test_a_photo_without_a_class(table):
    assert contents(open_dataset(table("path,label\na.jpg,\nb.jpg,x\n"))) == [
        ("a.jpg", None),
        ("b.jpg", "x"),
    ]


def test_repeated_rows(table):
    dataset = open_dataset(table("path,label\na.jpg,x\nb.jpg,x\na.jpg,x\n"))
    assert len(dataset) == 2
    assert dataset.notes == ("1 rows repeat a photo and were left out",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.jpg,x\na.jpg,y\n", "row 3 says that 'a.jpg' is 'y', an earlier row that"),
        ("a.jpg,cat\n", "no column 'path'; expected a header"),
        ("path,size\na.jpg,1\n", "no column 'label'"),
        ("path,label\na.jpg\n", "row 2: expected a path in column 1 and a class in column 2"),
        ("path,label\n,cat\n", "row 2: expected a path"),
        ("path,label\n", "a header and no photo"),
        ("\n", "found nothing"),
        ("", "is empty"),
        (b"path,label\n\xff\xfe,x\n", "not UTF-8"),
        ('path,label\n"a.jpg,x\n', "cannot be read as a table"),
        ("path,label\na.jpg," + "x" * 200_000, "cannot be read as a table"),
    ],
)
def test_tables_that_will_not_do(table, text, message):
    with pytest.raises(InputError, match=message):
        open_dataset(table(text))
