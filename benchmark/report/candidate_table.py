"""The table of all candidates."""

from __future__ import annotations

from collections.abc import Callable

from effnet_lite.benchmark.report import text
from effnet_lite.benchmark.report.arenas import ACCURACY
from effnet_lite.benchmark.report.evidence import Candidate, Evidence
from effnet_lite.benchmark.report.tables import Cell, cell, table

FRONT_SIGN = "★"

Column = tuple[str, Callable[[int, Candidate], Cell | str]]


def candidate_table(evidence: Evidence) -> str:
    """A row a candidate, with the columns for which somebody has a figure."""
    columns = [*_columns(evidence)]
    rows = [
        [make(number, one) for _, make in columns]
        for number, one in enumerate(evidence.candidates, 1)
    ]
    caption = f"All {text.counted(len(rows), 'candidate')}; {FRONT_SIGN} is on the front"
    if len(rows) == 1:
        caption = "One candidate"
    return table(caption, [head for head, _ in columns], rows, sortable=len(rows) > 1, left=3)


def _columns(evidence: Evidence) -> list[Column]:
    everybody = evidence.candidates
    kinds = {one.quality_kind for one in everybody if one.quality_kind}
    quality = "top-1 (95 %)" if kinds == {ACCURACY} else "agreement (95 %)"
    quality = quality if len(kinds) == 1 else "quality (95 %)"

    def against(sha256: str) -> str:
        found = evidence.candidate(sha256)
        number = everybody.index(found) + 1 if found else "?"
        return f"#{number}"

    possible: list[tuple[str, Callable[[int, Candidate], Cell | str], bool]] = [
        ("#", lambda number, one: cell(str(number), number), True),
        ("front", _front, bool(evidence.front)),
        ("model", lambda number, one: Cell(text.name(one.name), one.name[:100]), True),
        (quality, lambda number, one: _quality(one, len(kinds) > 1), bool(kinds)),
        ("change (95 %)", lambda number, one: _change(one, against),
         any(one.change for one in everybody)),
        ("p50, ms", lambda number, one: _ms(one, "p50_ms"), _timed(evidence, "p50_ms")),
        ("mean, ms", lambda number, one: _ms(one, "mean_ms"),
         _timed(evidence, "mean_ms") and not _timed(evidence, "p50_ms")),
        ("time ratio (99 %)", lambda number, one: _speed(one, against),
         any(one.speed for one in everybody)),
        ("size, MB", _size, any(one.bytes for one in everybody)),
        ("top-5", lambda number, one: _percent(one.accuracy.top5 if one.accuracy else None),
         any(one.accuracy for one in everybody)),
        ("ECE", _ece, any(one.accuracy and one.accuracy.ece is not None for one in everybody)),
        ("same as float", _agreement,
         ACCURACY in kinds and any(one.agreement for one in everybody)),
        ("SQNR, dB", _sqnr, any(one.fidelity for one in everybody)),
        ("p90, ms", lambda number, one: _ms(one, "p90_ms"), _timed(evidence, "p90_ms")),
        ("p99, ms", lambda number, one: _ms(one, "p99_ms"), _timed(evidence, "p99_ms")),
        ("peak memory, MiB", _memory, _timed(evidence, "peak_rss_mib")),
        ("variant", lambda number, one: _words(one.variant),
         any(one.variant for one in everybody)),
        ("precision", lambda number, one: _words(one.precision),
         any(one.precision for one in everybody)),
        ("recipe", lambda number, one: _words(one.recipe), any(one.recipe for one in everybody)),
    ]  # fmt: skip
    return [(head, make) for head, make, wanted in possible if wanted]


def _front(number: int, one: Candidate) -> Cell:
    sign = f'<span role="img" aria-label="on the front">{FRONT_SIGN}</span>'
    return Cell(sign if one.on_front else "", 0 if one.on_front else 1)


def _quality(one: Candidate, with_kind: bool) -> Cell:
    if one.quality is None:
        return _nothing()
    more = text.between(one.quality_interval, 100)
    if with_kind:
        more = f"{more} {one.quality_kind}".strip()
    return _two_lines(text.percent(one.quality), more, one.quality)


def _change(one: Candidate, against: Callable[[str], str]) -> Cell:
    if one.change is None:
        return _nothing()
    words = f"{one.change.points:+.1f} {text.between(one.change.interval, 1, '+.1f')}"
    return _two_lines(words, _verdict(one.change.verdict, against(one.change.a)),
                      one.change.points)  # fmt: skip


def _speed(one: Candidate, against: Callable[[str], str]) -> Cell:
    if one.speed is None:
        return _nothing()
    words = f"{one.speed.ratio:.3f} {text.between(one.speed.interval, 1, '.3f')}"
    return _two_lines(words, _verdict(one.speed.verdict, against(one.speed.a)), one.speed.ratio)


def _verdict(verdict: str, other: str) -> str:
    return f"{verdict} {'to' if verdict == 'no difference' else 'than'} {other}"


def _two_lines(first: str, second: str, value: float) -> Cell:
    more = f"<br><small>{text.escaped(second)}</small>" if second else ""
    return Cell(text.escaped(first) + more, value)


def _ece(number: int, one: Candidate) -> Cell:
    ece = one.accuracy.ece if one.accuracy else None
    return _nothing() if ece is None else cell(f"{ece:.3f}", ece)


def _agreement(number: int, one: Candidate) -> Cell:
    if one.agreement is None:
        return _nothing()
    share, photos = one.agreement
    return _two_lines(text.percent(share), f"of {text.counted(photos, 'photo')}", share)


def _sqnr(number: int, one: Candidate) -> Cell:
    value = one.fidelity.sqnr_db if one.fidelity else None
    return _nothing() if value is None else cell(f"{value:.1f}", value)


def _ms(one: Candidate, what: str) -> Cell:
    value = getattr(one.timing, what, None)
    noisy = bool(one.timing and one.timing.noise)
    mark = "⚠ noisy" if noisy and what == "p50_ms" else ""
    return _nothing() if value is None else _two_lines(text.milliseconds(value), mark, value)


def _size(number: int, one: Candidate) -> Cell:
    return _nothing() if one.bytes is None else cell(f"{one.bytes / 1e6:.2f}", one.bytes)


def _memory(number: int, one: Candidate) -> Cell:
    value = one.timing.peak_rss_mib if one.timing else None
    return _nothing() if value is None else cell(f"{value:.0f}", value)


def _words(value: str | None) -> Cell:
    return _nothing() if value is None else Cell(text.name(value), value[:100])


def _percent(share: float | None) -> Cell:
    return _nothing() if share is None else cell(text.percent(share), share)


def _nothing() -> Cell:
    return Cell("–")


def _timed(evidence: Evidence, what: str) -> bool:
    return any(getattr(one.timing, what, None) is not None for one in evidence.candidates)
