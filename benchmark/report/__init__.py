"""One page out of records: what is known of each model, side by side, to send around.

documents.py reads files, readings.py checks what they say, evidence.py joins it by model,
pareto.py finds those worth shipping, summary.py puts it into words, figures.py and tables.py
show it, page.py writes the page.
"""

from effnet_lite.benchmark.report.documents import Entry, read_documents
from effnet_lite.benchmark.report.evidence import Candidate, Evidence, join
from effnet_lite.benchmark.report.page import ReportResult, report, require_plotly
from effnet_lite.benchmark.report.pareto import front

__all__ = [
    "Candidate",
    "Entry",
    "Evidence",
    "ReportResult",
    "front",
    "join",
    "read_documents",
    "report",
    "require_plotly",
]
