"""
Whose a listening port is: all workers share those of this machine, where each pod has its own.

A worker began a session of its own, so what it started belongs to that, unless it left it. Source: proc(5),
/proc/net/tcp. What is not readable (another user's, where we are not root) is nobody's.
"""

import contextlib
import os
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTEN = "0A"
_ADDRESS, _STATE, _INODE = 1, 3, 9  # columns


def demand(session: int, port: int) -> None:
    """
    Return if a process of *session* listens on *port*.

    Raises:
        OSError: nobody does, or somebody else; says which.
    """
    sockets = _listeners(port)
    if not sockets:
        raise OSError(f"nobody listens on port {port}")
    if not any(sockets & _sockets(pid) for pid in _processes(session)):
        raise OSError(f"on port {port} another process listens, not this worker")


def listens(pid: int, port: int) -> bool:
    """Whether process *pid* itself listens on *port*, whatever those that it has started do."""
    return bool(_listeners(port) & _sockets(pid))


def _listeners(port: int) -> set[str]:
    """The sockets, as /proc/PID/fd shows them, that listen on *port*."""
    found = set()
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                columns = line.split()
                if columns[_STATE] == _LISTEN and int(columns[_ADDRESS].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{columns[_INODE]}]")
    return found


def _processes(session: int) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getsid(int(process.name)) == session:
                found.append(int(process.name))
    return found


def _sockets(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(descriptor.readlink()))
    return found
