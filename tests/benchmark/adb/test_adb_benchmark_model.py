"""What benchmark_model of several releases prints, and what is understood of it.

The lines have the formats of tensorflow/lite/tools/benchmark/benchmark_model.cc (2019 to 2026),
tensorflow/core/util/stats_calculator.{h,cc} and litert/tools/benchmark_litert_model.h, and of
logs in issues of tensorflow/tensorflow; the numbers are made up.
"""

from __future__ import annotations

import dataclasses

import pytest

from effnet_lite.benchmark.adb.benchmark_model import Job, arguments, parse, parse_profile
from effnet_lite.errors import DelegateError, DeviceError, UsageError

JOB = Job("model-0.tflite", "cpu", {}, threads=4, runs=50, min_seconds=1, warmup=5)

# 2020 to 2022: no prefix, no percentiles.
OLD = """STARTING!
Duplicate flags: num_threads
Log parameter values verbosely: [0]
Num threads: [4]
Graph: [/data/local/tmp/model.tflite]
#threads used for CPU inference: [4]
Loaded model /data/local/tmp/model.tflite
The input model file size (MB): 0.004448
Initialized session in 0.855ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding \
150 seconds.
count=15 first=49060 curr=33682 min=32825 max=49060 avg=34825.1 std=3930

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding \
150 seconds.
count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450

Inference timings in us: Init: 855, First inference: 49060, Warmup (avg): 34825.1, \
Inference (avg): 33209.4
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE \
to the actual memory footprint of the model at runtime. Take the information at your discretion.
Peak memory footprint (MB): init=0 overall=12.8672
"""

# From 2023 on: a prefix; from 2024 on percentiles.
NEW = """INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Signature to run: []
INFO: Loaded model model-0.tflite
INFO: Initialized TensorFlow Lite runtime.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
VERBOSE: Replacing 61 out of 61 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 \
partitions for subgraph 0.
INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the \
delegate.
INFO: The input model file size (MB): 5.2
INFO: Initialized session in 52.687ms.
INFO: Running benchmark for at least 5 iterations and at least 0.5 seconds but terminate if \
exceeding 150 seconds.
INFO: count=35 first=19105 curr=13909 min=13585 max=19105 avg=14452.5 std=1240 p5=13601 \
median=14011 p95=17020

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if \
exceeding 150 seconds.
INFO: count=70 first=14941 curr=14066 min=13728 max=16145 avg=14290.9 std=452 p5=13790 \
median=14201 p95=15300

INFO: Inference timings in us: Init: 52687, First inference: 19105, Warmup (avg): 14452.5, \
Inference (avg): 14290.9
INFO: Memory footprint delta from the start of the tool (MB): init=21.9492 overall=34.5234
"""

LITERT = """INFO: [litert_model.cc:12] Loading model from: model-0.tflite
INFO: Initialized session in 23.5ms.
INFO: Running benchmark for at least 5 iterations and at least 0.5 seconds but terminate if \
exceeding 150 seconds.
INFO: count=5 first=9000 curr=8000 min=7900 max=9000 avg=8200 std=300 p5=7900 median=8000 p95=9000

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if \
exceeding 150 seconds.
INFO: count=125 first=8100 curr=8000 min=7800 max=9900 avg=8010.5 std=99 p5=7850 median=8000 \
p95=8300

INFO: [benchmark_litert_model.h:90]
========== BENCHMARK RESULTS ==========
INFO: [benchmark_litert_model.h:94] Model initialization: 23.50 ms
INFO: [benchmark_litert_model.h:96] Warmup (first):       9.00 ms
INFO: [benchmark_litert_model.h:98] Warmup (avg):         8.20 ms (5 runs)
INFO: [benchmark_litert_model.h:100] Inference (avg):      8.01 ms (125 runs)
INFO: [benchmark_litert_model.h:126] Init footprint:       10.25 MB
INFO: [benchmark_litert_model.h:128] Overall footprint:    12.50 MB
INFO: [benchmark_litert_model.h:136] ======================================
"""

# TensorFlow 2.1 and earlier called the line otherwise and had no summary of the first run.
PROFILE_2019 = """Profiling Info for Benchmark Initialization:
============================== Run Order ==============================
\t             [node type]\t          [start]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  \
[mem KB]\t[times called]\t[Name]
\t         AllocateTensors\t            0.000\t    1.356\t    1.356\t100.000%\t100.000%\t     \
0.000\t        1\tAllocateTensors/0

Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
\t             [node type]\t          [start]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  \
[mem KB]\t[times called]\t[Name]
\t                 CONV_2D\t            0.066\t   87.754\t   60.957\t  2.066%\t  2.066%\t     \
0.000\t        1\t[MobilenetV1/Conv2d_0/Relu6]:0
\t     TfLiteNnapiDelegate\t           61.033\t   11.665\t   11.422\t 21.939%\t 24.005%\t     \
0.000\t        1\t[add_fold, aspp0/Relu]:71

============================== Top by Computation Time ==============================
\t             [node type]\t          [start]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  \
[mem KB]\t[times called]\t[Name]
\t                 CONV_2D\t            0.066\t   87.754\t   60.957\t  2.066%\t  2.066%\t     \
0.000\t        1\t[MobilenetV1/Conv2d_0/Relu6]:0

Number of nodes executed: 2
============================== Summary by node type ==============================
\t             [Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t\
[times called]
\t                 CONV_2D\t        1\t    60.957\t   100.000%\t   100.000%\t     0.000\t        1

Timings (microseconds): count=50 first=2990275 curr=2913402 min=2727568 max=3189954 avg=2.95e+06 \
std=109798
Memory (bytes): count=0
2 nodes observed
"""

