"""Clients that leave, or do not read, while a function sends without end: others get answers, it ends."""

import asyncio
import contextlib
from pathlib import Path

import pytest

ENDLESS = """
    import asyncio

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/":
            await send({"type": "http.response.body", "body": b"here"})
            return
        sent = 0
        try:
            while True:
                try:
                    await send({"type": "http.response.body", "body": b"x" * SIZE, "more_body": True})
                except OSError:
                    if scope["path"] != "/stubborn" or sent > 1 << 14:
                        raise
                sent += 1
        finally:
            print("no more for", scope["path"], flush=True)
    """
# As Starlette does it: tasks after an answer, a stream beside one who listens, and what tasks raise together.
HEEDING = """
    import asyncio

    async def stream(send):
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        path = scope["path"]
        await receive()
        if path != "/":
            print("begun", path, flush=True)
            assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if path == "/listens":
            sending = asyncio.create_task(stream(send))
            for _ in range(4):
                await asyncio.sleep(0)
            assert not sending.done()
            sending.cancel()
        elif path == "/group":
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(stream(send))
            finally:
                print("done", path, flush=True)
        else:
            await send({"type": "http.response.body", "body": b"here"})
        print("done", path, flush=True)
    """
SIZES = pytest.mark.parametrize("size", [10, 64 * 1024, 1 << 20])
GROWN_MIB = 60  # what a worker may have used more for a moment; without a bound it is gigabytes a minute


def resident_mib(worker, stage):
    """What the worker's process has in memory."""
    pid = stage.backend._children[worker.id].pid
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4 // 1024


async def begun(worker, path):
    """A connection on which *worker* sends."""
    reader, writer = await asyncio.open_connection(*worker.address)
    writer.write(b"GET " + path + b" HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    return reader, writer


@SIZES
async def test_client_that_leaves(stage, size):
    """A send to a client that has left raises OSError: the app ends, and others get answers."""
    worker = await stage.start(ENDLESS.replace("SIZE", str(size)))
    for path in (b"/reset", b"/closed", b"/stubborn"):
        reader, writer = await stage.within(begun(worker, path))
        if path == b"/reset":
            writer.transport.abort()
        else:
            await reader.read(1 << 16)
            writer.close()
        assert (await stage.ask(worker, method="GET", headers=())).body == b"here"
        await stage.printed(f"no more for {path.decode()}")
    assert (await stage.ask(worker, method="GET", headers=())).body == b"here"
    assert [line for line in stage.log() if "no more for" not in line] == []


async def test_answer_to_a_client_that_has_left(stage):
    """It is nobody's: an app that answers once has done so, and one that listens hears of it first."""
    worker = await stage.start(HEEDING)
    for path in (b"/once", b"/listens", b"/group"):
        _, writer = await asyncio.open_connection(*worker.address)
        writer.write(b"GET " + path + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        await stage.printed(f"begun {path.decode()}")
        writer.close()
        await stage.printed(f"done {path.decode()}")
    assert (await stage.ask(worker, method="GET", headers=())).status == 200
    assert [line for line in stage.log() if line.split()[0] not in {"begun", "done"}] == []


@SIZES
async def test_client_that_does_not_read(stage, size):
    """One who stays and does not read holds the app up, which costs neither memory nor others' answers."""
    worker = await stage.start(ENDLESS.replace("SIZE", str(size)))
    before = resident_mib(worker, stage)
    _, writer = await stage.within(begun(worker, b"/unread"))
    for _ in range(20):
        assert (await stage.ask(worker, method="GET", headers=())).body == b"here"
    assert resident_mib(worker, stage) < before + GROWN_MIB
    writer.close()
    await stage.printed("no more for /unread")


async def test_client_that_reads_as_fast_as_it_can(stage):
    """One who reads all there is leaves the worker time for others."""
    worker = await stage.start(ENDLESS.replace("SIZE", "2000"))
    reader, writer = await stage.within(begun(worker, b"/read"))

    async def read():
        while await reader.read(1 << 20):
            pass

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        for _ in range(5):
            assert (await stage.ask(worker, method="GET", headers=())).body == b"here"
        reading.cancel()
    with contextlib.suppress(ConnectionError):
        writer.close()
