"""A gateway that is none is told at the start, and is asked until it is one."""

import asyncio

import pytest
import structlog

from eventing.broker import gateway
from eventing.broker.dispatcher import Dispatcher
from eventing.config import Config
from eventing.http import server
from eventing.http.client import Client


@pytest.fixture
async def client():
    """Asks, and is closed."""
    made = Client()
    yield made
    await made.close()


@pytest.fixture
def soon(monkeypatch):
    """It is asked again at once."""
    monkeypatch.setattr(gateway, "_AGAIN_S", 0.01)


async def test_what_is_wrong(client):
    """Nobody there, and somebody else there, are two sentences."""
    other = await server.serve(lambda exchange: exchange.respond(404), host="127.0.0.1", port=0)
    url = f"http://127.0.0.1:{other.port}"

    assert (await gateway.problem_of(client, url)).startswith("it answers 404, but not as the data port")
    await other.close(0)
    assert await gateway.problem_of(client, url) == f"nothing listens at 127.0.0.1:{other.port}"


@pytest.mark.usefixtures("soon")
async def test_it_is_asked_until_it_is_one(client, eventually):
    """What is wrong is told once, and that it is right now."""
    answers = [404, 404, 404]
    headers = [(b"webhook-allowed-rate", b"*")]
    found = await server.serve(
        lambda exchange: exchange.respond(answers.pop()) if answers else exchange.respond(200, headers),
        host="127.0.0.1", port=0)
    with structlog.testing.capture_logs() as lines:
        async with asyncio.timeout(20):
            await gateway.check(client, f"http://127.0.0.1:{found.port}")
    await found.close(0)

    assert [line["log_level"] for line in lines] == ["warning", "info"]


async def test_a_dispatcher_tells(make_bench, store, tmp_path, eventually):
    """A dispatcher with a wrong gateway works, and says that it leads nowhere."""
    bench = make_bench(store, tmp_path)
    bench.config = Config(data_dir=tmp_path, drain_s=1, gateway_url="http://127.0.0.1:1")
    with structlog.testing.capture_logs() as lines:
        async with bench:
            dispatcher, _ = await bench.dispatcher()
            assert isinstance(dispatcher, Dispatcher)
            await eventually(lambda: [line for line in lines if "--gateway-url" in line["event"]])
    (line,) = [line for line in lines if "--gateway-url" in line["event"]]
    assert line["error"] == "nothing listens at 127.0.0.1:1"
