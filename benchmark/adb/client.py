"""The ``adb`` program, with a time limit on everything and its complaints as DeviceError."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from effnet_lite.errors import DeviceError

INSTALL = (
    "install it (Debian and Ubuntu: apt install adb; elsewhere "
    "https://developer.android.com/tools/releases/platform-tools) or set ANDROID_HOME"
)
#: Of a small command: a phone answers in tenths of a second, starting adb's server takes a few.
TIMEOUT = 30.0
# A USB 2 cable carries 20 to 30 MB/s, adb over a weak Wi-Fi perhaps this.
_BYTES_PER_SECOND = 250_000
_SDK_FOLDERS = ("~/Android/Sdk", "~/Library/Android/sdk", "~/AppData/Local/Android/Sdk")
_STATES = re.compile(
    r"^(?P<serial>\S.*?)\s+(?P<state>device|offline|unauthorized|authorizing|connecting|recovery|"
    r"rescue|sideload|bootloader|host|no device|no permissions|unknown)\b(?P<rest>.*)$"
)
_COMPLAINT = re.compile(r"^(?:error|adb|adb: error|adb\.exe): (.*)$", re.MULTILINE)
_LOST = re.compile(r"not found|offline|closed|no devices|disconnect|protocol fault|reset by peer")


@dataclasses.dataclass(frozen=True)
class Attached:
    """A line of ``adb devices``: the serial number and ``device``, ``unauthorized``…"""

    serial: str
    state: str


@dataclasses.dataclass(frozen=True)
class Output:
    """What a shell command printed, stderr included, and its exit code."""

    text: str
    code: int


class Adb:
    """One device, or without a serial number all of them.

    Args:
        executable: The adb program.
        serial: As ``adb devices`` prints it.
    """

    def __init__(self, executable: Path, serial: str = "") -> None:
        self.executable = executable
        self.serial = serial

    def attached(self) -> tuple[Attached, ...]:
        """Everything that is plugged in or connected, whatever its state."""
        found = []
        for line in self._run(["devices"], TIMEOUT).stdout.splitlines():
            if not line.startswith(("*", "List of")) and (match := _STATES.match(line)):
                found.append(Attached(match["serial"].strip(), match["state"]))
        return tuple(found)

    def is_there(self) -> bool:
        """Whether the device still answers."""
        try:
            return self._run(["get-state"], TIMEOUT).stdout.strip() == "device"
        except DeviceError:
            return False

    def lost(self, complaint: str = "") -> DeviceError:
        """The error for a device that is gone."""
        return DeviceError(
            f"{self.serial} was unplugged or stopped answering "
            f"({complaint or 'the connection broke'}); plug it in, unlock it and try again"
        )

    def shell(self, command: str, timeout: float = TIMEOUT) -> Output:
        """Run a command line on the device; whoever writes it quotes what is in it.

        A device that is unplugged meanwhile leaves exit code 0 and the output so far: adb 1.0.41
        waits for the code of the command, and takes the end of the connection for 0.

        Args:
            command: For the device's ``sh``.
            timeout: Seconds.

        Raises:
            DeviceError: The device is gone, or did not answer in time.
        """
        done = self._run(["shell", f"exec 2>&1; {command}"], timeout)
        # The command's own stderr goes to its stdout: what is left there is said by adb.
        complaint = _complaint(done.stderr)
        if done.returncode and (complaint or not self.is_there()):
            raise self.lost(complaint)
        return Output(done.stdout, done.returncode)

    def push(self, local: Path, remote: str) -> None:
        """Copy a file to the device.

        Raises:
            DeviceError: It did not arrive.
        """
        timeout = TIMEOUT + local.stat().st_size / _BYTES_PER_SECOND
        # An absolute path is never taken for an option.
        done = self._run(["push", str(local.resolve()), remote], timeout)
        if done.returncode:
            raise self._failed(f"cannot copy {local} to {self.serial}", done)

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file from the device.

        Raises:
            DeviceError: It did not arrive.
        """
        done = self._run(["pull", remote, str(local.resolve())], 10 * TIMEOUT)
        if done.returncode:
            raise self._failed(f"cannot copy {remote} from {self.serial}", done)

    def _run(self, arguments: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
        which = ["-s", self.serial] if self.serial else []
        try:
            return subprocess.run(
                [str(self.executable), *which, *arguments], stdin=subprocess.DEVNULL,
                capture_output=True, timeout=timeout, check=False,
                encoding="utf-8", errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"{self.serial or 'adb'} did not answer within {timeout:.0f} s "
                f"(adb {arguments[0]}); check the cable and the screen of the device"
            ) from error
        except OSError as error:
            raise DeviceError(f"cannot run {self.executable}: {error.strerror or error}") from error

    def _failed(self, what: str, done: subprocess.CompletedProcess[str]) -> DeviceError:
        complaint = _complaint(done.stderr) or _complaint(done.stdout) or "adb does not say why"
        return self.lost(complaint) if _LOST.search(complaint) else DeviceError(
            f"{what}: {complaint}"
        )  # fmt: skip


def find_adb() -> Path:
    """The adb program: on PATH, then in the SDK of $ANDROID_HOME, $ANDROID_SDK_ROOT, or home.

    Raises:
        DeviceError: There is none.
    """
    if found := shutil.which("adb"):
        return Path(found)
    named = [os.environ.get("ANDROID_HOME"), os.environ.get("ANDROID_SDK_ROOT")]
    for folder in [*filter(None, named), *_SDK_FOLDERS]:
        tools = Path(folder).expanduser() / "platform-tools"
        if found := shutil.which("adb", path=str(tools)):
            return Path(found)
    raise DeviceError(f"adb is not installed, and devices are reached through it; {INSTALL}")


def _complaint(text: str) -> str:
    """The last thing that adb complained of, in one line; empty if nothing."""
    found = _COMPLAINT.findall(text)
    return " ".join(found[-1].split()) if found else ""
