"""All launches on one device: a folder of its own, A B A B, cool-down, clean-up."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from effnet_lite.benchmark.adb.benchmark_model import BUILT_IN, Job, Launch, arguments, parse
from effnet_lite.benchmark.adb.binary import ON_DEVICE, Binary, find_binary
from effnet_lite.benchmark.adb.client import TIMEOUT, Adb, Output
from effnet_lite.benchmark.adb.device import Phone, State, describe, read_state
from effnet_lite.errors import DelegateError, DeviceError, EffnetLiteError
from effnet_lite.files import sha256

# As warm as at the start, within what a sensor's noise and the launch before it make up.
COOL_DEGREES = 3.0
COOL_STEP_SECONDS = 5.0
# Loading a model and preparing a GPU's kernels may take so long.
PREPARE_SECONDS = 120.0


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How to measure.

    Attributes:
        threads, warmup, processes, cores: As in a record.
        runs, min_seconds: Of each launch.
        options: Of external delegates.
        profile: Whether one more launch of each times its operators.
        cool_down: Seconds to wait at most before each launch; 0 does not wait.
        sleep: How to wait.
    """

    threads: int
    runs: int
    min_seconds: float
    warmup: int
    processes: int
    cores: tuple[int, ...] = ()
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)
    profile: bool = False
    cool_down: float = 0.0
    sleep: Callable[[float], None] = time.sleep

    @property
    def mask(self) -> str:
        """The cores as taskset takes them."""
        return f"{sum(1 << core for core in set(self.cores)):x}"


@dataclasses.dataclass(frozen=True)
class Done:
    """A launch that gave figures, the state around it, and the seconds of cooling before."""

    launch: Launch
    before: State
    after: State
    cooled: float


@dataclasses.dataclass
class Way:
    """A model with a delegate: what becomes a record.

    Attributes:
        model, model_sha256: The file.
        delegate: As the user wrote it.
        done: Its launches so far.
        profiled: The launch that timed the operators.
        failure: Why there are no more.
    """

    model: Path
    model_sha256: str
    delegate: str
    done: list[Done] = dataclasses.field(default_factory=list)
    profiled: Launch | None = None
    failure: EffnetLiteError | None = None

    @property
    def delegate_name(self) -> str:
        """As in a record: the file name of an external one."""
        return self.delegate if self.delegate in BUILT_IN else Path(self.delegate).name


@dataclasses.dataclass
class DeviceRun:
    """Everything that one device gave.

    Attributes:
        adb: The device.
        ways: In the order asked for.
        phone, binary: Known once the device has answered.
        pinned: Whether the launches ran on the protocol's cores.
        start, now: The state before the first launch, and the latest.
        failure: What ended it early.
    """

    adb: Adb
    ways: list[Way]
    phone: Phone | None = None
    binary: Binary | None = None
    pinned: bool = False
    start: State | None = None
    now: State | None = None
    failure: EffnetLiteError | None = None


#: Called with a step and its share: ``report("timing", 1)``, ``report("cooling", seconds)``.
Report = Callable[[str, float], None]


