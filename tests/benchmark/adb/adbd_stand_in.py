"""A stand-in for the daemon of an Android device, which Debian's real adb connects to.

It speaks the wire protocol of AOSP's packages/modules/adb (protocol.txt, SYNC.TXT,
shell_protocol.h) on a loopback port, and its shell really executes what it is sent, in a
folder that plays the device: paths of /data/local/tmp and /sys are mapped into it, and the
commands are the few that a phone would have.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import socket
import stat
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

VERSION, MAX_DATA = 0x01000001, 1 << 18
CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little")
    for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
)
TOKEN = 1
STDOUT, STDERR, EXIT = 1, 2, 3
BANNER = b"device::ro.product.name=standin;features=shell_v2,cmd,stat_v2,ls_v2\0"
MAPPED = ("/data/local/tmp", "/sys/")


class StandIn:
    """One device: a listening socket and a folder.

    Attributes:
        root: The folder that plays its file system.
        commands: What its shell was sent.
        refused: Paths outside /data/local/tmp that somebody tried to write.
        environment: Of its shell, for the programs of the tests.
    """

    def __init__(self, root: Path, authorised: bool = True) -> None:
        self.root = root
        self.authorised = authorised
        self.commands: list[str] = []
        self.refused: list[str] = []
        self.environment = {
            "PATH": str(root / "system/bin"),
            "STAND_IN": str(root),
            "LC_ALL": "C",
        }
        self.shell = shutil.which("mksh") or "/bin/sh"  # Android's is mksh
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[_Connection] = []
        self.serial = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def unplug(self) -> None:
        """From here on nobody answers."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def local(self, path: str) -> Path:
        """Where a path of the device is here."""
        return self.root / path.lstrip("/")

    def _accept(self) -> None:
        while True:
            try:
                found, _ = self._listener.accept()
            except OSError:
                return
            # As adb does; else each answer waits 40 ms for one that it could travel with.
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(self, found)
            self._connections.append(connection)
            threading.Thread(target=connection.serve, daemon=True).start()


