"""Which devices learn: one CPU or GPU, all GPUs of a machine, or several machines.

Several machines are told by the environment variable ``TF_CONFIG``, as tf.distribute reads it::

    {"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}

Every machine runs the same command with an index of its own; the first one writes the run
folder.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from effnet_lite.errors import UsageError
from effnet_lite.lite.keras import import_tensorflow, import_tf_keras
from effnet_lite.lite.training.batches import Part

STRATEGIES = ("auto", "cpu", "mirrored", "multiworker")


@dataclasses.dataclass(frozen=True)
class Devices:
    """What a training runs on.

    Attributes:
        kind: ``cpu``, ``gpu``, ``mirrored`` or ``multiworker``.
        strategy: Of tf.distribute.
        part: Of each batch that this process makes.
        bfloat16: Whether the GPUs gain by it (compute capability 8.0 and above).
    """

    kind: str
    strategy: Any
    part: Part
    bfloat16: bool

    @property
    def replicas(self) -> int:
        """Devices that share a batch."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.part.index == 0

    def batches(self, make: Callable[[], Any]) -> Iterator[Any]:
        """An iterator for the strategy of the tf.data.Dataset that ``make()`` returns.

        Args:
            make: Called with nothing; the dataset's elements are what one replica takes.
        """
        found: Iterator[Any] = iter(
            self.strategy.distribute_datasets_from_function(lambda _: make())
        )
        return found


def open_devices(name: str, deterministic: bool | None = None) -> Devices:
    """Make TensorFlow ready, and the strategy.

    Must come before anything else is done with TensorFlow where ``TF_CONFIG`` names several
    workers. Waits for the other workers.

    Args:
        name: One of ``STRATEGIES``; ``auto`` takes what ``TF_CONFIG`` names, else all GPUs,
            else the CPU.
        deterministic: See :class:`effnet_lite.lite.training.config.TrainingConfig`.

    Raises:
        UsageError: No such strategy, no ``TF_CONFIG`` where it is needed or a damaged one, or
            no GPU for ``mirrored``.
        MissingDependencyError: TensorFlow is not installed.
    """
    if name not in STRATEGIES:
        raise UsageError(f"unknown strategy {name!r}: expected {', '.join(STRATEGIES)}")
    worker = _worker()
    if name == "multiworker" and worker is None:
        raise UsageError(
            "the strategy multiworker needs the environment variable TF_CONFIG with the "
            'workers, e.g. {"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": '
            '{"type": "worker", "index": 0}}'
        )
    # Read once, when TensorFlow loads; oneDNN trains twice as fast, to other last bits.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    tf = import_tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    if name == "mirrored" and not gpus:
        raise UsageError("the strategy mirrored needs GPUs, and TensorFlow finds none; give cpu")
    several = worker is not None and worker.count > 1
    if deterministic or (deterministic is None and (name == "cpu" or not gpus)):
        # Keras' initial weights, the one thing that draws without a seed of its own.
        import_tf_keras().utils.set_random_seed(0)
        tf.config.experimental.enable_op_determinism()
    if name == "multiworker" or (name == "auto" and several):
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        return Devices("multiworker", strategy, worker or Part(), _bfloat16(tf, gpus))
    if gpus and (name == "mirrored" or (name == "auto" and len(gpus) > 1)):
        return Devices("mirrored", tf.distribute.MirroredStrategy(), Part(), _bfloat16(tf, gpus))
    if gpus and name == "auto":
        strategy = tf.distribute.OneDeviceStrategy("/gpu:0")
        return Devices("gpu", strategy, Part(), _bfloat16(tf, gpus))
    return Devices("cpu", tf.distribute.OneDeviceStrategy("/cpu:0"), Part(), False)


def _worker() -> Part | None:
    """This process's place in ``TF_CONFIG``; None without one."""
    text = os.environ.get("TF_CONFIG", "")
    if not text.strip():
        return None
    try:
        found = json.loads(text)
        cluster, task = found["cluster"], found["task"]
        workers, index, kind = cluster["worker"], int(task["index"]), task["type"]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"TF_CONFIG is no JSON with cluster.worker, task.type and task.index ({error})"
        ) from error
    if set(cluster) != {"worker"} or kind != "worker" or not 0 <= index < len(workers):
        raise UsageError(
            "TF_CONFIG must name workers alone (no chief, ps or evaluator), and a task of type "
            f"worker with an index below their number; got {text.strip()[:200]}"
        )
    return Part(index, len(workers))


def _bfloat16(tf: Any, gpus: list[Any]) -> bool:
    return bool(gpus) and all(
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) >= (8, 0)
        for gpu in gpus
    )
