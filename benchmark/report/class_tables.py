"""Tables of classes: which are confused, and which lose or gain against the parent."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

from effnet_lite.benchmark.report import text
from effnet_lite.benchmark.report.evidence import Candidate, Evidence
from effnet_lite.benchmark.report.readings import Accuracy, ClassCount
from effnet_lite.benchmark.report.tables import Cell, cell, table

TOP = 10
TOP_PAIRS = 20


@dataclasses.dataclass(frozen=True)
class ClassChange:
    """A class as two models see it, on the same photos."""

    before: ClassCount
    after: ClassCount

    @property
    def right(self) -> int:
        """How many more photos are right."""
        return self.after.right - self.before.right

    @property
    def share(self) -> float:
        """The same as a share of the class's photos, -1 to 1."""
        return self.right / self.before.photos


def class_changes(before: Accuracy, after: Accuracy) -> list[ClassChange]:
    """Classes with another number of right answers, by index."""
    found = [
        ClassChange(before.classes[index], after.classes[index])
        for index in before.classes
        if index in after.classes and before.classes[index].photos == after.classes[index].photos
    ]
    return [change for change in found if change.right]


def reference(evidence: Evidence, one: Candidate) -> Accuracy | None:
    """What a candidate's classes are held against: its parent, or what it was compared with."""
    if one.accuracy is None:
        return None
    for sha256 in (one.parent, one.change.a if one.change else None):
        other = evidence.candidate(sha256) if sha256 else None
        for accuracy in other.accuracies if other else ():
            if accuracy.photos == one.accuracy.photos:
                return accuracy
    return None


def changes_of(evidence: Evidence, one: Candidate) -> tuple[str, str] | None:
    """A sentence on how many classes change, and a table of those that change most."""
    before = reference(evidence, one)
    if before is None or one.accuracy is None:
        return None
    other = evidence.candidate(before.sha256)
    against = text.name(other.name if other else before.name)
    changes = class_changes(before, one.accuracy)
    lost = sorted((found for found in changes if found.right < 0), key=_worst_first)
    won = sorted((found for found in changes if found.right > 0), key=_worst_first, reverse=True)
    of = f"of {text.counted(len(one.accuracy.classes), 'class')}".replace("classs", "classes")
    sentence = (
        f"Against {against}, {len(changes)} {of} have another number of right answers: "
        f"{len(lost)} fewer, {len(won)} more."
    )
    shown = [*lost[:TOP], *won[:TOP]]
    if not shown:
        return sentence, ""
    rows: list[Sequence[Cell | str]] = [
        [text.name(found.before.label), Cell(str(found.before.photos), found.before.photos),
         Cell(f"{found.right:+d}", found.right), _share(found.before), _share(found.after)]
        for found in shown
    ]  # fmt: skip
    caption = f"Classes that change most: {min(TOP, len(lost))} that lose, " \
              f"{min(TOP, len(won))} that gain"  # fmt: skip
    head = ["class", "photos", "right answers", "before (95 %)", "after (95 %)"]
    return sentence, table(caption, head, rows, sortable=True)


def confused_pairs(judged: Sequence[tuple[int, Candidate, Accuracy]]) -> str:
    """The pairs confused most often, a column a candidate; empty if there are none."""
    counts = [
        collections.Counter({(right, answer): photos for right, answer, photos in
                             accuracy.confusion if right != answer})
        for _, _, accuracy in judged
    ]  # fmt: skip
    together = sum(counts, collections.Counter[tuple[int, int]]())
    pairs = sorted(together, key=lambda pair: (-together[pair], pair))[:TOP_PAIRS]
    if not pairs:
        return ""
    labels = judged[0][2]
    rows: list[Sequence[Cell | str]] = [
        [text.name(labels.label(pair[0])), text.name(_answer(labels, pair[1])),
         *(Cell(str(found[pair]), found[pair]) for found in counts)]
        for pair in pairs
    ]  # fmt: skip
    # Many names would make the table wider than any screen.
    names = [f"#{number}" + (f" {text.short(one.name, 24)}" if len(judged) < 4 else "")
             for number, one, _ in judged]  # fmt: skip
    head = ["class", "taken for", *names]
    caption = f"The {len(pairs)} of {len(together)} pairs that are confused most, photos"
    return table(caption, head, rows, sortable=True, left=2)


def _answer(accuracy: Accuracy, index: int) -> str:
    return "background" if index < 0 else accuracy.label(index)


def _worst_first(change: ClassChange) -> tuple[float, int]:
    return change.share, change.right


def _share(count: ClassCount) -> Cell:
    share = count.right / count.photos
    words = f"{count.right}/{count.photos} {text.between(count.interval, 100, '.0f')}"
    return cell(words, share)
