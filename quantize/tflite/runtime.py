"""Running a .tflite file with whichever interpreter is installed.

Looked for in this order: ``ai_edge_litert``, ``tflite_runtime``, ``tensorflow.lite``; the
last only when the others are missing, because importing TensorFlow takes seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError, MissingDependencyError, UsageError
from effnet_lite.quantize.tflite.refusal import meaning, one_line
from effnet_lite.quiet import without_native_logs

Array = npt.NDArray[Any]

# The runtimes start as many threads as they are told to; a million never comes back.
MAX_THREADS = 1024


@dataclasses.dataclass(frozen=True)
class Runtime:
    """An installed interpreter.

    Attributes:
        name: ``litert``, ``tflite-runtime`` or ``tensorflow``.
        version: Of the package.
        module: Where its ``Interpreter`` is.
    """

    name: str
    version: str
    module: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def load(self) -> Any:
        """The module that has ``Interpreter``, ``OpResolverType`` and ``load_delegate``."""
        if self.name == "tensorflow":
            return importlib.import_module("tensorflow").lite
        return importlib.import_module(self.module)


#: name → (top-level module, distributions that carry it, module of ``Interpreter``)
RUNTIMES = {
    "litert": ("ai_edge_litert", ("ai-edge-litert", "ai-edge-litert-nightly"),
               "ai_edge_litert.interpreter"),
    "tflite-runtime": ("tflite_runtime", ("tflite-runtime",), "tflite_runtime.interpreter"),
    "tensorflow": ("tensorflow", ("tensorflow", "tensorflow-cpu"), "tensorflow"),
}  # fmt: skip


def installed_runtimes() -> list[Runtime]:
    """Every interpreter that is installed, the preferred one first; imports none."""
    found = []
    for name, (top, distributions, module) in RUNTIMES.items():
        if importlib.util.find_spec(top) is None:
            continue
        version = next(filter(None, map(_version, distributions)), None)
        if version:
            found.append(Runtime(name, version, module))
    return found


@functools.cache  # parses a file, and a conversion makes a hundred Runners
def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def find_runtime(name: str | None = None) -> Runtime:
    """The interpreter of that name, or the preferred one.

    Raises:
        UsageError: No runtime has that name.
        MissingDependencyError: It is not installed.
    """
    if name is not None and name not in RUNTIMES:
        raise UsageError(f"unknown runtime {name!r}; expected one of {', '.join(RUNTIMES)}")
    for runtime in installed_runtimes():
        if name in (None, runtime.name):
            return runtime
    package = RUNTIMES[name][1][0] if name else "ai-edge-litert"
    raise MissingDependencyError("running a .tflite model", package)


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model.

    Attributes:
        name, shape: As in the file.
        dtype: NumPy's name; ``bytes`` for strings, ``object`` for resources and variants.
        scale, zero_point: Of a quantized tensor; 0.0 and 0 for a float one.
        signature: The shape with -1 for a side of any length; empty if there is none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    signature: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        """The type, for a message."""
        return {"bytes": "string", "object": "resource or variant"}.get(self.dtype, self.dtype)

    @property
    def quantized(self) -> bool:
        """Whether integers stand for reals."""
        return self.scale != 0.0

    def dequantize(self, values: Array) -> npt.NDArray[np.float32]:
        """Raw values to reals."""
        if not self.quantized:
            return values.astype(np.float32)
        return (values.astype(np.float32) - self.zero_point) * np.float32(self.scale)


class Runner:
    """A model loaded into an interpreter: raw tensors in, raw tensors out.

    Args:
        model: The file's bytes.
        threads: CPU threads; None uses every core this process may run on.
        runtime: From :func:`find_runtime`; None takes the preferred one.
        delegates: Delegates to apply before XNNPACK.
        default_delegate: Whether XNNPACK, the CPU delegate, is applied to what they leave.

    Raises:
        InputError: The runtime refuses the model.
    """

    def __init__(
        self,
        model: bytes,
        threads: int | None = None,
        runtime: Runtime | None = None,
        delegates: Sequence[Any] = (),
        default_delegate: bool = True,
    ) -> None:
        self.runtime = runtime or find_runtime()
        self.threads = threads or available_cpus()
        module = self.runtime.load()
        options: dict[str, Any] = {}
        if not default_delegate:
            resolver = interpreter_type(module, "OpResolverType")
            options["experimental_op_resolver_type"] = resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            with without_native_logs():
                self.interpreter = module.Interpreter(
                    model_content=model,
                    num_threads=self.threads,
                    experimental_delegates=list(delegates) or None,
                    **options,
                )
                # XNNPACK comes with the allocation: what is claimed before, others claim.
                self._claimed = delegated_ops(self.interpreter) if delegates else None
                self.interpreter.allocate_tensors()
            self._inputs = self.interpreter.get_input_details()
            self._outputs = self.interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise InputError(meaning(str(error), str(self.runtime))) from error
        except MemoryError as error:
            raise InputError(
                f"{self.runtime} cannot allocate the model's tensors: it needs more memory than "
                "there is"
            ) from error
        self.inputs = [_info(detail) for detail in self._inputs]
        self.outputs = [_info(detail) for detail in self._outputs]

    @property
    def delegated(self) -> tuple[int | None, int | None]:
        """Operators that the given delegates took over, else XNNPACK, and all in the file."""
        return self._claimed or delegated_ops(self.interpreter)

    @property
    def image_input(self) -> TensorInfo:
        """The only input, shape (1, height, width, 3).

        Raises:
            InputError: The model takes something else than one image.
        """
        shapes = [info.shape for info in self.inputs]
        if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][0] != 1 or shapes[0][3] != 3:
            raise InputError(
                "expected a model with one input of shape (1, height, width, 3), found "
                + (", ".join(map(str, shapes)) or "none")
            )
        if not self.inputs[0].dtype.startswith(("float", "int", "uint")):
            raise InputError(
                f"expected an image of numbers, found an input of type {self.inputs[0].kind}"
            )
        return self.inputs[0]

    def set_input(self, value: Array, number: int = 0) -> None:
        """Copy a value of the input's shape and dtype in.

        Raises:
            InputError: The runtime does not take it: it stores 2 or 4 bits to a value, say.
        """
        with self._failing(f"does not take input {self.inputs[number].name}"):
            self.interpreter.set_tensor(self._inputs[number]["index"], value)

    def set_inputs(self, values: Iterable[Array]) -> None:
        """Copy one value for each input in, in the file's order."""
        for number, value in enumerate(values):
            self.set_input(value, number)

    def invoke(self) -> None:
        """Run once on what :meth:`set_input` gave.

        Raises:
            InputError: An operator fails on these values, or a delegate does.
        """
        # No context manager: its microsecond would be part of what is timed.
        try:
            self.interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"{self.runtime} fails while it runs the model: {one_line(str(error))}"
            ) from error

    def output(self, number: int = 0) -> Array:
        """A copy of a raw output.

        Raises:
            InputError: It has no value.
        """
        with self._failing(f"gives no output {self.outputs[number].name}"):
            return self.interpreter.get_tensor(self._outputs[number]["index"])  # type: ignore[no-any-return]

    def run(self, value: Array) -> Array:
        """Raw input to a copy of the first raw output."""
        self.set_input(value)
        self.invoke()
        return self.output()

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, RuntimeError) as error:
            raise InputError(f"{self.runtime} {what}: {one_line(str(error))}") from error


