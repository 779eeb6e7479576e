"""Fetching a file, verified and all or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
from collections.abc import Iterator
from pathlib import Path

from effnet_lite.errors import InputError
from effnet_lite.files import atomic_path
from effnet_lite.lite.weights.detect import Format, detect
from effnet_lite.progress import Progress

_TIMEOUT_SECONDS = 10
_PIECE_BYTES = 1 << 18
# Several times the largest official file.
_MAX_BYTES = 2 << 30


def download(
    url: str,
    target: Path,
    kind: Format,
    *,
    md5: str | None = None,
    progress: Progress | None = None,
    advice: str,
) -> Path:
    """Fetch ``url`` to ``target``, whose folder is made if need be.

    Args:
        url: What to fetch.
        target: The file; there afterwards, or untouched.
        kind: What the content must be: a captive portal answers with a web page.
        md5: Expected hex digest, if one is known.
        progress: Called with the bytes so far, the total if the server tells, and the name.
        advice: What to do by hand when there is no network.

    Raises:
        InputError: No network, no such file, cut off, or not what was expected.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {target.parent}: {error.strerror or error}") from error
    with atomic_path(target, overwrite=True) as temporary:
        found = _fetch(url, temporary, progress, target.name, advice)
        if md5 is not None and found != md5:
            raise InputError(
                f"{url} gave a file with md5 {found}, expected {md5}; it was deleted. "
                f"Try again, or {advice}"
            )
        _check_kind(url, temporary, kind, advice)
    return target


def _fetch(url: str, temporary: Path, progress: Progress | None, label: str, advice: str) -> str:
    """Stream to the file and return its md5."""
    import urllib.request  # 40 ms, and most runs download nothing

    digest = hashlib.md5(usedforsecurity=False)
    done = 0
    with _network(url, advice):
        response = urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS)
    with response, temporary.open("wb") as file:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        while True:
            with _network(url, advice):
                piece: bytes = response.read(_PIECE_BYTES)
            if not piece:
                break
            done += len(piece)
            if done > _MAX_BYTES:
                raise InputError(f"{url} sends more than {_MAX_BYTES:,} bytes; gave up")
            file.write(piece)
            digest.update(piece)
            if progress is not None:
                progress(done, total, label)
    if total is not None and done != total:
        raise InputError(f"{url} was cut off after {done:,} of {total:,} bytes; try again")
    return digest.hexdigest()


@contextlib.contextmanager
def _network(url: str, advice: str) -> Iterator[None]:
    """Turn what urllib raises into one line that says what to do without a network."""
    try:
        yield
    # URLError and timeouts are OSErrors; ValueError: a proxy or address that is none.
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(getattr(error, "reason", None) or error)
        if code := getattr(error, "code", None):  # HTTPError
            reason = f"the server says {code} {reason}"
        reason = " ".join(reason.split())
        raise InputError(
            f"cannot download {url} ({reason or type(error).__name__}); {advice}"
        ) from error


def _check_kind(url: str, temporary: Path, kind: Format, advice: str) -> None:
    try:
        found = detect(temporary)
    except InputError as error:
        reason = str(error).replace(str(temporary), "the answer")
        raise InputError(f"{url} gave no weights file: {reason}; {advice}") from error
    if found is not kind:
        raise InputError(f"{url} gave a {found.value} file, expected {kind.value}; {advice}")
