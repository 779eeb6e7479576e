"""Work in a process of its own, with the time and the memory that it took."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

MAXRSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10

# Linux counts the peak of the process that forked as the child's own, past exec: without a
# small process in between, a child of one that holds photos would seem to hold them too.
# wait4 and not getrusage(RUSAGE_CHILDREN), which is the maximum over all children.
LAUNCHER = """
import json, os, sys, time
start = time.monotonic()
child = os.spawnv(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
figures = os.waitstatus_to_exitcode(status), time.monotonic() - start, usage.ru_maxrss
with open(sys.argv[1], "w") as file:
    json.dump(figures, file)
"""


@dataclasses.dataclass(frozen=True)
class Finished:
    """A process that ended.

    Attributes:
        code: Its exit status; negative for the signal that ended it.
        output: Its stdout.
        messages: Its stderr.
        seconds: From start to end.
        peak_mib: Its greatest resident set.
    """

    code: int
    output: str
    messages: str
    seconds: float
    peak_mib: float

    @property
    def error(self) -> str | None:
        """The last line that it said on stderr if it failed, else None."""
        if not self.code:
            return None
        lines = self.messages.strip().splitlines()
        return lines[-1] if lines else f"exit status {self.code}"


def run(arguments: Sequence[str]) -> Finished:
    """Run Python with these arguments. Needs Linux or macOS."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as out, \
            tempfile.TemporaryFile() as err:  # fmt: skip
        figures = Path(folder, "figures")
        program = [sys.executable, "-S", "-c", LAUNCHER, str(figures), sys.executable, *arguments]
        subprocess.run(program, stdout=out, stderr=err, check=True)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
        code, seconds, maxrss = json.loads(figures.read_text())
    return Finished(code, texts[0], texts[1], seconds, maxrss / MAXRSS_PER_MIB)


def effnet_lite(arguments: Sequence[str]) -> Finished:
    """Run the command line, start-up included."""
    return run(["-c", "from effnet_lite.cli import main; main()", *arguments])
