"""
The courier of a partition: sends what its lanes have queued, and performs what is decided about the answers.

A reply is stored before its delivery counts as settled; when it cannot be stored the delivery has failed
and is retried (Knative, CP-E7). So a crash anywhere repeats an event and never loses one.

What a subscriber answers, or fails to, ends up in the ledger; nothing it does raises here. What is sent
while the lease holds may be answered after it: then the ledger's page is refused, and nothing was changed.
"""

import asyncio
import base64
import random
import time
from collections.abc import Awaitable, Callable

import structlog

from eventing.broker.arrival import TTL, TooManyHops, stamp
from eventing.broker.delivery import (
    NO_ANSWER,
    Answer,
    DeadLetter,
    Decision,
    Reply,
    RetryAt,
    Settle,
    decide,
    decide_dead_letter,
)
from eventing.broker.lane import Budget, Delivery, Lane
from eventing.broker.page import Ledger
from eventing.broker.sender import Sender
from eventing.broker.stream import encode
from eventing.errors import Rejected
from eventing.event import Event

# Base64 makes 1024 characters of it, the most that `knativeerrordata` may have.
ERROR_DATA_BYTES = 768

StoreReply = Callable[[Event], Awaitable[None]]

log = structlog.get_logger(__name__)


class Courier:
    """Attempts of one partition; workers are tasks of the owner's group."""

    def __init__(
        self, *, ledger: Ledger, sender: Sender, store_reply: StoreReply, budget: Budget,
        tasks: asyncio.TaskGroup, may_send: Callable[[], bool], on_decided: Callable[[], None],
    ) -> None:
        """*may_send* says whether the lease holds; *on_decided* is called after each decision."""
        self._ledger = ledger
        self._sender = sender
        self._store_reply = store_reply
        self._budget = budget
        self._tasks = tasks
        self._may_send = may_send
        self._on_decided = on_decided
        self._workers: set[asyncio.Task[None]] = set()
        self._is_closing = False

    def __repr__(self) -> str:
        """Count of workers."""
        return f"<Courier [{len(self._workers)} workers]>"

    def pump(self, lane: Lane) -> None:
        """Open as many of the lane's deliveries as its window allows."""
        while self._may_send():
            delivery = lane.next(self._budget)
            if delivery is None:
                return
            worker = self._tasks.create_task(self._work(delivery))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def close(self, grace_s: float) -> None:
        """Send nothing more, and wait for what is open, at most *grace_s*; the rest is given up."""
        self._is_closing = True
        if self._workers:
            await asyncio.wait(self._workers, timeout=grace_s)
        for worker in self._workers:
            worker.cancel()

    async def _work(self, delivery: Delivery | None) -> None:
        """Deliver, and go on with what the same lane has queued: a task for each would cost as much again."""
        while delivery is not None:
            lane = delivery.lane
            try:
                await self._deliver(delivery)
            finally:
                lane.close(delivery, self._budget)
            self._on_decided()
            delivery = None if self._is_closing or not self._may_send() else lane.next(self._budget)

    async def _deliver(self, delivery: Delivery) -> None:
        """Attempt once, decide, perform."""
        lane = delivery.lane
        started = time.monotonic()
        try:
            answer, decision, word = await self._attempt(delivery)
        except Exception as error:
            # A mistake of ours that one event brings to light must not end the deliveries of all others.
            log.exception("attempt failed", trigger=lane.name, event_id=delivery.event.attributes.get("id"))
            answer = Answer(NO_ANSWER, None, f"{type(error).__name__}: {error}".encode())
            decision = decide(lane.policy, answer, delivery.attempt, time.time())
            word = _WORDS[type(decision)]
        if lane.is_gone:
            return
        seconds = time.monotonic() - started
        lane.counts.add(word, seconds)
        self._ledger.record([int(time.time() * 1000), delivery.ref, delivery.event.attributes.get("id"),
                             lane.name, delivery.attempt, answer.status, round(seconds * 1000, 1), word])
        self._perform(delivery, decision, answer)

    async def _attempt(self, delivery: Delivery) -> tuple[Answer, Decision, str]:
        """Send, decide, and store the reply if there is one."""
        policy = delivery.lane.policy
        if delivery.ref[0] == "d":
            answer = await self._send_letter(delivery)
            decision = decide_dead_letter(policy, answer, delivery.attempt, time.time(), _jitter())
        else:
            answer = await self._send(delivery)
            decision = decide(policy, answer, delivery.attempt, time.time(), _jitter())
        if isinstance(decision, Reply):
            return await self._reply(delivery, decision, answer)
        return answer, decision, _WORDS[type(decision)]

    def _perform(self, delivery: Delivery, decision: Decision, answer: Answer) -> None:
        if isinstance(decision, RetryAt):
            self._ledger.retry(delivery, decision.when)
        elif isinstance(decision, DeadLetter):
            is_sinking = delivery.ref[0] != "d" and delivery.lane.policy.dead_letter_url is not None
            self._ledger.bury(delivery, _letter(delivery, answer), to_sink=is_sinking)
        else:
            self._ledger.redeem(delivery)

    async def _send(self, delivery: Delivery) -> Answer:
        lane = delivery.lane
        attributes = {name: value for name, value in delivery.event.attributes.items() if name != TTL}
        return await self._sender.attempt(
            lane.subscriber, Event(attributes, delivery.event.data), namespace=lane.namespace,
            policy=lane.policy, wants_reply=True)

    async def _send_letter(self, delivery: Delivery) -> Answer:
        """Send a dead letter to the sink; it says what went wrong as Knative's do (eventing.md 2.5)."""
        lane, letter = delivery.lane, delivery.letter or {}
        if lane.policy.dead_letter_url is None:
            return Answer(400, None, b"the trigger has no dead letter sink any more")
        attributes = {name: value for name, value in delivery.event.attributes.items() if name != TTL}
        attributes["knativeerrordest"] = letter.get("destination", "")
        # There was no answer: 500, as Knative's Go has it.
        attributes["knativeerrorcode"] = str(int(letter.get("status") or 0) or 500)
        if letter.get("body"):
            attributes["knativeerrordata"] = letter["body"]
        return await self._sender.attempt(
            lane.policy.dead_letter_url, Event(attributes, delivery.event.data), namespace=lane.namespace,
            policy=lane.policy, wants_reply=False)

    async def _reply(self, delivery: Delivery, reply: Reply, answer: Answer) -> tuple[Answer, Decision, str]:
        """Store the reply; what cannot be stored makes a failed attempt of its delivery."""
        ttl = delivery.event.attributes.get(TTL)
        attributes = dict(reply.event.attributes)
        attributes.pop(TTL, None)
        if ttl is not None:
            attributes[TTL] = ttl
        try:
            await self._store_reply(stamp(Event(attributes, reply.event.data), time.time()))
        except TooManyHops:
            log.warning("reply dropped: too many hops", trigger=delivery.lane.name,
                        event_id=attributes.get("id"))
            return answer, reply, "reply dropped"
        except Rejected as error:
            failed = Answer(NO_ANSWER, None, f"the reply could not be stored: {error}".encode())
            decision = decide(delivery.lane.policy, failed, delivery.attempt, time.time())
            return failed, decision, _WORDS[type(decision)]
        return answer, reply, "replied"


