"""Stage ``verify``: what is really in the APK, read back from it."""

from __future__ import annotations

import re
import struct
import zipfile
from pathlib import Path

from artifacts import Artifacts
from project import BuildError, Project
from tools import run

_PAGE = 4096
#: What Google Play asks of native code since Android 15.
_LARGE_PAGE = 16384


def verify(project: Project, artifacts: Artifacts, apk: Path) -> list[str]:
    """Check signature, manifest, code, natives and model.

    Returns:
        What was found, a line each.

    Raises:
        BuildError: Something is missing or not as Gradle's files say.
    """
    run("apksigner", "verify", "--min-sdk-version", project.version("minSdk"), apk)
    run("zipalign", "-c", "-p", "4", apk)
    found = [f"{apk}: {apk.stat().st_size:,} bytes, signature and alignment verified"]
    found.append(_manifest(project, artifacts, apk))
    found.append(_code(project, artifacts, apk))
    with zipfile.ZipFile(apk) as archive:
        found += _natives(project, archive)
        found.append(_models(archive))
    return found


def _manifest(project: Project, artifacts: Artifacts, apk: Path) -> str:
    said = run(artifacts.aapt2, "dump", "badging", apk)
    expected = {
        r"package: name='([\w.]+)'": project.application_id,
        r"versionCode='(\d+)'": project.version("versionCode"),
        r"versionName='([^']+)'": project.version("versionName"),
        r"compileSdkVersion='(\d+)'": project.version("compileSdk"),
        r"minSdkVersion:'(\d+)'": project.version("minSdk"),
        r"targetSdkVersion:'(\d+)'": project.version("targetSdk"),
    }
    for pattern, wanted in expected.items():
        match = re.search(pattern, said)
        if not match or match[1] != wanted:
            raise BuildError(f"manifest: {pattern} is {match and match[1]}, expected {wanted}")
    permissions = re.findall(r"uses-permission: name='([\w.]+)'", said)
    if permissions != ["android.permission.CAMERA"]:
        raise BuildError(f"manifest: expected the camera's permission alone, found {permissions}")
    (activity,) = re.findall(r"launchable-activity: name='([\w.]+)'", said)
    return f"manifest: {project.application_id}, {activity}, API {project.version('minSdk')} to " \
           f"{project.version('targetSdk')}, permission CAMERA"  # fmt: skip


def _code(project: Project, artifacts: Artifacts, apk: Path) -> str:
    """Every class that the manifest names, and the library's entrance, are in the dex."""
    with zipfile.ZipFile(apk) as archive:
        dex = [archive.read(name) for name in archive.namelist() if name.endswith(".dex")]
    tree = run(artifacts.aapt2, "dump", "xmltree", "--file", "AndroidManifest.xml", apk)
    named = set(re.findall(rf'"({re.escape(project.app.namespace)}\.[\w.]+)"', tree))
    named |= {f"{project.library.namespace}.EffNetLite", "org.tensorflow.lite.Interpreter"}
    for name in sorted(named):
        if not any(f"L{name.replace('.', '/')};".encode() in part for part in dex):
            raise BuildError(f"the dex lacks {name}")
    return f"dex: {len(dex)} files, {sum(map(len, dex)):,} bytes, {len(named)} classes looked up"


def _natives(project: Project, archive: zipfile.ZipFile) -> list[str]:
    found = []
    for abi in project.abis:
        names = [name for name in archive.namelist() if name.startswith(f"lib/{abi}/")]
        if f"lib/{abi}/libtensorflowlite_jni.so" not in names:
            raise BuildError(f"the APK lacks TFLite's native code for {abi}")
        for name in names:
            if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
                raise BuildError(f"{name} is compressed")
        aligned = min(_alignment(archive.read(name)) for name in names)
        pages = "ready" if aligned >= _LARGE_PAGE else f"not ready (aligned to {aligned})"
        found.append(f"{abi}: {', '.join(Path(name).name for name in names)}; 16 KB pages: {pages}")
    return found


def _alignment(elf: bytes) -> int:
    """The least alignment of the segments to load, in bytes (ELF specification, Phdr.p_align)."""
    if elf[:4] != b"\x7fELF":
        raise BuildError("a native library is no ELF file")
    wide = elf[4] == 2
    offset, size, count = (
        (*struct.unpack_from("<Q", elf, 32), *struct.unpack_from("<HH", elf, 54))
        if wide
        else (*struct.unpack_from("<I", elf, 28), *struct.unpack_from("<HH", elf, 42))
    )
    aligned = []
    for number in range(count):
        start = offset + number * size
        if struct.unpack_from("<I", elf, start)[0] == 1:  # PT_LOAD
            aligned.append(struct.unpack_from("<Q" if wide else "<I", elf,
                                              start + (48 if wide else 28))[0])  # fmt: skip
    return int(min(aligned))


def _models(archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if re.fullmatch(r"assets/[^/]+\.tflite", name)]
    if not names:
        return "model: none; effnet-lite android MODEL puts one into the assets"
    for name in names:
        info = archive.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED:
            raise BuildError(f"{name} is compressed: the runtime could not map it")
        if archive.read(name)[4:8] != b"TFL3":
            raise BuildError(f"{name} is no TFLite model")
    return "model: " + ", ".join(f"{name} {archive.getinfo(name).file_size:,} bytes, stored"
                                 for name in names)  # fmt: skip