PROFILE_2025 = """INFO: Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
   [node type]   [first]  [avg ms]  [%]  [cdf%]  [mem KB]  [times called]  [Name]
   QUANTIZE   0.199   0.203   1.328%   1.328%   0.000   1   [tfl.quantize]:0
   Convolution (NHWC, QC8) DWConv   0.428   0.051   4.317%   5.645%   0.000   13   \
Delegate/Convolution (NHWC, QC8) DWConv:1
   Add (ND, QS8)   0.000   0.002   0.093%   5.738%   0.000   0   Delegate/Add (ND, QS8):3

Delegate internal:
============================== Run Order ==============================
   [node type]   [first]  [avg ms]  [%]  [cdf%]  [mem KB]  [times called]  [Name]
   Hexagon op   1.5   1.25   100.0%   100.0%   0.000   1   conv

"""


def test_old_output():
    launch = parse(OLD, 0, JOB)
    timed = launch.timed
    assert (timed.count, timed.mean, timed.deviation) == (50, 33.2094, 0.45)
    assert (timed.first, timed.minimum, timed.maximum) == (32.891, 32.641, 34.005)
    assert timed.p5 is timed.median is timed.p95 is None
    assert (launch.warmup, launch.init_ms, launch.first_ms) == (15, 0.855, 49.06)
    assert launch.model_rss_mib == 12.8672
    assert launch.delegation is launch.ops is launch.delegated_ops is None


def test_new_output():
    launch = parse(NEW, 0, JOB)
    timed = launch.timed
    assert (timed.count, timed.p5, timed.median, timed.p95) == (70, 13.79, 14.201, 15.3)
    assert (launch.warmup, launch.init_ms, launch.first_ms) == (35, 52.687, 19.105)
    assert launch.model_rss_mib == 34.5234
    assert (launch.delegation, launch.delegated_ops, launch.ops) == ("completely", 61, 61)


def test_output_of_litert():
    launch = parse(LITERT, 0, JOB, litert=True)
    assert (launch.timed.count, launch.timed.median) == (125, 8.0)
    assert (launch.warmup, launch.init_ms, launch.first_ms) == (5, 23.5, 9.0)
    assert launch.model_rss_mib == 12.5


def test_scientific_numbers_and_equal_runs():
    text = OLD.replace("avg=33209.4", "avg=2.95034e+06")
    assert parse(text, 0, JOB).timed.mean == 2950.34
    line = "count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450"
    timed = parse(OLD.replace(line, "count=50 curr=33(all same)"), 0, JOB).timed
    assert (timed.count, timed.mean, timed.median, timed.deviation) == (50, 0.033, 0.033, 0)


def test_without_warm_up():
    line = "count=15 first=49060 curr=33682 min=32825 max=49060 avg=34825.1 std=3930"
    text = OLD.replace(line, "count=0").replace("First inference: 49060", "First inference: 0")
    launch = parse(text, 0, dataclasses.replace(JOB, warmup=0))
    assert (launch.warmup, launch.first_ms) == (0, 32.891)  # the first of the timed ones


@pytest.mark.parametrize(("text", "litert"), [(NEW, False), (OLD, False), (LITERT, True)])
def test_every_cut_is_noticed(text, litert):
    """Wherever the output ends, there is a result with all figures, or an error."""
    whole = parse(text, 0, JOB, litert)
    for end in range(len(text)):
        try:
            found = parse(text[:end], 0, JOB, litert)
        except DeviceError as error:
            assert "cut short" in str(error)
        else:
            assert found.timed == whole.timed
            assert found.init_ms == whole.init_ms


def test_exit_codes():
    for code, reason in ((134, "SIGABRT"), (137, "memory was used up"), (139, "SIGSEGV"),
                         (132, "SIGILL"), (159, "signal 31")):  # fmt: skip
        with pytest.raises(DeviceError, match=rf"crashed \(.*{reason}.*Loaded model"):
            parse("INFO: STARTING!\nINFO: Loaded model m\n\n", code, JOB)
    with pytest.raises(DeviceError, match="exit code 1: ERROR: Benchmarking failed"):
        parse("ERROR: no\nERROR: Benchmarking failed.\n", 1, JOB)
    with pytest.raises(DeviceError, match="exit code 1: nothing"):
        parse("", 1, JOB)
    with pytest.raises(DeviceError, match="exit code 1"):
        parse(NEW, 1, JOB)  # complete, but it says itself that it failed


