"""Who the triggers send to: one server that notes every request and answers as the scenario says."""

import asyncio
import collections
import json
import time

from tests.chaos import scenario, wire
from tests.chaos.history import Receipt
from tests.chaos.server import Server


class Subscribers(Server):
    """The subscribers of all triggers but the function, by path; requests are noted in *receipts*."""

    def __init__(self, receipts):
        """Nothing has come."""
        self._receipts = receipts
        self._earlier = collections.Counter()
        self.requests = 0

    async def serve(self, reader, writer):
        try:
            while message := await wire.read(reader):
                if not await self._take(reader, writer, message):
                    break
        except (OSError, asyncio.CancelledError):
            pass  # the sender went, or the run is over
        finally:
            writer.transport.abort()

    async def _take(self, reader, writer, message):
        began = time.monotonic()
        first, headers, body = message
        trigger = first.split()[1].strip("/")
        attributes = wire.attributes_of(headers)
        receipt = Receipt(trigger, attributes["id"], _digest(trigger, attributes, body), began)
        self._receipts.append(receipt)
        self.requests += 1
        status = scenario.status_of(trigger, attributes, self._earlier[trigger, receipt.id])
        self._earlier[trigger, receipt.id] += 1
        if trigger == "slow" and await self._is_left(reader):
            status = 0
        receipt.ended, receipt.status = time.monotonic(), status
        if not status:
            return False
        writer.write(f"HTTP/1.1 {status} .\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        return True

    @staticmethod
    async def _is_left(reader):
        """Take the time that the slow one takes; True if the sender went meanwhile."""
        try:
            async with asyncio.timeout(scenario.SLOW_S):
                await reader.read(1)
        except TimeoutError:
            return False
        return True


def _digest(trigger, attributes, body):
    if trigger == "answers":  # the SDK adds a time of its own to what the function returns
        return scenario.call_digest(attributes["id"], json.loads(body))
    return scenario.digest(attributes, body)


def calls(path):
    """Receipts of the function's calls, from the file in which it notes them."""
    receipts = []
    for line in path.read_text().splitlines() if path.exists() else ():
        noted = json.loads(line)
        receipts.append(Receipt("function", noted["id"], scenario.call_digest(noted["id"], noted["data"]),
                                noted["at"], noted["at"], 200))
    return receipts
