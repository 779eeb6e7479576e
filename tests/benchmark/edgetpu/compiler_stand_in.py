"""Stands in for edgetpu_compiler: prints what it printed in public logs, by scenario.

$STAND_IN_SCENARIO names a function below, $STAND_IN_OUTPUT a file to give as the compiled model,
$STAND_IN_ARGUMENTS a file for the arguments that came. The issue in a docstring is
google-coral/edgetpu's where such a log was published.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

SUMMARY = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 2876 ms.

Input model: model.tflite
Input size: 7.31MiB
Output model: model_edgetpu.tflite
Output size: 8.14MiB
On-chip memory used for caching model parameters: 6.89MiB
On-chip memory remaining for caching model parameters: 1.00KiB
Off-chip memory used for streaming uncached model parameters: {streamed}
Number of Edge TPU subgraphs: 1
Total number of operations: {total}
Operation log: model_edgetpu.log
"""
PARTLY = """
Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of \
the model will instead run on the CPU, which is slower. If possible, consider updating your model \
to use only operations supported by the Edge TPU. For details, visit g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: {there}
Number of operations that will run on CPU: {here}
"""
FULL_TABLE = """
Operator                       Count      Status

CONV_2D                        33         Mapped to Edge TPU
DEPTHWISE_CONV_2D              16         Mapped to Edge TPU
SOFTMAX                        1          Mapped to Edge TPU
"""
PART_TABLE = """
Operator                       Count      Status

ADD                            2          More than one subgraph is not supported
ADD                            6          Mapped to Edge TPU
QUANTIZE                       1          Operation is otherwise supported, but not mapped due to \
some unspecified limitation
DEQUANTIZE                     1          Operation is working on an unsupported data type
CONV_2D                        35         Mapped to Edge TPU
"""
END = """Compilation child process completed within timeout period.
Compilation succeeded!
"""


def success(folder: Path) -> int:
    """#512, #317: everything is mapped."""
    return _write(folder, SUMMARY.format(streamed="0.00B", total=50) + FULL_TABLE + END)


def partial(folder: Path) -> int:
    """#512, #342."""
    text = SUMMARY.format(streamed="175.00KiB", total=45) + PARTLY.format(there=41, here=4)
    return _write(folder, text + PART_TABLE + END)


def table_in_the_file(folder: Path) -> int:
    """#173: without --show_operations the table is only in the .log file."""
    head = "Edge TPU Compiler version 14.1.317412892\nInput: model.tflite\n"
    folder.joinpath("model_edgetpu.log").write_text(head + PART_TABLE)
    text = SUMMARY.replace("16.0.384591198", "14.1.317412892").format(streamed="0.00B", total=45)
    return _write(folder, text + "See the operation log file for individual operation details.\n")


def version_2(folder: Path) -> int:
    """A log of version 2.0 (towardsdatascience.com, "Hacking Google Coral Edge TPU")."""
    return _write(
        folder,
        """Edge TPU Compiler version 2.0.267685300

Model compiled successfully in 23 ms.

Input model: model.tflite
Input size: 2.54KiB
Output model: model_edgetpu.tflite
Output size: 296.85KiB
On-chip memory available for caching model parameters: 1.73MiB
On-chip memory used for caching model parameters: 10.00KiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 1
""",
    )


def nothing_mapped(folder: Path) -> int:
    """#708."""
    row = (
        "RESHAPE                        10         Operation is working on an unsupported data type"
    )
    table = f"\nOperator                       Count      Status\n\n{row}\n"
    text = SUMMARY.format(streamed="0.00B", total=157).replace("subgraphs: 1", "subgraphs: 0")
    return _write(folder, text + PARTLY.format(there=0, here=157) + table)


def no_integer_overflow(folder: Path) -> int:
    """#453."""
    print("""Edge TPU Compiler version 16.0.384591198
Searching for valid delegate with step 1
Try to compile segment with 136 ops
Started a compilation timeout timer of 180 seconds.
ERROR: :344 no_integer_overflow_from_quantization was not true.
ERROR: Node number 31 (CONV_2D) failed to prepare.

Compilation failed: Model failed in Tflite interpreter. Please ensure model can be loaded/run in \
Tflite interpreter.
Compilation child process completed within timeout period.
Compilation failed! """)
    return 1


def too_old(folder: Path) -> int:
    """#631, #845."""
    print("""Edge TPU Compiler version 2.1.302470888
ERROR: Didn't find op for builtin opcode 'CONV_2D' version '6'. An older version of this builtin \
might be supported. Are you using an old TFLite binary with a newer model?

ERROR: Registration failed.

Invalid model: model.tflite
Model could not be parsed""")
    return 1


def unknown_operator(folder: Path) -> int:
    """#818."""
    print("""Edge TPU Compiler version 16.0.384591198
ERROR: Op builtin_code out of range: 150. Are you using old TFLite binary with newer model?""")
    return 1


def dynamic(folder: Path) -> int:
    """#829."""
    print("""Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.
ERROR: Attempting to use a delegate that only supports static-sized tensors with a graph that has \
dynamic-sized tensors.
Compilation failed: Model failed in Tflite interpreter. Please ensure model can be loaded/run in \
Tflite interpreter.
Compilation child process completed within timeout period.
Compilation failed! """)
    return 1


def large(folder: Path) -> int:
    """#439."""
    print("""Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.
ERROR: Restored original execution plan after delegate application failure.
Compilation failed: Compilation failed due to large activation tensors in model.
Compilation child process completed within timeout period.
Compilation failed! """)
    return 1


def internal(folder: Path) -> int:
    """#211."""
    print("Edge TPU Compiler version 14.1.317412892\n\nInternal compiler error. Aborting! ")
    return 255


def unheard_of(folder: Path) -> int:
    """No public log has this."""
    print("Edge TPU Compiler version 16.0.384591198\nCompilation failed: The moon is full.")
    return 1


def crash(folder: Path) -> int:
    """By a signal, in the middle of its work."""
    print(
        "Edge TPU Compiler version 16.0.384591198\nterminating with uncaught exception", flush=True
    )
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def hang(folder: Path) -> int:
    """With a child, as compiler 16 has one, whose number goes into the arguments' file."""
    child = os.fork()
    if child:
        Path(os.environ["STAND_IN_ARGUMENTS"]).write_text(str(child))
    time.sleep(600)
    return 0


def silent(folder: Path) -> int:
    """Ends well and writes nothing."""
    print("Edge TPU Compiler version 16.0.384591198")
    return 0


def garbage(folder: Path) -> int:
    """Writes something that is no model."""
    folder.joinpath("model_edgetpu.tflite").write_bytes(b"not a model at all")
    print(SUMMARY.format(streamed="0.00B", total=50) + FULL_TABLE)
    return 0


def other_program(folder: Path) -> int:
    """Not the compiler at all."""
    sys.stderr.write("usage: frobnicate [--help]\n\xe9\n")
    return 2


def _write(folder: Path, text: str) -> int:
    shutil.copy(os.environ["STAND_IN_OUTPUT"], folder / "model_edgetpu.tflite")
    print(text)
    return 0


if __name__ == "__main__":
    given = sys.argv[1:]
    scenario = os.environ["STAND_IN_SCENARIO"]
    if scenario != "hang":
        Path(os.environ["STAND_IN_ARGUMENTS"]).write_text(json.dumps(given))
    sys.exit(globals()[scenario](Path(given[given.index("--out_dir") + 1])))
