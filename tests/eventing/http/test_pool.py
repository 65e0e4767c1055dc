"""Connections to one address: how many are begun at once, and what the others do meanwhile."""

import asyncio

import pytest

from eventing.http.client import Client, ClientLimits
from eventing.http.pool import Pool
from tests.listener import listening


@pytest.fixture
async def pool():
    """At most eight connections, two newcomers at once."""
    return Pool(8, 2, lambda: 0.0)


@pytest.fixture
def plain_server():
    """As Python's own is: its socket holds 5 connections that are not accepted, and each gets a thread."""
    with listening(lambda _: 202, backlog=5) as server:
        yield server


async def test_newcomers_wait_for_each_other(pool):
    """A third connection is begun once one of two has failed, or both have had their time."""
    pool.begin()
    assert pool.may_open
    pool.begin()
    assert not pool.may_open

    waiters = [pool.wait() for _ in range(3)]
    assert not any(waiter.done() for waiter in waiters)
    pool.failed()
    assert waiters[0].done()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*waiters) == [None, None, None]
    assert pool.open == 4


async def test_no_more_than_the_limit(pool):
    """Whoever waits for a connection is permitted no ninth one."""
    waiters = [pool.wait() for _ in range(9)]
    async with asyncio.timeout(10):
        await asyncio.gather(*waiters[:8])
    assert pool.open == 8
    assert not waiters[8].done()
    pool.failed()
    async with asyncio.timeout(10):
        assert await waiters[8] is None


async def test_a_waiter_that_left_takes_no_turn(pool):
    """Permission goes to the next who still waits."""
    pool.begin()
    pool.begin()
    gone, waiting = pool.wait(), pool.wait()
    gone.cancel()
    pool.failed()
    assert waiting.done()
    assert pool.open == 2


async def test_a_burst_to_a_server_with_a_short_queue(plain_server):
    """Two hundred requests at once to Python's own server are all answered, over a few connections."""
    client = Client(limits=ClientLimits(connections=64, newcomers=4))
    url = plain_server.url
    answers = await asyncio.gather(*(
        client.request("POST", url, [], b"{}", timeout_s=60, max_answer_bytes=100) for _ in range(200)))
    await client.close()

    assert {answer.status for answer in answers} == {202}
