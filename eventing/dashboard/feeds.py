"""
What happens, as lines that go on: events of a broker, what Services and Deployments print.

    GET /feeds/events?broker=ns/name[&since=UNIX_TIME][&follow=false]
                                                            {"id", "partition", "event": {..}} a line
    GET /feeds/logs/NAMESPACE/NAME[?follow=true]            the log lines of a Service's revisions, of a
                                                            Deployment, of a ContainerSource's program; of
                                                            one that was deleted, while its log is kept

Events come from the archive, so a feed disturbs no delivery and starts in the past where it is asked to;
its first line is empty and comes at once. JSON data stands as `data`, text as a string, anything else as
`data_base64`, and so does JSON nested so deep that not everybody reads it. A feed ends when its reader
leaves, or within about a second when the role is to stop.
"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import redis.asyncio
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from eventing import projection
from eventing.broker import archive
from eventing.config import Config
from eventing.event import Event

_NDJSON = "application/x-ndjson"
_TEXT = "text/plain; charset=utf-8"
_LOG_POLL_S = 0.2  # a person does not notice; there is no portable way to be told
_LEVELS_MOST = 200  # in what is around them they are written as JSON and YAML, and read, by all that we know
_LOG_TAIL_BYTES = 256 * 1024  # of each file: some thousand lines, what a terminal keeps


def as_json(event: Event) -> dict[str, Any]:
    """The event in CloudEvents' JSON form; data that is not what its content type says goes as base64."""
    content_type = event.attributes.get("datacontenttype", "application/json").partition(";")[0].strip()
    shown: dict[str, Any] = dict(event.attributes)
    if event.data is None:
        return shown
    try:
        is_json = content_type == "application/json" or content_type.endswith("+json")
        value = orjson.loads(event.data) if is_json else event.data.decode()
        if not is_json or not _is_deep(event.data, value):
            shown["data"] = value
            return shown
    except ValueError:  # not JSON, or not UTF-8
        pass
    shown["data_base64"] = base64.b64encode(event.data).decode()
    return shown


def _is_deep(data: bytes, value: Any) -> bool:
    """Whether *value*, the JSON in *data*, has more than _LEVELS_MOST levels of lists and objects."""
    if data.count(b"[") + data.count(b"{") <= _LEVELS_MOST:
        return False
    level = [value]
    for _ in range(_LEVELS_MOST):
        level = [inner for each in level if isinstance(each, dict | list)
                 for inner in (each.values() if isinstance(each, dict) else each)]
    return any(isinstance(each, dict | list) for each in level)


async def _events(entries: AsyncIterator[archive.Entry]) -> AsyncIterator[bytes]:
    yield b"\n"  # now the reader knows that it will miss nothing
    async for entry in entries:
        yield orjson.dumps({"id": entry.id, "partition": entry.partition, "event": as_json(entry.event)},
                           option=orjson.OPT_APPEND_NEWLINE)


async def _logs(folder: Path, writers: "Writers", until: asyncio.Event | None) -> AsyncIterator[bytes]:
    """Lines of the files of all *writers*, what is there in the order of times; what comes, if *until* is."""
    positions: dict[Path, int] = {}
    first: list[bytes] = []
    for path in await writers.files(folder):
        first += _tail(path, positions)
    for line in sorted(first, key=lambda line: line.partition(b" ")[0]):  # every line begins with its time
        yield line
    while until is not None and not until.is_set():
        await asyncio.sleep(_LOG_POLL_S)
        for path in await writers.files(folder):
            for line in _fresh(path, positions):
                yield line


def _tail(path: Path, positions: dict[Path, int]) -> list[bytes]:
    start = max(0, path.stat().st_size - _LOG_TAIL_BYTES)
    positions[path] = start
    lines = _fresh(path, positions)
    return lines[1:] if start else lines  # the first is cut


def _fresh(path: Path, positions: dict[Path, int]) -> list[bytes]:
    """Whole lines since the last look; a file that shrank was rotated and is read from its beginning."""
    start = positions.get(path, 0)
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) < start:
                start = 0
            file.seek(start)
            chunk = file.read(_LOG_TAIL_BYTES)
    except FileNotFoundError:
        return []
    lines = chunk.splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    positions[path] = start + sum(map(len, lines))
    return lines


class Writers:
    """Who writes logs for a name: revisions of a Service, a Deployment, the program of a ContainerSource."""

    def __init__(self, store: "redis.asyncio.Redis", namespace: str, name: str) -> None:
        """Of *name* in *namespace*."""
        self._store = store
        self._namespace = namespace
        self._name = name

    async def names(self) -> set[str]:
        """Names of those that exist."""
        revisions = await projection.read(self._store, "revisions")
        programs = await projection.read(self._store, "deployments")
        found = [name for name, record in revisions.items() if record.get("service") == self._name]
        found += [name for name, record in programs.items()
                  if self._name in (name.partition("/")[2], record.get("owner"))]
        return {name.partition("/")[2] for name in found if name.startswith(f"{self._namespace}/")}

    async def files(self, folder: Path) -> list[Path]:
        """Log files that exist, oldest revision first; where nobody writes any more, those that are left."""
        found = [folder / f"{name}.log" for name in sorted(await self.names())]
        return [path for path in found if path.is_file()] if found else _left(folder, self._name)


def _left(folder: Path, name: str) -> list[Path]:
    """Logs of what was called *name*, by the names that revisions and programs have by default."""
    known = re.compile(rf"{re.escape(name)}(-\d{{5,}})?\.log")
    return sorted(path for path in folder.parent.glob("*/*.log")
                  if path.parent == folder and known.fullmatch(path.name))  # a namespace may say `..`


async def _now(store: "redis.asyncio.Redis") -> float:
    """Unix time by the clock that makes the ids."""
    seconds, micros = await store.time()
    return int(seconds) + int(micros) / 1e6


def routes(config: Config, store: "redis.asyncio.Redis", stopping: asyncio.Event) -> APIRouter:
    """The two feeds, which end when *stopping* is set."""
    router = APIRouter(prefix="/feeds")

    @router.get("/events", include_in_schema=False)
    async def events(broker: str, since: float | None = None, follow: bool = True) -> Response:
        async def partitions() -> int:
            record = await projection.read_one(store, "brokers", broker)
            return 0 if record is None else max(1, int(record.get("partitions") or 1))

        count = await partitions()
        if count == 0:
            return PlainTextResponse(f"there is no broker {broker}; clarion get brokers -A lists them\n", 404)
        first = archive.id_at(await _now(store) if since is None else since)
        entries = (archive.follow(store, broker, partitions, stopping, after=first) if follow
                   else archive.read(store, broker, range(count), start=first))
        return StreamingResponse(_events(entries), media_type=_NDJSON)

    @router.get("/logs/{namespace}/{name}", include_in_schema=False)
    async def logs(namespace: str, name: str, follow: bool = False) -> Response:
        writers = Writers(store, namespace, name)
        folder = config.data_dir / "logs" / namespace
        if not (await writers.names() or await writers.files(folder)):
            why = (f"there is no Service {namespace}/{name} with a revision, nor a Deployment of that name; "
                   "clarion get services,deployments -A lists them\n")
            return PlainTextResponse(why, 404)
        return StreamingResponse(_logs(folder, writers, stopping if follow else None), media_type=_TEXT)

    return router
