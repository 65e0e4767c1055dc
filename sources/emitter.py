"""
The way from a source to its sink: POST until it is accepted.

A sink that is away, overloaded or fails is asked again, at first after 50 ms, then twice as long each time,
up to 5 s, for as long as it takes: a source only goes on when its event is safe, and what it reads
from keeps the rest. `Retry-After` is honoured. A sink that refuses the event for good (a 4xx that Knative
does not repeat) ends the attempt. To a broker of ours events go in batches (batches.py) while all is well.

A source whose spec has a `delivery` may say otherwise:

    retry              that many repetitions, then the event counts as refused
    backoffDelay,      the first wait and how it grows
    backoffPolicy
    timeout            of one attempt
    deadLetterSink     takes what is refused, with Knative's extensions knativeerrordest, -code and -data;
                       asked as the sink is. What it refuses too is skipped, and counted
"""

import asyncio
import base64
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from eventing import binding
from eventing.event import Event
from eventing.http.client import Client, NoAnswer
from eventing.projection import Record
from sources import tally
from sources.batches import Batches
from sources.ledger import Ledger
from sources.source import Refused

# 404: the broker may not be there yet. 409, 425, 429: "not now". 408: they were slow. (data-plane.md)
_REPEATED = frozenset({404, 408, 409, 425, 429, *range(500, 600)})

_FIRST_WAIT_S = 0.05  # Knative's sources begin with 50 ms
_LONGEST_WAIT_S = 5.0
_TIMEOUT_S = 30.0
_TELL_SKIPPED_EVERY_S = 60.0
# So long nothing is said against a sink that accepts again: it may refuse each hundredth of all events.
_WELL_AGAIN_S = 10.0
_ACCEPTED = 2  # hundred and something
_ANSWER_LIMIT_BYTES = 64 * 1024  # only the status is of interest
# Base64 makes 1024 characters of it, the most that `knativeerrordata` may have.
_ERROR_DATA_BYTES = 768
_BATCH = [(b"content-type", binding.BATCH.encode())]

log = structlog.get_logger(__name__)


class OnState(Protocol):
    """Hears of a source's state."""

    def __call__(self, reason: str = "", message: str = "", status: Mapping[str, Any] | None = None,
                 *, sink: str = "") -> None:
        """
        Without a *reason* it is well, and may know fields of its object's status.

        *sink* is why its sink takes no events, for a person; "" if it does.
        """


