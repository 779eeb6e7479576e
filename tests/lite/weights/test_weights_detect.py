"""What is no weights file is named for what it is; nothing ends in a traceback."""

import io
import subprocess
import sys
import zipfile

import pytest
from weight_writers import TINY, as_timm, as_torch, example, fake_tensors, torch_zip, write_h5

from effnet_lite.errors import EffnetLiteError, InputError, MissingDependencyError
from effnet_lite.lite.weights import read_weights
from effnet_lite.lite.weights.detect import Format, detect


def zipped(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return stream.getvalue()


BAD = {
    "empty": (b"", "empty"),
    "text": (b"hello\nworld\n", "looks like a text file"),
    "text in UTF-8": ("Größe: 3\n".encode(), "looks like a text file"),
    "protocol 0 pickle": (b"cos\nsystem\n(S'true'\ntR.", "looks like a text file"),
    "web page": (b"<!DOCTYPE html><html></html>", "looks like a web page"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(99), "looks like a .tflite model"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(99), "looks like a PNG image"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(99), "looks like a JPEG image"),
    "npy": (b"\x93NUMPY\1\0v\0{'descr'", "looks like a NumPy .npy file"),
    "zip": (zipped(readme=b"x"), "zip archive without torch's data.pkl"),
    "keras": (zipped(**{"model__weights__h5": b"x"}), "save_weights"),
    "zip cut off": (b"PK\x03\x04" + bytes(40), "cut off"),
    "zeros": (bytes(600), "of no known kind"),
    "one byte": (b"\x80", "of no known kind"),
    "plain pickle": (b"\x80\x04N.", "not of torch.save"),
    "safetensors without an end": (b"\x40\0\0\0\0\0\0\0{", "not a whole safetensors file"),
    "safetensors of nothing": (b"\x02\0\0\0\0\0\0\0{}", "does not hold an EfficientNet"),
    "hdf5 magic alone": (b"\x89HDF\r\n\x1a\n", "not a whole HDF5 file"),
    "gzip magic alone": (b"\x1f\x8b", "not a whole .tar.gz"),
    "index magic alone": (bytes(48) + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb", "is missing"),
}


@pytest.mark.parametrize("kind", BAD)
def test_files_that_are_no_weights(tmp_path, kind):
    for module in ("h5py", "safetensors"):
        pytest.importorskip(module)
    data, expected = BAD[kind]
    path = tmp_path / "efficientnet-lite0.pth"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_weights(path, TINY)
    message = str(caught.value)
    assert expected in message
    assert str(path) in message
    assert "\n" not in message


def test_a_refusal_says_what_is_accepted(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("hello")
    with pytest.raises(InputError, match=r"expected a torch .pth or .pt, a .safetensors, a Keras"):
        read_weights(path, TINY)


def test_no_file_an_odd_name_and_a_folder(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path / "a\0b", tmp_path):
        with pytest.raises(InputError):
            read_weights(path, TINY)


def test_the_name_does_not_count(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_bytes(torch_zip(fake_tensors(as_torch(TINY, example(TINY, 10)))))
    assert detect(path) is Format.TORCH
    pytest.importorskip("h5py")
    path = tmp_path / "weights.pth"
    write_h5(path, example(TINY, 10))
    assert detect(path) is Format.HDF5
    assert read_weights(path, TINY).layout == "keras"


@pytest.mark.parametrize(
    ("module", "format_name"), [("h5py", "h5"), ("safetensors", "safetensors")]
)
def test_a_reader_that_is_not_installed_says_so(tmp_path, monkeypatch, module, format_name):
    path = tmp_path / "a"
    if module == "h5py":
        pytest.importorskip("h5py")
        write_h5(path, example(TINY, 10))
    else:
        numpy_writer = pytest.importorskip("safetensors.numpy")
        numpy_writer.save_file({"a": example(TINY, 10)["stem_bn/gamma"]}, path)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"\.{format_name}.*pip install"):
        read_weights(path, TINY)
    assert issubclass(MissingDependencyError, EffnetLiteError)


def test_torch_files_need_no_optional_package(tmp_path):
    """And importing the readers loads none: the start of every command would pay for it."""
    path = tmp_path / "a.pth"
    path.write_bytes(torch_zip(fake_tensors(as_timm(TINY, example(TINY, 10)))))
    code = (
        "import sys\n"
        "from effnet_lite.lite.variants import get_variant\n"
        "from effnet_lite.lite.weights import read_weights\n"
        f"print(read_weights({str(path)!r}, get_variant({TINY.name!r})).layout)\n"
        "heavy = {'tensorflow', 'h5py', 'safetensors', 'torch', 'urllib.request'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["timm", "[]", ""]
