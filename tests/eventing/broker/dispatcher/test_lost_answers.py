"""The store's answer is lost on its way: what it has done is done, and the dispatcher finds out."""

import asyncio
import tempfile
from pathlib import Path

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from eventing.cancellation import heeding


class Cut:
    """Between a dispatcher and its store: it passes all requests on, and cuts some answers."""

    def __init__(self, upstream, path):
        self.path = path
        self.left = 0  # so many answers are cut
        self.word = b""  # to requests with this in them
        self._upstream = upstream

    async def serve(self, reader, writer):
        ends = [writer]
        asked = asyncio.Event()
        try:
            there, back = await asyncio.open_unix_connection(self._upstream)
            ends.append(back)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(reader, back, asked))
                tasks.create_task(self._return(there, writer, asked))
        except* (OSError, asyncio.CancelledError):
            pass  # either side went: so does the other
        finally:
            for end in ends:
                end.transport.abort()

    async def _pass(self, reader, writer, asked):
        while chunk := await reader.read(1 << 20):
            if self.word in chunk and self.left > 0:
                self.left -= 1
                asked.set()
            writer.write(chunk)
        raise ConnectionResetError("the dispatcher is done")

    async def _return(self, reader, writer, asked):
        while chunk := await reader.read(1 << 20):
            if asked.is_set():
                raise ConnectionResetError("cut on purpose")
            writer.write(chunk)
        raise ConnectionResetError("the store is done")


@pytest.fixture
async def cut(valkey_socket, store):
    """One in front of the store."""
    with tempfile.TemporaryDirectory(prefix="cut-") as directory:
        made = Cut(valkey_socket, Path(directory) / "s")
        server = await asyncio.start_unix_server(made.serve, made.path)
        yield made
        server.close()


@pytest.fixture
async def bench(request, cut, tmp_path, make_bench, monkeypatch):
    """A broker and its surroundings, whose way to the store is `cut`; it is asked again so many times."""
    monkeypatch.setattr("eventing.broker.upkeep.RENEW_S", 0.02)  # says at once that no retry waits any more
    retry = Retry(NoBackoff(), request.param)
    async with (heeding(redis.asyncio.Redis(unix_socket_path=str(cut.path), retry=retry)) as through,
                make_bench(through, tmp_path) as bench):
        await bench.broker()
        yield bench


@pytest.mark.parametrize("bench", [3, 0], ids=["asked again by the client", "an error"], indirect=True)
async def test_retries_of_a_draw_whose_answer_is_lost(cut, bench, subscriber, delivery, eventually):
    """A retry that was moved to the backlog is sent, although the answer that told of it was cut."""
    cut.word, cut.left = b"\r\nclarion_draw\r\n", 1
    subscriber.answer = lambda exchange, _: exchange.respond(503 if len(subscriber.ids) == 1 else 200)
    await bench.dispatcher()
    await bench.trigger("t", subscriber.url, delivery=delivery(retry=1))
    await bench.send("a")  # the first draw there is brings its retry
    await eventually(lambda: subscriber.ids == ["a", "a"])

    assert cut.left == 0
