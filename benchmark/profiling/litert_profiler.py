"""Per-operator times from LiteRT's own profiler, by ctypes.

No Python class of ai-edge-litert reaches the profiler, its shared library ``libLiteRt`` does
(google-ai-edge/LiteRT, litert/c/litert_profiler.h and litert_profiler_event.h): a model that
is compiled with the option ``enable_profiling`` has a profiler, which the built-in kernels and
the XNNPACK delegate tell what they did. That C interface may change between releases. So what
can be checked without calling it is checked first, and it is called in a process of its own
(:mod:`effnet_lite.benchmark.profiling.process`), where a crash is one line for the user.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.util
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from effnet_lite.errors import EffnetLiteError, InputError
from effnet_lite.quantize.tflite.runtime import Array, Runtime

#: Older ones have no ``kernel_mode``, or crash on these calls.
FIRST_VERSION = (2, 1, 4)
#: From here on making a model takes the environment, too.
_ENVIRONMENT_FIRST = (2, 2)

XNNPACK, BUILTIN = "xnnpack", "builtin"
KERNELS = (XNNPACK, BUILTIN)

# tflite::Profiler::EventType; what else there is are spans around these.
_OPERATOR, _DELEGATE_OPERATOR = 1 << 1, 1 << 2
_DELEGATE_OPERATORS = (_DELEGATE_OPERATOR, 1 << 3)
_EVENT_TYPES = {1 << bit for bit in range(9)}
_BUFFERED = 2048  # events; LiteRT's compiled_model.cc makes the profiler that large
_CANARY = 0xA5

_CPU = 1  # kLiteRtHwAcceleratorCpu
_READ_WRITE = 2  # kLiteRtTensorBufferLockModeReadWrite
_LARGEST_TYPE = 1024  # bytes; LiteRtRankedTensorType has 76

_FUNCTIONS = (
    "LiteRtCreateEnvironment", "LiteRtCreateModelFromBuffer", "LiteRtCreateOptions",
    "LiteRtSetOptionsHardwareAccelerators", "LiteRtCreateOpaqueOptions",
    "LiteRtAddOpaqueOptions", "LiteRtCreateCompiledModel", "LiteRtGetModelSignature",
    "LiteRtGetNumSignatureInputs", "LiteRtGetNumSignatureOutputs",
    "LiteRtGetSignatureInputTensorByIndex", "LiteRtGetSignatureOutputTensorByIndex",
    "LiteRtGetRankedTensorType", "LiteRtGetCompiledModelInputBufferRequirements",
    "LiteRtGetCompiledModelOutputBufferRequirements",
    "LiteRtCreateManagedTensorBufferFromRequirements", "LiteRtGetTensorBufferPackedSize",
    "LiteRtLockTensorBuffer", "LiteRtUnlockTensorBuffer", "LiteRtRunCompiledModel",
    "LiteRtCompiledModelGetProfiler", "LiteRtStartProfiler", "LiteRtStopProfiler",
    "LiteRtResetProfiler", "LiteRtGetNumProfilerEvents", "LiteRtGetProfilerEvents",
)  # fmt: skip


class _Event(ctypes.Structure):
    """``ProfiledEventData``; the memory usages are three 64-bit numbers each."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start", ctypes.c_uint64),
        ("elapsed", ctypes.c_uint64),
        ("memory", ctypes.c_int64 * 6),
        ("index", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


@dataclasses.dataclass(frozen=True)
class Event:
    """One operator of one run.

    Attributes:
        name: ``CONV_2D``, or what the delegate calls its operator.
        index: Of the operator in the file, or in the delegate's part of it.
        delegated: Whether a delegate told it.
        microseconds: A whole number: the profiler cuts the rest off.
    """

    name: str
    index: int
    delegated: bool
    microseconds: int


class ProfiledModel:
    """A model with a profiler, loaded at once.

    Args:
        library: From :func:`library_of`.
        runtime: The ``litert`` that the library is part of.
        model: The file's bytes.
        inputs: A value for each input, in the file's order.
        kernels: ``xnnpack`` or ``builtin``.
        threads: CPU threads.

    Raises:
        EffnetLiteError: The library lacks a function, or its events look otherwise.
        InputError: The runtime refuses the model.
    """

    def __init__(
        self, library: Path, runtime: Runtime, model: bytes, inputs: Sequence[Array],
        kernels: str, threads: int,
    ) -> None:  # fmt: skip
        self._runtime = runtime
        self._functions = _load(library, runtime)
        self._keep: list[Any] = []  # what the library goes on using
        environment = self._make("LiteRtCreateEnvironment", ctypes.c_int(0), None)
        data = ctypes.create_string_buffer(model, len(model))
        self._keep.append(data)
        first = (environment,) if version_of(runtime) >= _ENVIRONMENT_FIRST else ()
        loaded = self._make(
            "LiteRtCreateModelFromBuffer", *first, data, ctypes.c_size_t(len(model))
        )
        self._compiled = self._make(
            "LiteRtCreateCompiledModel", environment, loaded, self._options(kernels, threads)
        )
        signature = self._make("LiteRtGetModelSignature", loaded, ctypes.c_size_t(0))
        self._inputs, self._outputs = (
            self._buffers(environment, signature, kind) for kind in ("Input", "Output")
        )
        for buffer, value in zip(self._inputs, inputs, strict=True):
            self._fill(ctypes.c_void_p(buffer), value)
        self._profiler = self._make("LiteRtCompiledModelGetProfiler", self._compiled)

    def run(self) -> list[Event]:
        """Run once; the operators in the order in which they ran."""
        # A reset stops the profiler, too.
        self._call("LiteRtResetProfiler", self._profiler)
        self._call("LiteRtStartProfiler", self._profiler)
        self._call(
            "LiteRtRunCompiledModel", self._compiled, ctypes.c_size_t(0),
            ctypes.c_size_t(len(self._inputs)), self._inputs,
            ctypes.c_size_t(len(self._outputs)), self._outputs,
        )  # fmt: skip
        self._call("LiteRtStopProfiler", self._profiler)
        return self._events()

    def output(self, number: int, like: Array) -> Array:
        """A copy of a raw output, of the shape and type of ``like``."""
        value: Array = like.copy()
        self._copy(ctypes.c_void_p(self._outputs[number]), value, into_buffer=False)
        return value

    def _events(self) -> list[Event]:
        number = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(number))
        count = number.value
        if count >= _BUFFERED:
            raise InputError(
                f"the model has more operators than the runtime's profiler remembers ({_BUFFERED})"
            )
        size = ctypes.sizeof(_Event)
        # Twice the room, so that larger structures of another version overwrite nothing.
        room = ctypes.create_string_buffer(bytes([_CANARY]) * (2 * size * max(count, 1)))
        self._call("LiteRtGetProfilerEvents", self._profiler, ctypes.c_int(count), room)
        used = size * count
        rest = room.raw[used : 2 * used]
        events = (_Event * count).from_buffer(room)
        if rest.strip(bytes([_CANARY])) or not {event.type for event in events} <= _EVENT_TYPES:
            raise EffnetLiteError(self._strange("its events have another layout"))
        # The interpreter's other subgraphs are bodies of an operator that is timed itself.
        return [
            Event(
                name=event.tag.decode("utf-8", "replace"),
                index=event.index,
                delegated=event.type != _OPERATOR,
                microseconds=event.elapsed,
            )
            for event in events
            if event.type in _DELEGATE_OPERATORS or (event.type, event.subgraph) == (_OPERATOR, 0)
        ]

    def _options(self, kernels: str, threads: int) -> ctypes.c_void_p:
        options = self._make("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, ctypes.c_int(_CPU))
        for name, text in (
            ("runtime_options_string", "enable_profiling = true\n"),
            ("xnnpack", f'num_threads = {threads}\nkernel_mode = "{kernels}"\n'),
        ):
            payload = ctypes.create_string_buffer(text.encode())
            free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_nothing_to_free)
            self._keep += [payload, free]
            opaque = self._make("LiteRtCreateOpaqueOptions", name.encode(), payload, free)
            self._call("LiteRtAddOpaqueOptions", options, opaque)
        return options

    def _buffers(self, environment: Any, signature: Any, kind: str) -> Any:
        count = ctypes.c_size_t()
        self._call(f"LiteRtGetNumSignature{kind}s", signature, ctypes.byref(count))
        found = (ctypes.c_void_p * count.value)()
        for number in range(count.value):
            index = ctypes.c_size_t(number)
            tensor = self._make(f"LiteRtGetSignature{kind}TensorByIndex", signature, index)
            type_ = ctypes.create_string_buffer(_LARGEST_TYPE)
            self._call("LiteRtGetRankedTensorType", tensor, type_)
            needs = self._make(
                f"LiteRtGetCompiledModel{kind}BufferRequirements",
                self._compiled, ctypes.c_size_t(0), index,
            )  # fmt: skip
            buffer = self._make(
                "LiteRtCreateManagedTensorBufferFromRequirements", environment, type_, needs
            )
            found[number] = buffer.value
        return found

    def _fill(self, buffer: ctypes.c_void_p, value: Array) -> None:
        size = ctypes.c_size_t()
        self._call("LiteRtGetTensorBufferPackedSize", buffer, ctypes.byref(size))
        if size.value != value.nbytes:
            raise InputError(
                f"the runtime's profiler sees an input of {size.value} bytes where the "
                f"interpreter sees {value.nbytes}: it needs inputs of fixed shape"
            )
        self._copy(buffer, value, into_buffer=True)

    def _copy(self, buffer: ctypes.c_void_p, value: Array, into_buffer: bool) -> None:
        mode = ctypes.c_int(_READ_WRITE)
        address = ctypes.c_void_p()
        self._call("LiteRtLockTensorBuffer", buffer, ctypes.byref(address), mode)
        ours = value.ctypes.data_as(ctypes.c_void_p)
        target, source = (address, ours) if into_buffer else (ours, address)
        ctypes.memmove(target, source, value.nbytes)
        self._call("LiteRtUnlockTensorBuffer", buffer)

    def _make(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call what returns a handle through its last argument."""
        handle = ctypes.c_void_p()
        self._call(name, *arguments, ctypes.byref(handle))
        if not handle:
            raise EffnetLiteError(self._strange(f"{name} gives nothing"))
        return handle

    def _call(self, name: str, *arguments: Any) -> None:
        status = self._functions[name](*arguments)
        if status:
            raise InputError(
                f"the profiler of {self._runtime} cannot run the model: {name} answers {status}"
            )

    def _strange(self, what: str) -> str:
        return f"the profiler of {self._runtime} is not the one that is known here: {what}; " + (
            "try ai-edge-litert 2.3.0, or update effnet-lite"
        )


def library_of(runtime: Runtime) -> Path:
    """Where the profiler's library is.

    Raises:
        EffnetLiteError: The runtime is too old, or its package has no such library.
    """
    if version_of(runtime) < FIRST_VERSION:
        first = ".".join(map(str, FIRST_VERSION))
        raise EffnetLiteError(
            f"{runtime} has no profiler that can be reached; expected ai-edge-litert {first} or "
            "newer: pip install -U ai-edge-litert"
        )
    found = importlib.util.find_spec(runtime.module.partition(".")[0])
    folders = [Path(folder) for folder in (found.submodule_search_locations or ())] if found else []
    for folder in folders:
        for suffix in (".so", ".dylib", ".dll"):
            if (folder / f"libLiteRt{suffix}").is_file():
                return folder / f"libLiteRt{suffix}"
    raise EffnetLiteError(
        f"the profiler is in libLiteRt, which the package of {runtime} lacks on this system "
        f"(looked in {', '.join(map(str, folders)) or 'no folder'}); time without a profile"
    )


def version_of(runtime: Runtime) -> tuple[int, ...]:
    """The numbers of its version: (2, 3, 0); what follows them is left out."""
    return tuple(map(int, re.findall(r"\d+", runtime.version.partition("+")[0])[:3]))


def _load(library: Path, runtime: Runtime) -> dict[str, Callable[..., int]]:
    try:
        loaded = ctypes.CDLL(str(library))
    except OSError as error:
        raise EffnetLiteError(f"{library} of {runtime} cannot be loaded: {error}") from error
    missing = [name for name in _FUNCTIONS if not hasattr(loaded, name)]
    if missing:
        raise EffnetLiteError(
            f"{library.name} of {runtime} does not export {missing[0]}"
            + (f" and {len(missing) - 1} more" if missing[1:] else "")
            + ": its profiler is out of reach; try ai-edge-litert 2.3.0, or time without a profile"
        )
    functions = {}
    for name in _FUNCTIONS:
        functions[name] = getattr(loaded, name)
        functions[name].restype = ctypes.c_int
    return functions


def _nothing_to_free(payload: int | None) -> None:
    """The payload is Python's."""
