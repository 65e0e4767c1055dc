"""What tests say on a connection and how handlers take it: raw bytes, a handler and a receiver of bodies."""

import asyncio

PATIENCE_S = 5
GET = (b"GET / HTTP/1.1", b"host: x")
# Limits of a server that looks twenty times a second whether a silent client is still there.
LOOKS_OFTEN = {"linger_s": 0.2}


class Wire:
    """A client's side of one connection, as bytes."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    def send(self, *lines, body=b""):
        """Send a head made of *lines*, and *body*."""
        self.writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    async def head(self):
        """Read up to an empty line; returns the lines without Date."""
        async with asyncio.timeout(PATIENCE_S):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        lines = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
        return [line for line in lines if not line.startswith(b"date:")]

    async def exactly(self, size_bytes):
        """Read so many bytes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(size_bytes)

    async def answer(self):
        """Read an answer with a Content-Length; returns status and body."""
        lines = await self.head()
        lengths = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")]
        return int(lines[0].split()[1]), await self.exactly(lengths[0] if lengths else 0)

    async def rest(self):
        """Read to the end of the connection."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()


def echo(exchange):
    """Answer the body."""
    exchange.collect(1000, lambda body: exchange.respond(200, (), body))


class Receiver:
    """Keeps what a streamed body brings."""

    def __init__(self):
        self.chunks = []
        self.state = "open"

    def data(self, chunk):
        self.chunks.append(chunk)

    def end(self):
        self.state = "ended"

    def aborted(self):
        self.state = "aborted"
