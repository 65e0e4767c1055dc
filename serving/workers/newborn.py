"""
What a child of the zygote does from the fork on, until it is a worker.

    forked for a worker     detach, join -> become -> worker.run
    forked ahead, a spare   detach, join -> rehearse -> wait -> become -> worker.run

A spare is nobody's worker yet: it has run no code of functions, belongs to no revision, holds /dev/null and
the socket on which it waits, and ends when that closes or the zygote dies. Before it waits, it becomes the
worker of a function of our own, serves it two events, and forgets it. After a fork every page that is written
to is copied, and much is made only when it is first needed; in a rehearsal that happens before anybody waits.

What it is told is one packet with the descriptors that a zygote gets with an order to fork.
"""

import asyncio
import contextlib
import gc
import os
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import orjson

from serving.objects.mounting import REASON
from serving.workers import listeners, pids, worker
from serving.workers.mounts import MountFailed
from serving.workers.process import (
    LIMITED_STACK_BYTES,
    SPARE_READY,
    Spec,
    become,
    default_signals,
    detach,
    in_memory,
    reserve,
)

_DESCRIPTORS = 5
# Not `func`: that may be a module somebody preloads.
_FOLDER, _MODULE = Path(__file__).with_name("rehearsal"), "clarion_rehearsal"
# As a broker sends them: what these do not use of the SDK costs the first real event half a millisecond.
_HEAD = (b"POST / HTTP/1.1\r\nhost: rehearsal.default.localhost\r\nce-specversion: 1.0\r\nce-id: 1\r\n"
         b"ce-type: rehearsal\r\nce-source: /rehearsal\r\nce-knativearrivaltime: 2026-01-01T00:00:00Z\r\n"
         b"content-type: application/json\r\nkn-namespace: default\r\nprefer: reply\r\n")
_EVENTS = (_HEAD + b'content-length: 24\r\n\r\n{"sku":"A1","items":[1]}'
           + _HEAD + b"ce-time: 2026-01-01T00:00:00Z\r\nce-subject: end\r\n"
                     b'content-length: 4\r\n\r\n"A1"')


@dataclass(frozen=True, kw_only=True)
class Birth:
    """What a child needs to know after the fork: *descriptors* are those of its order, or its socket."""

    parent_pid: int
    groups: Path | None  # where the zygote's workers have their cgroups
    descriptors: list[int]
    is_spare: bool


def live(birth: Birth, trouble: str) -> int:
    """Be what the child was born as; its exit status. *trouble*: why no function can be served."""
    gc.enable()
    descriptors = detach(birth.parent_pid, birth.descriptors)
    pids.join(birth.groups)
    runner = worker.loop_runner()
    if birth.is_spare:
        # The stack of a thread that has ended is kept, and would count in full against a limit of memory.
        threading.stack_size(LIMITED_STACK_BYTES)
        _rehearse()
        threading.stack_size(0)
        reserve()
        default_signals()  # a loop of uvloop that was closed still has a hand on SIGTERM
        runner.get_loop()
        gc.collect()
        gc.freeze()  # so that the first collection in a worker has little to look at
        descriptors = _wait(socket.socket(fileno=descriptors[0]))
        if not descriptors:
            return 0
    return _work(descriptors, trouble, runner)


def _work(descriptors: list[int], trouble: str, runner: asyncio.Runner) -> int:
    file, *rest = descriptors
    with os.fdopen(file, "rb") as text:
        spec = Spec(**orjson.loads(text.read()))
    try:
        become(spec, rest)
    except MountFailed as error:
        return worker.refused(REASON, str(error))
    return worker.run(spec, trouble, runner)


def _wait(control: socket.socket) -> list[int]:
    """The descriptors of the order; none when there will be no order."""
    with control, contextlib.suppress(ConnectionError):
        control.send(SPARE_READY)
        return socket.recv_fds(control, len(SPARE_READY), _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)[1]
    return []


def _rehearse() -> None:
    """Be the worker of a function of our own, for two events that wait already; nothing of it is left."""
    spec = Spec(worker="spare", source="/", folder=str(_FOLDER), entry=_MODULE, env={})
    output, report = (os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) for _ in range(2))
    port, name = listeners.opened()
    with port, name, socket.socket(socket.AF_UNIX) as client:
        client.connect(name.getsockname())
        client.sendall(_EVENTS)
        _work([in_memory(orjson.dumps(spec)), output, report, port.detach(), name.detach()], "",
              worker.loop_runner())
    sys.path.remove(str(_FOLDER))
    del sys.path_importer_cache[str(_FOLDER)], sys.modules[_MODULE]
    os.chdir("/")
