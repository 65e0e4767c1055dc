"""What a watch may say that a real server says seldom: bookmarks, an ERROR in the middle, an early end."""

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from sources.apiserver.collection import Collection, Place
from sources.apiserver.kubeconfig import Access
from sources.apiserver.server import Server
from sources.ledger import Ledger
from sources.source import NotReady

PLACE = Place("test", "/api/v1/namespaces/shop/configmaps", "v1", "ConfigMap", "a in (b)")


class Scripted:
    """An API server that answers one request after another as it was told, each line by itself."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.done = asyncio.Event()

    async def handle(self, reader, writer):
        """One request."""
        target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.asked.append({key: value for key, (value,) in parse_qs(urlsplit(target).query).items()})
        status, *lines = self.answers.pop(0)
        writer.write(b"HTTP/1.1 %d \r\n\r\n" % status)
        for line in lines:
            writer.write(json.dumps(line).encode() + b"\n")
            await writer.drain()
        if not self.answers:
            self.done.set()
            await reader.read()
        writer.close()


def config_map(name, version):
    """A ConfigMap as a list has it."""
    return {"metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "resourceVersion": version}}


def listed(version, *items):
    """A list."""
    return 200, {"metadata": {"resourceVersion": version}, "items": items}


def told(type_, found):
    """A line of a watch."""
    return {"type": type_, "object": {"apiVersion": "v1", "kind": "ConfigMap", **found}}


async def follow(store, scripted, place=None):
    """Follow until the script has ended; returns what was taken, and the places. Raises NotReady."""
    taken, failures, ledger = [], [], Ledger(store, "u")

    async def take(changes):
        taken.extend((change.what, change.found["metadata"]["name"]) for change in changes)

    async def run(url):
        collection = Collection(Server(Access(server=url)), ledger, PLACE, take)
        try:
            await collection.follow(await collection.start(place), lambda: None)
        except NotReady as error:
            failures.append(error)
            scripted.done.set()

    async with await asyncio.start_server(scripted.handle, "127.0.0.1", 0) as server, \
            asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        await scripted.done.wait()
        running.cancel()
    for failure in failures:
        raise failure
    return taken, await ledger.places()


async def test_bookmarks_and_errors(store):
    """A bookmark moves the place; 410 in the middle makes it compare; a watch that ends is begun again."""
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
    scripted = Scripted(
        listed("5"),
        (200, told("BOOKMARK", {"metadata": {"resourceVersion": "9"}})),
        (200, told("ADDED", config_map("a", "10")), gone),
        listed("20", config_map("a", "10"), config_map("b", "15")),
        (200,))

    taken, places = await follow(store, scripted)

    assert taken == [("add", "a"), ("add", "b")]
    assert [each.get("resourceVersion") for each in scripted.asked] == [None, "5", "9", None, "20"]
    assert {each["labelSelector"] for each in scripted.asked} == {"a in (b)"}
    assert places == {PLACE.page: "20"}


async def test_pages(store):
    """A list in pages is read to its end, each page with the token of the one before."""
    first = {"metadata": {"resourceVersion": "7", "continue": "more"}, "items": [config_map("a", "1")]}
    scripted = Scripted((200, first), listed("7", config_map("b", "2")), (200,))

    taken, _ = await follow(store, scripted, "-")

    assert taken == [("add", "a"), ("add", "b")]
    assert [each.get("continue") for each in scripted.asked] == [None, "more", None]


@pytest.mark.parametrize(("answer", "reason", "words"), [
    ((200, "text"), "RequestFailed", "no JSON object"),
    ((500, {"message": "etcd is away"}), "RequestFailed", "etcd is away"),
    ((503,), "RequestFailed", "HTTP 503"),
    ((403, {"message": "configmaps is forbidden"}), "InsufficientPermissions", "is forbidden"),
])
async def test_failures(store, answer, reason, words):
    """What the server says is the reason, in its words."""
    with pytest.raises(NotReady, match=words) as failed:
        await follow(store, Scripted(answer, (200,)))
    assert failed.value.reason == reason
