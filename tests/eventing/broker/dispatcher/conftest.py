"""A dispatcher in this process with real subscribers, and the few lines that stand for a control plane."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import orjson
import pytest
from prometheus_client import CollectorRegistry

from eventing import binding, keys, projection
from eventing.broker.arrival import stamp
from eventing.broker.deadletters import of_trigger
from eventing.broker.dispatcher import Dispatcher
from eventing.broker.entry import decode, partition_of
from eventing.broker.stream import Stream
from eventing.config import Config
from eventing.errors import Unavailable
from eventing.event import Event
from eventing.http import server
from eventing.runtime import Runtime, end

BROKER = "shop/default"
_PATIENCE_S = 30  # a busy machine may need some of them
PROGRAM = Path(__file__).with_name("process.py")


class Subscriber:
    """A real HTTP server that notes what it gets, and answers what `answer` says."""

    def __init__(self):
        self.received = []  # (event, headers) of each request
        self.held = []  # exchanges that `answer` left without an answer
        self.answer = lambda exchange, event: exchange.respond(200)

    async def start(self):
        self._server = await server.serve(self._handle, host="127.0.0.1", port=0)
        self.url = f"http://127.0.0.1:{self._server.port}/"

    async def stop(self):
        await self._server.close(0)

    @property
    def ids(self):
        """Ids of the events, in the order in which they came."""
        return [event.attributes["id"] for event, _ in self.received]

    def hold(self, exchange, event):
        """Leave a request without an answer."""
        self.held.append(exchange)

    def release(self):
        """Answer what is held."""
        for exchange in self.held:
            exchange.respond(200)
        self.held.clear()

    def _handle(self, exchange):
        def take(body):
            event = binding.from_http(exchange.headers, body)
            self.received.append((event, dict(exchange.headers)))
            self.answer(exchange, event)
        exchange.collect(1 << 24, take)


class Overlap:
    """Answers after a moment, and notes how many requests were open at once, in all and per subject."""

    def __init__(self, subscriber):
        self.most = 0
        self.most_of_one = 0
        self._open = []
        subscriber.answer = self.answer

    def answer(self, exchange, event):
        subject = event.attributes.get("subject", "")
        self._open.append(subject)
        self.most = max(self.most, len(self._open))
        self.most_of_one = max(self.most_of_one, self._open.count(subject))

        def respond():
            self._open.remove(subject)
            exchange.respond(200)
        asyncio.get_running_loop().call_later(0.005, respond)


class Process:
    """A dispatcher process."""

    def __init__(self, socket, directory):
        self._popen = subprocess.Popen([sys.executable, str(PROGRAM), str(socket), str(directory)],
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.pid = self._popen.pid

    async def ready(self):
        line = b""
        while line != b"ready\n":  # log lines come first
            line = await asyncio.to_thread(self._popen.stdout.readline)
            assert line, "the dispatcher ended"
        return self

    def signal(self, number):
        os.kill(self.pid, number)

    def end(self):
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()
        self._popen.stdout.close()


class Bench:
    """Brokers, triggers, events and dispatchers of one test."""

    def __init__(self, store, config):
        self.store = store
        self.config = config
        self._running = []
        self._stream = Stream(store)
        self._tasks = None

    async def __aenter__(self):
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        self._appending = self._tasks.create_task(self._stream.run())
        await self._stream.connected.wait()
        return self

    async def __aexit__(self, *exc):
        for runtime, task in self._running:
            runtime.stopping.set()
            await task
        await end([self._appending])
        await self._tasks.__aexit__(None, None, None)

    async def broker(self, name=BROKER, partitions=1):
        await projection.write(self.store, "brokers", name,
                               {"uid": str(uuid.uuid4()), "partitions": partitions})

    async def put(self, name, url, broker=BROKER, **more):
        """Write a trigger's record."""
        record = {"uid": str(uuid.uuid4()), "generation": 1, "broker": broker, "filter": {}, "filters": [],
                  "subscriber": url, "delivery": None, "annotations": {}} | more
        await projection.write(self.store, "triggers", f"shop/{name}", record)
        return record

    async def trigger(self, name, url, broker=BROKER, **more):
        """Write a trigger's record and wait until every partition's owner matches it."""
        record = await self.put(name, url, broker, **more)
        brokers = await projection.read(self.store, "brokers")
        wanted = {"uid": record["uid"], "generation": record["generation"]}
        names = [f"shop/{name}/{number}" for number in range(brokers[broker]["partitions"])]
        async with asyncio.timeout(_PATIENCE_S):
            lanes = {}
            while any(lanes.get(lane) != wanted for lane in names):
                await asyncio.sleep(0.01)
                lanes = await projection.read(self.store, "lanes")
        return record

    async def send(self, *ids, broker=BROKER, partitions=1, data=b"{}", **attributes):
        """Append events as the ingress does."""
        events = [stamp(Event({"specversion": "1.0", "id": str(name), "source": "/test", "type": "t",
                               **attributes}, data), time.time()) for name in ids]
        await asyncio.gather(*(self._append(broker, partition_of(event, partitions), event)
                               for event in events))

    async def _append(self, broker, partition, event):
        """Append until it is stored, as a producer does that gets a 503."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                try:
                    await self._stream.append(broker, partition, event)
                except Unavailable:
                    await asyncio.sleep(0.02)
                else:
                    return

    async def dispatcher(self):
        """Start a dispatcher; returns it and its runtime."""
        runtime = Runtime(config=self.config, store=self.store, metrics=CollectorRegistry())
        dispatcher = Dispatcher(runtime)
        self._running.append((runtime, self._tasks.create_task(dispatcher.run())))
        async with asyncio.timeout(_PATIENCE_S):
            while not runtime.is_ready:
                await asyncio.sleep(0.01)
        return dispatcher, runtime

    async def untrigger(self, name):
        """Delete a trigger's record."""
        await projection.write(self.store, "triggers", f"shop/{name}", None)

    async def unbroker(self, name=BROKER):
        """Delete a broker's record."""
        await projection.write(self.store, "brokers", name, None)

    async def letters(self, name):
        """Dead letters of a trigger."""
        return await of_trigger(self.store, f"shop/{name}")

    async def until(self, ask):
        """Wait until the store says something that is true, and return it."""
        async with asyncio.timeout(_PATIENCE_S):
            while not (found := await ask()):
                await asyncio.sleep(0.01)
        return found

    async def at_least(self, count, letters):
        """Dead letters, once there are so many."""
        found = await letters.find()
        return found if len(found) >= count else None

    async def at_most(self, count, letters):
        """Whether there are at most so many dead letters."""
        return len(await letters.find()) <= count

    async def until_none(self, letters):
        """Wait until there is no dead letter."""
        await self.until(lambda: self.at_most(0, letters))

    async def until_waiting(self, letters, count):
        """Wait until so many deliveries wait for a trigger, retries and backlog."""
        async def waits():
            waiting = await letters.waiting()
            return waiting.backlog + waiting.retries == count
        await self.until(waits)

    async def until_gone(self, *patterns):
        """Wait until no key has such a name."""
        async def gone():
            return not any([await self.store.keys(pattern) for pattern in patterns])
        await self.until(gone)

    async def is_floor(self, entry_id):
        """Whether the floor is there."""
        return await self.store.hget(f"{{{BROKER}/0}}:state", "floor") == entry_id

    async def records(self, count):
        """Rows of the delivery record, once there are so many."""
        async def rows():
            found = [row for _, fields in await self.store.xrange(keys.records(BROKER, 0))
                     for row in orjson.loads(fields[b"r"])]
            return found if len(found) >= count else None
        return await self.until(rows)

    async def has(self, backlog, count):
        """Whether a backlog has so many references."""
        return await self.store.zcard(backlog) == count

    async def living(self, count):
        """Whether so many dispatchers say that they live."""
        return await self.store.zcard(keys.DISPATCHERS) >= count

    async def stored_ids(self):
        """Ids of all entries of the partition."""
        return [entry_id for entry_id, _ in await self.store.xrange(keys.events(BROKER, 0))]

    async def stored(self):
        """All events of the partition."""
        return [decode(fields) for _, fields in await self.store.xrange(keys.events(BROKER, 0))]

    async def stop(self, runtime):
        """Stop one dispatcher gracefully."""
        runtime.stopping.set()
        (task,) = [task for known, task in self._running if known is runtime]
        await task


