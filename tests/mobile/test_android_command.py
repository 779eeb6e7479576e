"""The function behind ``effnet-lite android``, on projects as people have them."""

from __future__ import annotations

import json
import shutil

import pytest
from gradle_projects import CATALOGUE, FOLDERS, PROJECTS, write_project
from tiny_models import build_tiny_model

from effnet_lite.errors import InputError, UsageError
from effnet_lite.files import sha256
from effnet_lite.lite.labels import imagenet_labels
from effnet_lite.mobile.android import android
from effnet_lite.quantize.tflite.description import read_description
from effnet_lite.quantize.tflite.golden import GoldenCheck, replay
from effnet_lite.quantize.tflite.metadata import parse_labels
from effnet_lite.quantize.tflite.predictor import Predictor
from effnet_lite.quantize.tflite.records import from_json

DEMO = {
    "settings.gradle.kts": 'include(":effnetlite", ":app")\n',
    "gradle/libs.versions.toml": CATALOGUE,
    "effnetlite/build.gradle.kts": "plugins { alias(libs.plugins.android.lib) }",
    "app/build.gradle.kts": "plugins { alias(libs.plugins.android.application) }",
    "app/src/main/kotlin/org/effnetlite/demo/App.kt": "package org.effnetlite.demo\n",
}


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", PROJECTS)
def test_any_project(tmp_path, int8_model, name):
    root = write_project(tmp_path / "a project", PROJECTS[name])
    before = files_below(root)
    result = android(int8_model, root, name="birds")
    assets = f"{FOLDERS.get(name, 'app')}/src/main/assets/"
    written = {assets + file for file in ("birds.tflite", "birds.labels.txt", "birds.golden.json")}
    assert files_below(root) == before | written
    assert {path.relative_to(root.resolve()).as_posix() for path in result.files} == written
    assert (result.module, result.asset) == (":app", "birds.tflite")
    model, golden, labels = (path.read_bytes() for path in result.files)
    assert model == int8_model.read_bytes()
    assert (result.sha256, result.bytes) == (sha256(model), len(model))
    assert (result.variant, result.precision) == ("lite-w0.35-d0.35-s64", "int8")
    assert (result.input_type, result.size, result.classes) == ("uint8", 64, 1000)
    assert parse_labels(labels) == imagenet_labels()
    assert result.labels == 1000
    check = from_json(GoldenCheck, golden, "the golden check")
    assert check == read_description(model).golden
    assert replay(check, Predictor(model).raw).passed
    assert result.golden is not None
    assert result.golden.passed
    assert not result.is_demo
    assert result.warnings == ()


def test_lines_to_paste_in_kotlin(tmp_path, int8_model):
    root = write_project(tmp_path, PROJECTS["kotlin"])
    paste = {part.where: part.text for part in android(int8_model, root, name="a").paste}
    assert paste["settings.gradle.kts"] == 'include(":effnetlite")'
    assert 'noCompress += "tflite"' in paste["app/build.gradle.kts"]
    texts = [part.text for part in android(int8_model, root, name="b").paste]
    assert 'dependencies {\n    implementation(project(":effnetlite"))\n}' in texts
    lines = [line for line in paste["Kotlin"].splitlines() if line]
    assert lines == [
        "import org.effnetlite.EffNetLite",
        'val model = EffNetLite.create(context, "a.tflite")',
        "val best = model.classify(bitmap, rotationDegrees = 0).first()",
        'println("${best.label}: ${best.score}")',
        "model.close()",
    ]


def test_lines_to_paste_in_groovy(tmp_path, int8_model):
    root = write_project(tmp_path, PROJECTS["groovy"])
    parts = android(int8_model, root).paste
    assert [part.where for part in parts] == [
        "settings.gradle", "app/build.gradle", "app/build.gradle", "Kotlin",
    ]  # fmt: skip
    text = "\n".join(part.text for part in parts)
    for line in ("include ':effnetlite'", "implementation project(':effnetlite')",
                 "noCompress 'tflite'"):  # fmt: skip
        assert line in text


@pytest.mark.parametrize(
    "dependency",
    ['implementation(project(":effnetlite"))', "api project(path: ':effnetlite')",
     "implementation(projects.effnetlite)"],
)  # fmt: skip
def test_only_what_is_missing(tmp_path, int8_model, dependency):
    """The commented-out line of the second project counts for nothing."""
    script = PROJECTS["kotlin"]["app/build.gradle.kts"]
    store = 'android { androidResources { noCompress += listOf("bin", "tflite") } }'
    files = {**PROJECTS["kotlin"], "app/build.gradle.kts":
             f"{script}\ndependencies {{ {dependency} }}\n{store}\n"}  # fmt: skip
    root = write_project(tmp_path / "has", files)
    assert [part.where for part in android(int8_model, root).paste] == ["Kotlin"]
    files["app/build.gradle.kts"] = f"{script}\n// {dependency}\n/* {store} */\n"
    root = write_project(tmp_path / "lacks", files)
    assert len(android(int8_model, root).paste) == 4
    files["settings.gradle.kts"] = 'include(":app", ":effnetlite")'
    root = write_project(tmp_path / "copied", files)
    assert "settings.gradle.kts" not in [part.where for part in android(int8_model, root).paste]


