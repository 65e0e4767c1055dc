"""Writes that do not wait for the loop's turn, on real sockets."""

import asyncio
import os
import socket

import pytest

from eventing.http import promptly


@pytest.fixture
async def pair(stack):
    """A transport, and the blocking socket at its other end."""
    near, far = socket.socketpair()
    stack.callback(far.close)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    stack.callback(transport.abort)
    far.settimeout(10)
    return transport, far


async def test_what_is_written_is_there_at_once(pair):
    """The other side has it before the loop goes on."""
    transport, far = pair
    promptly.write(transport, promptly.descriptor(transport), b"now")
    assert far.recv(10) == b"now"


async def test_what_finds_no_room_follows_in_order(pair):
    """More than the kernel takes, and what is written behind it, arrives whole and in order."""
    transport, far = pair
    number = promptly.descriptor(transport)
    large = os.urandom(4 << 20)
    for data in (large, b"behind", large):
        promptly.write(transport, number, data)

    def read():
        data = bytearray()
        while len(data) < 2 * len(large) + 6:
            data += far.recv(1 << 20)
        return bytes(data)

    assert await asyncio.to_thread(read) == large + b"behind" + large


async def test_a_closed_transport_sends_nothing(pair):
    """After abort nothing is written to a descriptor that is another's in a moment."""
    transport, far = pair
    number = promptly.descriptor(transport)
    transport.abort()
    promptly.write(transport, number, b"lost")
    assert await asyncio.to_thread(far.recv, 10) == b""


async def test_a_side_that_is_gone_is_noticed_by_the_transport(stack):
    """A write that fails raises nothing: the protocol is told that its connection is lost."""
    near, far = socket.socketpair()
    lost = asyncio.Event()

    class Waiting(asyncio.Protocol):
        def connection_lost(self, exc):
            lost.set()

    transport, _ = await asyncio.get_running_loop().create_connection(Waiting, sock=near)
    stack.callback(transport.abort)
    far.close()
    promptly.write(transport, promptly.descriptor(transport), b"nobody")
    async with asyncio.timeout(10):
        await lost.wait()
