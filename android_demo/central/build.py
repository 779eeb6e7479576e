"""The second build: the demo app without Gradle, from Maven repositories and Debian's packages.

    python android_demo/central/build.py --model MODEL.tflite

It compiles, tests and packages what Android Studio's build does, from the same source folders and
the same versions (gradle/libs.versions.toml). Stages, in order; a later one runs those that it
needs: fetch, resources, compile, test, package, verify.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from apk import make_dex, package
from artifacts import fetch
from compilation import compile_module, compile_tests, link_resources
from project import ROOT, BuildError, read_project
from tools import check_tools
from unit_tests import run_tests
from verification import verify

STAGES = ("fetch", "resources", "compile", "test", "package", "verify")


def main() -> int:
    """Exit status: 0, or 1 with a line on stderr that says what failed."""
    options = _options()
    try:
        _build(options)
    except BuildError as error:
        print(f"android: {error}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE",
                        help=f"{', '.join(STAGES)}; none, or all, for all of them")  # fmt: skip
    parser.add_argument("--project", type=Path, default=ROOT, help="default: this android_demo/")
    parser.add_argument("--out", type=Path, default=ROOT.parent / "build/android")
    parser.add_argument("--artifacts", type=Path,
                        help="where fetched libraries are kept; default: OUT")  # fmt: skip
    parser.add_argument("--model", type=Path, help="a real int8 .tflite, which tests run")
    parser.add_argument("--parity", type=Path, help="what parity.py wrote, for the same")
    parser.add_argument("--tests", default="", metavar="WORD",
                        help="run only classes with this in their name")  # fmt: skip
    options = parser.parse_args()
    options.stages = STAGES if "all" in options.stages else options.stages
    unknown = set(options.stages) - set(STAGES)
    if unknown:
        parser.error(f"unknown stage {min(unknown)}; stages are {', '.join(STAGES)}")
    return options


def _build(options: argparse.Namespace) -> None:
    project = read_project(options.project.resolve())
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    properties = {"effnetlite.output": out}
    for name in ("model", "parity"):
        path = getattr(options, name)
        if path is not None:
            if not path.exists():
                raise BuildError(f"--{name} {path} does not exist")
            properties[f"effnetlite.{name}"] = path.resolve()
    wanted = options.stages or STAGES
    last = max(STAGES.index(stage) for stage in wanted)
    clock = _Clock()
    check_tools()
    artifacts = fetch(project, (options.artifacts or options.out).resolve())
    clock("fetch", "every library of the catalogue")
    if last >= STAGES.index("resources"):
        resources = link_resources(project, artifacts, out)
        clock("resources", "manifests merged, resources linked")
    if last >= STAGES.index("compile"):
        library = compile_module(project, project.library, [], artifacts, out)
        app = compile_module(project, project.app, [library, resources.classes], artifacts, out)
        clock("compile", "library and app")
    if "test" in wanted:
        framework = [*artifacts.jars("unit-test"), *artifacts.jars("runtime"), artifacts.framework]
        for module, main, others, own in (
            (project.library, library, [], None),
            (project.app, app, [library, resources.classes], resources),
        ):
            tests = compile_tests(project, module, main, [*others, *framework], artifacts, out)
            summary, *skipped = run_tests(
                project, module, tests, [main, *others], own, properties, artifacts, out,
                options.tests,
            )  # fmt: skip
            clock("test", f"{module.name}: {summary}")
            for line in skipped:
                clock("test", line)
    if last >= STAGES.index("package"):
        dex = make_dex(project, [library, app, resources.classes], artifacts, out)
        apk = package(project, resources, dex, artifacts, out)
        clock("package", str(apk))
    if last >= STAGES.index("verify"):
        for line in verify(project, artifacts, apk):
            clock("verify", line)


class _Clock:
    """Prints a line a step, with the seconds since the last."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, stage: str, text: str) -> None:
        now = time.monotonic()
        print(f"{stage:<10}{now - self._last:6.1f} s  {text}", flush=True)
        self._last = now


if __name__ == "__main__":
    sys.exit(main())
