"""Stages ``dex`` and ``package``: class files and natives into a signed, aligned debug APK."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from artifacts import Artifacts
from compilation import Resources
from project import BuildError, Project
from tools import Stamp, files, java, run

_PASSWORD = "android"  # as of every debug key


def make_dex(project: Project, classes: list[Path], artifacts: Artifacts, out: Path) -> Path:
    """All that the app runs, as D8 makes it.

    Returns:
        Folder of classes.dex, classes2.dex, …
    """
    inputs = [path for folder in classes for path in files(folder, suffix=".class")]
    inputs += artifacts.jars("runtime")
    minimum = project.version("minSdk")
    stamp = Stamp(out / "dex", [*inputs, minimum])
    if stamp.fresh:
        return stamp.output
    stamp.begin().mkdir()
    listed = out / "dex-inputs.txt"
    listed.write_text("\n".join(map(str, inputs)))
    java(artifacts.jars("d8"), "com.android.tools.r8.D8", "--debug", "--min-api", minimum, "--lib",
         artifacts.framework, "--output", stamp.output, f"@{listed}",
         options=("-Xmx1500m",))  # fmt: skip
    stamp.done()
    return stamp.output


def package(
    project: Project, resources: Resources, dex: Path, artifacts: Artifacts, out: Path
) -> Path:
    """Put the APK together, align it, sign it with a debug key.

    Raises:
        BuildError: Native code is missing for an ABI.
    """
    unsigned, aligned, apk = (
        out / name for name in ("unsigned.apk", "aligned.apk", "app-debug.apk")
    )
    shutil.copyfile(resources.apk, unsigned)
    with zipfile.ZipFile(unsigned, "a", zipfile.ZIP_DEFLATED) as archive:
        for path in files(dex, suffix=".dex"):
            archive.write(path, path.name)
        for abi in project.abis:
            natives = artifacts.natives(abi)
            if not natives:
                raise BuildError(f"no library of the runtime bundle has native code for {abi}")
            for path in natives:
                # Stored, so that the system loads them from the APK.
                archive.write(path, f"lib/{abi}/{path.name}", zipfile.ZIP_STORED)
    run("zipalign", "-f", "-p", "4", unsigned, aligned)
    run("apksigner", "sign", "--ks", _debug_key(out), "--ks-pass", f"pass:{_PASSWORD}",
        "--v4-signing-enabled", "false", "--out", apk, aligned)  # fmt: skip
    unsigned.unlink()
    aligned.unlink()
    return apk


def _debug_key(out: Path) -> Path:
    key = out / "debug.keystore"
    if not key.is_file():
        run("keytool", "-genkeypair", "-keystore", key, "-storepass", _PASSWORD, "-alias", "debug",
            "-keyalg", "RSA", "-keysize", "2048", "-validity", "10000",
            "-dname", "CN=Android Debug")  # fmt: skip
    return key
