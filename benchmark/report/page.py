"""``report``: one HTML page that needs nothing but a browser."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import os
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effnet_lite import __version__
from effnet_lite.benchmark.report import text
from effnet_lite.benchmark.report.documents import read_documents
from effnet_lite.benchmark.report.evidence import Evidence, join
from effnet_lite.benchmark.report.sections import Part, Section, sections
from effnet_lite.benchmark.report.style import Figure
from effnet_lite.errors import InputError, MissingDependencyError
from effnet_lite.files import check_output, write_bytes

TITLE = "EfficientNet models compared"
_LONGEST_TITLE = 200
_HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class ReportResult:
    """What :func:`report` wrote.

    Attributes:
        output, bytes: The page.
        candidates, front: Names of the models on it, and of those on the front.
        notes: What a reader must know, a sentence each; the page has them, too.
    """

    output: Path
    bytes: int
    candidates: tuple[str, ...]
    front: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of ``report --json``."""
        return {**dataclasses.asdict(self), "output": str(self.output)}


def report(
    records: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] = "report.html",
    title: str | None = None,
    overwrite: bool = False,
) -> ReportResult:
    """Make a page of everything that records say.

    The page is one file, which works offline; Plotly, which draws its figures, is part of it.
    The same records give the same bytes with the same release of plotly.

    Args:
        records: Files with what ``benchmark``, ``evaluate``, ``compare``, ``convert`` and
            ``inspect`` print with ``--json``, and record files of sweeps, in any mix.
        output: The page.
        title: Its heading.
        overwrite: Replace an existing file.

    Raises:
        InputError: A record is missing, not JSON, or something else, or says nothing of any
            model; or the output cannot be written.
        MissingDependencyError: plotly is not installed.
    """
    require_plotly()
    check_output(Path(output), overwrite)
    notes: list[str] = []
    evidence = join(read_documents(records, notes.append), notes)
    if not evidence.candidates and not evidence.failures:
        raise InputError(
            f"expected records that speak of models, found none in {', '.join(map(str, records))}"
        )
    page = render(evidence, title or TITLE).encode()
    write_bytes(output, page, overwrite)
    return ReportResult(
        output=Path(output),
        bytes=len(page),
        candidates=tuple(candidate.name for candidate in evidence.candidates),
        front=tuple(candidate.name for candidate in evidence.front),
        notes=evidence.notes,
    )


def require_plotly() -> None:
    """Raise MissingDependencyError unless plotly is installed; for early, before the work."""
    if importlib.util.find_spec("plotly") is None:
        raise MissingDependencyError("the report", "plotly", "report")


def render(evidence: Evidence, title: str) -> str:
    """The page.

    Args:
        evidence: What it is about.
        title: Its heading, any text.
    """
    from plotly.offline import get_plotlyjs

    release = importlib.metadata.version("plotly")
    plotly, script = get_plotlyjs(), _read("page.js")
    found = sections(evidence)
    template = string.Template(_read("page.html"))
    return template.substitute(
        policy=_policy(plotly, script),
        generator=f"effnet-lite {__version__}",
        title=text.escaped(text.short(title, _LONGEST_TITLE)),
        style=_read("page.css").strip(),
        contents="".join(
            f'<li><a href="#{section.anchor}">{section.title}</a></li>' for section in found
        ),
        body="\n".join(_section(section) for section in found),
        footer=f"Made by effnet-lite {__version__} with plotly {text.escaped(release)}.",
        plotly=plotly,
        script=script,
    )


def _policy(*scripts: str) -> str:
    """These scripts and no others, nothing from anywhere; Plotly sets styles as it draws."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _section(section: Section) -> str:
    parts = "\n".join(
        _part(part, f"{section.anchor}-{number}") for number, part in enumerate(section.parts)
    )
    return f'<section id="{section.anchor}"><h2>{section.title}</h2>\n{parts}\n</section>'


def _part(part: Part, identifier: str) -> str:
    drawn = _figure(part.figure, identifier, not part.folded) if part.figure else ""
    if not part.folded:
        return part.html + drawn
    head = f"<summary>{text.escaped(part.folded)}</summary>"
    return f'<details class="single">{head}{part.html}{drawn}</details>'


def _figure(figure: Figure, identifier: str, heading: bool) -> str:
    title = text.escaped(figure.title)
    head = f"<h3>{title}</h3>" if heading else ""
    note = f"<figcaption>{figure.note}</figcaption>" if figure.note else ""
    return (
        f"<figure>{head}"
        f'<div class="frame"><div class="plot" id="{identifier}" role="img" '
        f'aria-label="{title}; the table below has the figures" '
        f'style="min-height:{figure.height}px;min-width:{figure.least_width}px"></div></div>'
        f'<script type="application/json">{text.script_json(figure.to_json())}</script>'
        f"{note}<details><summary>The figures as a table</summary>{figure.table}</details>"
        "</figure>"
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text("utf-8")
