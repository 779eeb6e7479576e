"""Names of files and classes may hold anything: what is shown of them stays one line of text."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text on one line: no line breaks, no control characters, no lone surrogates."""
    clean = text.encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in clean)