class Emitter:
    """One source's `emit`."""

    def __init__(self, client: Client, record: Record, *, name: str, count: tally.Counts,
                 on_state: OnState, on_place: Callable[[str], None], ledger: Ledger,
                 batches: Batches | None) -> None:
        """
        Send to the sink in *record*.

        Args:
            client: the connections.
            record: of the projection `sources`.
            name: of the source, `Kind/ns/name`.
            count: is added to.
            on_state: hears of `ready` and `not_ready`.
            on_place: hears of `remember`.
            ledger: the source's.
            batches: to the sink, which other sources may use too; None if it takes no batches.
        """
        self.was_ready = False
        self.ledger = ledger
        self._client = client
        self._sink: str = record["sink"]
        self._extensions = {key.lower(): value for key, value in record["extensions"].items()}
        self._patience = _Patience(record.get("delivery"))
        self._count = count
        self._on_state = on_state
        self._state: tuple[str, str, Mapping[str, Any] | None] | None = None  # what was said last
        self._sink_problem = ""
        self._unwell: set[str] = set()  # sinks that did not take the last event: said once, not for each
        self._well_until: dict[str, float] = {}  # of the monotonic clock, by sink
        self._tell_skipped_at = 0.0  # of the monotonic clock: a sink may refuse all that it is sent
        self._log = log.bind(source=name)
        self._on_place = on_place
        self._batches = batches

    def ready(self, status: Mapping[str, Any] | None = None) -> None:
        """Say that the source is connected, and what its object's status gets."""
        self.was_ready = True
        self._say("", "", status)

    def not_ready(self, reason: str, message: str) -> None:
        """Say that the source has lost its connection."""
        self._say(reason, message, None)

    def _say(self, reason: str, message: str, status: Mapping[str, Any] | None) -> None:
        self._state = reason, message, status
        self._on_state(reason, message, status, sink=self._sink_problem)

    def remember(self, place: str) -> None:
        """Say where the source is."""
        self._on_place(place)

    async def __call__(self, event: Event) -> None:
        """Return once the sink has accepted *event*; raise Refused if it never will."""
        if self._extensions:
            event = Event({**event.attributes, **self._extensions}, event.data)
        if self._batches is not None and await self._batches.send(event):
            self._is_well(self._sink)
        else:
            await self._send(self._sink, event)
        self._count[tally.ACCEPTED] += 1

    async def in_order(self, events: Sequence[Event]) -> int:
        """How many of *events*, from the first on, the sink took together; 0: send the first by itself."""
        if self._batches is None:
            return 0
        if self._extensions:
            events = [Event({**event.attributes, **self._extensions}, event.data) for event in events]
        accepted = await self._batches.send_in_order(events)
        if accepted:
            self._is_well(self._sink)
        self._count[tally.ACCEPTED] += accepted
        return accepted

    async def give_up(self, event: Event, refused: Refused) -> None:
        """
        Send *event* to the dead letter sink, if there is one; else count that it was skipped.

        One of them a minute is logged, with the count.
        """
        url = self._patience.dead_letter_url
        problem = str(refused)
        if url:
            try:
                await self._send(url, self._dead_letter(event, refused))
            except Refused as again:
                problem = f"{problem}; {again}"
            else:
                self._count[tally.DEAD_LETTERED] += 1
                return
        self._count[tally.SKIPPED] += 1
        now = time.monotonic()
        if now >= self._tell_skipped_at:
            self._tell_skipped_at = now + _TELL_SKIPPED_EVERY_S
            self._log.error("event skipped", id=event.attributes["id"], event_type=event.attributes["type"],
                            problem=problem, skipped=self._count[tally.SKIPPED])

    def hand_back(self, event: Event, refused: Refused) -> None:
        """Log and count that what *event* came from takes it back."""
        self._count[tally.REJECTED] += 1
        self._log.warning("event rejected", id=event.attributes["id"], problem=str(refused))

    def _dead_letter(self, event: Event, refused: Refused) -> Event:
        attributes = {**event.attributes, **self._extensions, "knativeerrordest": self._sink,
                      "knativeerrorcode": str(refused.status or 500)}
        if refused.body:
            attributes["knativeerrordata"] = base64.b64encode(refused.body[:_ERROR_DATA_BYTES]).decode()
        return Event(attributes, event.data)

    async def _send(self, url: str, event: Event) -> None:
        headers, body = binding.to_http(event)
        attempt = 0
        while True:
            try:
                problem, status, retry_after_s = await self._attempt(url, headers, body)
            except Refused as refused:
                self._is_unwell(url, event, str(refused))
                raise
            if not problem:
                self._is_well(url)
                return
            self._is_unwell(url, event, f"{url}: {problem}")
            if attempt == self._patience.retry:
                raise Refused(f"{url}: {problem}, after {attempt + 1} attempts", status, problem.encode())
            await asyncio.sleep(max(self._patience.wait_s(attempt), retry_after_s))
            attempt += 1

    def _is_unwell(self, url: str, event: Event, problem: str) -> None:
        if url not in self._unwell and time.monotonic() >= self._well_until.get(url, 0.0):
            self._unwell.add(url)
            self._log.warning("sink did not accept", sink=url, id=event.attributes["id"], problem=problem)
            self._tell_sink(url, problem)

    def _is_well(self, url: str) -> None:
        if url in self._unwell:
            self._unwell.discard(url)
            self._well_until[url] = time.monotonic() + _WELL_AGAIN_S
            self._log.info("sink accepts again", sink=url)
            self._tell_sink(url, "")

    def _tell_sink(self, url: str, problem: str) -> None:
        """Say what is wrong with the sink, if *url* is the sink's; "": nothing any more."""
        if url == self._sink:
            self._sink_problem = problem
            if self._state is not None:
                self._say(*self._state)

    async def _attempt(self, url: str, headers: list[tuple[bytes, bytes]],
                       body: bytes) -> tuple[str, int, float]:
        """What went wrong ("" if nothing did), the status, and the wait that the sink asks for (s)."""
        timeout_s = self._patience.timeout_s
        try:
            answer = await self._client.request("POST", url, headers, body, timeout_s=timeout_s,
                                                max_answer_bytes=_ANSWER_LIMIT_BYTES)
        except NoAnswer as error:
            return str(error), 0, 0.0
        if answer.status // 100 == _ACCEPTED:
            return "", answer.status, 0.0
        reason = " ".join(answer.body[:200].decode(errors="replace").split())
        if answer.status not in _REPEATED:
            raise Refused(f"{url} answered {answer.status}: {reason}", answer.status, answer.body)
        problem = f"HTTP {answer.status}: {reason}" if reason else f"HTTP {answer.status}"
        return problem, answer.status, _seconds(answer.header(b"retry-after"))


def batches_to(client: Client, url: str) -> Batches:
    """Events on their way to *url*, a broker of ours, in batches."""

    async def post(body: bytes) -> bool:
        try:
            answer = await client.request("POST", url, _BATCH, body, timeout_s=_TIMEOUT_S,
                                          max_answer_bytes=_ANSWER_LIMIT_BYTES)
        except NoAnswer:
            return False
        return answer.status // 100 == _ACCEPTED

    return Batches(post)


class _Patience:
    """How long and how often a sink is asked: DELIVERY of eventing/keys.py, or a source's own habits."""

    def __init__(self, delivery: Mapping[str, Any] | None) -> None:
        given = delivery or {}
        self.retry: int | None = given.get("retry")  # None: without end
        self.timeout_s: float = given.get("timeout_s") or _TIMEOUT_S
        self.dead_letter_url: str | None = given.get("dead_letter_url")
        self._first_wait_s: float = given.get("backoff_s") or _FIRST_WAIT_S
        self._is_linear = given.get("backoff_policy") == "linear"

    def wait_s(self, attempt: int) -> float:
        """Seconds to wait after *attempt* (the first is 0)."""
        # 2^20 times any first wait is beyond the bound already; more only overflows.
        factor = attempt + 1 if self._is_linear else 2 ** min(attempt, 20)
        return min(self._first_wait_s * factor, max(_LONGEST_WAIT_S, self._first_wait_s))


def _seconds(retry_after: bytes | None) -> float:
    """`Retry-After` in seconds, at most the longest wait; dates and nonsense count as none."""
    if retry_after is None or not retry_after.isdigit():
        return 0.0
    return min(float(retry_after), _LONGEST_WAIT_S)
