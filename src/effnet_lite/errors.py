"""Everything effnet-lite raises on purpose.

::

    EffnetLiteError
    ├── InputError              a file, image or option value is not what it should be
    │   └── UsageError          options that contradict each other (the CLI exits 2)
    ├── MissingDependencyError  an optional package is not installed; says the pip line
    ├── ConversionError         the model could not be built, quantized or written
    ├── FidelityError           the quantized model lost more than --max-drop allows
    ├── DelegateError           a delegate library is missing or refuses the model
    └── DeviceError             no such device, or it stopped answering

A message is one line: what was expected, what was found, what to do next.
"""

from __future__ import annotations


class EffnetLiteError(Exception):
    """Root of the tree; the command line turns it into one line on stderr and exit code 1."""

    exit_code = 1


class InputError(EffnetLiteError):
    """A file, an image or an option value is not what was expected."""


class UsageError(InputError):
    """Options contradict each other or name something unknown; the CLI exits 2."""

    exit_code = 2


class MissingDependencyError(EffnetLiteError):
    """An optional package is needed and not installed."""

    def __init__(self, needed_for: str, package: str, extra: str | None = None) -> None:
        target = f"'effnet-lite[{extra}]'" if extra else package
        super().__init__(
            f"{needed_for} needs {package}, which is not installed here; run: pip install {target}"
        )


class ConversionError(EffnetLiteError):
    """A model could not be built, quantized or written."""


class FidelityError(EffnetLiteError):
    """The quantized model strays further from the float model than the user allowed."""


class DelegateError(EffnetLiteError):
    """A delegate library is missing, has no device, or refuses the model."""


class DeviceError(EffnetLiteError):
    """A device is missing, unauthorised, or stopped answering."""
