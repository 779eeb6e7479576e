"""Which device to use, what it is, and what state it is in."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.adb.client import Adb
from effnet_lite.errors import DeviceError, UsageError

_PROPERTIES = (
    "ro.product.manufacturer", "ro.product.model", "ro.soc.manufacturer", "ro.soc.model",
    "ro.board.platform", "ro.hardware", "ro.build.version.release", "ro.build.version.sdk",
    "ro.product.cpu.abilist", "ro.product.cpu.abi", "ro.kernel.qemu",
)  # fmt: skip
# Only what every Android shell has; `read` is built in, and starting a process for each of a
# hundred thermal zones would warm the device.
_DESCRIBE = (
    "for name in " + " ".join(_PROPERTIES) + '; do echo "$name=$(getprop $name)"; done; '
    "for core in /sys/devices/system/cpu/cpu[0-9]*; do echo core=${core##*cpu}; done; "
    "taskset 1 true > /dev/null 2> /dev/null; echo taskset=$?"
)
_STATE = """
for core in /sys/devices/system/cpu/cpu[0-9]*; do
  for name in scaling_governor scaling_cur_freq scaling_max_freq cpuinfo_max_freq; do
    value=; read -r value < $core/cpufreq/$name && echo cpu ${core##*cpu} $name $value
  done
done 2> /dev/null
for zone in /sys/class/thermal/thermal_zone*; do
  value=; kind=; read -r value < $zone/temp && read -r kind < $zone/type && echo zone $value $kind
done 2> /dev/null
echo power_saving $(settings get global low_power 2> /dev/null)
dumpsys battery 2> /dev/null
echo dumpsys thermalservice
dumpsys thermalservice 2> /dev/null
"""
#: android.os.PowerManager.THERMAL_STATUS_*
THROTTLING = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_SENSOR = re.compile(r"Temperature\{mValue=(-?[\d.]+), mType=(-?\d+), mName=([^,}]*)")
_CPU_SENSOR = 0  # android.hardware.thermal.TemperatureType
_CPU_ZONE = re.compile(r"cpu|soc|tsens|big|little|mid|cluster|apc", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Phone:
    """What does not change while the device is plugged in.

    Attributes:
        maker, model, soc, android, sdk: None where the device does not say.
        abis: What it runs, the preferred first: ``arm64-v8a``…
        cores: Numbers of its processor's cores.
        has_taskset: Whether processes can be pinned.
        emulator: Whether it is none.
    """

    maker: str | None
    model: str | None
    soc: str | None
    android: str | None
    sdk: int | None
    abis: tuple[str, ...]
    cores: tuple[int, ...]
    has_taskset: bool
    emulator: bool

    @property
    def name(self) -> str:
        """Maker, model and SoC."""
        name = " ".join(filter(None, (self.maker, self.model))) or "unnamed device"
        return f"{name} ({self.soc})" if self.soc else name


@dataclasses.dataclass(frozen=True)
class State:
    """How warm and how fast the device is.

    Attributes:
        governors: By core.
        clocks_khz, caps_khz, limits_khz: By core: now, what the kernel allows now, and what
            the hardware can.
        sensors: Degrees Celsius by name.
        temperature: The hottest sensor of the processor.
        throttling: Android's thermal status, an index of ``THROTTLING``.
        battery: Percent.
        power_saving: Whether the battery saver is on.
    """

    governors: dict[int, str]
    clocks_khz: dict[int, int]
    caps_khz: dict[int, int]
    limits_khz: dict[int, int]
    sensors: dict[str, float]
    temperature: float | None
    throttling: int | None
    battery: int | None
    power_saving: bool

    def to_json(self) -> dict[str, Any]:
        """For ``conditions`` of a record; what the device does not say is left out."""
        found = {
            "governors": sorted(set(self.governors.values())),
            "clocks_khz": list(self.clocks_khz.values()),
            "caps_khz": list(self.caps_khz.values()),
            "temperature_c": self.temperature,
            "throttling": None if self.throttling is None else throttling_name(self.throttling),
            "battery_percent": self.battery,
            "power_saving": self.power_saving or None,
        }
        return {name: value for name, value in found.items() if value not in (None, [])}


def choose(spec: str, executable: Path) -> Adb:
    """The device that a user means.

    Args:
        spec: ``adb`` for the only one (or $ANDROID_SERIAL, as adb itself does), or
            ``adb:SERIAL``.
        executable: The adb program.

    Raises:
        UsageError: Neither.
        DeviceError: None is attached, several are, or it does not let us in.
    """
    kind, _, serial = spec.partition(":")
    if kind != "adb" or (":" in spec and not serial):
        raise UsageError(f"expected a device such as adb or adb:SERIAL, got {spec!r}")
    serial = serial or os.environ.get("ANDROID_SERIAL", "")
    attached = {entry.serial: entry.state for entry in Adb(executable).attached()}
    if not attached:
        raise DeviceError(
            "no device is attached; plug one in, switch on USB debugging in its developer options, "
            "and see that `adb devices` lists it"
        )
    listed = ", ".join(
        name if state == "device" else f"{name} ({state})" for name, state in attached.items()
    )
    if serial and serial not in attached:
        raise DeviceError(f"device {serial} is not attached; attached: {listed}")
    if not serial and len(attached) > 1:
        raise DeviceError(
            f"{len(attached)} devices are attached: {listed}; say which as adb:SERIAL"
        )
    serial = serial or next(iter(attached))
    _check_state(serial, attached[serial])
    return Adb(executable, serial)


def describe(adb: Adb) -> Phone:
    """What the device says of itself.

    Raises:
        DeviceError: It does not answer.
    """
    found: dict[str, str] = {}
    cores = []
    for line in adb.shell(_DESCRIBE).text.splitlines():
        name, _, value = line.partition("=")
        if name == "core" and value.isdecimal():
            cores.append(int(value))
        found[name] = value.strip()

    def first(*names: str) -> str | None:
        return next((found[name] for name in names if found.get(name)), None)

    abis = first("ro.product.cpu.abilist", "ro.product.cpu.abi")
    if abis is None:
        raise DeviceError(f"{adb.serial} does not say which ABI it has: its shell has no getprop")
    sdk = first("ro.build.version.sdk")
    soc = [found.get("ro.soc.manufacturer"), found.get("ro.soc.model")]
    return Phone(
        maker=first("ro.product.manufacturer"),
        model=first("ro.product.model"),
        soc=" ".join(filter(None, soc)) if soc[1] else first("ro.board.platform", "ro.hardware"),
        android=first("ro.build.version.release"),
        sdk=int(sdk) if sdk and sdk.isdecimal() else None,
        abis=tuple(abi.strip() for abi in abis.split(",")),
        cores=tuple(sorted(cores)),
        has_taskset=found.get("taskset") == "0",
        emulator=found.get("ro.kernel.qemu") == "1"
        or found.get("ro.hardware") in ("ranchu", "goldfish"),
    )


def read_state(adb: Adb) -> State:
    """How warm and how fast the device is now.

    Raises:
        DeviceError: It does not answer.
    """
    return parse_state(adb.shell(_STATE).text)


def parse_state(text: str) -> State:
    """The answer to the questions of ``read_state``; what is missing in it is None or empty."""
    by_core: dict[str, dict[int, str]] = {}
    zones: dict[str, float] = {}
    saving, battery = False, None
    head, _, thermal = text.partition("dumpsys thermalservice")
    for line in head.splitlines():
        match line.split(maxsplit=3):
            case ["cpu", core, name, value] if core.isdecimal():
                by_core.setdefault(name, {})[int(core)] = value.strip()
            case ["zone", value, *kind] if re.fullmatch(r"-?\d+", value):
                # Millidegrees by the kernel's rules, whole degrees in some vendors' drivers.
                degrees = int(value) / 1000 if abs(int(value)) >= 1000 else float(value)
                zones[f"{' '.join(kind)} {len(zones)}"] = degrees
            case ["power_saving", value]:
                saving = value == "1"
            case ["level:", value] if value.isdecimal():
                battery = int(value)
    sensors, cpu = _sensors(thermal)
    if not cpu:
        cpu = [value for name, value in zones.items() if _CPU_ZONE.search(name)]
    plausible = [value for value in cpu if 0 < value < 150]
    return State(
        governors=by_core.get("scaling_governor", {}),
        clocks_khz=_integers(by_core.get("scaling_cur_freq", {})),
        caps_khz=_integers(by_core.get("scaling_max_freq", {})),
        limits_khz=_integers(by_core.get("cpuinfo_max_freq", {})),
        sensors=zones | sensors,
        temperature=max(plausible, default=None),
        throttling=_throttling(thermal),
        battery=battery,
        power_saving=saving,
    )


def throttling_name(status: int) -> str:
    """Android's word for a thermal status."""
    return THROTTLING[status] if 0 <= status < len(THROTTLING) else str(status)


def _sensors(thermal: str) -> tuple[dict[str, float], list[float]]:
    """All sensors of ``dumpsys thermalservice``, and those of the processor."""
    # What is cached dates from the last time that a limit was passed.
    _, _, current = thermal.partition("Current temperatures from HAL:")
    current = current.partition("Current cooling devices")[0]
    found = [
        (name, float(value), int(kind)) for value, kind, name in _SENSOR.findall(current or thermal)
    ]
    return (
        {name: value for name, value, _ in found},
        [value for _, value, kind in found if kind == _CPU_SENSOR],
    )


def _throttling(thermal: str) -> int | None:
    # An overridden status is what someone typed, not what the device feels.
    if "IsStatusOverride: true" in thermal:
        return None
    found = re.search(r"^\s*Thermal Status: (\d+)", thermal, re.MULTILINE)
    return int(found[1]) if found else None


def _integers(values: dict[int, str]) -> dict[int, int]:
    return {core: int(value) for core, value in values.items() if value.isdecimal()}


def _check_state(serial: str, state: str) -> None:
    if state == "unauthorized":
        raise DeviceError(
            f'{serial} is not authorised: unlock it and confirm "Allow USB debugging"'
        )
    if state == "no permissions":
        raise DeviceError(
            f"this user may not open {serial}: add udev rules "
            "(https://developer.android.com/studio/run/device) or, on Debian, "
            "install android-sdk-platform-tools-common"
        )
    if state != "device":
        raise DeviceError(f"{serial} is {state}, not ready; plug it in again and unlock it")
