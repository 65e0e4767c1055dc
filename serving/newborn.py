"""
What a child of the zygote does from the fork on, until it is a worker.

    forked for a worker     detach -> become -> worker.run
    forked ahead, a spare   detach -> rehearse -> wait -> become -> worker.run

A spare is nobody's worker yet: it has run no code of functions, belongs to no revision, holds /dev/null and
the socket on which it waits, and ends when that closes or the zygote dies. Before it waits, it becomes the
worker of a function of our own, serves it one event, and forgets it. After a fork every page that is written
to is copied, and much is made only when it is first needed; in a rehearsal that happens before anybody waits.

What it is told is one packet with the descriptors that a zygote gets with an order to fork.
"""

import asyncio
import contextlib
import gc
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson

import eventing.http.server as http
from serving import worker
from serving.entry import Entry, find
from serving.function import EventFunction
from serving.process import SPARE_READY, Spec, become, detach

_DESCRIPTORS = 4
# Not `func`: that may be a module somebody preloads.
_FOLDER, _MODULE = Path(__file__).with_name("rehearsal"), "clarion_rehearsal"
_EVENT = (b"POST / HTTP/1.1\r\nhost: localhost\r\nce-specversion: 1.0\r\nce-id: 0\r\nce-type: rehearsal\r\n"
          b"ce-source: /rehearsal\r\nce-time: 2026-01-01T00:00:00Z\r\ncontent-type: application/json\r\n"
          b'content-length: 7\r\n\r\n{"a":1}')
_ANSWER_BYTES = 4096
_LIMIT_S = 10.0  # for a rehearsal, which takes milliseconds


@dataclass(frozen=True, kw_only=True)
class Birth:
    """What a child needs to know after the fork: *descriptors* are those of its order, or its socket."""

    parent_pid: int
    descriptors: list[int]
    is_spare: bool


def live(birth: Birth, trouble: str) -> int:
    """Be what the child was born as; its exit status. *trouble*: why no function can be served."""
    gc.enable()
    runner = worker.loop_runner()
    descriptors = detach(birth.parent_pid, birth.descriptors)
    if birth.is_spare:
        _rehearse(runner)
        gc.collect()
        gc.freeze()  # so that the first collection in a worker has little to look at
        descriptors = _wait(socket.socket(fileno=descriptors[0]))
        if not descriptors:
            return 0
    file, *rest = descriptors
    with os.fdopen(file, "rb") as text:
        spec = Spec(**orjson.loads(text.read()))
    become(spec, rest)
    return worker.run(spec, trouble, runner)


def _wait(control: socket.socket) -> list[int]:
    """The descriptors of the order; none when there will be no order."""
    with control, contextlib.suppress(ConnectionError):
        control.send(SPARE_READY)
        return socket.recv_fds(control, len(SPARE_READY), _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)[1]
    return []


def _rehearse(runner: asyncio.Runner) -> None:
    """Do once what the worker of a function does, as far as its first answer; nothing of it is left."""
    null = [os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) for _ in range(3)]
    become(Spec(worker="spare", source="/", folder=str(_FOLDER), env={}), null)
    sys.path.insert(0, str(_FOLDER))
    runner.run(_serve_one(find(_FOLDER, _MODULE)))
    sys.path.remove(str(_FOLDER))
    del sys.path_importer_cache[str(_FOLDER)], sys.modules[_MODULE]
    os.chdir("/")


async def _serve_one(entry: Entry) -> None:
    """Serve one event over a socket, from its first byte to its answer."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_LIMIT_S), asyncio.TaskGroup() as tasks:
        function = EventFunction(entry.target, source="/", threads=1, tasks=tasks)
        server = await http.serve(function)
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", server.port))
            await loop.sock_sendall(client, _EVENT)
            await loop.sock_recv(client, _ANSWER_BYTES)
        await server.close(_LIMIT_S)
        function.close()
