"""
A command that is run where a worker is: same folder, user, variables, limits; an exec probe, that is.

It is forked by the worker's zygote, as the worker was, and becomes it in the same way but for its last step.
The zygote reaps it, and kills what is left of its process group. At the end of its time the whole group is
killed, and `run` returns once it is gone: two of them never run beside one another.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import orjson

from serving.workers.process import Spec, in_memory
from serving.workers.spawn import Zygote, ZygoteGone
from serving.workers.tap import Tap

_KEPT_BYTES = 10 * 1024  # kubelet reads as much
_MESSAGE_CHARACTERS = 200


class Inside:
    """Where one worker is."""

    def __init__(self, zygote: Zygote) -> None:
        """Forked by *zygote*; what it is, `spec`, and its `pid` have to be told before `run`."""
        self.spec: Spec | None = None
        self.pid = 0  # of the worker
        self._zygote = zygote
        self._ended: dict[str, asyncio.Future[int]] = {}
        self._count = 0

    def reported(self, name: str, report: dict[str, Any]) -> None:
        """What the zygote says of the process called *name*."""
        ended = self._ended.get(name)
        if ended is not None and "forked" not in report and not ended.done():
            ended.set_result(report.get("status", -signal.SIGKILL))

    async def run(self, command: Sequence[str], limit_s: float) -> str:
        """Run *command* for *limit_s* at most: "" if it ends with status 0, else what to say about it."""
        assert self.spec is not None
        if not command:
            return "exec names no command"
        self._count += 1
        name = f"{self.spec.worker}/{self._count}"
        ended = self._ended[name] = asyncio.get_running_loop().create_future()
        try:
            with _Output() as output:
                self._fork(name, command, output)
                status = await self._wait(name, ended, limit_s)
                said = output.last_line()
        except (OSError, ZygoteGone) as error:
            return f"{_line(command[0])} could not be run: {str(error) or 'its zygote is gone'}"
        finally:
            del self._ended[name]
        called = f'command "{_line(" ".join(command))}"'
        if status is None:
            return f"{called} timed out after {limit_s:g} s"
        return "" if status == 0 else said or f"{called} ended with status {status}"

    def _fork(self, name: str, command: Sequence[str], output: "_Output") -> None:
        assert self.spec is not None
        spec = replace(self.spec, worker=name, command=list(command),
                       beside=None if self.spec.mounts is None else self.pid)
        with contextlib.ExitStack() as made:
            descriptors = [in_memory(orjson.dumps(spec))]
            made.callback(os.close, descriptors[0])
            descriptors.append(os.dup(output.descriptor))
            made.callback(os.close, descriptors[1])
            descriptors.append(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))  # it has nothing to report
            made.pop_all()  # the zygote's, from now on
        self._zygote.fork(name, descriptors, takes_spare=False)

    async def _wait(self, name: str, ended: "asyncio.Future[int]", limit_s: float) -> int | None:
        """Its exit status; None if it had to be killed. Cancelled, it is killed and not waited for."""
        try:
            done, _ = await asyncio.wait([ended], timeout=limit_s)
            if done:
                return ended.result()
        finally:
            if not ended.done():
                self._zygote.signal(name, signal.SIGKILL, group=True)
        await asyncio.wait([ended])  # a killed one ends; with its zygote, whoever waits here is cancelled
        return None


class _Output:
    """What a command prints: the beginning is kept, the rest is read and forgotten, or it would wait."""

    def __init__(self) -> None:
        read, self.descriptor = os.pipe2(os.O_CLOEXEC)
        self._tap = Tap(read, self._keep)
        self._kept = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tap.close()
        os.close(self.descriptor)

    def last_line(self) -> str:
        """Of what was kept."""
        while len(self._kept) < _KEPT_BYTES and self._tap.read():
            pass
        lines = [line.strip() for line in self._kept.decode(errors="replace").splitlines() if line.strip()]
        return _line(lines[-1]) if lines else ""

    def _keep(self, chunk: bytes) -> None:
        self._kept += chunk[:_KEPT_BYTES - len(self._kept)]


def _line(text: str) -> str:
    """So much of *text* as is good to read, in a line."""
    return " ".join(text.split())[:_MESSAGE_CHARACTERS]
