"""``sweep``: which variant and recipe to ship, from one command."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from effnet_lite.benchmark.evaluation.contenders import Contender
from effnet_lite.benchmark.evaluation.evaluate import MAX_PROCESSES, evaluate
from effnet_lite.benchmark.evaluation.selection import select
from effnet_lite.benchmark.host import delegates
from effnet_lite.benchmark.profiling.profile import why_not
from effnet_lite.benchmark.report import Evidence, join, read_documents, report, require_plotly
from effnet_lite.benchmark.sweep.commands import command_line
from effnet_lite.benchmark.sweep.jobs import Job, run_jobs
from effnet_lite.benchmark.sweep.plan import FLOAT, Candidate, Group, plan
from effnet_lite.benchmark.sweep.record import Record
from effnet_lite.benchmark.timing import HOST, benchmark
from effnet_lite.errors import EffnetLiteError, InputError, UsageError
from effnet_lite.files import sha256
from effnet_lite.lite.datasets import open_dataset
from effnet_lite.lite.labels import default_labels
from effnet_lite.lite.photos import check_photos, find_photos
from effnet_lite.progress import Progress
from effnet_lite.quantize.calibration_set import DEFAULT_COUNT
from effnet_lite.quantize.compare import LAYER_PHOTOS
from effnet_lite.quantize.tflite.runtime import available_cpus, find_runtime

PathLike = str | os.PathLike[str]

PAGE = "report.html"
VARIANTS = ("lite0", "lite1", "lite2")
RECIPES = (FLOAT, "fast", "default")


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """What a sweep found.

    Attributes:
        record: The file that holds everything, and that later sweeps extend.
        page: The report; None if none was asked for.
        evidence: Everything in the record, of earlier sweeps, too, joined by model.
        failures: A line for each step that failed; the rest still counts.
    """

    record: Path
    page: Path | None
    evidence: Evidence
    failures: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``sweep --json``."""
        return {
            "record": str(self.record),
            "page": str(self.page) if self.page else None,
            **self.evidence.to_json(),
            "failures": list(self.failures),
        }


