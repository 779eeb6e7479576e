"""The sections of the page, each only where there is something to show."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from effnet_lite.benchmark.report import figures, layer_figures, text
from effnet_lite.benchmark.report.arenas import Arena
from effnet_lite.benchmark.report.candidate_table import candidate_table
from effnet_lite.benchmark.report.class_tables import changes_of, confused_pairs
from effnet_lite.benchmark.report.evidence import Candidate, Evidence
from effnet_lite.benchmark.report.readings import Accuracy
from effnet_lite.benchmark.report.style import Figure
from effnet_lite.benchmark.report.summary import judged_by, sentences
from effnet_lite.benchmark.report.tables import Cell, cell, table

# Photos of a layer's activation fill memory, not the page: so many candidates are drawn one by
# one; the others have their figures in the tables.
MOST_SINGLE = 24


@dataclasses.dataclass(frozen=True)
class Part:
    """A piece of a section: HTML, and a figure to stand under it; ``folded`` under this heading."""

    html: str = ""
    figure: Figure | None = None
    folded: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, its name in the page's address, and what stands under it."""

    anchor: str
    title: str
    parts: tuple[Part, ...]


def sections(evidence: Evidence) -> list[Section]:
    """All sections that have something to show, in order."""
    made = [
        Section("summary", "Summary", tuple(_summary(evidence))),
        Section("front", "Which are worth shipping", tuple(_fronts(evidence))),
        Section("candidates", "All candidates", tuple(_candidates(evidence))),
        Section("latency", "Latency", tuple(_latency(evidence))),
        Section("operators", "Where the time goes", tuple(_operators(evidence))),
        Section("layers", "Error of each layer", tuple(_layers(evidence))),
        Section("confusion", "What is taken for what", tuple(_confusion(evidence))),
        Section("classes", "Classes that lose or gain", tuple(_classes(evidence))),
        Section("calibration", "Can the confidence be trusted", tuple(_calibration(evidence))),
        Section("notes", "Failures and notes", tuple(_notes(evidence))),
        Section("origin", "How to repeat this", tuple(_origin(evidence))),
    ]
    return [section for section in made if section.parts]


def _summary(evidence: Evidence) -> Iterator[Part]:
    for sentence in sentences(evidence):
        yield Part(f"<p>{sentence}</p>".replace("<p></p>", ""))


def _fronts(evidence: Evidence) -> Iterator[Part]:
    for arenas in _drawn_together(evidence.arenas):
        found = [figure for against in (figures.LATENCY, figures.SIZE)
                 if (figure := figures.pareto(evidence, arenas, against))]  # fmt: skip
        if found:
            yield Part(f'<p class="by">{text.escaped(judged_by(arenas[0]))}</p>')
        for figure in found:
            yield Part("", figure)


def _drawn_together(arenas: Sequence[Arena]) -> list[list[Arena]]:
    """Those of one kind and one setting; agreements with several parents share a figure."""
    found: dict[object, list[Arena]] = {}
    for arena in arenas:
        if not arena.kind:
            continue
        yardstick = arena.yardstick
        # The photos that convert checks on are its own, and not those of compare.
        photos = (yardstick.photos, yardstick.count)
        root = yardstick.root if yardstick.photos == "data set" else ""
        found.setdefault((arena.kind, root, photos, arena.setting), []).append(arena)
    return list(found.values())


def _candidates(evidence: Evidence) -> Iterator[Part]:
    if evidence.candidates:
        yield Part(candidate_table(evidence))
    settings = dict.fromkeys(str(one.timing.setting) for one in evidence.candidates if one.timing)
    for setting in settings:
        yield Part(f'<p class="by">Times: {text.escaped(setting)}.</p>')


def _latency(evidence: Evidence) -> Iterator[Part]:
    settings = dict.fromkeys(timing.setting for one in evidence.candidates
                             for timing in one.timings)  # fmt: skip
    for setting in settings:
        figure = figures.latencies(evidence, setting)
        words = str(setting)
        how = f'<p class="by">{text.escaped(words[0].upper() + words[1:])}</p>'
        noise = _noise(evidence, setting)
        if figure:
            yield Part("", figure)
        else:
            yield Part(f"{how}<p>No single runs are known for these; the figures are in the table "
                       "of all candidates.</p>")  # fmt: skip
        if noise:
            yield Part(f"<p>Noisy ⚠:</p><ul>{noise}</ul>")


