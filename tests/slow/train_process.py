"""A training in a process of its own: OUTPUT PHOTOS JSON-of-options [step to be killed at].

The strategy ``logical`` is that of several GPUs, on two logical CPUs.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from shapes import TINY

from effnet_lite.lite.training import checkpoint, loop
from effnet_lite.lite.training.train import train


def kill_at(step: str) -> None:
    """SIGKILL, when that step begins; with a ``w`` behind it, while it is being saved."""
    if step.endswith("w"):
        write = checkpoint.write_bytes

        def killed(path, data, overwrite):
            if json.loads(facts_of(data))["step"] == int(step[:-1]):
                with open(f"{path}.half", "wb") as file:  # noqa: PTH123
                    file.write(data[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            write(path, data, overwrite)

        checkpoint.write_bytes = killed
        return
    advance = loop.Trainer._advance

    def interrupted(self, *rest):
        if self.step == int(step):
            os.kill(os.getpid(), signal.SIGKILL)
        return advance(self, *rest)

    loop.Trainer._advance = interrupted


def use_logical_devices() -> None:
    import effnet_lite.lite.training.train as job
    from effnet_lite.lite.keras import import_tensorflow
    from effnet_lite.lite.training.devices import Devices, Part

    tf = import_tensorflow()
    device = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        device, [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
    )
    opened = job.open_devices

    def two(name, deterministic):
        opened(name, deterministic)
        strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
        return Devices("mirrored", strategy, Part(), False)

    job.open_devices = two


def facts_of(data: bytes) -> str:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])["__metadata__"]["facts"]


def main() -> None:
    output, photos, options, *step = sys.argv[1:]
    if step:
        kill_at(step[0])
    given = json.loads(options)
    if given.get("strategy") == "logical":
        given["strategy"] = "cpu"
        use_logical_devices()
    if not given.get("resume"):
        given = {"variant": TINY, "weights": "random", "preset": "transfer"} | given
    result = train(photos, output=output, **given)
    print(json.dumps([epoch.loss for epoch in result.history]))


if __name__ == "__main__":
    main()
