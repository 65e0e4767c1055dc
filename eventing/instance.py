"""
One running Clarion on this machine: its directories, its lock, its ports, and the file that tells of them.

    DATA_DIR/lock               flock, held by the supervisor and by everything that writes below; its pid
    DATA_DIR/run/clarion.json   {"pid", "host", "port", "control_port", "data_dir"}, for our commands
    DATA_DIR/valkey/            the embedded Valkey's files
    DATA_DIR/logs/              what workers print

Knows nothing of roles. Everything here that a person can get wrong is a UsageError of one line.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventing.errors import UsageError

if TYPE_CHECKING:  # settings cost a command more than all else that it imports
    from eventing.config import Config

# Connections that wait while the ingress restarts (about 0.1 s): thousands of producers may knock meanwhile.
_BACKLOG = 2048
# A killed supervisor's children die with it, within milliseconds; they hold the lock until then.
_ORPHANS_S = 5.0
# A killed one that nobody has waited for looks alive, though its lock is free in a moment.
_ZOMBIE_S = 0.3


def prepare(config: "Config") -> None:
    """Make the directories; a place that cannot be written is a UsageError."""
    ours = (config.data_dir / name for name in ("run", "valkey", "logs"))
    for path in (config.data_dir, *ours, config.socket_dir):
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(path, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        except OSError as error:
            raise UsageError(f"cannot write to {path}: {error.strerror}; "
                             "choose another directory with --data-dir") from error


@contextlib.contextmanager
def lock(data_dir: Path) -> Iterator[None]:
    """
    Hold *data_dir* for this process and for the children it forks.

    The lock belongs to the open file, which children inherit: it is free when the last of them is gone.

    Raises:
        UsageError: another instance has it; the message names its pid.
    """
    path = data_dir / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.set_inheritable(descriptor, True)  # valkey-server keeps it through its exec
        _acquire(descriptor, path)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path) -> None:
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 32, 0).decode().strip()
            patience_s = _ZOMBIE_S if is_alive(int(pid or 0)) else _ORPHANS_S
            if time.monotonic() - began > patience_s:
                raise UsageError(f"{path.parent} is in use by another Clarion, pid {pid or 'unknown'}; "
                                 f"stop it (kill {pid}) or choose another --data-dir") from None
            time.sleep(0.02)
        else:
            return


def is_alive(pid: int) -> bool:
    """Whether process *pid* exists, whoever owns it."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def listen(host: str, port: int, option: str) -> socket.socket:
    """
    Open a listening TCP socket; port 0 takes a free one.

    Args:
        host: a name or an address, IPv4 or IPv6.
        port: the port that was asked for.
        option: the option that sets the port, named by the error.

    Raises:
        UsageError: the port is taken, or the address is not ours.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"cannot listen on host {host!r}: {error.strerror}; see --host") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
        sock.setblocking(False)  # the event loops of the roles expect it
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"port {port} on {host} is in use by another program; "
                             f"stop that one or choose another with {option} (0 takes a free one)") from error
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}; "
                         f"see --host and {option}") from error
    return sock


def announce(config: "Config") -> None:
    """Write the file that tells commands on this data directory where to find the instance."""
    record = {"pid": os.getpid(), "host": config.host, "port": config.port,
              "control_port": config.control_port, "data_dir": str(config.data_dir.absolute())}
    path = config.data_dir / "run" / "clarion.json"
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(record))
    fresh.replace(path)  # whoever reads it sees all of it


def retract(config: "Config") -> None:
    """Remove what `announce` wrote, and the sockets, which nobody serves any more."""
    (config.data_dir / "run" / "clarion.json").unlink(missing_ok=True)
    for path in config.socket_dir.glob("*.sock"):
        path.unlink(missing_ok=True)
    if config.socket_dir.parent != config.data_dir.absolute():
        shutil.rmtree(config.socket_dir, ignore_errors=True)


def running(data_dir: Path) -> dict[str, Any] | None:
    """What the instance on *data_dir* announced; None where none is alive."""
    try:
        record: dict[str, Any] = json.loads((data_dir / "run" / "clarion.json").read_text())
    except (OSError, ValueError):
        return None
    return record if is_alive(record.get("pid", 0)) else None


def reachable(host: str) -> str:
    """The host by which this machine reaches what listens on *host*; an IPv6 address in brackets."""
    if host in {"0.0.0.0", "::", ""}:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
