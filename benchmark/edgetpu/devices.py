"""The Edge TPUs that libedgetpu sees, asked through its C interface.

``edgetpu_list_devices``, ``edgetpu_free_devices`` and ``edgetpu_version`` are declared in
tflite/public/edgetpu_c.h of google-coral/libedgetpu.
"""

from __future__ import annotations

import collections
import ctypes
import dataclasses

from effnet_lite.errors import DelegateError
from effnet_lite.quiet import without_native_logs

_KINDS = {0: "pci", 1: "usb"}  # enum edgetpu_device_type
_MOST = 256


class _Device(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int), ("path", ctypes.c_char_p))


@dataclasses.dataclass(frozen=True)
class EdgeTpu:
    """A device.

    Attributes:
        delegate: What ``--delegate`` takes for it: ``edgetpu:usb:0``.
        path: Where the system has it.
    """

    delegate: str
    path: str


@dataclasses.dataclass(frozen=True)
class EdgeTpus:
    """What the library told: its version, and the devices in its order."""

    library: str
    version: str
    devices: tuple[EdgeTpu, ...]


def edgetpu_devices(library: str) -> EdgeTpus:
    """Ask a libedgetpu.

    Args:
        library: A path, or a name that the loader looks for.

    Raises:
        DelegateError: It cannot be loaded, or cannot list devices.
    """
    try:
        with without_native_logs():
            loaded = ctypes.CDLL(library)
    except OSError as error:
        raise DelegateError(
            f"no devices can be listed: the Edge TPU's library {library} cannot be loaded: {error}"
        ) from error
    names = ("edgetpu_list_devices", "edgetpu_free_devices")
    missing = [name for name in names if not hasattr(loaded, name)]
    if missing:
        raise DelegateError(f"{library} cannot list devices: it does not export {missing[0]}")
    return EdgeTpus(library, _version(loaded), _listed(loaded))


def _listed(loaded: ctypes.CDLL) -> tuple[EdgeTpu, ...]:
    listing, freeing = loaded.edgetpu_list_devices, loaded.edgetpu_free_devices
    listing.restype, listing.argtypes = ctypes.POINTER(_Device), [ctypes.POINTER(ctypes.c_size_t)]
    freeing.restype, freeing.argtypes = None, [ctypes.POINTER(_Device)]
    count = ctypes.c_size_t()
    with without_native_logs():
        array = listing(ctypes.byref(count))
    if not array:
        return ()
    seen: collections.Counter[str] = collections.Counter()
    devices = []
    for number in range(min(count.value, _MOST)):
        kind = _KINDS.get(array[number].type, f"type {array[number].type}")
        path = (array[number].path or b"").decode("utf-8", "replace")
        devices.append(EdgeTpu(f"edgetpu:{kind}:{seen[kind]}", path))
        seen[kind] += 1
    freeing(array)
    return tuple(devices)


def _version(loaded: ctypes.CDLL) -> str:
    if not hasattr(loaded, "edgetpu_version"):
        return "unknown"
    loaded.edgetpu_version.restype = ctypes.c_char_p
    return (loaded.edgetpu_version() or b"unknown").decode("utf-8", "replace")
