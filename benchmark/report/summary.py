"""What the evidence comes to, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from effnet_lite.benchmark.report import text
from effnet_lite.benchmark.report.arenas import ACCURACY, Arena, Point
from effnet_lite.benchmark.report.evidence import Candidate, Evidence

_SHOWN = 6


def sentences(evidence: Evidence) -> list[str]:
    """HTML paragraphs, the most important first."""
    found = [line for arena in evidence.arenas for line in _arena(evidence, arena)]
    found += _instead(evidence)
    found += _significance(evidence)
    noisy = [one.name for one in evidence.candidates if one.timing and one.timing.noise]
    if noisy:
        found.append(
            f"The times of {_names(noisy)} are <strong>noisy</strong>: something disturbed the "
            "runs, as the section on latency says."
        )
    return found or ["Nothing here can be compared: see the notes."]


def judged_by(arena: Arena) -> str:
    """What the figures of an arena are, as plain text."""
    count = arena.yardstick.count
    if arena.kind == ACCURACY:
        quality = f"top-1 accuracy on {text.counted(count, 'photo')}"
    elif arena.kind:
        quality = f"agreement with the float parent on {text.counted(count, 'photo')}"
    else:
        quality = ""
    setting = f"latency: {arena.setting}" if arena.setting else ""
    return "; ".join(filter(None, [quality, setting]))


def _arena(evidence: Evidence, arena: Arena) -> Iterator[str]:
    on_front = [point for point in arena.points if point.on_front]
    if len(arena.points) < 2 or not on_front:
        return
    of = f"of {len(arena.points)} candidates"
    aims = _listed_or([words for words, known in (
        ("more accurate" if arena.kind == ACCURACY else "more faithful",
         any(point.quality is not None for point in arena.points)),
        ("faster", arena.setting is not None),
        ("smaller", any(point.bytes is not None for point in arena.points)),
    ) if known])  # fmt: skip
    where = f'<span class="by">({text.escaped(judged_by(arena))})</span>'
    if len(on_front) == 1:
        point = on_front[0]
        yield (
            f"<strong>Ship {_name(evidence, point)}</strong>: {of}, none is {aims}. "
            f"{_figures(point)} {where}"
        )
    else:
        names = [f"<strong>{_name(evidence, point)}</strong>" for point in on_front]
        yield (
            f"<strong>{len(on_front)}</strong> {of} are worth shipping: {_cut(names)}. Whatever "
            f"is not among them is beaten by one that is, or equalled and beaten in one point. "
            f"{where}"
        )
        if steps := _steps(evidence, arena, on_front):
            items = "".join(f"<li>{step}</li>" for step in steps)
            yield f"From the best of them downwards:</p><ol>{items}</ol><p>"
    if best := _best(evidence, arena):
        yield best


def _steps(evidence: Evidence, arena: Arena, on_front: list[Point]) -> list[str]:
    """The front from the best down, each with what it costs and gains against the one before."""
    order = sorted(on_front, key=lambda point: (-(point.quality or 0), point.latency_ms or 0))
    found = []
    for place, point in enumerate(order[: 2 * _SHOWN]):
        line = f"<strong>{_name(evidence, point)}</strong>: {_figures(point)}"
        if place:
            before = order[place - 1]
            line += f" That is {_against(point, before)}."
        found.append(line)
    return found


def _against(point: Point, before: Point) -> str:
    parts = []
    if point.quality is not None and before.quality is not None:
        points = 100 * (before.quality - point.quality)
        parts.append(f"{points:.1f} points less" if points >= 0.05 else "as good")
    if point.latency_ms and before.latency_ms:
        parts.append(_times(before.latency_ms / point.latency_ms, "as fast"))
    if point.bytes and before.bytes:
        saved = (before.bytes - point.bytes) / 1e6
        parts.append("the same size" if abs(saved) < 0.005 else
                     f"{abs(saved):.2f} MB {'smaller' if saved > 0 else 'larger'}")  # fmt: skip
    return text.listed(parts)


def _times(ratio: float, what: str) -> str:
    return f"{ratio:.2f} times {what}" if abs(ratio - 1) >= 0.005 else f"just {what}"


def _best(evidence: Evidence, arena: Arena) -> str:
    aims: list[tuple[str, Callable[[Point], float | None], Callable[[Point], str]]] = [
        ("fastest", lambda point: point.latency_ms,
         lambda point: f"{text.milliseconds(point.latency_ms)} ms"),
        ("smallest", lambda point: None if point.bytes is None else float(point.bytes),
         lambda point: text.megabytes(point.bytes)),
    ]  # fmt: skip
    if arena.kind == ACCURACY:
        aims.insert(0, ("most accurate", _loss, lambda point: text.percent(point.quality)))
    parts = []
    for words, of, shown in aims:
        known = [(value, point) for point in arena.points if (value := of(point)) is not None]
        if known:
            least = min(value for value, _ in known)
            names = [_name(evidence, point) for value, point in known if value == least]
            parts.append(f"{words}: {_cut(names)} ({shown(_first(known, least))})")
    line = "; ".join(parts)
    return f"{line[0].upper()}{line[1:]}." if line else ""


def _loss(point: Point) -> float | None:
    return None if point.quality is None else -point.quality


def _first(known: list[tuple[float, Point]], least: float) -> Point:
    return next(point for value, point in known if value == least)


def _instead(evidence: Evidence) -> Iterator[str]:
    """For each float model the best of what was made of it."""
    items = []
    for parent in evidence.candidates:
        children = [one for one in evidence.candidates
                    if one.parent == parent.sha256 and one.change and one.quality is not None
                    and one.change.a == parent.sha256]  # fmt: skip
        fit = [one for one in children if one.change and one.change.verdict != "worse"]
        if fit:
            best = max(fit, key=lambda one: (one.quality or 0, -(one.p50_ms or 0)))
            name = f"<strong>{text.name(best.name)}</strong>"
            words = f"{text.name(parent.name)}: {name}, {_gain(best, parent)}"
            items.append(f"<li>instead of {words}</li>")
        elif children:
            items.append(f"<li>{text.name(parent.name)} itself: all that was made of it lose "
                         "significantly</li>")  # fmt: skip
    if items:
        yield f"What loses nothing that these photos can show:</p><ul>{''.join(items)}</ul><p>"


def _gain(one: Candidate, parent: Candidate) -> str:
    parts = []
    if one.p50_ms and parent.p50_ms and one.timing and parent.timing \
            and one.timing.setting == parent.timing.setting:  # fmt: skip
        parts.append(_times(parent.p50_ms / one.p50_ms, "as fast"))
    if one.bytes and parent.bytes:
        parts.append(f"{one.bytes / parent.bytes:.0%} of its size")
    return text.listed(parts)


def _significance(evidence: Evidence) -> Iterator[str]:
    changed = [one for one in evidence.candidates if one.change]
    for verdict, words in (
        ("worse", "<strong>Significantly worse</strong> than what they were compared with, on the "
         "same photos: {}."),
        ("better", "<strong>Significantly better</strong> than what they were compared with, on "
         "the same photos: {}."),
        ("no difference", "<strong>Not significant</strong>: the accuracy of {} cannot be told "
         "from that of what they were compared with; the photos are too few, or there is no "
         "difference."),
    ):  # fmt: skip
        mine = [_change(one) for one in changed if one.change and one.change.verdict == verdict]
        if mine:
            yield words.format(_cut(mine))
    same = [one.name for one in evidence.candidates
            if one.speed and one.speed.verdict == "no difference"]  # fmt: skip
    if same:
        yield f"Nor is it significant how fast {_names(same)} is against the same."


def _change(one: Candidate) -> str:
    assert one.change is not None
    return (
        f"{text.name(one.name)} ({one.change.points:+.1f} points, "
        f"{one.change.interval[0]:+.1f} to {one.change.interval[1]:+.1f})"
    )


def _figures(point: Point) -> str:
    parts = []
    if point.quality is not None:
        interval = text.between(point.interval, 100)
        parts.append(f"{text.percent(point.quality)} {interval}".strip())
    if point.latency_ms is not None:
        parts.append(f"{text.milliseconds(point.latency_ms)} ms")
    if point.bytes is not None:
        parts.append(text.megabytes(point.bytes))
    return f"{', '.join(parts)}."


def _name(evidence: Evidence, point: Point) -> str:
    found = evidence.candidate(point.sha256)
    return text.name(found.name if found else point.sha256)


def _names(names: list[str]) -> str:
    return _cut([text.name(name) for name in names])


def _cut(parts: list[str]) -> str:
    if len(parts) > _SHOWN:
        parts = [*parts[: _SHOWN - 1], f"{len(parts) - _SHOWN + 1} others"]
    return text.listed(parts)


def _listed_or(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
