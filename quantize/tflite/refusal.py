"""What a runtime's error texts mean, and what to do about them.

The texts are those of core/interpreter_builder.cc, core/subgraph.cc and util.cc, the same in
tflite-runtime 2.14, TensorFlow 2.21 and LiteRT 2.3.
"""

from __future__ import annotations

import re

EDGETPU_OPERATOR = "edgetpu-custom-op"
LONGEST = 300  # characters of a runtime's own words

#: What the text holds → what to tell; groups of the pattern fill {0}, {1}; {runtime} the name.
_MEANINGS = (
    (
        rf"unresolved custom op: {EDGETPU_OPERATOR}",
        "the model is compiled for the Edge TPU and runs only with its delegate: use --delegate "
        "edgetpu, or on a CPU the .tflite from before edgetpu_compiler",
    ),
    (
        r"unresolved custom op: (.+?)\.(?: |$)",
        "{runtime} refuses the model: it does not know the custom operator {0}; use the delegate "
        "or the runtime that brings it",
    ),
    (
        r"Flex delegate(?:.*?\(Flex(\w+)\))?",
        "{runtime} refuses the model: it runs TensorFlow operators ({0}) only with the Flex "
        "delegate; convert the model without SELECT_TF_OPS",
    ),
    (
        r"find op for builtin opcode '(\w+)' version '(\d+)'",
        "{runtime} refuses the model: it does not know version {1} of the operator {0}; use a "
        "newer or another runtime",
    ),
    (
        r"builtin_code out of range: (\d+)",
        "{runtime} refuses the model: it does not know the operator number {0}; use a newer or "
        "another runtime",
    ),
    (
        r"BytesRequired number of elements overflowed",
        "{runtime} refuses the model: a tensor has a negative or a far too long side; convert it "
        "with fixed shapes",
    ),
    (
        r"Invalid data-type for array",
        "{runtime} cannot run the model from Python: an input or output has a type that NumPy "
        "lacks (bfloat16 or an 8-bit float)",
    ),
    (
        r"Unsupported data type (\d+) in tensor",
        "{runtime} refuses the model: it does not know the tensor type {0}; use a newer or another "
        "runtime",
    ),
)


def meaning(text: str, runtime: str) -> str:
    """One line about why a runtime refuses a model.

    Args:
        text: Of its exception.
        runtime: Name and version.
    """
    whole = " ".join(text.split())
    for pattern, told in _MEANINGS:
        found = re.search(pattern, whole)
        if found:
            return told.format(*(group or "?" for group in found.groups()), runtime=runtime)
    if not whole:
        return f"{runtime} refuses the model and gives no reason; perhaps it needs too much memory"
    return f"{runtime} refuses the model: {one_line(text)}"


def one_line(text: str) -> str:
    """A runtime's words without line breaks, and without what every failure ends with."""
    text = " ".join(text.split())
    text = re.sub(r"\s*Restored original execution plan after delegate.*", "", text)
    # It sets one message right behind the other.
    text = re.sub(r"(?<=\S)(?=Node number \d+ \()", "; ", text)
    return text[:LONGEST].rstrip(" .;")


def blames_delegate(text: str) -> bool:
    """Whether it is a delegate, not the model, that fails where one is applied.

    Where a delegate cannot even be asked, because tensors are of dynamic size or strings, the
    runtimes give no reason at all.
    """
    return not text.strip() or "delegate" in text.replace("Flex delegate", "").lower()