def run_device(
    run: DeviceRun,
    given: Path | None,
    protocol: Protocol,
    report: Report,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Measure on one device; what it gives, and what went wrong, is in ``run`` afterwards.

    Args:
        run: With device and ways.
        given: The benchmark program that the user names.
        protocol: How to measure.
        report: Called after each launch, and while the device cools down.
        stopped: Whether to end before the next launch.
    """
    try:
        run.phone = describe(run.adb)
        if missing := set(protocol.cores) - set(run.phone.cores):
            raise DeviceError(
                f"{run.adb.serial} has no core {min(missing)}; its cores are "
                f"{', '.join(map(str, run.phone.cores))}"
            )
        run.binary = find_binary(given, run.phone, run.adb)
        with _Folder(run.adb, run.binary) as folder:
            jobs = _prepare(run, folder, protocol)
            if protocol.cores and run.phone.has_taskset:
                run.pinned = run.adb.shell(f"taskset {protocol.mask} true").code == 0
            run.start = run.now = read_state(run.adb)
            # The profiled round is the last, and counts for nothing else.
            for profiled in [False] * protocol.processes + [True] * protocol.profile:
                for way in run.ways:
                    if way.failure is None and not stopped():
                        with _failing(way, run.adb):
                            _launch(run, folder, way, jobs[id(way)], profiled, protocol, report)
                    report("profiling" if profiled else "timing", 1)
    except EffnetLiteError as error:
        gone = isinstance(error, DeviceError) and not run.adb.is_there()
        run.failure = run.adb.lost() if gone else error


def cool_down(
    adb: Adb,
    state: State,
    start: State,
    limit: float,
    sleep: Callable[[float], None],
    report: Report,
) -> tuple[float, State]:
    """Wait until the device is nearly as cool as at the start.

    Args:
        adb: The device.
        state: How it is now.
        start: How it was before the first launch.
        limit: Seconds to wait at most.
        sleep: How to wait.
        report: Told the seconds waited so far.

    Returns:
        The seconds waited, and the state then.
    """
    waited = 0.0
    while waited < limit and is_warmer(state, start):
        step = min(COOL_STEP_SECONDS, limit - waited)
        sleep(step)
        waited += step
        report("cooling", waited)
        state = read_state(adb)
    return waited, state


def is_warmer(state: State, start: State) -> bool:
    """Whether a device is hotter or more throttled than at the start; false if it is mute."""
    if state.throttling and state.throttling > (start.throttling or 0):
        return True
    if state.temperature is None or start.temperature is None:
        return False
    return state.temperature > start.temperature + COOL_DEGREES


class _Folder:
    """A new folder on the device, and the benchmark program in it; removed at the end."""

    def __init__(self, adb: Adb, binary: Binary) -> None:
        self.adb = adb
        self.binary = binary
        # Names on the device are ours, not those of the user's files: nothing to quote.
        self.path = f"{ON_DEVICE}/effnet-lite-{secrets.token_hex(6)}"

    def __enter__(self) -> _Folder:
        made = self.adb.shell(f"mkdir -m 700 {self.path}")
        if made.code:
            raise DeviceError(
                f"cannot make a folder in {ON_DEVICE} of {self.adb.serial}: {made.text.strip()}"
            )
        try:
            with tempfile.TemporaryDirectory() as local:
                program = Path(local, "benchmark_model")
                program.write_bytes(self.binary.data)
                self.put(program, "benchmark_model", self.binary.sha256)
            self.adb.shell(f"chmod 700 {self.path}/benchmark_model")
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Nobody is left to tell if the device is gone; its folder of temporary files stays."""
        with contextlib.suppress(DeviceError):
            self.adb.shell(f"rm -rf {self.path}")

    def put(self, local: Path, name: str, digest: str) -> str:
        """Copy a file into the folder; its path there.

        Raises:
            DeviceError: It did not arrive whole.
        """
        remote = f"{self.path}/{name}"
        self.adb.push(local, remote)
        # wc, too, where a device is too old for sha256sum.
        answer = self.adb.shell(f"sha256sum {remote} || wc -c < {remote}").text.split()
        size = str(local.stat().st_size)
        if digest not in answer and (size not in answer or any(len(x) == 64 for x in answer)):
            raise DeviceError(
                f"{local} did not arrive whole on {self.adb.serial}: expected sha256 {digest}, "
                f"got {' '.join(answer) or 'nothing'}"
            )
        return remote

    def run(self, job: Job, mask: str | None) -> Output:
        """One launch; its output."""
        words = ["./benchmark_model", *arguments(job, self.binary.litert)]
        line = shlex.join(["taskset", mask, *words] if mask else words)
        # exec, so that adb's hang-up at a time-out or Ctrl-C reaches the program itself.
        command = f"cd {self.path} && export LD_LIBRARY_PATH={self.path} && exec {line}"
        return self.adb.shell(command, timeout=2 * job.max_seconds + PREPARE_SECONDS + TIMEOUT)


def _prepare(run: DeviceRun, folder: _Folder, protocol: Protocol) -> dict[int, Job]:
    """Copy what the ways need; the job of each by ``id``, without those that failed."""
    jobs = {}
    remote: dict[str, str] = {}
    for way in run.ways:
        with _failing(way, run.adb):
            model = str(way.model)
            if model not in remote:
                name = f"model-{len(remote)}.tflite"
                folder.put(way.model, name, way.model_sha256)
                remote[model] = name
            if way.delegate not in BUILT_IN and way.delegate not in remote:
                remote[way.delegate] = _library(way.delegate, len(remote), folder, run.adb)
            job = Job(
                graph=remote[model],
                delegate=remote.get(way.delegate, way.delegate),
                options=protocol.options, threads=protocol.threads, runs=protocol.runs,
                min_seconds=protocol.min_seconds, warmup=protocol.warmup,
            )  # fmt: skip
            arguments(job, folder.binary.litert)  # refuses before anything is timed
            jobs[id(way)] = job
    return jobs


def _library(path: str, number: int, folder: _Folder, adb: Adb) -> str:
    """An external delegate's path on the device: copied from here, or there already."""
    local = Path(path).expanduser()
    if local.is_file():
        return folder.put(local, f"delegate-{number}.so", sha256(local.read_bytes()))
    if path.startswith("/") and adb.shell(f"test -f {shlex.quote(path)}").code == 0:
        return path
    raise DelegateError(
        f"the delegate library {path} is neither here nor on {adb.serial}; known by name are "
        f"{', '.join(BUILT_IN)}"
    )


def _launch(
    run: DeviceRun, folder: _Folder, way: Way, job: Job, profiled: bool, protocol: Protocol,
    report: Report,
) -> None:  # fmt: skip
    assert run.start and run.now  # read before the first launch
    cooled, before = cool_down(
        run.adb, run.now, run.start, protocol.cool_down, protocol.sleep, report
    )
    job = dataclasses.replace(job, profile=profiled)
    output = folder.run(job, protocol.mask if run.pinned else None)
    run.now = read_state(run.adb)
    launch = parse(output.text, output.code, job, folder.binary.litert)
    if profiled:
        way.profiled = launch
    else:
        way.done.append(Done(launch, before, run.now, cooled))


@contextlib.contextmanager
def _failing(way: Way, adb: Adb) -> Iterator[None]:
    """Keep a failure to its way, unless the device is gone: then nothing else can work."""
    try:
        yield
    except EffnetLiteError as error:
        if isinstance(error, DeviceError) and not adb.is_there():
            raise
        way.failure = error
