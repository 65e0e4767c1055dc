"""What is read of a pipe into which somebody prints without end."""

import asyncio
import os

from serving.workers.tap import OUTPUT_BYTES_PER_S, Tap

PIPE_BYTES = 64 * 1024


async def met(condition):
    """Return once *condition* is."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_no_more_than_so_much_a_second():
    """However much there is, the loop is kept from nothing else; it goes on a second later."""
    loop = asyncio.get_running_loop()
    read, write = os.pipe2(os.O_CLOEXEC)
    printing = await asyncio.create_subprocess_exec("yes", stdout=write)
    os.close(write)
    chunks = []
    begun = loop.time()
    tap = Tap(read, chunks.append)
    await met(lambda: sum(map(len, chunks)) > OUTPUT_BYTES_PER_S + PIPE_BYTES)
    seconds = int(loop.time() - begun) + 1
    assert sum(map(len, chunks)) <= seconds * (OUTPUT_BYTES_PER_S + PIPE_BYTES)
    tap.close()
    async with asyncio.timeout(10):
        assert await printing.wait() < 0


async def test_the_end():
    """What was printed before it is all there, and there is no more to read."""
    read, write = os.pipe2(os.O_CLOEXEC)
    chunks = []
    tap = Tap(read, chunks.append)
    os.write(write, b"a")
    await met(lambda: chunks)
    os.write(write, b"b")
    os.close(write)
    await met(lambda: len(chunks) > 1)
    assert (chunks, tap.read()) == ([b"a", b"b"], False)
    tap.close()