@pytest.mark.parametrize(
    ("delegate", "line", "reason"),
    [
        ("gpu", "Failed to apply GPU delegate.", "Failed to apply GPU delegate"),
        (
            "nnapi",
            "INFO: Though NNAPI delegate is explicitly applied, the model graph will not be "
            "executed by the delegate.",
            "it took over no operator",
        ),
        (
            "/data/local/tmp/x/delegate-1.so",
            'INFO: Unable to load external delegate from : x.so (dlopen failed: library "l.so" '
            "not found)\nEXTERNAL delegate created.",
            r'delegate-1.so was not used .*library "l.so" not found',
        ),
        ("gpu", "", "gpu was not used"),
        ("gpu", "WARN: Unconsumed cmdline flags: --x --use_gpu=true", "does not know --use_gpu"),
    ],
)
def test_a_delegate_that_is_not_used(delegate, line, reason):
    """The program goes on with the processor, whose times are not the delegate's."""
    job = dataclasses.replace(JOB, delegate=delegate)
    with pytest.raises(DelegateError, match=reason):
        parse(f"{line}\n{OLD}", 0, job)


def test_delegates_that_are():
    job = dataclasses.replace(JOB, delegate="gpu")
    for line, how in (
        ("Applied GPU delegate, and the model graph will be completely executed w/ the delegate.",
         "completely"),
        ("INFO: Explicitly applied GPU delegate, and the model graph will be partially executed by "
         "the delegate w/ 44 delegate kernels.", "partially"),
    ):  # fmt: skip
        assert parse(f"{line}\n{OLD}", 0, job).delegation == how
    text = "INFO: TfLiteQnnDelegate delegate: 30 nodes delegated out of 31 nodes with 1 partitions."
    launch = parse(f"{text}\n{OLD}", 0, JOB)
    assert (launch.delegated_ops, launch.ops) == (30, 31)
    # On the processor, XNNPACK may find nothing to do.
    none = "Though XNNPACK delegate is explicitly applied, the model graph will not be executed by"
    assert parse(f"{none} the delegate.\n{OLD}", 0, JOB).delegation == "not"
    # LiteRT's program does not say it in these words.
    assert parse(LITERT, 0, job, litert=True).delegation is None


def test_profiles():
    conv, delegate = parse_profile(PROFILE_2019)
    assert (conv.number, conv.kind, conv.ms, conv.calls) == (0, "CONV_2D", 60.957, 1)
    assert conv.name == "MobilenetV1/Conv2d_0/Relu6"
    assert (delegate.number, delegate.name) == (71, "add_fold, aspp0/Relu")
    quantize, depthwise, add, inside = parse_profile(PROFILE_2025)
    assert (quantize.kind, quantize.ms) == ("QUANTIZE", 0.203)
    assert depthwise.kind == "Convolution (NHWC, QC8) DWConv"
    assert depthwise.ms == pytest.approx(13 * 0.051)  # the average is of a call
    assert (add.calls, add.ms) == (0, 0.002)
    assert inside.within_delegate
    assert inside.number is None
    assert not quantize.within_delegate
    assert parse_profile("") == ()


def test_the_profile_is_no_count_line():
    launch = parse(OLD + PROFILE_2019, 0, dataclasses.replace(JOB, profile=True))
    assert launch.timed.count == 50
    assert launch.timed.mean == 33.2094
    assert len(launch.profile) == 2


def test_arguments():
    found = arguments(JOB, litert=False)
    assert found == [
        "--graph=model-0.tflite", "--num_threads=4", "--num_runs=50", "--min_secs=1",
        "--max_secs=150", "--warmup_runs=5", "--warmup_min_secs=0.5", "--use_xnnpack=true",
    ]  # fmt: skip
    job = dataclasses.replace(
        JOB, delegate="/x/d.so", options={"a": "1", "b": "x y"}, warmup=0, min_seconds=100,
        profile=True,
    )  # fmt: skip
    assert arguments(job, litert=False)[4:] == [
        "--max_secs=300", "--warmup_runs=0", "--warmup_min_secs=-1",
        "--external_delegate_path=/x/d.so", "--external_delegate_options=a:1;b:x y",
        "--enable_op_profiling=true",
    ]  # fmt: skip
    for delegate, flag in (("none", "--use_xnnpack=false"), ("gpu", "--use_gpu=true"),
                           ("nnapi", "--use_nnapi=true")):  # fmt: skip
        assert arguments(dataclasses.replace(JOB, delegate=delegate), litert=False)[-1] == flag
    gpu = dataclasses.replace(JOB, delegate="gpu", profile=True)
    assert arguments(gpu, litert=True)[-2:] == ["--use_gpu=true", "--use_profiler=true"]
    for delegate in ("none", "nnapi", "/x/d.so"):
        with pytest.raises(DelegateError, match="only cpu and gpu"):
            arguments(dataclasses.replace(JOB, delegate=delegate), litert=True)
    with pytest.raises(UsageError, match="a:b=c"):
        arguments(dataclasses.replace(job, options={"a:b": "c"}), litert=False)
