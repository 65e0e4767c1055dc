"""
Where events for systems of others arrive: HTTP on the sources role's own socket, one door for each sink.

    method is not POST                       405
    target is not that of a sink             404
    body over the limit                      413; also once it is inflated
    Content-Encoding is not gzip             415, with Accept-Encoding
    not a CloudEvent, or a batch of them     400
    the sink is not connected                503, with Retry-After; says why
    the sink does not take it                what it says: 413, 503
    the sink has it, or has all of a batch   202

A batch of which a part was not taken is refused; its sender sends all of it again. The ingress forwards what
is for `Config.sink_hosts`, and what is sent from inside comes here at once (`Config.dial`).
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from eventing import binding
from eventing.broker import body as bodies
from eventing.errors import Rejected, Unavailable
from eventing.event import Event
from eventing.http.exchange import Exchange
from sources import tally
from sources.emitter import OnState
from sources.sink import Take

_ALLOW = (b"allow", b"POST")
_LINE = (_ALLOW, (b"content-type", b"text/plain; charset=utf-8"))
_RETRY_AFTER = (*_LINE, (b"retry-after", b"1"))
_HEADERS = ((Unavailable, _RETRY_AFTER),
            (bodies.UnknownEncoding, (*_LINE, (b"accept-encoding", bodies.ACCEPTED))))
_BATCH = binding.BATCH.encode()

log = structlog.get_logger(__name__)


class Entrance:
    """One sink's Door."""

    def __init__(self, on_state: OnState, count: tally.Counts) -> None:
        """Shut; *on_state* hears of `ready` and `not_ready`, *count* is added to."""
        self.was_ready = False
        self.count = count
        self._on_state = on_state
        self._take: Take | None = None
        self._problem = "it has just been started"

    def __repr__(self) -> str:
        """Whether it is open."""
        return f"<Entrance [{'shut' if self._take is None else 'open'}]>"

    def ready(self) -> None:
        """Say that the sink is connected."""
        self.was_ready = True
        self._on_state()

    def not_ready(self, reason: str, message: str) -> None:
        """Say that the sink has lost its connection, or has none."""
        self._problem = message
        self._on_state(reason, message)

    @contextmanager
    def open(self, take: Take) -> Iterator[None]:
        """Let *take* have every event."""
        self._take = take
        try:
            yield
        finally:
            self._take = None

    async def pass_on(self, events: list[Event]) -> None:
        """Return once all *events* are taken; raises Rejected."""
        if self._take is None:
            raise Unavailable(f"the sink is not connected: {self._problem}")
        async with asyncio.TaskGroup() as tasks:
            for event in events:
                tasks.create_task(_taken(self._take, event))


async def _taken(take: Take, event: Event) -> None:
    await take(event)


class Doors:
    """The doors of all sinks of one process."""

    def __init__(self, body_limit_bytes: int, tasks: asyncio.TaskGroup) -> None:
        """*tasks* owns what is on its way."""
        self._limit_bytes = body_limit_bytes
        self._tasks = tasks
        self._entrances: dict[bytes, Entrance] = {}

    def __repr__(self) -> str:
        """How many."""
        return f"<Doors [{len(self._entrances)}]>"

    def add(self, name: str, entrance: Entrance) -> None:
        """Have *entrance* take what is sent to `/namespace/name`, instead of whoever did."""
        self._entrances[f"/{name}".encode()] = entrance

    def remove(self, name: str) -> None:
        """There is no such sink any more."""
        self._entrances.pop(f"/{name}".encode(), None)

    def handle(self, exchange: Exchange) -> None:
        """Take one request; the table in the module's docstring, from the top."""
        target = exchange.target.partition(b"?")[0].removesuffix(b"/")
        entrance = self._entrances.get(target)
        if exchange.method != b"POST":
            exchange.respond(405, _LINE, b"only POST is allowed here\n")
        elif entrance is None:
            exchange.respond(404, _LINE, b"there is no sink %b\n" % target[1:])
        else:
            exchange.collect(self._limit_bytes, self._then(exchange, entrance))

    def _then(self, exchange: Exchange, entrance: Entrance) -> Callable[[bytes], None]:
        def take(body: bytes) -> None:
            self._tasks.create_task(_answer(exchange, entrance, body, self._limit_bytes))

        return take


async def _answer(exchange: Exchange, entrance: Entrance, body: bytes, limit_bytes: int) -> None:
    """Have the events of one request taken, and say what became of them."""
    events: list[Event] = []
    try:
        events = _events(exchange, bodies.plain(body, exchange.header(b"content-encoding"), limit_bytes))
        await entrance.pass_on(events)
    except ExceptionGroup as group:
        refused = _refusal(group.exceptions[0])
    except Rejected as error:
        refused = error
    else:
        entrance.count[tally.ACCEPTED] += len(events)
        exchange.respond(202, (_ALLOW,))
        return
    entrance.count[tally.REJECTED] += len(events) or 1
    headers = next((more for kind, more in _HEADERS if isinstance(refused, kind)), _LINE)
    exchange.respond(refused.status, headers, f"{refused}\n".encode())


def _refusal(problem: Exception) -> Rejected:
    if isinstance(problem, Rejected):
        return problem
    log.error("sink failed", exc_info=problem)
    return Unavailable(f"the sink failed: {type(problem).__name__}")


def _events(exchange: Exchange, body: bytes) -> list[Event]:
    """What the request carries; raises NotACloudEvent."""
    content_type = exchange.header(b"content-type") or b""
    if content_type.partition(b";")[0].strip().lower() == _BATCH:
        return binding.from_batch(body)
    return [binding.from_http(exchange.headers, body)]
