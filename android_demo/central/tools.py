"""Programs that the build runs, and what it remembers of earlier runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from project import BuildError

#: Program → Debian's package.
PACKAGES = {
    "mvn": "maven",
    "java": "openjdk-17-jdk-headless",
    "javac": "openjdk-17-jdk-headless",
    "keytool": "openjdk-17-jdk-headless",
    "zipalign": "zipalign",
    "apksigner": "apksigner",
}


def check_tools() -> None:
    """BuildError with the line that installs what is missing."""
    missing = {package for tool, package in PACKAGES.items() if shutil.which(tool) is None}
    if missing:
        raise BuildError(f"missing tools; on Debian: apt-get install {' '.join(sorted(missing))}")


def run(*words: str | Path, cwd: Path | None = None) -> str:
    """A program's output.

    Raises:
        BuildError: It failed; with what it printed.
    """
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        output = "\n".join(part.strip() for part in (done.stdout, done.stderr) if part.strip())
        raise BuildError(f"{output[-6000:]}\n{Path(words[0]).name} failed ({done.returncode})")
    return done.stdout + done.stderr


def java(
    classpath: Iterable[Path], main: str, *words: str | Path, options: Sequence[str] = ()
) -> str:
    """A Java program's output."""
    return run("java", *options, "-cp", joined(classpath), main, *words)


def joined(paths: Iterable[Path]) -> str:
    """A classpath."""
    return os.pathsep.join(str(path) for path in paths)


def files(*folders: Path, suffix: str = "") -> list[Path]:
    """All files in the folders that exist, sorted."""
    found = (path for folder in folders if folder.is_dir() for path in folder.rglob(f"*{suffix}"))
    return sorted(path for path in found if path.is_file())


class Stamp:
    """Whether a step's inputs are those of its last success.

    Args:
        output: What the step makes; the stamp lies beside it.
        inputs: Files whose contents count, and words.
    """

    def __init__(self, output: Path, inputs: Iterable[Path | str]) -> None:
        digest = hashlib.sha256()
        for one in inputs:
            digest.update(f"{one}\0".encode())
            if isinstance(one, Path) and one.is_file():
                digest.update(hashlib.sha256(one.read_bytes()).digest())
        self.path, self.output = output.with_name(f"{output.name}.stamp"), output
        self.wanted = digest.hexdigest()

    @property
    def fresh(self) -> bool:
        """Nothing is to be done."""
        return self.output.exists() and self.path.is_file() and self.path.read_text() == self.wanted

    def begin(self) -> Path:
        """Forget the last success, and what it made; the folder for the output exists."""
        self.path.unlink(missing_ok=True)
        if self.output.is_dir():
            shutil.rmtree(self.output)
        self.output.unlink(missing_ok=True)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        return self.output

    def done(self) -> None:
        """Remember this success."""
        self.path.write_text(self.wanted)
