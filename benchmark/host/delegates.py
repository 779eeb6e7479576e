"""Delegates: which part of the machine runs a model's operators.

An external delegate is a shared library that exports ``tflite_plugin_create_delegate`` and
``tflite_plugin_destroy_delegate`` (tflite/delegates/external/external_delegate_interface.h);
the Edge TPU's libedgetpu is one.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.edgetpu.devices import EdgeTpus, edgetpu_devices
from effnet_lite.benchmark.host.shared_library import HEADER, binary_of, own_binary
from effnet_lite.errors import DelegateError, InputError, UsageError
from effnet_lite.files import check_readable
from effnet_lite.quantize.tflite.refusal import EDGETPU_OPERATOR, blames_delegate, one_line
from effnet_lite.quantize.tflite.runtime import Runtime, interpreter_type
from effnet_lite.quantize.tflite.sniff import what_it_looks_like
from effnet_lite.quiet import without_native_logs

#: The delegate of the processor, XNNPACK; and none at all, the built-in kernels.
CPU, NONE, EDGETPU = "cpu", "none", "edgetpu"

_ALLOWED = (
    "cpu (XNNPACK), none (the built-in kernels), edgetpu, edgetpu:usb:0 or edgetpu:pci:0, or "
    "the path of a delegate's shared library"
)
_ON_A_DEVICE = ("gpu", "nnapi")
#: libedgetpu's option ``device`` is usb, pci, usb:0 or pci:0.
_EDGETPU = re.compile(r"edgetpu(?::((?:usb|pci)(?::\d+)?))?")
_EDGETPU_LIBRARY = {"darwin": "libedgetpu.1.dylib", "win32": "edgetpu.dll"}
_LIBRARY = re.compile(r".+\.(so(\.\d+)*|dylib|dll)|.*[/\\].*", re.DOTALL)
_CREATE, _DESTROY = "tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate"

# As lsusb and lspci list Coral's devices: a stick before and after its firmware is loaded.
_USB_IDS = (("1a6e", "089a"), ("18d1", "9302"))
_PCI_ID = ("0x1ac1", "0x089a")


@dataclasses.dataclass(frozen=True)
class DelegateSpec:
    """What ``--delegate`` says.

    Attributes:
        name: For records: ``cpu``, ``none``, ``edgetpu`` or the library's file name.
        path: The library of an external delegate: a path, or a name that the loader looks for.
        device: Which Edge TPU, in libedgetpu's words; None for any.
    """

    name: str
    path: str | None = None
    device: str | None = None


def parse(spec: str) -> DelegateSpec:
    """Read ``cpu``, ``none``, ``edgetpu``, ``edgetpu:usb:0`` or the path of a library.

    Raises:
        UsageError: It is none of them.
    """
    if spec in (CPU, NONE):
        return DelegateSpec(spec)
    edgetpu = _EDGETPU.fullmatch(spec)
    if edgetpu:
        library = _EDGETPU_LIBRARY.get(sys.platform, "libedgetpu.so.1")
        return DelegateSpec(EDGETPU, library, edgetpu[1])
    if spec in _ON_A_DEVICE:
        raise UsageError(
            f"the delegate {spec} is a phone's: add --device adb; here expected {_ALLOWED}"
        )
    if not _LIBRARY.fullmatch(spec) or "\0" in spec:
        raise UsageError(f"unknown delegate {spec!r}; expected {_ALLOWED}")
    return DelegateSpec(Path(spec).name, spec)


def load(
    spec: DelegateSpec, runtime: Runtime, options: Mapping[str, str] | None = None
) -> list[Any]:
    """What :class:`Runner` takes as ``delegates``; nothing for ``cpu`` and ``none``.

    Args:
        spec: From :func:`parse`.
        runtime: That will use it.
        options: For an external delegate, in its own words.

    Raises:
        DelegateError: No such library, not a delegate, not for this machine, or it refuses.
        UsageError: An option without a name.
    """
    if spec.path is None:
        return []
    options = dict(options or {})
    if not all(options):
        raise UsageError("a delegate's option needs a name: KEY=VALUE")
    if spec.device:
        options["device"] = spec.device
    library = spec.path
    if spec.name != EDGETPU:
        library = _checked(spec.path)
    _check_loads(spec, library)
    module = runtime.load()
    reason = None
    with without_native_logs(), _without_unraisable():
        try:
            return [interpreter_type(module, "load_delegate")(library, options)]
        except ValueError as error:
            # Not chained: it would keep the wrapper's half-made object alive, whose __del__
            # complains on stderr, until after the silence here.
            reason = str(error)
    raise DelegateError(_why_not_created(spec, options, reason))


def edgetpus() -> EdgeTpus:
    """The Edge TPUs that the installed library sees.

    Raises:
        DelegateError: It is missing, or cannot list devices.
    """
    spec = parse(EDGETPU)
    _check_loads(spec, str(spec.path))
    return edgetpu_devices(str(spec.path))


@contextlib.contextmanager
def blaming(spec: DelegateSpec) -> Iterator[None]:
    """Where a :class:`Runner` with this delegate is made and run: says what the delegate did.

    Raises:
        DelegateError: In place of the InputError for which the runtime blames the delegate.
    """
    try:
        yield
    except InputError as error:
        text = str(error.__cause__ or error)
        if spec.path and (blames_delegate(text) or _compiled_for_another(spec, text)):
            raise DelegateError(_why_refused(spec, error)) from error
        raise


def _compiled_for_another(spec: DelegateSpec, said: str) -> bool:
    return spec.name == EDGETPU and EDGETPU_OPERATOR in said


def _checked(path: str) -> str:
    """A path that the loader takes as it is, or a name that it has to look for."""
    if not Path(path).exists() and Path(path).name == path:
        return path
    try:
        check_readable(Path(path), "a delegate's shared library")
        with Path(path).open("rb") as file:
            header = file.read(HEADER)
    except (InputError, OSError) as error:
        raise DelegateError(str(error)) from error
    found, own = binary_of(header), own_binary()
    if found is None:
        raise DelegateError(
            f"{path} is no shared library: it looks like {what_it_looks_like(header)[0]}"
        )
    if not found.shared:
        raise DelegateError(
            f"{path} is an {found.format} file, but no shared library: link it with -shared"
        )
    size = Path(path).stat().st_size
    if size < found.size:
        raise DelegateError(
            f"{path} is cut short: it has {size} bytes of {found.size}; copy or download it again"
        )
    if own and (found.format != own.format or found.machine not in (own.machine, "several")):
        raise DelegateError(
            f"{path} is a library for {found.machine} ({found.format}), but this Python runs on "
            f"{own.machine} ({own.format}): get the one for this machine"
        )
    return str(Path(path).resolve())


def _check_loads(spec: DelegateSpec, library: str) -> None:
    try:
        with without_native_logs():
            loaded = ctypes.CDLL(library)
    except OSError as error:
        raise DelegateError(_why_not_loaded(spec, one_line(str(error)))) from error
    missing = [name for name in (_CREATE, _DESTROY) if not hasattr(loaded, name)]
    if missing:
        raise DelegateError(
            f"{spec.path} is a shared library, but no delegate: it does not export "
            + " and ".join(missing)
        )


def _why_not_loaded(spec: DelegateSpec, said: str) -> str:
    itself = str(spec.path) in said.partition(":")[0] or sys.platform == "win32"
    if spec.name == EDGETPU and itself:
        return (
            f"the Edge TPU's library is not installed ({said}): on Debian install "
            "libedgetpu1-std from Coral's package repository, elsewhere see "
            "https://coral.ai/software/#edgetpu-runtime"
        )
    if spec.path == spec.name and itself:
        return f"no library {spec.path}, neither here nor where the loader looks: {said}"
    return f"{spec.path} cannot be loaded: {said}"


def _why_not_created(spec: DelegateSpec, options: Mapping[str, str], said: str) -> str:
    # The wrapper's sentence has the path and, in the lines behind it, the library's own words.
    said = one_line(said.partition("\n")[2])
    if spec.name == EDGETPU:
        where = f" as {spec.device}" if spec.device else ""
        return (
            f"{spec.path} is installed, but opens no Edge TPU{where}"
            + (f" ({said})" if said else "")
            + f": {_other_devices(spec) or _edgetpu_advice()}"
        )
    given = ", ".join(f"{key}={value}" for key, value in options.items())
    return (
        f"{spec.path} makes no delegate: {said or 'it gives no reason'}; check its device and its "
        f"options ({given or 'none given'})"
    )


def _why_refused(spec: DelegateSpec, error: InputError) -> str:
    """One line about a delegate that was loaded and then failed on the model."""
    said = one_line(str(error.__cause__ or error))
    if _compiled_for_another(spec, said):
        return (
            f"{spec.path} does not take what edgetpu_compiler compiled: update it to the release "
            "of the compiler, or compile the model for the older one (--min_runtime_version)"
        )
    no_reason = "it gives no reason; most take no tensors of dynamic size, and no strings"
    return (
        f"delegate {spec.name} fails on the model: {said or no_reason}; "
        "--delegate cpu runs it without"
    )


def _other_devices(spec: DelegateSpec) -> str:
    """What to ask for in place of a device that the library does not see; empty if it does."""
    try:
        seen = [one.delegate for one in edgetpu_devices(str(spec.path)).devices]
    except DelegateError:  # it need not be able to list them
        return ""
    asked = f"{EDGETPU}:{spec.device}" if spec.device else EDGETPU
    if not seen or any(one.startswith(asked) for one in seen):
        return ""
    return f"the library sees {', '.join(seen)}; ask for one of these"


def _edgetpu_advice(devices: Path = Path("/sys/bus")) -> str:
    """What to do, by what the system itself sees on its ports."""

    def ids(bus: str, vendor: str, product: str) -> Iterator[tuple[str, str]]:
        for folder in (devices / bus / "devices").glob("*"):
            with contextlib.suppress(OSError):
                yield (folder / vendor).read_text().strip(), (folder / product).read_text().strip()

    if any(found in _USB_IDS for found in ids("usb", "idVendor", "idProduct")):
        return (
            "there is one on USB, so this user may not open it or another process uses it; join "
            "the group plugdev, then unplug it and plug it in again, which applies the udev rules"
        )
    if _PCI_ID in ids("pci", "vendor", "device"):
        return (
            "there is one on PCIe, so its driver is missing or this user may not open "
            "/dev/apex_0: install gasket-dkms and join the group apex"
        )
    return (
        "there is none on USB or PCIe; plug it in, into a port that powers it (USB 3 or a powered "
        "hub), or pass it through to this container"
    )


@contextlib.contextmanager
def _without_unraisable() -> Iterator[None]:
    """Hold back "Exception ignored in…" of objects that die here."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = before