@pytest.fixture
async def bench(store, tmp_path):
    """A broker and its surroundings; no dispatcher runs yet."""
    async with Bench(store, Config(data_dir=tmp_path, drain_s=1)) as bench:
        await bench.broker()
        yield bench


@pytest.fixture
def make_bench():
    """Makes a bench on a store of the test's own."""
    return lambda store, directory: Bench(store, Config(data_dir=directory, drain_s=1))


@pytest.fixture
async def make_subscriber():
    """Makes subscribers and stops them."""
    async with contextlib.AsyncExitStack() as stack:
        async def make():
            subscriber = Subscriber()
            await subscriber.start()
            stack.push_async_callback(subscriber.stop)
            return subscriber
        yield make


class BatchSubscriber:
    """Takes batches, and answers `status`."""

    def __init__(self):
        self.batches = []
        self.types = set()
        self.status = 200

    async def start(self):
        self._server = await server.serve(self._handle, host="127.0.0.1", port=0)
        self.url = f"http://127.0.0.1:{self._server.port}/"

    async def stop(self):
        await self._server.close(0)

    def _handle(self, exchange):
        def take(body):
            self.types.add(exchange.header(b"content-type"))
            self.batches.append(orjson.loads(body))
            exchange.respond(self.status)
        exchange.collect(1 << 24, take)


@pytest.fixture
async def make_batch_subscriber():
    """Makes subscribers of batches and stops them."""
    async with contextlib.AsyncExitStack() as stack:
        async def make():
            made = BatchSubscriber()
            await made.start()
            stack.push_async_callback(made.stop)
            return made
        yield make


@pytest.fixture
async def subscriber(make_subscriber):
    """One subscriber."""
    return await make_subscriber()


@pytest.fixture
def delivery():
    """Makes a DELIVERY record: a retry follows after a millisecond."""
    def make(**more):
        return {"retry": 0, "backoff_policy": "linear", "backoff_s": 0.001, "timeout_s": None,
                "dead_letter_url": None, "format": None} | more
    return make


@pytest.fixture
async def start(valkey_socket, tmp_path):
    """Starts dispatcher processes, and ends them after the test."""
    processes = []

    async def start():
        processes.append(Process(valkey_socket, tmp_path))
        return await processes[-1].ready()
    yield start
    for process in processes:
        process.end()


@pytest.fixture
def overlap(subscriber):
    """How many requests `subscriber` has open at once, each for a moment."""
    return Overlap(subscriber)
