"""
Who publishes: each producer sends one request at a time, numbered, and again with the same id until it knows.

An event is accepted once one of its POSTs got 202, refused by a 4xx, and anything else (503, no answer)
leaves the outcome unknown: it is sent again, as the CloudEvents contract lets a producer do.
"""

import asyncio
import json
import random
import time

from tests.chaos import scenario, wire
from tests.chaos.history import ACCEPTED, REFUSED, UNKNOWN, Send

_POST_S = 8.0  # longer than the ingress waits for its store
_AGAIN_S = 0.1
_BATCH = 4
_KEYS = 3


class Producer:
    """One producer; `run` sends until *stopping*, and then finishes what it has begun until *deadline*."""

    def __init__(self, name, port, sends, seed):
        """Send to *port*; events are noted in *sends*."""
        self.name = name
        self.dice = random.Random(f"{seed} {name}")
        self._connection = wire.Connection(port)
        self._sends = sends
        self._number = 0
        self._sequences = dict.fromkeys(range(_KEYS), 0)

    async def run(self, compose, pause_s, stopping, ended):
        """Publish what *compose* makes; *pause_s* gives the time between two requests."""
        while not stopping.is_set():
            await self._publish(*compose(self), ended)
            await _sleep(pause_s(self.dice), stopping)
        self._connection.close()

    def event(self, broker, type_, data, *, keyed=False, delay_s=0.0, **attributes):
        """(Send, attributes, data) of the next event."""
        self._number += 1
        identity = f"{self.name}-{self._number}"
        given = {"id": identity, "source": scenario.SOURCE, "type": type_, **attributes}
        key, sequence = "", 0
        if keyed:
            which = self.dice.randrange(_KEYS)
            self._sequences[which] += 1
            key, sequence = f"{self.name}.{which}", self._sequences[which]
            given["partitionkey"] = key
        if delay_s:
            given["delay"] = f"PT{delay_s:g}S"
        send = Send(identity, broker, given, scenario.digest(given, data), time.monotonic(), key, sequence,
                    delay_s)
        return send, given, data

    async def _publish(self, broker, events, message, ended):
        """Send one request until its outcome is known."""
        sends = [send for send, _, _ in events]
        for send in sends:
            send.began = time.monotonic()
        self._sends += sends
        outcome = UNKNOWN
        while outcome == UNKNOWN and not ended.is_set():
            for send in sends:
                send.posts += 1
            outcome = await self._post(broker, *message)
            if outcome == UNKNOWN:
                await _sleep(_AGAIN_S, ended)
        now = time.monotonic()
        for send in sends:
            send.outcome, send.ended = outcome, now

    async def _post(self, broker, headers, body):
        try:
            status = await self._connection.post(f"/{broker}", headers, body, _POST_S)
        except (OSError, ValueError, TimeoutError):
            return UNKNOWN
        # 404: the broker is not known; that is said before anything is stored, and must not be said here.
        return ACCEPTED if status == 202 else REFUSED if 400 <= status < 500 else UNKNOWN


async def _sleep(seconds, woken):
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        pass


def _traits(dice):
    return {"region": dice.choice(("eu", "us", "asia")), "weight": str(dice.randrange(6)),
            "subject": dice.choice(("plain", "one.vip", "grüße %20.vip")),
            "pace": "slow" if dice.random() < 0.08 else "fast"}


def _data(dice):
    return dice.randbytes(dice.choice((0, 20, 200, 2000, 40_000)))


def orders(producer):
    """One event with a key."""
    dice = producer.dice
    type_ = "chaos.order" if dice.random() < 0.7 else "chaos.other"
    event = producer.event(scenario.ORDERS, type_, _data(dice), keyed=type_ == "chaos.order",
                           datacontenttype="application/octet-stream", **_traits(dice))
    return scenario.ORDERS, [event], wire.binary(*event[1:])


def batches(producer):
    """Several events without a key, all or nothing."""
    dice = producer.dice
    events = [producer.event(scenario.ORDERS, "chaos.bulk", _data(dice),
                             datacontenttype="application/octet-stream", **_traits(dice))
              for _ in range(_BATCH)]
    return scenario.ORDERS, events, wire.batch([event[1:] for event in events])


def audits(producer):
    """One event that may fail, or come later."""
    dice = producer.dice
    delay_s = dice.choice((0.5, 1.5, 4.0)) if dice.random() < 0.1 else 0.0
    event = producer.event(scenario.AUDIT, "chaos.audit", _data(dice), delay_s=delay_s,
                           datacontenttype="application/octet-stream", weight=str(dice.randrange(8)))
    return scenario.AUDIT, [event], wire.binary(*event[1:])


def calls(producer):
    """One event for the function."""
    send, attributes, _ = event = producer.event(
        scenario.AUDIT, "chaos.call", b"", datacontenttype="application/json")
    data = {"n": producer.dice.randrange(1000)}
    send.digest = scenario.call_digest(send.id, data)
    return scenario.AUDIT, [event], wire.binary(attributes, json.dumps(data).encode())


def nonsense(producer):
    """What is no CloudEvent: it is refused, and nobody may ever get it."""
    broker = producer.dice.choice((scenario.ORDERS, scenario.AUDIT))
    event = producer.event(broker, "chaos.order", b"x", weight="5", region="eu")
    headers, body = wire.binary(*event[1:])
    headers["ce-specversion"] = "0.9"
    return broker, [event], (headers, body)


def cast(rate_per_s):
    """{name: (what it sends, time between two requests)} of all producers, about so many events/s in all."""
    share = 7.0 / rate_per_s

    def often(dice):
        return dice.expovariate(1 / share)

    def rarely(dice):
        return _BATCH * dice.expovariate(1 / share)

    def in_bursts(dice):
        return 0.02 if dice.random() < 0.8 else dice.uniform(1.0, 12.0)  # long enough to fall to zero

    return {"p0": (orders, often), "p1": (orders, often), "p2": (orders, often), "p3": (batches, rarely),
            "p4": (audits, often), "p5": (calls, in_bursts), "nonsense": (nonsense, lambda _: 0.5)}
