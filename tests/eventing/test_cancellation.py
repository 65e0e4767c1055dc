"""Whoever waits for the store ends when it is cancelled, whatever the moment."""

import asyncio

import pytest
import redis.asyncio

from eventing import cancellation, connection

STEPS = 24  # of the event loop: a command takes fewer


async def is_cancelled_after(steps, work):
    """Whether *work* ends when it is cancelled after so many steps of the event loop."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=1)
        is_ended = task.done()
        while not task.done():
            task.cancel()
            await asyncio.sleep(0.001)
    return is_ended


@pytest.mark.parametrize("made", [
    lambda path: connection.connect(f"unix://{path}"),
    lambda path: cancellation.heeding(redis.asyncio.Redis(unix_socket_path=str(path)))])
async def test_no_cancellation_is_lost(valkey_socket, made):
    """A task that does nothing but ask the store ends at each moment at which it may be cancelled."""
    async def talk():
        while True:
            await store.ping()

    async with made(valkey_socket) as store:
        await store.ping()
        left = [steps for steps in range(STEPS) if not await is_cancelled_after(steps, talk())]

        assert left == []
        assert await store.echo("as before") == b"as before"


async def test_the_clean_up_of_a_cancelled_task_reaches_the_store(valkey_socket):
    """What a task does after it was cancelled is done."""
    async with cancellation.heeding(redis.asyncio.Redis(unix_socket_path=str(valkey_socket))) as store:
        async def clean_up():
            try:
                await asyncio.Event().wait()
            finally:
                await store.set("cleaned", "up")

        assert await is_cancelled_after(1, clean_up())
        assert await store.get("cleaned") == b"up"
