#!/usr/bin/env bash
# Install a wheel in a clean environment, with the base dependencies and nothing else, and
# use it from another directory.
#
#   scripts/check_wheel.sh dist/effnet_lite-0.1.0-py3-none-any.whl
set -euo pipefail

wheel=$(realpath "${1:?usage: check_wheel.sh WHEEL}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset PYTHONPATH EFFNET_LITE_CACHE

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "$wheel"
venv/bin/pip check
PATH=$folder/venv/bin:$PATH

python - <<'PYTHON'
import importlib.util

for name in ("tensorflow", "tf_keras", "h5py", "safetensors"):
    assert importlib.util.find_spec(name) is None, f"the base install brings {name}"
import effnet_lite

assert "site-packages" in effnet_lite.__file__, effnet_lite.__file__
for name in effnet_lite.__all__:
    getattr(effnet_lite, name)

import numpy
from PIL import Image

pixels = numpy.random.default_rng(0).integers(0, 256, (240, 320, 3), numpy.uint8)
Image.fromarray(pixels).save("photo.png")
PYTHON

effnet-lite --version
effnet-lite --help > /dev/null
for command in $(python -c 'from effnet_lite.cli import COMMANDS; print(*COMMANDS)'); do
    effnet-lite "$command" --help > /dev/null
done
effnet-lite doctor > /dev/null
effnet-lite variants --json > variants.json

convert=(effnet-lite convert --variant lite-w0.5-d0.5-s96 --weights random)
"${convert[@]}" --fp32 -o float.tflite --json > float.json
"${convert[@]}" --int8 --calibration synthetic -o int8.tflite --json > int8.json
effnet-lite inspect int8.tflite --json > inspect.json
effnet-lite classify int8.tflite photo.png --json > classify.json
effnet-lite benchmark int8.tflite --runs 5 --min-seconds 0 --json > benchmark.json
effnet-lite compare float.tflite int8.tflite --data . --json > compare.json
mkdir app && echo 'plugins { id("com.android.application") }' > app/build.gradle.kts
effnet-lite android int8.tflite --project app --activation-map --json > android.json
test -s app/src/main/assets/int8.golden.json

python - <<'PYTHON'
import json

inspected = json.load(open("inspect.json"))
assert inspected["record"]["precision"] == "int8", inspected["record"]
categories = json.load(open("classify.json"))["results"][0]["categories"]
assert all(category["label"] for category in categories), categories
assert json.load(open("benchmark.json"))["records"][0]["p50_ms"] > 0
assert json.load(open("compare.json"))["count"] == 1
PYTHON

# What the base install cannot do, it says: exit 1, one line that names the pip command.
printf '\x89HDF\r\n\x1a\n and some more' > weights.h5
if effnet-lite convert --variant b0 --weights weights.h5 -o no.tflite 2> error.txt; then
    echo "converting from .h5 without h5py should have failed" >&2
    exit 1
fi
grep -q "pip install 'effnet-lite\[convert\]'" error.txt || { cat error.txt >&2; exit 1; }
test ! -e no.tflite

echo "the wheel works: $(basename "$wheel")"
