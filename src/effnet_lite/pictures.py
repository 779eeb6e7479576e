"""Pictures of results: the same bytes for the same result, on any machine's settings."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effnet_lite.errors import MissingDependencyError, UsageError
from effnet_lite.files import check_output, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Without dates the same figure gives the same bytes.
_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}
_DPI = 100

#: Okabe and Ito's colours, which the colour-blind tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def check_picture(path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Raise early what :func:`picture` would raise after the work.

    Raises:
        UsageError: The name does not end in .png, .svg or .pdf.
        MissingDependencyError: matplotlib is not installed.
        InputError: The file exists and ``overwrite`` is off, or cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _METADATA:
        raise UsageError(
            f"expected a picture that ends in {', '.join(_METADATA)}, got {str(path)!r}"
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("drawing a picture", "matplotlib", "plot")
    check_output(Path(path), overwrite)


@contextlib.contextmanager
def picture(
    path: str | os.PathLike[str], inches: tuple[float, float], overwrite: bool = False
) -> Iterator[Figure]:
    """Yield an empty figure to draw on; then write it.

    Args:
        path: Ends in .png, .svg or .pdf.
        inches: Width and height, of 100 pixels each in a .png.
        overwrite: Replace an existing file.

    Raises:
        UsageError, MissingDependencyError, InputError: As :func:`check_picture`.
    """
    check_picture(path, overwrite)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    suffix = Path(path).suffix.lower()
    buffer = io.BytesIO()
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever the user's matplotlibrc says
        mpl.rcParams["svg.hashsalt"] = "effnet-lite"
        mpl.rcParams["text.parse_math"] = False  # names may have dollar signs
        figure = Figure(figsize=inches, layout="constrained")
        yield figure
        figure.savefig(buffer, format=suffix[1:], dpi=_DPI, metadata=_METADATA[suffix])
    write_bytes(path, buffer.getvalue(), overwrite)
