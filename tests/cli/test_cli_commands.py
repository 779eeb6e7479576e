"""What the commands print when all is well."""

import json

import pytest
from small_variants import LITE

from effnet_lite.lite.variants import VARIANTS
from effnet_lite.quantize import mixed


def document(answer):
    """The one JSON document on stdout; standard error is silent."""
    assert answer.code == 0, answer.err
    assert answer.err == ""
    return json.loads(answer.out)


def convert(output, photos, *options):
    recipe = () if {"--fp32", "--fp16", "--dynamic"}.intersection(options) else ("--recipe", "fast")
    return (
        "convert", "--variant", LITE, "--weights", "random", "--calibration", photos,
        "--calibration-count", 5, *recipe, "-o", output, *options,
    )  # fmt: skip


def test_convert(cli, photos, tmp_path):
    answer = cli(*convert(tmp_path / "a.tflite", photos))
    assert answer.code == 0
    assert answer.err == "note: the weights are random: the model is for timing and testing only\n"
    assert f"{LITE} int8, recipe w8a8-minmax, weights random-0" in answer.out
    assert "calibrated on 5 photos" in answer.out
    assert "top-1 agreement" in answer.out
    assert "SQNR" in answer.out
    assert f"wrote {tmp_path / 'a.tflite'}" in answer.out
    following = [
        line.split()[1] for line in answer.out.splitlines() if line.startswith("  effnet-lite ")
    ]
    assert following == ["classify", "benchmark", "inspect"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.tflite"]


def test_convert_json(cli, photos, tmp_path):
    path = tmp_path / "a.tflite"
    answer = cli(*convert(path, photos, "--json"))
    found = document(answer)
    assert {"output", "sha256", "bytes", "recipe", "fidelity", "calibration"} <= set(found)
    assert found["output"] == str(path)
    assert found["bytes"] == path.stat().st_size
    assert found["calibration"]["count"] == 5
    assert len(found["calibration"]["digest"]) == 64
    assert {"count", "top1_agreement", "sqnr_db", "kl"} <= set(found["fidelity"])
    assert found["notices"]


@pytest.mark.parametrize("flag", ["fp32", "fp16", "dynamic", "int8", "int16x8"])
def test_convert_precision_flags(cli, photos, tmp_path, flag):
    found = document(
        cli(*convert(tmp_path / "a.tflite", photos, f"--{flag}", "--no-check", "--json"))
    )
    names = {"fp32": "float32", "fp16": "float16"}
    assert found["precision"] == names.get(flag, flag)
    assert found["fidelity"] is None


def test_convert_says_what_wide_layers_cost(cli, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(mixed, "TARGET", 0)  # whatever gains anything
    arguments = convert(tmp_path / "a.tflite", photos, "--no-check", "--overwrite")
    arguments = ["fast+float" if word == "fast" else word for word in arguments]
    lines = cli(*arguments).out.splitlines()
    start = lines.index(
        "kept in float, on 5 calibration photos before rounding and bias correction; latency as "
        "a ratio, on this host's CPU:"
    )
    assert lines[start + 1].split() == ["SQNR", "dB", "agreement", "bytes", "latency"]
    assert lines[start + 2].startswith("  all in int8 ")
    assert lines[start + 2].endswith(" 1.00")
    found = document(cli(*arguments, "--json"))["wide"]
    assert found[0]["name"] is None
    assert found[-1]["sqnr_db"] > found[0]["sqnr_db"]
    for line, cost in zip(lines[start + 2 :], found, strict=False):
        assert f"{cost['bytes']:,}" in line.split()
    assert lines[start + 2 + len(found)].startswith("wrote ")
    monkeypatch.setattr(mixed, "TARGET", 1e9)
    assert "no layer is kept in float: int8 alone stands at" in cli(*arguments).out


def test_convert_names_the_output(cli, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = convert("", photos, "--no-check")
    position = arguments.index("-o")
    assert cli(*arguments[:position], *arguments[position + 2 :]).code == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"efficientnet-{LITE}-int8.tflite"]


def test_classify(cli, int8_model, photos):
    answer = cli("classify", int8_model, photos / "00.jpg", photos / "01.jpg", "--top", 2)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith(str(photos / "00.jpg"))
    assert "%" in lines[1]


def test_classify_json(cli, int8_model, photos):
    found = document(cli("classify", int8_model, photos / "00.jpg", "--top", 2, "--json"))
    (result,) = found["results"]
    assert result["image"] == str(photos / "00.jpg")
    assert len(result["categories"]) == 2
    assert set(result["categories"][0]) == {"index", "label", "score"}


def test_inspect(cli, int8_model):
    answer = cli("inspect", int8_model)
    assert (answer.code, answer.err) == (0, "")
    for text in ("image 1x64x64x3 uint8, scale 0.0078125, zero point 127", "1000: tench",
                 f"{LITE}, int8", "crop 0.875, bicubic", "calibration  10 photos",
                 "agreement"):  # fmt: skip
        assert text in answer.out
    assert "block2a_dwconv" not in answer.out
    assert "block2a_dwconv" in cli("inspect", int8_model, "--layers").out


def test_inspect_json(cli, int8_model):
    found = document(cli("inspect", int8_model, "--json"))
    assert {"inputs", "outputs", "ops", "metadata", "record"} <= set(found)
    assert found["record"]["golden"]


def test_inspect_a_foreign_model(cli, tiny, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(tiny)
    answer = cli("inspect", path)
    assert answer.code == 0
    assert "give options by hand" in answer.out
    assert document(cli("inspect", path, "--json"))["record"] is None


def test_compare(cli, float_model, int8_model, photos):
    answer = cli("compare", float_model, int8_model, "--data", photos, "--count", 3)
    assert (answer.code, answer.err) == (0, "")
    for text in ("top-1 agreement", "SQNR", "KL", "the worst of"):
        assert text in answer.out


def test_compare_json(cli, float_model, int8_model, photos):
    found = document(
        cli("compare", float_model, int8_model, "--data", photos, "--count", 3, "--json")
    )
    assert found["count"] == 3
    assert {"top1_agreement", "sqnr_db", "kl", "float", "quantized", "layers"} <= set(found)
    found = document(
        cli("compare", float_model, float_model, "--data", photos, "--count", 1, "--json",
            "--no-layers")
    )  # fmt: skip
    assert (found["sqnr_db"], found["layers"]) == (None, [])


QUICK = ("--runs", 2, "--min-seconds", 0, "--processes", 2)


def test_benchmark(cli, float_model, int8_model, tmp_path):
    csv, picture = tmp_path / "a.csv", tmp_path / "a.svg"
    files = ("--csv", csv, "--plot", picture)
    answer = cli("benchmark", float_model, int8_model, *QUICK, *files)
    assert (answer.code, answer.err) == (0, "")
    for text in ("host: ", "inference only", "p50 ms", f"against {float_model.name} ",
                 "99 % interval", f"wrote {csv}", f"wrote {picture}"):  # fmt: skip
        assert text in answer.out
    assert len(csv.read_text().splitlines()) == 3
    assert picture.read_text().startswith("<?xml")
    again = cli("benchmark", int8_model, *QUICK, *files)
    assert (again.code, again.out) == (1, "")
    assert "--overwrite" in again.err


def test_benchmark_json(cli, int8_model):
    found = document(cli("benchmark", int8_model, *QUICK, "--delegate", "cpu, none", "--json"))
    assert [record["delegate"] for record in found["records"]] == ["cpu", "none"]
    assert set(found["comparisons"][0]) >= {"a", "b", "ratio", "interval", "verdict"}
    assert {
        "model_sha256", "runtime", "runtime_version", "delegate", "device", "threads", "runs",
        "p50_ms", "p90_ms", "p99_ms", "init_ms", "first_run_ms", "peak_rss_mib",
    } <= set(found["records"][0])  # fmt: skip


def test_benchmark_profile(cli, int8_model, tmp_path):
    picture = tmp_path / "roof.png"
    answer = cli("benchmark", int8_model, *QUICK, "--profile-plot", picture)
    assert answer.code == 0
    for text in ("the costliest of", "of the roof", "roof, measured", f"wrote {picture}"):
        assert text in answer.out
    assert picture.read_bytes().startswith(b"\x89PNG")
    answer = cli("benchmark", int8_model, *QUICK, "--profile", "--json", "--delegate", "cpu,none")
    found = document(answer)
    assert [profile["kernels"] for profile in found["profiles"]] == ["xnnpack", "builtin"]
    assert len(found["profiles"][0]["layers"]) == found["records"][0]["ops"]


def test_benchmark_without_a_profiler(cli, int8_model):
    answer = cli("benchmark", int8_model, *QUICK, "--profile", "--delegate", "none", "--threads", 2)
    assert answer.code == 1
    assert "p50 ms" in answer.out
    assert "no profile of" in answer.err
    assert "on one thread" in answer.err


@pytest.mark.parametrize(
    "options",
    [("--cores", "x"), ("--cores", "3-1"), ("--cores", "-1"), ("--delegate-option", "a"),
     ("--delegate", "gpu"), ("--runtime", "onnx"), ("--processes", 0)],
    ids=str,
)  # fmt: skip
def test_benchmark_called_wrongly(cli, int8_model, options):
    answer = cli("benchmark", int8_model, *options)
    assert (answer.code, answer.out) == (2, "")
    assert "Traceback" not in answer.err


def test_variants(cli):
    answer = cli("variants")
    assert (answer.code, answer.err) == (0, "")
    first = [line.split()[0] for line in answer.out.splitlines()[1:14]]
    assert first == list(VARIANTS)
    assert "arXiv 1905.11946" in answer.out


def test_variants_json(cli):
    found = document(cli("variants", "--json"))["variants"]
    assert [row["name"] for row in found] == list(VARIANTS)
    assert found[0]["params"] == 4_652_008
    assert found[0]["published"]["top1_int8"] == 74.4
    assert found[5]["published"]["top1_int8"] is None
    (custom,) = document(cli("variants", "lite-w0.5-d1-s96", "--json"))["variants"]
    assert custom["published"] is None
    assert cli("variants", "lite-w0.5-d1-s96").code == 0


def test_doctor(cli):
    answer = cli("doctor")
    assert (answer.code, answer.err) == (0, "")
    assert "TFLite runtime" in answer.out
    assert document(cli("doctor", "--json"))["ok"] is True


def test_doctor_fails_where_nothing_works(cli, monkeypatch):
    from effnet_lite.quantize.tflite import runtime

    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: None)
    answer = cli("doctor")
    assert answer.code == 1
    assert "FAIL" in answer.out