# How the delivery record says it.
_WORDS: dict[type, str] = {Settle: "settled", Reply: "replied", RetryAt: "retry", DeadLetter: "dead letter"}


def _jitter() -> float:
    return random.random()  # noqa: S311  it spreads retries, and keeps no secret


def _letter(delivery: Delivery, answer: Answer) -> dict[str, bytes]:
    """Fields of a dead letter: deadletters.py."""
    lane, earlier = delivery.lane, delivery.letter or {}
    attributes, data = encode(delivery.event)
    destination = lane.policy.dead_letter_url if delivery.ref[0] == "d" else lane.subscriber
    entry = earlier.get("entry", delivery.ref)
    letter = {
        "a": attributes, "entry": entry.encode(), "when": b"%d" % int(time.time() * 1000),
        "attempts": b"%d" % delivery.attempt, "status": b"%d" % answer.status,
        "destination": (destination or "").encode(),
        "reason": _reason(delivery, answer).encode(),
        "body": base64.b64encode(answer.body[:ERROR_DATA_BYTES]),
    }
    if data is not None:
        letter["d"] = data
    return letter


def _reason(delivery: Delivery, answer: Answer) -> str:
    where = "the dead letter sink" if delivery.ref[0] == "d" else "the subscriber"
    if answer.status == NO_ANSWER:
        return f"{where} gave no answer: {answer.body.decode(errors='replace')}"
    if 200 <= answer.status < 300:  # noqa: PLR2004  HTTP's own classes
        return f"{where} answered {answer.status} with a body that is no event"
    return f"{where} answered {answer.status}"
