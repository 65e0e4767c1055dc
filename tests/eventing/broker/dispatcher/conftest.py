"""A dispatcher in this process with real subscribers, and the few lines that stand for a control plane."""

import asyncio
import contextlib
import time
import uuid

import pytest
from prometheus_client import CollectorRegistry

from eventing import binding, projection
from eventing.broker.arrival import stamp
from eventing.broker.dispatcher import Dispatcher
from eventing.broker.stream import Stream, partition_of
from eventing.config import Config
from eventing.event import Event
from eventing.http import server
from eventing.runtime import Runtime

BROKER = "shop/default"


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
        self._appending.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def broker(self, name=BROKER, partitions=1):
        await projection.write(self.store, "brokers", name, {"uid": str(uuid.uuid4()), "partitions": partitions})

    async def trigger(self, name, url, broker=BROKER, **more):
        """Write a trigger's record and wait until every partition's owner matches it."""
        record = {"uid": str(uuid.uuid4()), "generation": 1, "broker": broker, "filter": {}, "filters": [],
                  "subscriber": url, "delivery": None, "annotations": {}} | more
        await projection.write(self.store, "triggers", f"shop/{name}", record)
        brokers = await projection.read(self.store, "brokers")
        wanted = {"uid": record["uid"], "generation": record["generation"]}
        names = [f"shop/{name}/{number}" for number in range(brokers[broker]["partitions"])]
        async with asyncio.timeout(10):
            lanes = {}
            while any(lanes.get(lane) != wanted for lane in names):
                await asyncio.sleep(0.01)
                lanes = await projection.read(self.store, "lanes")
        return record

    async def send(self, *ids, broker=BROKER, partitions=1, data=b"{}", **attributes):
        """Append events as the ingress does."""
        events = [stamp(Event({"specversion": "1.0", "id": str(name), "source": "/test", "type": "t",
                               **attributes}, data), time.time()) for name in ids]
        await asyncio.gather(*(self._stream.append(broker, partition_of(event, partitions), event)
                               for event in events))

    async def dispatcher(self):
        """Start a dispatcher; returns it and its runtime."""
        runtime = Runtime(config=self.config, store=self.store, metrics=CollectorRegistry())
        dispatcher = Dispatcher(runtime)
        self._running.append((runtime, self._tasks.create_task(dispatcher.run())))
        async with asyncio.timeout(10):
            while not runtime.is_ready:
                await asyncio.sleep(0.01)
        return dispatcher, runtime

    async def stop(self, runtime):
        """Stop one dispatcher gracefully."""
        runtime.stopping.set()
        (task,) = [task for known, task in self._running if known is runtime]
        await task


@pytest.fixture
async def bench(store, tmp_path):
    """A broker and its surroundings; no dispatcher runs yet."""
    async with Bench(store, Config(data_dir=tmp_path, drain_s=5)) as bench:
        await bench.broker()
        yield bench


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


@pytest.fixture
async def subscriber(make_subscriber):
    """One subscriber."""
    return await make_subscriber()
