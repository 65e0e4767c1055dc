"""Lanes that only time holds up, on the event loop that roles run on."""

import asyncio
import time

import uvloop

from eventing.broker.courier import Courier
from eventing.broker.failures import Failures
from eventing.broker.flow import ORDER, flow_of
from eventing.broker.lane import Budget, Delivery, Lane
from eventing.broker.page import Ledger
from eventing.broker.sender import Sender
from eventing.config import Config
from eventing.event import Event


def test_a_time_that_is_all_but_here():
    """A lane that may send in less than a millisecond is looked at then, however often it is asked before."""

    async def main():
        lane, decided = Lane("u", "ns/t"), asyncio.Event()
        lane.follow(flow_of({ORDER: "ordered"}))
        async with asyncio.TaskGroup() as tasks:
            courier = Courier(
                ledger=Ledger(), sender=Sender(Config()), store_reply=None, budget=Budget(), tasks=tasks,
                may_send=lambda: True, on_decided=decided.set,
                failures=Failures(None, "failures", {"u": lane}, None))
            now = time.monotonic()
            for key in range(200):
                event = Event({"id": "1", "partitionkey": str(key)})
                lane.hold(Delivery(lane, f"{key}-0", 1, event), now + 0.0001 * key)
            while not lane.open:
                courier.pump(lane)
            courier.pump(lane)
            courier.pump(lane)
            async with asyncio.timeout(10):
                while len(lane.queue) == 200 or lane.open:  # they are sent: nowhere, which is an answer too
                    decided.clear()
                    await decided.wait()
            courier.stop()

    uvloop.run(main())
