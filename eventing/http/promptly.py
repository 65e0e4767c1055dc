"""
Write to a connection now, not at the end of the loop's turn.

uvloop sends what is written in one turn when all that could be read in that turn has been handled. Of 32
requests that came together the first one leaves when the last one has been read, and meanwhile the process it
goes to sleeps: two processes on two cores work in turns. What is sent at once is begun on the other side at
once. asyncio's own loop writes like that by itself.

Only for transports over a socket of their own, as they are; not for TLS.
"""

import asyncio
import os


def descriptor(transport: asyncio.Transport) -> int:
    """Number of the transport's socket, for `write`; it is good for as long as the transport is open."""
    return int(transport.get_extra_info("socket").fileno())


def write(transport: asyncio.Transport, number: int, data: bytes) -> None:
    """Write *data* to *transport*, whose descriptor is *number*; what the kernel does not take now, later."""
    if transport.is_closing() or transport.get_write_buffer_size():
        transport.write(data)  # behind what waits already; of a closed one the number may be another's
        return
    try:
        sent_bytes = os.write(number, data)
    except OSError:  # no room, or nobody there: the transport finds out
        sent_bytes = 0
    if sent_bytes < len(data):
        transport.write(data[sent_bytes:])
