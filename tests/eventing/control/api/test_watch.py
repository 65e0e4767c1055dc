"""Watches over real HTTP: live, replayed, filtered, expired, ended."""

import asyncio

import pytest

from eventing import keys
from eventing.control.store import Watch

BLOCKS = "/apis/toys.knative.dev/v1/namespaces/default/blocks"
MERGE = {"content_type": "application/merge-patch+json"}


async def test_a_watch_without_a_version_begins_with_what_there_is(api):
    """First an ADDED for every object, then changes as they happen."""
    await api("POST", BLOCKS, {"metadata": {"name": "a"}})
    async with api.watch(BLOCKS + "?watch=true") as line:
        first = await line()
        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
        await api("PATCH", BLOCKS + "/a", {"spec": {"size": 2}}, **MERGE)
        second = await line()
        assert (second["type"], second["object"]["spec"]) == ("MODIFIED", {"size": 2})
        await api("DELETE", BLOCKS + "/a")
        assert (await line())["type"] == "DELETED"


@pytest.mark.parametrize("version", ["", "&resourceVersion=1"])
async def test_a_watch_that_lists(api, version):
    """A client that lists by watching, as kubectl does, hears where the list ends."""
    await api("POST", BLOCKS, {"metadata": {"name": "a"}})
    query = f"?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan{version}"
    async with api.watch(f"{BLOCKS}{query}&allowWatchBookmarks=true") as line:
        first, end = await line(), await line()
        await api("POST", BLOCKS, {"metadata": {"name": "b"}})
        live = await line()
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
    assert end["type"] == "BOOKMARK"
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(end["object"]["metadata"]["resourceVersion"]) >= int(
        first["object"]["metadata"]["resourceVersion"])
    assert (live["type"], live["object"]["metadata"]["name"]) == ("ADDED", "b")


async def test_a_watch_replays_everything_after_its_version(api):
    """Nothing that happened between a list and the watch is missed, and nothing comes twice."""
    _, listed, _ = await api("GET", BLOCKS)
    for name in "abc":
        await api("POST", BLOCKS, {"metadata": {"name": name}})
    await api("DELETE", BLOCKS + "/b")
    version = listed["metadata"]["resourceVersion"]
    async with api.watch(f"{BLOCKS}?watch=true&resourceVersion={version}") as line:
        replayed = [await line() for _ in range(4)]
        await api("POST", BLOCKS, {"metadata": {"name": "d"}})
        live = await line()
    seen = [(one["type"], one["object"]["metadata"]["name"]) for one in [*replayed, live]]
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c"), ("DELETED", "b"), ("ADDED", "d")]
    versions = [int(one["object"]["metadata"]["resourceVersion"]) for one in [*replayed, live]]
    assert versions == sorted(set(versions))


async def test_a_version_that_is_not_kept_is_gone(api, store):
    """A watch from before the log's beginning answers 410 Expired, so that the client lists again."""
    _, made, _ = await api("POST", BLOCKS, {"metadata": {"name": "a"}})
    for size in range(3):
        await api("PATCH", BLOCKS + "/a", {"spec": {"size": size}}, **MERGE)
    await store.xtrim(keys.OBJECT_LOG, maxlen=1, approximate=False)
    version = made["metadata"]["resourceVersion"]
    status, refused, _ = await api("GET", f"{BLOCKS}?watch=1&resourceVersion={version}")
    assert (status, refused["reason"], refused["code"]) == (410, "Expired", 410)
    assert refused["message"].startswith("too old resource version: ")
    status, refused, _ = await api("GET", f"{BLOCKS}?watch=1&resourceVersion=999999")
    assert (status, refused["reason"]) == (410, "Expired")


async def test_labels_bring_objects_into_a_watch_and_take_them_out(api):
    """A selected watch says ADDED when an object comes to match, and DELETED when it no longer does."""
    async with api.watch(BLOCKS + "?watch=true&labelSelector=a%3Db") as line:
        await api("POST", BLOCKS, {"metadata": {"name": "x"}})
        await api("PATCH", BLOCKS + "/x", {"metadata": {"labels": {"a": "b"}}}, **MERGE)
        await api("PATCH", BLOCKS + "/x", {"spec": {"size": 1}}, **MERGE)
        await api("PATCH", BLOCKS + "/x", {"metadata": {"labels": None}}, **MERGE)
        await api("PATCH", BLOCKS + "/x", {"spec": {"size": 2}}, **MERGE)
        await api("PATCH", BLOCKS + "/x", {"metadata": {"labels": {"a": "b"}}}, **MERGE)
        assert [(await line())["type"] for _ in range(4)] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]


async def test_a_watch_of_one_name_and_its_end(api):
    """A fieldSelector picks one object; timeoutSeconds ends the watch, with a bookmark if asked for."""
    await api("POST", BLOCKS, {"metadata": {"name": "a"}})
    await api("POST", BLOCKS, {"metadata": {"name": "b"}})
    query = "?watch=true&fieldSelector=metadata.name%3Db&timeoutSeconds=1&allowWatchBookmarks=true"
    async with api.watch(BLOCKS + query) as line:
        assert (await line())["object"]["metadata"]["name"] == "b"
        bookmark = await line()
        assert (bookmark["type"], bookmark["object"]["kind"]) == ("BOOKMARK", "Block")
        assert await line() is None


async def test_a_watch_without_bookmarks_sleeps_until_its_end(api, monkeypatch):
    """What is not to be sent wakes nobody: else, once it is due, the watch would go round without a pause."""
    asked, wait = [], Watch.next

    async def waiting(self, timeout_s):
        asked.append(timeout_s)
        return await wait(self, timeout_s)

    monkeypatch.setattr(Watch, "next", waiting)
    async with api.watch(BLOCKS + "?watch=true&timeoutSeconds=500") as line:
        await api("POST", BLOCKS, {"metadata": {"name": "a"}})
        assert (await line())["type"] == "ADDED"
    assert min(asked) > 400  # s; a bookmark is due every minute


async def test_a_watch_as_table(api):
    """As for kubectl get -w: each change is a table of one row."""
    await api("POST", BLOCKS, {"metadata": {"name": "a"}})
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    writer.write(f"GET {BLOCKS}?watch=true HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\n\r\n".encode())
    async with asyncio.timeout(10):
        seen = await reader.readuntil(b"PartialObjectMetadata")
    assert b'"kind":"Table"' in seen
    writer.close()


async def test_stopping_ends_watches(api, plane):
    """A server that stops lets its watchers go."""
    async with api.watch(BLOCKS + "?watch=true") as line:
        plane.store.end_watches()
        assert await line() is None
