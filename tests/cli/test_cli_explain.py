"""explain: what it prints, the pictures it leaves, and how it fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from PIL import Image

LITE = "lite-w0.35-d0.35-s128"


@pytest.fixture(scope="module")
def models(converted):
    return [converted(precision, LITE, check=False).output for precision in ("float32", "int8")]


@pytest.fixture
def images(photos):
    return sorted(photos.iterdir())[:3]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the command runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_two_models(cli, models, images, folder):
    answer = cli("explain", *models, *images)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].split() == ["photo", "class", *(path.name for path in models), "correlation"]
    for image, line in zip(images, lines[1:], strict=False):
        assert line.startswith(image.name)
        assert -1 <= float(line.split()[-1]) <= 1
        assert line.count("%") == 2
    assert lines[-2].startswith("mean correlation ")
    assert lines[-1] == "wrote 3 pictures to explain"
    pictures = sorted((folder / "explain").iterdir())
    assert [path.name for path in pictures] == [f"{image.stem}.png" for image in images]
    for path in pictures:
        assert Image.open(path).size[0] == 3 * 340 + 2 * 14 + 2 * 18


def test_json(cli, models, images, folder):
    answer = cli("explain", images[0], *models, images[1], "--json", "-o", "maps")
    assert (answer.code, answer.err) == (0, "")
    document = json.loads(answer.out)
    assert [entry["image"] for entry in document["results"]] == [str(path) for path in images[:2]]
    for entry in document["results"]:
        assert [view["model"] for view in entry["models"]] == [str(path) for path in models]
        assert os.path.exists(entry["output"])  # noqa: PTH110
    figures = [entry["correlation"] for entry in document["results"]]
    assert document["mean_correlation"] == pytest.approx(sum(figures) / 2)


def test_one_model_and_a_class(cli, models, images, folder):
    answer = cli("explain", models[0], images[0], "--class", "strawberry", "--threads", 1)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].split() == ["photo", "class", models[0].name]
    assert lines[1].split()[:2] == [images[0].name, "strawberry"]
    assert lines[2].startswith(f"{images[0].name}: the top-1 of {models[0].name} is ")
    assert lines[-1] == "wrote 1 picture to explain"
    assert "correlation" not in answer.out


def test_existing_pictures_are_kept(cli, models, images, folder):
    assert cli("explain", models[0], images[0]).code == 0
    before = (folder / "explain" / f"{images[0].stem}.png").read_bytes()
    answer = cli("explain", models[0], images[1], images[0])
    assert (answer.code, answer.out) == (1, "")
    assert "pass --overwrite" in answer.err
    assert len(list((folder / "explain").iterdir())) == 1
    assert cli("explain", models[0], images[1], images[0], "--overwrite").code == 0
    assert (folder / "explain" / f"{images[0].stem}.png").read_bytes() == before


def test_awkward_names(cli, models, images, folder):
    names = ['it\'s "<script>"\n.jpg', "a photo.jpg", "A Photo.jpg", "猫.jpg"]
    for name in names:
        shutil.copy(images[0], name)
    model = folder / "my\n\"model'.tflite"
    shutil.copy(models[0], model)
    answer = cli("explain", model, *names)
    assert (answer.code, answer.err) == (0, "")
    assert len(answer.out.splitlines()) == 2 + len(names)
    found = sorted(path.name for path in (folder / "explain").iterdir())
    assert found == ["A_Photo-2.png", "a_photo.png", "it_s___script___.png", "猫.png"]
    document = json.loads(cli("explain", model, *names, "--overwrite", "--json").out)
    assert [entry["image"] for entry in document["results"]] == names


def failing(answer, code=1):
    assert (answer.code, answer.out) == (code, "")
    (line,) = answer.err.strip().splitlines()
    assert line.startswith("effnet-lite: ")
    return line


def test_models_that_cannot_be_explained(cli, tiny_model, models, images, folder):
    path = folder / "a.tflite"
    path.write_bytes(tiny_model())
    line = failing(cli("explain", models[0], path, images[0]))
    assert "a.tflite cannot be explained: expected a model that ends in global" in line
    assert not (folder / "explain").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
        (b"\x1c\0\0\0TFL3", "damaged or cut short"),
    ],
)
def test_files_that_are_no_models(cli, images, folder, content, message):
    if content is not None:
        (folder / "model.tflite").write_bytes(content)
    assert message in failing(cli("explain", "model.tflite", images[0]))


def test_no_model(cli, images, folder):
    line = failing(cli("explain", *images))
    assert "a JPEG image; give the model first, then the images" in line


def test_no_image(cli, models, folder):
    assert "at least one" in failing(cli("explain", models[0]), 2)
    assert cli("explain").code == 2


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (("--class", "no such thing"), "no class 'no such thing'", 2),
        (("--class", "1000"), "0 to 999", 2),
        (("--threads", "0"), "threads must be 1", 2),
        (("--labels", "missing.txt"), "missing.txt does not exist", 1),
        (("-o", "no/such"), "make it first", 1),
        (("-o", "file"), "is a file; give a folder", 1),
    ],
)
def test_options_that_will_not_do(cli, models, images, folder, options, message, code):
    (folder / "file").write_bytes(b"x")
    assert message in failing(cli("explain", models[0], images[0], *options), code)
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_the_base_install_is_enough(models, images, folder):
    """Neither TensorFlow nor matplotlib is loaded."""
    code = (
        "import sys; from effnet_lite.benchmark.explain import explain\n"
        "explain(sys.argv[1:3], sys.argv[3], output='maps')\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", code, *map(str, models), str(images[0])]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    for name in ("tensorflow", "matplotlib", "scipy"):
        assert f"'{name}'" not in printed.stdout