def _noise(evidence: Evidence, setting: object) -> str:
    lines = [
        f"<li>{text.name(one.name)}: {text.escaped('; '.join(timing.noise))}</li>"
        for one in evidence.candidates
        for timing in one.timings
        if timing.setting == setting and timing.noise
    ]
    return "".join(lines)


def _operators(evidence: Evidence) -> Iterator[Part]:
    profiles = [(number, one, profile) for number, one in _numbered(evidence)
                for profile in one.profiles]  # fmt: skip
    together = layer_figures.operator_kinds(profiles)
    if together:
        yield Part("", together)
    for number, one, profile in profiles[:MOST_SINGLE]:
        figure = layer_figures.operators(number, one, profile)
        if figure:
            yield Part("", figure, folded=figure.title)


def _layers(evidence: Evidence) -> Iterator[Part]:
    together = layer_figures.layer_errors(_numbered(evidence))
    if together:
        yield Part("", together)
    for number, one in _numbered(evidence)[:MOST_SINGLE]:
        figure = layer_figures.layer_causes(number, one)
        if figure:
            yield Part("", figure, folded=figure.title)


def _confusion(evidence: Evidence) -> Iterator[Part]:
    judged: dict[object, list[tuple[int, Candidate, Accuracy]]] = {}
    for number, one in _numbered(evidence):
        if one.accuracy:
            judged.setdefault(one.accuracy.photos, []).append((number, one, one.accuracy))
    for together in judged.values():
        classes = len(together[0][2].classes)
        where = text.name(together[0][2].path, 60)
        photos = text.counted(together[0][2].photos.count, "photo")
        yield Part(f'<p class="by">{photos} of {text.counted(classes, "class")}'.replace(
            "classs", "classes") + f" in {where}</p>" + confused_pairs(together))  # fmt: skip
        for number, one, accuracy in together[:MOST_SINGLE]:
            figure = layer_figures.confusion(number, one, accuracy)
            if figure:
                yield Part("", figure, folded=figure.title)


def _classes(evidence: Evidence) -> Iterator[Part]:
    changed = [(number, one, found) for number, one in _numbered(evidence)
               if (found := changes_of(evidence, one))]  # fmt: skip
    if changed:
        yield Part("<p>The intervals are of each share alone. With few photos a class, such "
                   "changes happen by chance.</p>")  # fmt: skip
        for number, one, (sentence, rows) in changed:
            yield Part(f"<h3>{number} {text.name(one.name)}</h3><p>{sentence}</p>")
            if rows:
                yield Part(rows, folded=f"The classes of {number} {text.short(one.name)} that "
                           "change most")  # fmt: skip


def _calibration(evidence: Evidence) -> Iterator[Part]:
    if figure := figures.reliability(evidence):
        yield Part("", figure)


def _notes(evidence: Evidence) -> Iterator[Part]:
    if evidence.failures:
        lines = "".join(
            f"<li>{text.escaped(text.short(failure.step, 40))} of {text.name(failure.name)}: "
            f"{text.escaped(text.short(failure.message, 2000))}</li>"
            for failure in evidence.failures
        )
        yield Part(f"<h3>Failures</h3><ul>{lines}</ul>")
    if evidence.notes:
        lines = "".join(f"<li>{text.escaped(text.short(note, 2000))}</li>"
                        for note in evidence.notes)  # fmt: skip
        yield Part(f"<h3>Notes</h3><ul>{lines}</ul>")


def _origin(evidence: Evidence) -> Iterator[Part]:
    if evidence.commands:
        commands = "\n".join(text.lines(command) for command in evidence.commands)
        yield Part(f'<h3>Commands</h3><pre tabindex="0">{commands}</pre>')
    if evidence.versions:
        rows: list[Sequence[Cell | str]] = [
            [text.name(name), cell(" and ".join(found), None)]
            for name, found in sorted(evidence.versions.items())
        ]
        yield Part(table("Versions", ["package", "version"], rows, left=2))
    if evidence.machines:
        lines = "".join(f"<li>{text.escaped(machine)}</li>" for machine in evidence.machines)
        yield Part(f"<h3>Machines</h3><ul>{lines}</ul>")
    rows = [
        [cell(str(number)), text.name(one.name),
         text.name(one.path, 60) if one.path else "–", f"<code>{one.sha256}</code>"]
        for number, one in _numbered(evidence)
    ]  # fmt: skip
    if rows:
        yield Part(table("Files", ["#", "model", "file", "sha256"], rows, left=4))


def _numbered(evidence: Evidence) -> list[tuple[int, Candidate]]:
    return list(enumerate(evidence.candidates, 1))