def sweep(
    models: Sequence[PathLike] = (),
    variants: Sequence[str] | None = None,
    recipes: Sequence[str] = RECIPES,
    data: PathLike | None = None,
    output: PathLike = "sweep",
    calibration: PathLike | None = None,
    calibration_count: int = DEFAULT_COUNT,
    weights: Mapping[str, PathLike] | None = None,
    labels: PathLike | None = None,
    limit: int | None = None,
    seed: int = 0,
    processes: int | None = None,
    threads: int = 1,
    delegate: str = "cpu",
    device: str = HOST,
    page: bool = True,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SweepResult:
    """Convert, time, check and evaluate; what the record in ``output`` has is not done again.

    Conversions and checks run beside each other, and so do the photos of an evaluation; while
    models are timed, nothing else runs. Each variant's models are timed by turns and judged
    on the same photos, against its float32 model, which is made in any case.

    Args:
        models: .tflite files to measure besides, against the first of them.
        variants: None for Lite0-2, or for none if there are ``models``.
        recipes: ``float32``, ``float16``, ``dynamic``, ``int16x8``, or recipes for int8.
        data: Photos with classes (see :func:`effnet_lite.lite.datasets.open_dataset`): models
            are judged by accuracy. Or a folder of photos without; or None for the installed
            sample photos: quantized models are judged by agreement with their float parents.
        output: Folder for models, record and page.
        calibration, calibration_count: As for ``convert``.
        weights: By variant, as for ``convert``; ``imagenet`` for the others.
        labels: File of class names for the evaluation; None takes the models' own.
        limit: Evaluate on so many photos, drawn by ``seed``.
        seed: Of everything random.
        processes: Conversions, checks or evaluating processes beside each other; None for one
            a core.
        threads, delegate, device: Of the timing, as for ``benchmark``.
        page: Draw the report, too.
        overwrite: Replace the record of another sweep.
        progress: Called as the work goes on.

    Raises:
        UsageError: Unknown or contradictory options.
        InputError: A file, the data or the folder is not what it should be, or the folder
            holds a sweep with other settings.
        MissingDependencyError: plotly is not installed, and a page is asked for.
        EffnetLiteError: Nothing could be made or measured.
    """
    if page:
        require_plotly()
    workers = available_cpus() if processes is None else processes
    if not 1 <= workers <= MAX_PROCESSES:
        raise UsageError(f"processes must be 1 to {MAX_PROCESSES}, got {workers}")
    if device == HOST:
        delegates.parse(delegate)
    names = tuple(variants if variants is not None else () if models else VARIANTS)
    folder = Path(output)
    shared = {
        "calibration": os.fspath(calibration) if calibration is not None else None,
        "calibration_count": calibration_count,
        "seed": seed,
    }
    given = {name: os.fspath(path) for name, path in (weights or {}).items()}
    groups = plan(names, recipes, [Path(path) for path in models], folder, given, shared)
    photos = _photos(data, limit, seed, imagenet=bool(names) and not (given or models))
    _make(folder)
    timing: dict[str, Any] = {"threads": threads, "delegate": delegate, "device": device}
    settings = {**timing, **photos.identity, "limit": limit}
    command = command_line(
        "sweep", map(str, models), variants=names or None, recipes=tuple(recipes),
        data=data, output=output, labels=labels, limit=limit, **shared, **timing,
    )  # fmt: skip
    with Record(folder, settings, overwrite) as record:
        record.begin(command, groups, overwrite)
        run = _Run(record, workers, progress)
        made = run.convert(groups)
        run.time(made, {**timing, "profile": _has_profiler(**timing)})
        if photos.compare:
            run.compare(made, photos.compare)
        if photos.labelled:
            run.evaluate(made, {"data": data, "limit": limit, "seed": seed, "labels": labels})
        failures = record.failures(groups)
        evidence = join(read_documents([record.path]))
        if not evidence.candidates:
            raise EffnetLiteError("; ".join(failures))
    written = folder / PAGE if page else None
    if written:
        report([record.path], written, overwrite=True)
    return SweepResult(record.path, written, evidence, tuple(failures))


@dataclasses.dataclass(frozen=True)
class _Photos:
    """What models are judged on.

    Attributes:
        data: As the user gave it; None for the sample photos.
        labelled: Whether classes are known: then models are evaluated.
        compare: Options of ``compare``; None where there is nothing that it reads.
        identity: What tells other photos apart, as JSON.
    """

    data: str | None
    labelled: bool
    compare: dict[str, Any] | None
    identity: dict[str, Any]


def _photos(data: PathLike | None, limit: int | None, seed: int, imagenet: bool) -> _Photos:
    """Look at the data now: a mistake in it must not show after an hour of conversions."""
    if data is None:
        if limit is not None:
            raise UsageError("limit is for --data; without, the sample photos serve")
        check_photos()
        return _Photos(None, False, {"data": None, "count": None}, {"data": None})
    path = os.fspath(data)
    dataset = open_dataset(path)
    names = (dataset.photo(number).name for number in range(len(dataset)))
    digest = sha256("\n".join(names).encode("utf-8", "surrogatepass"))
    identity = {"data": {"path": path, "photos": len(dataset), "names": digest}}
    if not sum(dataset.counts()):
        if limit is not None:
            raise UsageError(f"limit is for photos with classes, and {path} has none")
        find_photos(path)
        return _Photos(path, False, {"data": path, "count": None}, identity)
    if imagenet:
        stranger = Contender(Path("an ImageNet model"), "", 1000, 0, default_labels(1000))
        select(dataset, [stranger], limit, seed)
    # Evaluation judges: here, layers' errors are wanted, for which a few photos do.
    few: dict[str, Any] = {"data": None, "count": LAYER_PHOTOS}
    if not _has_samples():
        few = {"data": path, "count": LAYER_PHOTOS}
    readable = few["data"] is None or dataset.kind == "folders"
    return _Photos(path, True, few if readable else None, identity)


def _has_profiler(threads: int, delegate: str, device: str) -> bool:
    """Whether operators can be timed, too."""
    return device == HOST and why_not(find_runtime(None).name, delegate, threads) is None


def _has_samples() -> bool:
    try:
        check_photos()
    except EffnetLiteError:
        return False
    return True


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{folder} is a file; expected a folder for the sweep") from None
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error


@dataclasses.dataclass(frozen=True)
class _Made:
    """A group's models that exist, each with its sha256; the first is compared with."""

    group: Group
    models: tuple[tuple[Candidate, str], ...]

    @property
    def quantized(self) -> tuple[tuple[Candidate, str], ...]:
        """Those that have a float parent that exists."""
        parent = self.group.parent
        if parent is None or self.models[0][0] is not parent:
            return ()
        return self.models[1:]


class _Run:
    """The steps; each adds to the record what it lacks."""

    def __init__(self, record: Record, processes: int, progress: Progress | None) -> None:
        self._record, self._processes, self._progress = record, processes, progress

    def convert(self, groups: Sequence[Group]) -> list[_Made]:
        """Make the files that are not there."""
        wanted = [(group, candidate) for group in groups for candidate in group.candidates]
        digests: dict[str, str] = {}
        jobs: list[Job] = []
        for group, candidate in wanted:
            if candidate.conversion is None:
                digests[candidate.name] = self._take(group, candidate)
            elif digest := self._record.converted(candidate):
                digests[candidate.name] = digest
            else:
                # What quantization cost is measured later, on the same photos for all.
                options = {**candidate.conversion, "output": str(candidate.path)}
                job = {**options, "check": False, "overwrite": True}
                jobs.append(Job("convert", candidate.name, job))
        of = {candidate.name: (group, candidate) for group, candidate in wanted}
        for outcome in run_jobs(jobs, self._processes, "converting", self._progress):
            group, candidate = of[outcome.job.name]
            if outcome.error:
                self._record.fail("convert", candidate.name, outcome.error)
                continue
            digests[candidate.name] = outcome.document["sha256"]
            options = {**(candidate.conversion or {}), "output": candidate.path}
            self._record.add(
                "convert", group.name, command_line("convert", **options, no_check=True),
                outcome.document, name=candidate.name,
                parent=group.candidates[0].name if candidate is not group.candidates[0] else None,
                options=candidate.conversion, seconds=outcome.seconds,
            )  # fmt: skip
        return [
            _Made(group, models)
            for group in groups
            if (models := tuple((candidate, digests[candidate.name])
                                for candidate in group.candidates if candidate.name in digests))
        ]  # fmt: skip

    def time(self, made: Sequence[_Made], timing: Mapping[str, Any]) -> None:
        """Time each group by turns, with nothing beside it."""
        for group, paths in self._missing("benchmark", made):
            with self._failing("benchmark", group):
                found = benchmark(paths, progress=self._named(group), **timing)
                command = command_line("benchmark", paths, **timing, json=True)
                self._record.add("benchmark", group, command, found.to_json())

    def compare(self, made: Sequence[_Made], photos: Mapping[str, Any]) -> None:
        """Find each quantized model's error, layer by layer."""
        jobs, groups = [], {}
        for entry in made:
            float_model = entry.models[0][0].path
            for candidate in self._record.unmeasured("compare", entry.quantized):
                files = {"float_model": str(float_model), "quantized_model": str(candidate.path)}
                jobs.append(Job("compare", candidate.name, {**files, **photos}))
                groups[candidate.name] = entry.group.name
        for outcome in run_jobs(jobs, self._processes, "comparing layers", self._progress):
            name, options = outcome.job.name, outcome.job.options
            if outcome.error:
                self._record.fail("compare", name, outcome.error)
                continue
            pair = [options["float_model"], options["quantized_model"]]
            command = command_line("compare", pair, **photos, json=True)
            self._record.add("compare", groups[name], command, outcome.document, name=name)

    def evaluate(self, made: Sequence[_Made], options: Mapping[str, Any]) -> None:
        """Judge each group on the labelled photos."""
        for group, paths in self._missing("evaluate", made):
            # Kept only until it is whole: then the record has its figures.
            journal = self._record.path.with_name(f"{group}-answers.jsonl")
            with self._failing("evaluate", group):
                found = evaluate(
                    paths, processes=self._processes, journal=journal, overwrite=True,
                    progress=self._named(group), **options,
                )  # fmt: skip
                command = command_line("evaluate", paths, **options, json=True)
                self._record.add("evaluate", group, command, found.to_json())
                journal.unlink(missing_ok=True)

    def _take(self, group: Group, candidate: Candidate) -> str:
        """Put a file of the user into the record, as it is now."""
        data = candidate.path.read_bytes()
        document = {"output": str(candidate.path), "sha256": sha256(data), "bytes": len(data),
                    "variant": None, "precision": None, "recipe": None}  # fmt: skip
        self._record.add("file", group.name, None, document, name=candidate.name, parent=None)
        return sha256(data)

    def _missing(self, kind: str, made: Sequence[_Made]) -> Iterator[tuple[str, list[Path]]]:
        """Groups with models that no line of this kind is about: these, behind the first."""
        for entry in made:
            new = self._record.unmeasured(kind, entry.models)
            if new:
                first = entry.models[0][0]
                others = [candidate for candidate in new if candidate is not first]
                yield entry.group.name, [first.path, *(other.path for other in others)]

    def _named(self, group: str) -> Progress | None:
        """The progress, with the group's name in its labels."""
        progress: Callable[[int, int | None, str], None] | None = self._progress
        if progress is None:
            return None
        return lambda done, total, label: progress(done, total, f"{label} {group}")

    @contextlib.contextmanager
    def _failing(self, step: str, name: str) -> Iterator[None]:
        """Keep a failure to its step: the others are still done."""
        try:
            yield
        except EffnetLiteError as error:
            self._record.fail(step, name, error)
