"""The names that the package exports."""

import subprocess
import sys

import pytest

import effnet_lite


@pytest.mark.parametrize(
    "first",
    [
        "import effnet_lite",
        "import effnet_lite.benchmark.classify",
        "import effnet_lite; effnet_lite.benchmark",
        "from effnet_lite import benchmark",
        "from effnet_lite import classify, inspect, doctor",
    ],
)
def test_benchmark_is_a_package_and_a_function(first, int8_model):
    """Whichever was imported first."""
    code = (
        f"{first}\nimport sys, effnet_lite, effnet_lite.benchmark.host.latency\n"
        "from effnet_lite import benchmark\n"
        "assert effnet_lite.benchmark.host.latency.measure_on_host\n"
        "(record,) = benchmark(sys.argv[1], runs=1, min_seconds=0, processes=1).records\n"
        "print(record.runs)"
    )
    command = [sys.executable, "-c", code, str(int8_model)]
    printed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert printed.stdout.strip() == "1", printed.stderr


@pytest.mark.parametrize("name", effnet_lite.__all__)
def test_every_export_exists(name):
    if name == "EffNetLite":
        assert effnet_lite.EffNetLite("lite0").variant.name == "lite0"
    elif name in ("VARIANTS", "__version__"):
        assert getattr(effnet_lite, name)
    else:
        assert callable(getattr(effnet_lite, name))


def test_other_names_do_not():
    with pytest.raises(AttributeError, match="no attribute 'conver'"):
        _ = effnet_lite.conver
    assert set(effnet_lite.__all__) == set(dir(effnet_lite))


def test_importing_is_light():
    code = (
        "import sys, effnet_lite; "
        "print([name for name in ('numpy', 'PIL', 'click', 'tensorflow') if name in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert printed.stdout.strip() == "[]"
