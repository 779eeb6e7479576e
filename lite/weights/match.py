"""Accounting: every tensor of the file and of the network finds its counterpart, or is named."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from effnet_lite.errors import InputError
from effnet_lite.lite.architecture import architecture
from effnet_lite.lite.variants import VARIANTS, Variant
from effnet_lite.lite.weights.contents import Contents, Stored, Tensors
from effnet_lite.lite.weights.names import LAYOUTS, Layout, Names, Source

# ImageNet-21k has 21,843. A larger head is a damaged or hostile file.
MAX_CLASSES = 100_000
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Matched:
    """The tensors of a file under their canonical names, complete for ``classes``."""

    tensors: Tensors
    classes: int
    layout: str


def match(contents: Contents, variant: Variant, where: str) -> Matched:
    """Load the network's tensors out of the file.

    Args:
        contents: The open file.
        variant: The network it should hold, with any number of classes, or none.
        where: The file, for messages.

    Raises:
        InputError: Tensors are missing, unexpected, of the wrong shape or not finite.
    """
    found = contents.tensors
    layout = _layout(contents, variant, where)
    plan = _plan(layout, variant, found)
    problems = _problems(plan, layout, found)
    if problems:
        raise InputError(
            f"{where} does not fit {variant.name} ({layout.name} names): {problems}"
            f"{_hint(layout, variant, found)}"
        )
    if plan.classes > MAX_CLASSES:
        raise InputError(f"{where} has a classifier of {plan.classes:,} classes: it is damaged")
    tensors = {
        name: _load(found[source.name], source, f"{source.name} in {where}")
        for name, source in plan.names.items()
    }
    return Matched(tensors, plan.classes, layout.name)


@dataclasses.dataclass(frozen=True)
class _Plan:
    names: Names
    shapes: dict[str, tuple[int, ...]]
    classes: int


def _layout(contents: Contents, variant: Variant, where: str) -> Layout:
    """The layout, of those the kind of file may have, that knows most of the names."""
    found = contents.tensors

    def known(layout: Layout) -> int:
        sources = layout.sources(architecture(variant), found)
        return sum(source.name in found for source in sources.values())

    layout = max((LAYOUTS[name] for name in contents.layouts), key=known)
    if not known(layout):
        raise InputError(
            f"{where} does not hold an EfficientNet: none of its {_names(sorted(found))} is "
            f"known to {' or '.join(dict.fromkeys(LAYOUTS[n].name for n in contents.layouts))}"
        )
    return layout


def _plan(layout: Layout, variant: Variant, found: dict[str, Stored]) -> _Plan:
    classes = _classes(layout, variant, found)
    arch = architecture(variant, classes)
    names, shapes = layout.sources(arch, found), arch.tensors()
    optional = layout.optional(arch, found)
    if any(source.name in found for source in optional.values()):
        names, shapes = names | optional, shapes | dict.fromkeys(optional, (3,))
    return _Plan(names, shapes, classes)


def _classes(layout: Layout, variant: Variant, found: dict[str, Stored]) -> int:
    """Outputs of the file's classifier, 0 if there is none."""
    sources = layout.sources(architecture(variant, 1), found)
    for name in ("predictions/bias", "predictions/kernel"):
        source = sources[name]
        stored = found.get(source.name)
        if stored is not None and stored.shape:
            # Classes are the last axis of both in Keras' layout.
            return stored.shape[source.axes[-1] if source.axes else -1]
    return 0


def _problems(plan: _Plan, layout: Layout, found: dict[str, Stored]) -> str:
    """What does not fit, in words; empty if everything does."""
    expected = {source.name for source in plan.names.values()}
    missing = [source.name for source in plan.names.values() if source.name not in found]
    unexpected = [n for n in found if n not in expected and not layout.ignored(n, found)]
    wrong = []
    for name, source in plan.names.items():
        stored, shape = found.get(source.name), source.stored_shape(plan.shapes[name])
        if stored is not None and stored.shape != shape:
            wrong.append(f"{source.name} is {_shape(stored.shape)}, expected {_shape(shape)}")
    kinds = ((missing, "missing"), (unexpected, "unexpected"), (wrong, "of the wrong shape"))
    return "; ".join(_names(names, kind) for names, kind in kinds if names)


def _hint(layout: Layout, variant: Variant, found: dict[str, Stored]) -> str:
    for other in VARIANTS.values():
        if other.name != variant.name and not _problems(_plan(layout, other, found), layout, found):
            return f". This file looks like {other.name}: pass it as the variant"
    return ""


def _load(stored: Stored, source: Source, where: str) -> npt.NDArray[np.float32]:
    array = stored.load()
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise InputError(f"{where} holds {array.dtype.name} values; expected floating point")
    if source.axes is not None:
        array = array.transpose(source.axes)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf and is caught
        result: npt.NDArray[np.float32] = np.array(array, dtype=np.float32, order="C")
    if not np.isfinite(result).all():
        raise InputError(f"{where} holds NaN or infinite values: the file is damaged")
    return result


def _names(names: list[str], kind: str = "tensors") -> str:
    shown = ", ".join(_printable(name) for name in names[:_SHOWN])
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {kind} ({shown}{rest})"


def _printable(name: str) -> str:
    """A name from a file, on one line and of bounded length."""
    clean = "".join(char if char.isprintable() else "?" for char in name[:120])
    return clean + ("…" if len(name) > 120 else "")


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a scalar"