class _Connection:
    """The transport: messages, and the streams that they carry."""

    def __init__(self, device: StandIn, connection: socket.socket) -> None:
        self.device = device
        self.socket = connection
        self.lock = threading.Lock()
        self.streams: dict[int, _Stream] = {}

    def serve(self) -> None:
        try:
            while True:
                command, first, second, size = struct.unpack("<4I8x", self._exactly(24))
                self._take(command, first, second, self._exactly(size))
        except OSError:
            self.close()

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        head = struct.pack(
            "<6I", command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF
        )
        with self.lock:
            self.socket.sendall(head + data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for stream in list(self.streams.values()):
            stream.hang_up()

    def _take(self, command: int, first: int, second: int, data: bytes) -> None:
        if command == CNXN and self.device.authorised:
            self.send(CNXN, VERSION, MAX_DATA, BANNER)
        elif command == CNXN or (command == AUTH and first != 3):
            # Signed or not: the user has not said yes. The public key (3) waits for that.
            self.send(AUTH, TOKEN, 0, bytes(20))
        elif command == OPEN:
            stream = _Stream(self, len(self.streams) + 1, first)
            self.streams[stream.number] = stream
            service = data.rstrip(b"\0").decode()
            threading.Thread(target=stream.serve, args=(service,), daemon=True).start()
        elif stream := self.streams.get(second):
            if command == OKAY:
                stream.ready.put(True)
            elif command == WRTE:
                stream.arrived.put(data)
                self.send(OKAY, stream.number, stream.other)
            elif command == CLSE:
                stream.hang_up()

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            piece = self.socket.recv(size - len(found))
            if not piece:
                raise OSError("closed")
            found += piece
        return found


class _Stream:
    """A service that adb opened: a shell command, or file transfer."""

    def __init__(self, connection: _Connection, number: int, other: int) -> None:
        self.connection = connection
        self.device = connection.device
        self.number, self.other = number, other
        self.ready: queue.Queue[bool] = queue.Queue()
        self.arrived: queue.Queue[bytes] = queue.Queue()
        self.rest = b""
        self.process: subprocess.Popen[bytes] | None = None
        self.gone = False

    def serve(self, service: str) -> None:
        kind, _, argument = service.partition(":")
        try:
            if kind == "sync":
                self.connection.send(OKAY, self.number, self.other)
                self._sync()
            elif kind.startswith("shell,v2"):
                self.connection.send(OKAY, self.number, self.other)
                self._shell(argument)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            self.connection.send(CLSE, self.number, self.other)

    def hang_up(self) -> None:
        """As adbd does: the program that runs gets SIGHUP."""
        self.gone = True
        self.ready.put(False)
        self.arrived.put(b"")
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGHUP)

    def _write(self, data: bytes) -> None:
        """Send; adb must take each message before the next."""
        for start in range(0, len(data), MAX_DATA):
            self.connection.send(WRTE, self.number, self.other, data[start : start + MAX_DATA])
            if not self.ready.get(timeout=60) or self.gone:
                raise OSError("closed")

    def _read(self, size: int) -> bytes:
        while len(self.rest) < size:
            piece = self.arrived.get(timeout=60)
            if not piece:
                raise OSError("closed")
            self.rest += piece
        found, self.rest = self.rest[:size], self.rest[size:]
        return found

    def _shell(self, command: str) -> None:
        self.device.commands.append(command)
        mapped = command
        for path in MAPPED:
            mapped = mapped.replace(path, str(self.device.local(path)) + "/" * path.endswith("/"))
        self.process = subprocess.Popen(
            [self.device.shell, "-c", mapped], cwd=self.device.root, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.device.environment,
        )  # fmt: skip
        pumps = [
            threading.Thread(target=self._pump, args=(pipe, number), daemon=True)
            for pipe, number in ((self.process.stdout, STDOUT), (self.process.stderr, STDERR))
        ]
        self.lock = threading.Lock()
        for pump in pumps:
            pump.start()
        plug = self.device.root / "pull-the-plug"
        while self.process.poll() is None and not self.gone:
            if plug.exists():
                plug.unlink()
                self.device.unplug()
            time.sleep(0.005)
        self.process.wait()
        for pump in pumps:
            pump.join()
        code = self.process.returncode
        self._packet(EXIT, bytes([code if code >= 0 else 128 - code]))

    def _pump(self, pipe, number: int) -> None:
        root = str(self.device.root).encode()
        with contextlib.suppress(OSError):
            for line in pipe:
                self._packet(number, line.replace(root, b""))
        pipe.read()

    def _packet(self, number: int, data: bytes) -> None:
        with self.lock:
            self._write(struct.pack("<BI", number, len(data)) + data)

    def _sync(self) -> None:
        while True:
            name, size = struct.unpack("<4sI", self._read(8))
            if name == b"QUIT":
                return
            path = self._read(size).decode()
            if name in (b"STAT", b"STA2", b"LST2"):
                self._stat(name, self.device.local(path))
            elif name == b"SEND":
                self._receive(path)
            elif name == b"RECV":
                self._offer(self.device.local(path))
            else:
                self._fail(f"unknown request {name!r}")

    def _stat(self, name: bytes, path: Path) -> None:
        try:
            found, error = os.lstat(path), 0
        except OSError as problem:
            found, error = None, problem.errno
        mode, size, when = (
            (found.st_mode, found.st_size, int(found.st_mtime)) if found else (0, 0, 0)
        )
        if name == b"STAT":
            self._write(name + struct.pack("<3I", mode, size, when))
        else:
            fields = struct.pack("<IQQIIIIQqqq", error, 0, 0, mode, 1, 0, 0, size, when, when, when)
            self._write(name + fields)

    def _receive(self, request: str) -> None:
        path, _, mode = request.rpartition(",")
        pieces = []
        while True:
            name, size = struct.unpack("<4sI", self._read(8))
            if name == b"DONE":
                break
            pieces.append(self._read(size))
        if not path.startswith("/data/local/tmp/") or ".." in path:
            self.device.refused.append(path)
            self._fail("Permission denied")
            return
        if (limit := self.device.root / "disk-full").exists():
            self._fail(f"couldn't write {path}: {limit.read_text().strip()}")
            return
        try:
            self.device.local(path).write_bytes(b"".join(pieces))
            self.device.local(path).chmod(stat.S_IMODE(int(mode)) & 0o666)
        except OSError as problem:
            self._fail(f"couldn't create file: {problem.strerror}")
            return
        self._write(b"OKAY" + bytes(4))

    def _offer(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError as problem:
            self._fail(f"open failed: {problem.strerror}")
            return
        for start in range(0, len(data), 1 << 16):
            piece = data[start : start + (1 << 16)]
            self._write(b"DATA" + struct.pack("<I", len(piece)) + piece)
        self._write(b"DONE" + bytes(4))

    def _fail(self, message: str) -> None:
        data = message.encode()
        self._write(b"FAIL" + struct.pack("<I", len(data)) + data)


TOOLS = ("cat", "chmod", "cp", "mkdir", "rm", "sed", "sh", "sha256sum", "sleep", "true", "wc")
SCRIPTS = {
    "getprop": 'sed -n "s/^$1=//p" "$STAND_IN/props"',
    "dumpsys": 'cat "$STAND_IN/dumpsys-$1" 2> /dev/null || echo "Can\'t find service: $1"',
    "settings": 'cat "$STAND_IN/settings-$3" 2> /dev/null || echo null',
    "taskset": 'echo "$1" >> "$STAND_IN/tasksets"; shift; exec "$@"',
}
PROPERTIES = {
    "ro.product.manufacturer": "Acme",
    "ro.product.model": "Phone 7",
    "ro.soc.manufacturer": "Chips",
    "ro.soc.model": "C700",
    "ro.board.platform": "c7",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.product.cpu.abilist": "x86_64,x86",
}
THERMAL = """IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 1
Thermal Status: {status}
Cached temperatures:
\tTemperature{{mValue=99.0, mType=0, mName=CPU, mStatus=0}}
HAL Ready: true
HAL connection:
\tThermalHAL 2.0 connected: yes
Current temperatures from HAL:
\tTemperature{{mValue={temperature}, mType=0, mName=CPU, mStatus=0}}
\tTemperature{{mValue=31.5, mType=2, mName=BATTERY, mStatus=0}}
Current cooling devices from HAL:
\tCoolingDevice{{mValue=0, mType=0, mName=battery}}
"""


class Phone:
    """The folder of a stand-in, and what a test may change in it."""

    def __init__(self, root: Path, cores: int = 4) -> None:
        self.root = root
        self.temporary = root / "data/local/tmp"
        self.temporary.mkdir(parents=True)
        bin_folder = root / "system/bin"
        bin_folder.mkdir(parents=True)
        for name in TOOLS:
            (bin_folder / name).symlink_to(shutil.which(name) or f"/bin/{name}")
        for name, body in SCRIPTS.items():
            (bin_folder / name).write_text(f"#!/bin/sh\n{body}\n")
            (bin_folder / name).chmod(0o755)
        for core in range(cores):
            self.write(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor", "schedutil")
            for name in ("scaling_cur_freq", "scaling_max_freq", "cpuinfo_max_freq"):
                self.write(f"sys/devices/system/cpu/cpu{core}/cpufreq/{name}", "2800000")
        self.write("sys/class/thermal/thermal_zone0/type", "cpu-0-0")
        self.write("sys/class/thermal/thermal_zone0/temp", "33000")
        self.write("dumpsys-battery", "Current Battery Service state:\n  level: 85\n  scale: 100")
        self.properties()
        self.thermal()

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text + "\n")

    def properties(self, **changed: str) -> None:
        values = PROPERTIES | {name.replace("__", "."): value for name, value in changed.items()}
        self.write("props", "\n".join(f"{name}={value}" for name, value in values.items()))

    def thermal(self, status: int = 0, temperature: float = 33.0) -> None:
        self.write("dumpsys-thermalservice", THERMAL.format(status=status, temperature=temperature))

    def behave(self, how: str) -> None:
        """What the next launches of the test's benchmark_model do; see its source."""
        self.write("behaviour", how)

    @property
    def launches(self) -> list[str]:
        """The command line of each launch of benchmark_model."""
        path = self.root / "launches"
        return path.read_text().splitlines() if path.exists() else []

    def left_behind(self) -> Iterator[Path]:
        return (path for path in self.temporary.iterdir())
