"""
The courier of a partition: sends what its lanes have queued, and performs what is decided about the answers.

    pump -> lane.next -> sender.send ... answered -> decide -> ledger -> pump
                                              `-> a reply is stored first, and its delivery settled then

A reply is stored before its delivery counts as settled; when it cannot be stored the delivery has failed
and is retried (Knative, CP-E7). So a crash anywhere repeats an event and never loses one. The answer to a
batch is its status alone: it settles all of its events or none.

What a subscriber answers, or fails to, ends up in the ledger; nothing it does raises here. What is sent
while the lease holds may be answered after it: then the ledger's page is refused, and nothing was changed.
"""

import asyncio
import random
import time
from collections.abc import Callable

import structlog

from eventing.broker import message
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
    decide_status,
)
from eventing.broker.failures import Failures
from eventing.broker.group import OnStored
from eventing.broker.lane import Budget, Delivery, Lane, Route
from eventing.broker.letter import event_of, letter_of
from eventing.broker.page import Ledger, accepted_at
from eventing.broker.sender import Call, Sender
from eventing.errors import Rejected
from eventing.event import Event

StoreReply = Callable[[str, Event, OnStored], None]  # of the trigger called that

log = structlog.get_logger(__name__)


class Attempt:
    """One request under way; it carries one delivery, or a batch."""

    __slots__ = ("_courier", "call", "deliveries", "lane", "started")

    def __init__(self, courier: "Courier", lane: Lane, deliveries: list[Delivery], started: float) -> None:
        """*started*: `time.monotonic()`."""
        self._courier = courier
        self.lane = lane
        self.deliveries = deliveries
        self.started = started
        self.call: Call | None = None

    def answered(self, answer: Answer) -> None:
        """Called by the sender."""
        self._courier.answered(self, answer)


