"""What a run says of the machine, from readings made for the test."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest

from effnet_lite.benchmark.host.conditions import Snapshot, Watch, snapshot, spread_complaints

TICK = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
QUIET = Snapshot(0.0, 50.0, 1.0, 0.1, 2000.0, "performance", 45.0, 0)


def later(seconds=1.0, **changes):
    return dataclasses.replace(QUIET, when=seconds, **changes)


def watch(before, after, own=0.0):
    found = Watch()
    found.add(before, after, own)
    return found


@pytest.fixture
def machine(tmp_path):
    """/proc and /sys of a board with two cores."""
    files = {
        "proc/stat": "cpu  100 20 30 4000 5 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n",
        "proc/loadavg": "0.52 0.58 0.59 1/389 4242\n",
        "sys/class/thermal/thermal_zone0/temp": "41000\n",
        "sys/class/thermal/thermal_zone1/temp": "47500\n",
    }
    for core, clock in ((0, 600000), (1, 1800000)):
        folder = f"sys/devices/system/cpu/cpu{core}"
        files[f"{folder}/cpufreq/scaling_cur_freq"] = f"{clock}\n"
        files[f"{folder}/cpufreq/scaling_governor"] = "ondemand\n"
        files[f"{folder}/thermal_throttle/core_throttle_count"] = "3\n"
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_readings(machine):
    found = snapshot(machine)
    assert found.busy == pytest.approx((100 + 20 + 30 + 6 + 7) * TICK)
    assert found.stolen == pytest.approx(8 * TICK)
    assert (found.load, found.clock_mhz, found.governor) == (0.52, 1800, "ondemand")
    assert (found.temperature, found.throttled) == (47.5, 6)


def test_readings_that_are_not_there(tmp_path, machine):
    empty = snapshot(tmp_path / "nowhere")
    assert {value for name, value in dataclasses.asdict(empty).items() if name != "when"} == {None}
    (machine / "proc/stat").write_text("intr 1 2 3\n")
    (machine / "sys/class/thermal/thermal_zone0/temp").write_text("")
    found = snapshot(machine)
    assert (found.busy, found.temperature) == (None, 47.5)
    assert not watch(found, found).complaints()


def test_a_quiet_run():
    found = watch(QUIET, later(2.0, busy=51.9, clock_mhz=2020.0, temperature=47.0), own=1.85)
    assert not found.complaints()
    assert found.conditions() == {
        "governor": "performance",
        "clock_mhz": [2020, 2020],
        "temperature_c": [45.0, 47.0],
        "load_before": 0.1,
        "others_busy_cores": 0.02,
        "stolen_cores": 0.0,
    }


@pytest.mark.parametrize(
    ("after", "complaint"),
    [
        (later(busy=51.9), "other processes kept 1.0 of"),
        (later(stolen=1.2), "hypervisor gave 0.20"),
        (later(throttled=2), "throttled"),
    ],
    ids=["busy", "stolen", "throttled"],
)
def test_what_disturbs_is_said(after, complaint):
    own = 0.9 if after.busy > QUIET.busy else 0.0
    (found,) = watch(QUIET, after, own).complaints()
    assert complaint in found


def test_a_clock_that_moves():
    found = watch(QUIET, later(clock_mhz=2000.0))
    found.add(QUIET, later(clock_mhz=1500.0), 0.0)
    assert found.complaints() == ["the clock went between 1500 and 2000 MHz"]


def test_short_stretches_add_up():
    """Ticks are counted whole: one stretch alone may seem to have less work than our own."""
    found = Watch()
    for number in range(10):
        after = later(0.05, busy=QUIET.busy + (0.04 if number % 2 else 0.06))
        found.add(QUIET, after, 0.05)
    assert not found.complaints()
    assert found.conditions()["others_busy_cores"] == 0.0


def test_spread():
    random = np.random.default_rng(0)
    quiet = [random.normal(4, 0.05, 50) for _ in range(5)]
    assert not spread_complaints(quiet)
    (found,) = spread_complaints([random.uniform(3, 6, 50) for _ in range(5)])
    assert "runs differ by" in found
    (found,) = spread_complaints([*quiet, random.normal(5, 0.05, 50)])
    assert "medians of 6 launches differ by 2" in found
