"""A sink that keeps what it accepts, and can be slow, refuse, or be away."""

import asyncio
from collections import Counter

import pytest

from eventing import binding
from eventing.http import server as http

_LIMIT_BYTES = 1 << 20
_PATIENCE_S = 40


class Sink:
    """An HTTP server that can stop and come back; `answers` are the statuses that it gives first."""

    def __init__(self):
        self.events = []
        self.asked = []  # ids of all events, refused ones too
        self.seen = Counter()  # how often each id was accepted
        self.answers = []
        self.delay_s = 0.0
        self.spread = None  # a random.Random: delays are between none and delay_s
        self.most_at_once = 0
        self._now = 0
        self._changed = asyncio.Event()
        self._port = 0
        self._server = None

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}"

    async def start(self):
        """Listen, on the same port as before."""
        self._server = await http.serve(self._handle, host="127.0.0.1", port=self._port)
        self._port = self._server.port

    async def stop(self):
        """Refuse connections."""
        await self._server.close(0)

    def _handle(self, exchange):
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        exchange.collect(_LIMIT_BYTES, lambda body: self._later(exchange, body))

    def _later(self, exchange, body):
        delay_s = self.delay_s if self.spread is None else self.spread.uniform(0, self.delay_s)
        asyncio.get_running_loop().call_later(delay_s, self._take, exchange, body)

    def _take(self, exchange, body):
        self._now -= 1
        event = binding.from_http(exchange.headers, body)
        id_ = event.attributes["id"]
        self.asked.append(id_)
        status = self.answers.pop(0) if self.answers else 202
        if status == 202:
            self.events.append(event)
            self.seen[id_] += 1
        exchange.respond(status)
        self._changed.set()

    @property
    def refused(self):
        """How often it did not answer 202."""
        return len(self.asked) - len(self.events)

    @property
    def repeats(self):
        """How many events more than different ones were accepted."""
        return self.seen.total() - len(self.seen)

    def told(self, *attributes):
        """Those attributes of every event, in order."""
        return [tuple(event.attributes.get(each) for each in attributes) for event in self.events]

    async def until(self, condition):
        """Return once *condition* holds of the sink."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while not condition(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"{len(self.events)} events, the last ones {self.told('type', 'subject', 'id')[-5:]}")