def test_the_code_of_an_activation_map(tmp_path, int8_model):
    root = write_project(tmp_path, PROJECTS["kotlin"])
    result = android(int8_model, root, activation_map=True)
    assert result.activation_map
    assert "result.map" in result.paste[-1].text
    model = result.files[0].read_bytes()
    assert result.sha256 == sha256(model) != sha256(int8_model.read_bytes())
    predictor = Predictor(model)
    assert len(predictor.runner.outputs) == 2
    assert replay(read_description(model).golden, predictor.raw).passed


def test_the_code_of_a_foreign_float_model(tmp_path):
    path = tmp_path / "foreign.tflite"
    path.write_bytes(build_tiny_model(quantized=False))
    root = write_project(tmp_path / "project", PROJECTS["kotlin"])
    result = android(path, root)
    assert [file.name for file in result.files] == ["foreign.tflite"]
    assert (result.variant, result.precision, result.recipe, result.golden) == (None,) * 4
    assert "Options(normalization = Normalization(" in result.paste[-1].text
    assert "import org.effnetlite.Normalization" in result.paste[-1].text


def test_another_models_companions_do_not_stay(tmp_path, int8_model):
    """Labels and golden check of the model that is replaced would be lies."""
    root = write_project(tmp_path / "project", PROJECTS["kotlin"])
    android(int8_model, root, name="m")
    foreign = tmp_path / "m.tflite"
    foreign.write_bytes(build_tiny_model())
    with pytest.raises(InputError, match="--overwrite"):
        android(foreign, root)
    result = android(foreign, root, overwrite=True)
    folder = result.files[0].parent
    assert {path.name for path in folder.iterdir()} == {"m.tflite"}
    assert (folder / "m.tflite").read_bytes() == foreign.read_bytes()


def test_labels_from_a_file(tmp_path):
    path, names = tmp_path / "foreign.tflite", tmp_path / "names"
    path.write_bytes(build_tiny_model())
    names.write_text(
        "\ufeff" + "\r\n".join(["../../../etc", 'a "quoted" one', *"cdefghij"]), "utf-8"
    )
    root = write_project(tmp_path / "project", PROJECTS["kotlin"])
    result = android(path, root, labels=names)
    assert result.labels == 10
    content = (result.files[0].parent / "foreign.labels.txt").read_bytes()
    assert parse_labels(content) == ("../../../etc", 'a "quoted" one', *"cdefghij")
    assert b"\r" not in content


@pytest.mark.parametrize(
    "name", ["my model.tflite", "it's.tflite", 'a"b.tflite', "..\\x.tflite", "$(id).tflite"]
)
def test_hostile_names(tmp_path, int8_model, name):
    path = tmp_path / name
    shutil.copy(int8_model, path)
    root = write_project(tmp_path / "project", PROJECTS["kotlin"])
    outside = files_below(tmp_path)
    result = android(path, root)
    assets = root.resolve() / "app" / "src" / "main" / "assets"
    assert {file.parent for file in result.files} == {assets}
    assert len(files_below(tmp_path) - outside) == 3
    assert f'"{result.asset}"' in result.paste[-1].text
    assert not set(result.asset) & set(" '\"\\$()/")


def test_wrong_names(tmp_path, int8_model):
    root = write_project(tmp_path, PROJECTS["kotlin"])
    before = files_below(root)
    for options, error in (
        ({"name": "../x"}, UsageError),
        ({"module": "../../x"}, InputError),
        ({"module": "tv"}, InputError),
    ):
        with pytest.raises(error):
            android(int8_model, root, **options)
    assert files_below(root) == before


def test_a_model_that_does_not_suit_leaves_nothing(tmp_path, converted):
    root = write_project(tmp_path, PROJECTS["kotlin"])
    before = files_below(root)
    with pytest.raises(InputError, match="FULLY_CONNECTED version 12"):
        android(converted("dynamic").output, root)
    with pytest.raises(InputError, match="does not exist"):
        android(tmp_path / "missing.tflite", root)
    assert files_below(root) == before
    assert not (root / "app" / "src").exists()
    assert android(converted("dynamic").output, root, newer_runtime=True).precision == "dynamic"


def test_the_demo(tmp_path, monkeypatch, int8_model):
    write_project(tmp_path / "android_demo", DEMO)
    monkeypatch.chdir(tmp_path)
    result = android(int8_model, name="m")
    assert (result.is_demo, result.paste, result.warnings) == (True, (), ())
    assert result.files[0] == tmp_path.resolve() / "android_demo/app/src/main/assets/m.tflite"
    later = android(int8_model, name="n")
    assert any("opens the first model by name, which is m.tflite" in one for one in later.warnings)
    assert android(int8_model, name="a").warnings == ()


def test_assets_elsewhere(tmp_path, int8_model):
    files = {
        **PROJECTS["groovy"],
        "app/build.gradle": "apply plugin: 'com.android.application'\n"
        "android { sourceSets { main { assets.srcDirs = ['assets'] } } }\n",
    }
    result = android(int8_model, write_project(tmp_path, files))
    assert any("src/main/assets is one of them" in warning for warning in result.warnings)


def test_json(tmp_path, int8_model):
    root = write_project(tmp_path, PROJECTS["kotlin"])
    result = android(str(int8_model), str(root), name="m")
    document = json.loads(json.dumps(result.to_json()))
    assert document["files"] == [str(path) for path in result.files]
    assert document["golden"]["passed"] is True
    assert {"model", "project", "module", "asset", "sha256", "bytes", "variant", "precision",
            "recipe", "input_type", "size", "classes", "labels", "activation_map", "warnings",
            "paste", "is_demo"} <= set(document)  # fmt: skip
    assert set(document["paste"][0]) == {"where", "text", "why"}