def available_cpus() -> int:
    """Cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity mask
        return os.cpu_count() or 1


def interpreter_type(module: Any, name: str) -> Any:
    """A name beside ``Interpreter``; TensorFlow keeps it under ``experimental``."""
    holder = module if hasattr(module, name) else module.experimental
    return getattr(holder, name)


def delegated_ops(interpreter: Any) -> tuple[int | None, int | None]:
    """How many of the file's operators delegates took over, and how many there are.

    The interpreter lists the operators that a delegate replaced as well, and behind them the
    delegate's own: replaced are those on the way from its inputs to its outputs.
    """
    try:
        details = interpreter._get_ops_details()
    except (AttributeError, RuntimeError):  # it is no public function
        return None, None
    own = [op for op in details if op["op_name"] != "DELEGATE"]
    producers = {int(tensor): number for number, op in enumerate(own) for tensor in op["outputs"]}
    replaced: set[int] = set()
    for op in details[len(own) :]:
        ends = {int(tensor) for tensor in op["inputs"]}
        wanted = [int(tensor) for tensor in op["outputs"]]
        while wanted:
            tensor = wanted.pop()
            number = producers.get(tensor)
            if tensor in ends or number is None or number in replaced:
                continue
            replaced.add(number)
            wanted += [int(given) for given in own[number]["inputs"]]
    return len(replaced), len(own)


def input_codec(
    info: TensorInfo, mean: Sequence[float], std: Sequence[float]
) -> Callable[[Array], Array]:
    """How uint8 pixels become an input tensor: ``(pixel - mean) / std``, then quantized.

    For an input with the normalisation folded in, the result is the pixels themselves (or
    pixels - 128 for int8). Returns a function from (H, W, 3) pixels to (1, H, W, 3).

    Args:
        info: The input.
        mean, std: One value, or one a channel.
    """
    # 256 possible values a channel: a table lookup is exact and faster than arithmetic.
    pixel = np.arange(256, dtype=np.float32)[:, np.newaxis]
    table = (pixel - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    if info.quantized:
        limits = np.iinfo(info.dtype)
        table = np.rint(table.astype(np.float64) / info.scale) + info.zero_point
        table = np.clip(table, limits.min, limits.max)
    table = table.astype(info.dtype)
    if table.shape[1] == 1:
        return functools.partial(_look_up, table[:, 0])
    return functools.partial(_look_up_channels, table)


def _look_up(table: Array, pixels: Array) -> Array:
    return table[pixels][np.newaxis]


def _look_up_channels(table: Array, pixels: Array) -> Array:
    values: Array = table[pixels, np.arange(3)][np.newaxis]
    return values


def _info(detail: dict[str, Any]) -> TensorInfo:
    scales = detail["quantization_parameters"]["scales"]
    return TensorInfo(
        name=detail["name"],
        shape=tuple(int(side) for side in detail["shape"]),
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(scales[0]) if len(scales) else 0.0,
        zero_point=int(detail["quantization_parameters"]["zero_points"][0]) if len(scales) else 0,
        signature=tuple(int(side) for side in detail["shape_signature"]),
    )
