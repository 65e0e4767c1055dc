"""Names that resolve are reached at once, whatever becomes of the names that do not."""

import asyncio
import gc
import logging
import socket
import threading
import urllib.parse
from collections import Counter

import pytest

from eventing.errors import NoAnswer
from eventing.http.client import Client, ClientLimits

# It has to be looked up, as names under localhost never are. Nothing of ours listens at the first address.
NAME = "living.test"
ADDRESSES = ("127.0.0.2", "127.0.0.1")


class Resolver:
    """The system's resolver, but it knows NAME, and is silent about `.invalid` until it `speaks`."""

    def __init__(self):
        self.asked = Counter()
        self.speaks = threading.Event()
        self._real = socket.getaddrinfo

    def getaddrinfo(self, host, *args, **kwargs):
        """As socket.getaddrinfo."""
        name = host.decode() if isinstance(host, bytes) else host
        self.asked[name] += 1
        if name == NAME:
            return [answer for address in ADDRESSES for answer in self._real(address, *args, **kwargs)]
        if name.endswith(".invalid"):
            self.speaks.wait(20)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._real(host, *args, **kwargs)


@pytest.fixture
def resolver(monkeypatch):
    """No resolver can be slow on demand, so this one stands before the real one."""
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    resolver.speaks.set()


@pytest.fixture
async def ask(client):
    """Send a GET to a URL."""
    return lambda url: client.request("GET", url, [], timeout_s=20, max_answer_bytes=100)


@pytest.fixture
async def reach(start, ask):
    """Ask a server that is reached by name, and return the status of its answer."""
    server = await start(lambda exchange: exchange.respond(204))

    async def reach():
        return (await ask(f"http://{NAME}:{server.port}/")).status

    return reach


@pytest.fixture
async def begin(ask, stack):
    """Send a GET to each of some URLs and do not wait; what becomes of them comes later."""
    tasks = await stack.enter_async_context(asyncio.TaskGroup())

    async def refusal(url):
        with pytest.raises(NoAnswer) as refused:
            await ask(url)
        return str(refused.value)

    def begin(urls):
        begun = [tasks.create_task(refusal(url)) for url in urls]
        stack.callback(lambda: [task.cancel() for task in begun])
        return begun

    return begin


@pytest.mark.parametrize("pattern", ["http://no.such.host.invalid/{}", "http://no.such.host{}.invalid/"],
                         ids=["one name", "many names"])
async def test_dead_names_hold_up_no_living_one(resolver, reach, begin, until, pattern):
    """While the resolver is silent about the names of 125 requests, a name that it knows is reached."""
    urls = [pattern.format(number) for number in range(125)]
    begun = begin(urls)
    hosts = {urllib.parse.urlsplit(url).hostname for url in urls}
    await until(lambda: len(resolver.asked) == len(hosts))
    assert await reach() == 204
    assert not any(task.done() for task in begun)
    resolver.speaks.set()
    assert {f"the name {host} is not known" for host in hosts} == set(await asyncio.gather(*begun))
    assert set(resolver.asked.values()) == {1}


async def test_names_that_were_dead_leave_room_for_others(resolver, reach, begin, until, monkeypatch):
    """More dead names than there are threads, asked for once more: another name is reached all the same."""
    monkeypatch.setattr("eventing.http.lookup._KEPT_S", 0.0)
    dead = [f"http://no.such.host{number}.invalid/" for number in range(300)]
    resolver.speaks.set()
    assert all("is not known" in text for text in await asyncio.gather(*begin(dead)))
    resolver.speaks.clear()
    resolver.asked.clear()
    begun = begin(dead)
    await until(lambda: resolver.asked)
    assert await reach() == 204
    assert len(resolver.asked) <= 16 + 1
    for task in begun:
        task.cancel()
    resolver.speaks.set()
    await until(lambda: len(resolver.asked) == 300 + 1)  # each has its turn, though nobody waits any more


async def test_a_lookup_that_was_given_up_is_no_loss(resolver, stack, until, caplog, monkeypatch):
    """Its answer is kept for whoever asks next, and nothing is logged of it."""
    monkeypatch.setattr("eventing.http.lookup._KEPT_S", 600.0)
    client = Client(limits=ClientLimits(connect_s=0.1))
    stack.push_async_callback(client.close)
    with caplog.at_level(logging.ERROR):
        for says in ("did not resolve within 0.1 s", "is not known"):
            with pytest.raises(NoAnswer, match=f"the name no.such.host.invalid {says}"):
                await client.request("GET", "http://no.such.host.invalid/", [], timeout_s=9,
                                     max_answer_bytes=9)
            resolver.speaks.set()
            await until(lambda: "0 asked" in repr(client._lookups))
        gc.collect()
    assert resolver.asked == {"no.such.host.invalid": 1}
    assert not caplog.records


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "hello.default.localhost"])
async def test_addresses_and_names_of_this_machine_are_not_looked_up(resolver, ask, host):
    """Nothing is asked of the resolver for them."""
    with pytest.raises(NoAnswer, match=r"nothing listens|cannot connect"):
        await ask(f"http://{host}:9/")
    assert not resolver.asked


async def test_what_listens_nowhere_is_told_by_its_name(resolver, ask):
    """A name whose addresses all refuse is one at which nothing listens."""
    with pytest.raises(NoAnswer, match=f"nothing listens at {NAME}:9"):
        await ask(f"http://{NAME}:9/")
    assert resolver.asked == {NAME: 1}


@pytest.mark.parametrize("host", ["a" * 64, "a..b", f"{'a.' * 200}b"])
async def test_what_can_be_no_name_is_not_known(ask, host):
    """A label that is too long, or none, is an answer like any other."""
    with pytest.raises(NoAnswer, match="is not known"):
        await ask(f"http://{host}/")