class Courier:
    """Attempts of one partition."""

    def __init__(
        self, *, ledger: Ledger, sender: Sender, store_reply: StoreReply, budget: Budget,
        tasks: asyncio.TaskGroup, may_send: Callable[[], bool], on_decided: Callable[[], None],
        failures: Failures,
    ) -> None:
        """*may_send* says whether the lease holds; *on_decided* is called after each decision."""
        self._failures = failures
        self._ledger = ledger
        self._sender = sender
        self._store_reply = store_reply
        self._budget = budget
        self._tasks = tasks
        self._may_send = may_send
        self._on_decided = on_decided
        self._open: set[Attempt] = set()
        # Lanes that only time holds up, and until when (loop time; uvloop's handles do not tell it).
        self._wakes: dict[Lane, tuple[float, asyncio.TimerHandle]] = {}
        self._is_closing = False
        self._emptied = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        """Count of attempts."""
        return f"<Courier [{len(self._open)} open]>"

    def pump(self, lane: Lane) -> None:
        """Open as many of the lane's deliveries as its limits allow."""
        if self._is_closing or not lane.queue or lane.is_barred or not self._may_send():
            return
        now = time.monotonic()
        while deliveries := lane.next(self._budget, now):
            self._start(lane, deliveries, now)
        if lane.flow.is_timed:
            self._set_wake(lane, now)

    async def close(self, grace_s: float) -> None:
        """Send nothing more, and wait for what is open, at most *grace_s*; the rest is given up."""
        self._is_closing = True
        if self._open:
            try:
                async with asyncio.timeout(grace_s):
                    await self._emptied.wait()
            except TimeoutError:
                pass  # what has no answer yet is sent again by the next owner
        self.stop()

    def stop(self) -> None:
        """Send nothing more, and give up what is open, at once."""
        self._is_closing = True
        for _, wake in self._wakes.values():
            wake.cancel()
        for attempt in tuple(self._open):
            if attempt.call is not None:
                attempt.call.abort()
            attempt.lane.close(attempt.deliveries, self._budget)
        self._open.clear()

    def _set_wake(self, lane: Lane, now: float) -> None:
        """Come back when time alone lets the lane send; an earlier wake replaces one that is set."""
        wake_at = lane.wake_at(now)
        if wake_at is None:
            return
        when = self._loop.time() + max(0.0, wake_at - now)
        known = self._wakes.get(lane)
        if known is None or when < known[0]:
            if known is not None:
                known[1].cancel()
            self._wakes[lane] = when, self._loop.call_at(when, self._wake, lane)

    def _wake(self, lane: Lane) -> None:
        del self._wakes[lane]
        self.pump(lane)

    # --- out --------------------------------------------------------------------------------------

    def _start(self, lane: Lane, deliveries: list[Delivery], now: float) -> None:
        attempt = Attempt(self, lane, deliveries, now)
        self._open.add(attempt)
        try:
            route, head, body = self._message(lane, deliveries)
        except Exception as error:
            # A mistake of ours that one event brings to light must not end the deliveries of all others.
            log.exception("attempt failed", trigger=lane.name, event_id=_id(deliveries[0]))
            answer = Answer(NO_ANSWER, None, f"{type(error).__name__}: {error}".encode())
            self._loop.call_soon(attempt.answered, answer)
            return
        attempt.call = self._sender.send(
            route, head, body, timeout_s=lane.policy.timeout_s, then=attempt.answered, tasks=self._tasks,
            may_send=self._may_send)

    def _message(self, lane: Lane, deliveries: list[Delivery]) -> tuple[Route, bytes, bytes]:
        """Where the request goes, its header lines, and its body."""
        first = deliveries[0]
        if first.ref[0] == "d":
            event = event_of(first)
            route = lane.letter_route
            return (route, *message.structured(event)) if lane.policy.structured else \
                (route, message.binary(event.attributes) + event.headers, event.data or b"")
        if lane.flow.batch_events > 1:
            return (lane.route, *message.batch(delivery.event for delivery in deliveries))
        event, entry = first.event, first.entry
        if lane.policy.structured:
            return (lane.route, *message.structured(event))
        if entry is None:
            return lane.route, message.binary(event.attributes) + event.headers, event.data or b""
        if entry.head is None:
            entry.head = message.binary(event.attributes) + event.headers
        return lane.route, entry.head, event.data or b""

    # --- back -------------------------------------------------------------------------------------

    def answered(self, attempt: Attempt, answer: Answer) -> None:
        """Decide, and perform it; a reply is stored before."""
        if attempt not in self._open:
            return
        lane, deliveries = attempt.lane, attempt.deliveries
        try:
            if 200 <= answer.status < 300 and not answer.body and answer.event is None:  # noqa: PLR2004  HTTP's
                self._settle(attempt, [SETTLED] * len(deliveries), answer)  # as every decision has it
                return
            if len(deliveries) == 1 and lane.flow.batch_events == 1 and deliveries[0].ref[0] != "d":
                decision = self._decide(decide, deliveries[0], answer)
                if isinstance(decision, Reply) and not lane.is_gone:
                    self._reply(attempt, decision, answer)
                    return
                self._settle(attempt, [decision], answer)
            else:
                self._settle(attempt, [self._decide(decide_status, delivery, answer)
                                       for delivery in deliveries], answer)
        except Exception as error:
            log.exception("answer not understood", trigger=lane.name, event_id=_id(deliveries[0]))
            self._stumbled(attempt, error)

    def _stumbled(self, attempt: Attempt, error: Exception) -> None:
        """A mistake of ours with an answer: the attempt has failed, unless its end is written already."""
        if attempt not in self._open:
            return
        failed = Answer(NO_ANSWER, None, f"{type(error).__name__}: {error}".encode(errors="replace"))
        try:
            self._settle(attempt, [self._decide(decide_status, delivery, failed)
                                   for delivery in attempt.deliveries], failed)
        except Exception:
            log.exception("attempt not settled", trigger=attempt.lane.name,
                          event_id=_id(attempt.deliveries[0]))
            # It stays open for its lane: parked, and sent again by the next owner.
            self._open.discard(attempt)

    def _decide(self, how: Callable[..., Decision], delivery: Delivery, answer: Answer) -> Decision:
        policy, now = delivery.lane.policy, time.time()
        age_s = 0.0 if policy.max_age_s is None else now - accepted_at(delivery.ref)
        return how(policy, answer, delivery.attempt, now,
                   jitter=random.random(), age_s=age_s)  # noqa: S311  it spreads retries, and keeps no secret

    def _settle(self, attempt: Attempt, decisions: list[Decision], answer: Answer, word: str = "") -> None:
        """Write down what was decided, and go on."""
        lane = attempt.lane
        took_s = time.monotonic() - attempt.started
        now = time.time()
        holding: list[tuple[Delivery, float]] = []
        if not lane.is_gone:
            for delivery, decision in zip(attempt.deliveries, decisions, strict=True):
                said = word or _WORDS[type(decision)]
                lane.counts.add(said, took_s)
                self._ledger.record([int(now * 1000), delivery.ref, _id(delivery), lane.name,
                                     delivery.attempt, answer.status, round(took_s * 1000, 1), said])
                if decision is SETTLED:
                    self._ledger.redeem(delivery)
                    continue
                self._failures.note(delivery, decision, answer)
                if isinstance(decision, RetryAt) and lane.flow.is_ordered and delivery.ref[0] not in "dr":
                    self._ledger.hold(delivery, decision.when)
                    holding.append((delivery, time.monotonic() + decision.when - now))
                else:
                    self._perform(delivery, decision, answer)
        self._ended(attempt)
        for delivery, until in holding:
            lane.hold(delivery, until)
        self._on_decided()
        self.pump(lane)

    def _ended(self, attempt: Attempt) -> None:
        self._open.discard(attempt)
        attempt.lane.close(attempt.deliveries, self._budget)
        if self._is_closing and not self._open:
            self._emptied.set()

    def _perform(self, delivery: Delivery, decision: Decision, answer: Answer) -> None:
        if isinstance(decision, RetryAt):
            self._ledger.retry(delivery, decision.when)
        elif isinstance(decision, DeadLetter):
            is_sinking = delivery.ref[0] != "d" and delivery.lane.policy.dead_letter_url is not None
            self._ledger.bury(delivery, letter_of(delivery, answer), to_sink=is_sinking)
        else:
            self._ledger.redeem(delivery)

    def _reply(self, attempt: Attempt, reply: Reply, answer: Answer) -> None:
        """Store the reply; what cannot be stored makes a failed attempt of its delivery."""
        (delivery,) = attempt.deliveries
        ttl = delivery.event.attributes.get(TTL)
        attributes = dict(reply.event.attributes)
        attributes.pop(TTL, None)
        if ttl is not None:
            attributes[TTL] = ttl

        def on_stored(error: Rejected | None) -> None:
            if attempt not in self._open:
                return
            try:
                if error is None:
                    self._settle(attempt, [reply], answer)
                else:
                    failed = Answer(NO_ANSWER, None, f"the reply could not be stored: {error}".encode())
                    self._settle(attempt, [self._decide(decide, delivery, failed)], failed)
            except Exception as mistake:
                log.exception("answer not understood", trigger=attempt.lane.name, event_id=_id(delivery))
                self._stumbled(attempt, mistake)

        try:
            stamped = stamp(reply.event._replace(attributes=attributes), time.time())
            self._store_reply(attempt.lane.name, stamped, on_stored)
        except TooManyHops:
            log.warning("reply dropped: too many hops", trigger=attempt.lane.name,
                        event_id=attributes.get("id"))
            self._failures.dropped(attempt.lane, attributes)
            self._settle(attempt, [reply], answer, "reply dropped")
        except Rejected as error:
            on_stored(error)


SETTLED = Settle()
# How the delivery record says it.
_WORDS: dict[type, str] = {Settle: "settled", Reply: "replied", RetryAt: "retry", DeadLetter: "dead letter"}


def _id(delivery: Delivery) -> str | None:
    return delivery.event.attributes.get("id")
