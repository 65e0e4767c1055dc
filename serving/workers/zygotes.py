"""
The zygotes of this machine: one for each environment and set of preloaded modules that workers need.

    Clarion's own environment, nothing preloaded     the default one; replaced at once when it ends
    any other                                        started when asked for, or ahead; the one that rested
                                                     longest ends when there are too many

A zygote that ends takes its workers along; whose they were is for the owner to say (`on_lost`).
"""

import asyncio
import sys
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from serving.workers.backend import StartFailed
from serving.workers.spawn import Zygote

# Zygotes beside the default one: each is 20 to 30 MB and more with what it preloads.
LIMIT = 8
# A zygote that dies again and again (a broken installation) is not replaced faster than this.
_REPLACE_S = 1.0

_log = structlog.get_logger(__name__)

Key = tuple[str, tuple[str, ...]]  # the interpreter, and the modules that are preloaded
_DEFAULT: Key = (sys.executable, ())


class Zygotes:
    """All of them; their tasks belong to the group that `open` is given."""

    def __init__(self, on_report: Callable[[dict[str, Any]], None], on_lost: Callable[[Zygote], None],
                 busy: Callable[[], Iterable[Zygote]]) -> None:
        """*on_report* gets what zygotes say; *on_lost* one that has ended; *busy*: those with workers."""
        self._on_report = on_report
        self._on_lost = on_lost
        self._busy = busy
        self._zygotes: dict[Key, Zygote] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._closing = asyncio.Event()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._zygotes)

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Start the default one."""
        self._tasks = tasks
        self.of(*_DEFAULT)

    def close(self) -> None:
        """End all of them, and their workers."""
        self._closing.set()
        for zygote in self._zygotes.values():
            zygote.close()

    @property
    def has_room(self) -> bool:
        """Whether one more is no other's end."""
        return len(self._zygotes) <= LIMIT

    @property
    def default(self) -> Zygote:
        """The one of Clarion's own environment."""
        return self.of(*_DEFAULT)

    def of(self, python: str, modules: tuple[str, ...]) -> Zygote:
        """
        The zygote of interpreter *python* that has *modules*, or a new one.

        Raises:
            StartFailed: TooManyPreloads, and all are in use.
        """
        key = python, modules
        zygote = self._zygotes.pop(key, None)
        if zygote is None or zygote.is_gone:
            assert self._tasks is not None
            if len(self._zygotes) > LIMIT:
                self._retire_one()
            zygote = Zygote(modules, self._on_report, python=python)
            self._tasks.create_task(self._own(key, zygote))
        self._zygotes[key] = zygote  # at the end: the first one is the one that rested longest
        return zygote

    def retire(self, python: str) -> None:
        """End those of interpreter *python*, which is about to go."""
        for (interpreter, _), zygote in self._zygotes.items():
            if interpreter == python:
                zygote.close()

    def _retire_one(self) -> None:
        busy = set(self._busy())
        for key, zygote in self._zygotes.items():
            if key != _DEFAULT and zygote not in busy:
                zygote.close()
                return
        raise StartFailed("TooManyPreloads",
                          f"over {LIMIT} environments and sets of preloaded modules are in use; let "
                          "revisions share theirs (requirements.txt, annotation clarion.dev/preload)")

    async def _own(self, key: Key, zygote: Zygote) -> None:
        python, _ = key
        began = asyncio.get_running_loop().time()
        try:
            await zygote.run()
        except OSError as error:  # no such interpreter any longer, or no process to be had
            _log.warning("zygote does not start", python=python, error=str(error))
        finally:
            if self._zygotes.get(key) is zygote:
                del self._zygotes[key]
            self._on_lost(zygote)
        if self._closing.is_set():
            return
        _log.warning("zygote ended", pid=zygote.pid, modules=zygote.modules, python=python)
        if key == _DEFAULT:
            lived_s = asyncio.get_running_loop().time() - began
            try:
                async with asyncio.timeout(max(0.0, _REPLACE_S - lived_s)):
                    await self._closing.wait()
            except TimeoutError:
                self.of(*_DEFAULT)
