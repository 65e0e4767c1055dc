"""An instance to measure: `clarion up` on free ports in a throw-away directory, and its processes."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import redis
import yaml

CLARION = Path(sys.executable).parent / "clarion"
_START_S = 60.0
_STOP_S = 30.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Instance:
    """A running `clarion up`."""

    def __init__(self, data_dir: Path, process: subprocess.Popen) -> None:
        """Watch *process*, whose state is in *data_dir*."""
        self.data_dir = data_dir
        self.process = process
        self.ready_s = 0.0

    @property
    def state(self) -> dict:
        """What it says of itself."""
        found: dict = json.loads((self.data_dir / "run" / "clarion.json").read_text())
        return found

    @property
    def broker_url(self) -> str:
        """Where events for default/default go."""
        return f"http://127.0.0.1:{self.state['port']}/default/default"

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        with contextlib.suppress(OSError, ValueError):
            url = f"http://127.0.0.1:{self.state['control_port']}/readyz"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        return False

    def store(self) -> redis.Redis:
        """A client of its Valkey."""
        return redis.Redis(unix_socket_path=str(self.data_dir / "run" / "valkey.sock"))

    def apply(self, documents: list[dict], folder: Path | None = None) -> None:
        """Apply resources; `func://./x` in them is a folder in *folder*."""
        path = (folder or self.data_dir) / f"apply-{os.getpid()}.yaml"
        path.write_text(yaml.safe_dump_all(documents))
        try:
            self.clarion("apply", "-f", str(path))
        finally:
            path.unlink()

    def clarion(self, *arguments: str) -> str:
        """Return the output of a command against this instance."""
        server = f"http://127.0.0.1:{self.state['control_port']}"
        done = subprocess.run([CLARION, *arguments], capture_output=True, text=True, check=False,
                              env={**os.environ, "CLARION_SERVER": server, "NO_COLOR": "1"})
        if done.returncode:
            raise SystemExit(f"clarion {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def resources(self, kind: str) -> list[dict]:
        """All objects of *kind*."""
        found: list[dict] = json.loads(self.clarion("get", kind, "-o", "json"))["items"]
        return found

    def wait_all_ready(self, kind: str, count: int, timeout_s: float = 120.0) -> None:
        """Return once *count* objects of *kind* are Ready."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if sum(map(is_ready, self.resources(kind))) >= count:
                return
            time.sleep(0.3)
        raise SystemExit(f"not all of {count} {kind} became Ready in {timeout_s} s")

    def processes(self) -> list[int]:
        """Its pids: the supervisor and all below it."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(stat[1]), []).append(int(entry.name))
        found = [self.process.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def cpu_s(self) -> float:
        """CPU that its living processes have used, and the dead ones they waited for."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += sum(int(ticks) for ticks in stat[11:15])
        return total / _TICKS_PER_S

    def pss_bytes(self) -> int:
        """Memory of all its processes, shared pages counted once."""
        return sum(map(pss_of, self.processes()))


def name_of(pid: int) -> str:
    """What a process calls itself, or the 15 bytes of it that the kernel keeps; empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def pss_of(pid: int) -> int:
    """Memory of one process in bytes, its share of what it shares; 0 if it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def is_ready(resource: dict) -> bool:
    """Whether its condition Ready is True."""
    conditions = resource.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


@contextlib.contextmanager
def up(*options: str) -> Iterator[Instance]:
    """Start an instance, yield it when it is ready, stop it."""
    data_dir = Path(tempfile.mkdtemp(prefix="cb-"))
    # Not --ephemeral: that chooses its own directory, and this one has the log to show when a start fails.
    command = [CLARION, "up", "--data-dir", data_dir, "--port", "0", "--control-port", "0", *options]
    began = time.monotonic()
    log = (data_dir / "up.log").open("wb")
    instance = Instance(data_dir, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
    try:
        while not instance.is_ready():
            if instance.process.poll() is not None or time.monotonic() > began + _START_S:
                raise SystemExit(f"clarion up is not ready:\n{(data_dir / 'up.log').read_text()}")
            time.sleep(0.01)
        instance.ready_s = time.monotonic() - began
        yield instance
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            instance.process.send_signal(signal.SIGINT)
            instance.process.wait(_STOP_S)
        instance.process.kill()
        instance.process.wait()
        shutil.rmtree(data_dir, ignore_errors=True)
