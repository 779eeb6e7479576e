"""What documents say, sorted by model: of the same thing measured in the same way, the last."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from effnet_lite.benchmark.report.arenas import AGREEMENT, Measured, Yardstick
from effnet_lite.benchmark.report.documents import Entry
from effnet_lite.benchmark.report.files_seen import File, Files
from effnet_lite.benchmark.report.reading import (
    read_accuracies,
    read_changes,
    read_comparison,
    read_fidelity,
    read_profiles,
    read_speeds,
    read_timings,
)
from effnet_lite.benchmark.report.readings import (
    Accuracy,
    Change,
    Fidelity,
    Photos,
    Profile,
    Setting,
    Speed,
    Timing,
)


@dataclasses.dataclass(frozen=True)
class Failure:
    """A step that came to nothing: which, of what, and why."""

    step: str
    name: str
    message: str


class Collected:
    """What the documents said so far.

    A dict keeps the last value of a key, in the order in which the keys appeared.
    """

    def __init__(self) -> None:
        self.files = Files()
        self.timings: dict[tuple[str, Setting], Timing] = {}
        self.speeds: dict[tuple[str, str, Setting], Speed] = {}
        self.profiles: dict[tuple[str, str], Profile] = {}
        self.accuracies: dict[tuple[str, Photos], Accuracy] = {}
        self.changes: dict[tuple[str, str, Photos], Change] = {}
        self.fidelities: dict[str, Fidelity] = {}
        self.failures: dict[tuple[str, str], Failure] = {}
        self.notes: list[str] = []
        self.commands: list[str] = []
        self.machines: list[str] = []
        self.versions: dict[str, dict[str, None]] = {}

    def add(self, entry: Entry) -> None:
        """One document."""
        if entry.command and entry.command.strip():
            self.commands.append(entry.command)
        for name, version in entry.versions.items():
            self._version(name, version)
        if entry.machine:
            self.machines.append(", ".join(
                f"{value} cores" if name == "cores" else value
                for name, value in entry.machine.items()
            ))  # fmt: skip
        if entry.kind == "failure":
            assert entry.step is not None and entry.name is not None  # read_documents checks
            failure = Failure(entry.step, entry.name, entry.message or "")
            self.failures[failure.step, failure.name] = failure
        elif entry.kind != "run":
            # What worked later is no failure any more.
            self.failures.pop((entry.kind, entry.name or entry.group or ""), None)
            getattr(self, f"_add_{entry.kind}")(entry)

    def _add_convert(self, entry: Entry) -> None:
        node = entry.node()
        sha256 = self.files.add(entry)
        if "fidelity" in node:
            fidelity = read_fidelity(node.at("fidelity"), sha256, None, "check")
            known = self.fidelities.get(sha256)
            if known is None or known.photos == "check":
                self.fidelities[sha256] = fidelity
        name = self.files.name(sha256)
        self.notes += [f"{name}: {notice.text()}" for notice in node.items("notices")]

    def _add_file(self, entry: Entry) -> None:
        self.files.add(entry)

    def _add_inspect(self, entry: Entry) -> None:
        self.files.add(entry)

    def _add_benchmark(self, entry: Entry) -> None:
        node = entry.node()
        timings = read_timings(node)
        for timing in timings:
            self.files.see(timing.sha256, timing.model, entry.group)
            self.timings[timing.sha256, timing.setting] = timing
            self._version(timing.setting.runtime, timing.setting.version)
        for speed in read_speeds(node, timings):
            self.speeds[speed.a, speed.b, speed.setting] = speed
        for profile in read_profiles(node):
            self.files.see(profile.sha256, profile.model, entry.group)
            self.profiles[profile.sha256, profile.how] = profile
        for line in node.items("failures"):
            name = entry.group or Path(entry.path).name
            self.failures["benchmark", line.text()] = Failure("benchmark", name, line.text())

    def _add_evaluate(self, entry: Entry) -> None:
        node = entry.node()
        accuracies = read_accuracies(node)
        for accuracy in accuracies:
            self.files.see(accuracy.sha256, accuracy.model, entry.group)
            self.accuracies[accuracy.sha256, accuracy.photos] = accuracy
        for change in read_changes(node, accuracies):
            self.changes[change.a, change.b, change.photos] = change
        self.notes += [note.text() for note in node.items("notes")]
        if unreadable := len(node.items("unreadable")):
            of = f" of {accuracies[0].path}" if accuracies else ""
            self.notes.append(f"{unreadable} photos{of} could not be used")

    def _add_compare(self, entry: Entry) -> None:
        fidelity = read_comparison(entry.node())
        self.files.see(fidelity.sha256, entry.name, entry.group)
        self.fidelities[fidelity.sha256] = fidelity

    def _version(self, name: str, version: str) -> None:
        self.versions.setdefault(name, {})[version] = None

    def parent(self, file: File) -> str | None:
        """sha256 of the float model that the file was made from."""
        fidelity = self.fidelities.get(file.sha256)
        if fidelity and fidelity.float_sha256:
            return fidelity.float_sha256
        return self.files.parent(file)

    def measured(self, file: File, parents: dict[str, str | None]) -> Measured:
        """What the candidate can be judged by."""
        mine = file.sha256
        fidelity = self.fidelities.get(mine)
        yardstick = None
        if fidelity:
            # The float model that convert held it against is of this variant and these weights.
            root = parents[mine] or f"{file.variant} {file.weights}"
            yardstick = Yardstick(AGREEMENT, root, fidelity.photos, fidelity.count)
        return Measured(
            sha256=mine,
            name=file.name,
            bytes=file.bytes,
            timings=tuple(found for (sha, _), found in self.timings.items() if sha == mine),
            accuracies=tuple(found for (sha, _), found in self.accuracies.items() if sha == mine),
            fidelity=fidelity,
            agreement_with=yardstick,
        )

    def speed(self, file: str, setting: Setting, parent: str | None) -> Speed | None:
        """Against the parent; without one, against the first model of the same command."""
        if parent:
            if found := self.speeds.get((parent, file, setting)):
                return found
            if found := self.speeds.get((file, parent, setting)):
                return found.turned()
        of = [one for (_, b, how), one in self.speeds.items() if b == file and how == setting]
        return of[-1] if of else None

    def change(self, file: str, photos: Photos, parent: str | None) -> Change | None:
        """As ``speed``, of top-1."""
        if parent:
            if found := self.changes.get((parent, file, photos)):
                return found
            if found := self.changes.get((file, parent, photos)):
                return found.turned()
        of = [one for (_, b, on), one in self.changes.items() if b == file and on == photos]
        return of[-1] if of else None
