"""Files opened in their runtimes, on one thread, and timed by turns.

Run as a program, with a task as JSON, this is one launch; see :func:`serve`.
"""
# pyright: reportMissingImports=false

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from effnet_lite.quantize.tflite.runtime import Runner

Array = npt.NDArray[Any]

#: Timed runs of one file before the next one's turn.
BURST = 5
WARMUP = 10


@dataclasses.dataclass(frozen=True)
class Opened:
    """A file in its runtime.

    Attributes:
        load: Puts an image, (size, size, 3), into the input: uint8 pixels for an integer
            .tflite, normalized float32 otherwise.
        invoke: Runs once, copying nothing in or out; what is timed.
        output: A copy of the first output, (classes,).
    """

    load: Callable[[Array], None]
    invoke: Callable[[], object]
    output: Callable[[], Array]


def open_litert(path: Path) -> Opened:
    """With XNNPACK."""
    runner = Runner(path.read_bytes(), 1)
    return Opened(
        lambda image: runner.set_input(image[np.newaxis]),
        runner.invoke,
        lambda: runner.output().reshape(-1),
    )


def open_onnxruntime(path: Path) -> Opened:
    """With input and output bound once."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    [entry], [answer] = session.get_inputs(), session.get_outputs()
    value = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(entry.shape, np.float32))
    binding = session.io_binding()
    binding.bind_ortvalue_input(entry.name, value)
    binding.bind_output(answer.name)
    return Opened(
        lambda image: value.update_inplace(channels_first(image)),
        lambda: session.run_with_iobinding(binding),
        lambda: binding.copy_outputs_to_cpu()[0].reshape(-1),
    )


def open_openvino(path: Path, **settings: object) -> Opened:
    """One stream of one thread, for latency; what is not int8 in the type that it prefers.

    Its thread is not pinned to a core: the others' are not, either.
    """
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
                "ENABLE_CPU_PINNING": False, **settings}  # fmt: skip
    request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
    tensor = request.get_input_tensor()
    channels_last = list(tensor.shape)[-1] == 3

    def load(image: Array) -> None:
        tensor.data[:] = image[np.newaxis] if channels_last else channels_first(image)

    return Opened(load, request.infer, lambda: request.get_output_tensor().data.reshape(-1).copy())


def open_openvino_float(path: Path) -> Opened:
    """In float32, where it would take bfloat16 on processors that have it."""
    return open_openvino(path, INFERENCE_PRECISION_HINT="f32")


OPENERS = {
    "litert": open_litert,
    "onnxruntime": open_onnxruntime,
    "openvino": open_openvino,
    "openvino-float": open_openvino_float,
}


def channels_first(image: Array) -> Array:
    """(H, W, C) as ONNX's (1, C, H, W)."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[np.newaxis])


def serve(task: dict[str, Any]) -> dict[str, Any]:
    """Time several files by turns in this process.

    Args:
        task: ``files``: a list of (name, key of ``OPENERS``, path, whether it takes floats);
            ``photos``: an .npz of ``pixels``, (N, size, size, 3) uint8, and ``floats``, the
            same normalized; ``rounds``: turns of each.

    Returns:
        ``times_ms`` and ``top1``, the first class of each photo, by name; and ``errors`` of
        the files that their runtime refused.
    """
    photos = np.load(task["photos"])
    works: dict[str, Callable[[], object]] = {}
    top1: dict[str, list[int]] = {}
    errors: dict[str, str] = {}
    for name, runtime, path, floats in task["files"]:
        try:
            opened = OPENERS[runtime](Path(path))
            top1[name] = [
                first_class(opened, one) for one in photos["floats" if floats else "pixels"]
            ]
            works[name] = opened.invoke
        except Exception as error:  # whatever a runtime raises: the others still count
            errors[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    times = take_turns(list(works.values()), task["rounds"])
    return {"times_ms": dict(zip(works, times, strict=True)), "top1": top1, "errors": errors}


def first_class(opened: Opened, image: Array) -> int:
    """The index of the largest output."""
    opened.load(image)
    opened.invoke()
    return int(opened.output().argmax())


def take_turns(
    works: Sequence[Callable[[], object]], rounds: int, burst: int = BURST, warmup: int = WARMUP
) -> list[list[float]]:
    """Milliseconds of ``rounds`` x ``burst`` runs of each; who is first changes each round."""
    for work in works:
        for _ in range(warmup):
            work()
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        for step in range(len(works)):
            turn = (number + step) % len(works)
            works[turn]()  # the others had the caches
            for _ in range(burst):
                start = time.perf_counter()
                works[turn]()
                times[turn].append(1000 * (time.perf_counter() - start))
    return times


if __name__ == "__main__":
    print(json.dumps(serve(json.loads(sys.argv[1]))))
