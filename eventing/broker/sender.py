"""
One attempt: a message out by POST, an Answer back. Whatever goes wrong on the way is an Answer too.

    route = sender.route(url, namespace, wants_reply=True)     once for each trigger
    call = sender.send(route, head, body, timeout_s=1, then=f, tasks=tasks, may_send=g)   f(answer) follows

Headers beside the event's own (message.py; eventing.md 2.6): `Kn-Namespace` always, `Prefer: reply` towards
subscribers, whether they reply or not.

An attempt on a connection that is open is neither a task nor a future nor a timer: it is written at once, and
the connection calls back. (A task, a future and a timer an attempt, and headers made anew for each, cost
twice the CPU.) Only what has to wait for a connection is a task. One clock for all looks every `_TICK_S` for
attempts whose time is over. An answer that says "done" in the same bytes as one before is not parsed again.

Hosts of our own are not looked up: Services are dialled at the activator's socket, which wakes them.
Redirects are not followed; they are no success. An answer larger than the largest event is none.
"""

import asyncio
from collections.abc import Callable

import structlog

from eventing import binding
from eventing.broker import passage
from eventing.broker.delivery import NO_ANSWER, Answer
from eventing.broker.lane import OPEN_LIMIT, Route
from eventing.broker.usual import UsualAnswers
from eventing.config import Config
from eventing.errors import NoAnswer, NotACloudEvent
from eventing.http import wire
from eventing.http.address import parse
from eventing.http.client import Address, Client, ClientLimits
from eventing.http.upstream import Upstream
from eventing.http.wire import Header

_EVENT_TYPES = b"application/cloudevents"
# A reply may be as large as an event may be, and in JSON base64 makes a third more of it.
_ANSWER_FACTOR = 2
# Connections that a subscriber has to accept at once: two dispatchers do not fill a backlog of 5 by much.
_NEWCOMERS = 4
_AT_ONCE_S = 0.1  # as the activator has it: serving/activator/again.py
_TICK_S = 0.05  # how late a time-out may be; it is never early

Then = Callable[[Answer], None]

log = structlog.get_logger(__name__)


class Sender:
    """Attempts of one process, over one pool of connections."""

    def __init__(self, config: Config) -> None:
        """Connect as *config* says our own hosts are reached."""
        self._config = config
        # Windows bound what is open; all Services share one address, so it gets as many.
        self.client = Client(limits=ClientLimits(connections=2 * OPEN_LIMIT, newcomers=_NEWCOMERS),
                             dial=self._dial)
        self.answer_bytes = _ANSWER_FACTOR * config.body_limit_bytes
        self._loop = asyncio.get_running_loop()
        self._calls: set[Call] = set()
        self.usual = UsualAnswers()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        """Attempts and connections."""
        return f"<Sender [{len(self._calls)} open | {self.client!r}]>"

    def route(self, url: str, namespace: str, *, wants_reply: bool) -> Route:
        """Take *url* apart, once for all messages that go there; "" is an address that is not known yet."""
        if not url:
            return Route("", b"", "its address is not known: the Trigger's conditions say why")
        try:
            place = parse(url)
        except NoAnswer as error:
            return Route("", b"", str(error))
        prefer = b"prefer: reply\r\n" if wants_reply else b""
        start = b"POST %b HTTP/1.1\r\nhost: %b\r\nkn-namespace: %b\r\n%b" % (
            place.target, place.authority, namespace.encode(), prefer)
        return Route(self.client.address(place.host, place.port), start)

    def send(
        self, route: Route, head: bytes, body: bytes, *,
        timeout_s: float, then: Then, tasks: asyncio.TaskGroup, may_send: Callable[[], bool],
    ) -> "Call":
        """
        Send a message of header lines *head* and *body*; *then* is never called at once.

        *tasks* own the wait for a connection; after that *may_send* is asked again: a dispatcher that was
        stopped meanwhile may have lost its lease.
        """
        request = b"%b%bcontent-length: %d\r\n\r\n%b" % (route.start, head, len(body), body)
        call = Call(self, route, request, then, tasks, may_send=may_send)
        call.timeout_s = timeout_s
        call.deadline = self._loop.time() + timeout_s
        self._calls.add(call)
        if self._timer is None:
            self._timer = self._loop.call_later(_TICK_S, self._tick)
        if route.problem:
            self._loop.call_soon(call.failed, NoAnswer("bad-url", route.problem))
            return call
        upstream = self.client.idle(route.address)
        if upstream is None:
            call.connect(fresh=False)
        else:
            call.start(upstream)
        return call

    def now(self) -> float:
        """Loop time."""
        return self._loop.time()

    def forget(self, call: "Call") -> None:
        """*call* has ended."""
        self._calls.discard(call)

    async def close(self) -> None:
        """Close all connections."""
        if self._timer is not None:
            self._timer.cancel()
        await self.client.close()

    def _tick(self) -> None:
        now = self._loop.time()
        for call in [call for call in self._calls if call.deadline <= now]:
            call.expire()
        self._timer = self._loop.call_later(_TICK_S, self._tick) if self._calls else None

    def _dial(self, host: str, port: int) -> Address | None:
        if (path := self._config.dial(host, port)) is not None:
            return path
        if host == "localhost" and port == self._config.port and self._config.host != "0.0.0.0":
            return self._config.host, port
        return None


class Call:
    """One attempt under way; receives its own answer."""

    __slots__ = ("_chunks", "_headers", "_is_fresh", "_may_send", "_request", "_route", "_sender",
                 "_size_bytes", "_status", "_task", "_tasks", "_then", "_upstream", "deadline", "timeout_s")

    def __init__(
        self, sender: Sender, route: Route, request: bytes, then: Then, tasks: asyncio.TaskGroup, *,
        may_send: Callable[[], bool],
    ) -> None:
        """Made by Sender.send."""
        self._sender = sender
        self._route = route
        self._request = request
        self._then: Then | None = then
        self._tasks = tasks
        self._may_send = may_send
        self._upstream: Upstream | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_fresh = False  # on a connection of its own making: there is no second try
        self._chunks: list[bytes] = []
        self._size_bytes = 0
        self.timeout_s = 0.0
        self.deadline = 0.0  # loop time; it began timeout_s before

    def start(self, upstream: Upstream) -> None:
        """Write the request."""
        self._upstream = upstream
        upstream.exchange(self._request, self)

    def connect(self, *, fresh: bool) -> None:
        """Write the request once there is a connection for it; *fresh*: a new one."""
        self._is_fresh = fresh
        self._task = self._tasks.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            upstream = await self._sender.client.connect(self._route.address, fresh=self._is_fresh)
            while not self._may_send():  # until it may again, or somebody else may and this is aborted
                upstream.abort()
                await asyncio.sleep(_TICK_S)
                upstream = await self._sender.client.connect(self._route.address, fresh=self._is_fresh)
        except NoAnswer as error:
            self._end(Answer(NO_ANSWER, None, str(error).encode()))
        else:
            self._task = None
            self.start(upstream)

    def abort(self) -> None:
        """Give up; nobody is told."""
        self._then = None
        self._sender.forget(self)
        if self._task is not None:
            self._task.cancel()
        elif self._upstream is not None:
            self._upstream.abort()

    def expire(self) -> None:
        """Its time is over."""
        if self._task is not None:
            self._task.cancel()
            self._end(Answer(NO_ANSWER, None, b"no connection within %g s" % self.timeout_s))
        elif self._upstream is not None:
            self._upstream.fail("timeout", f"no answer within {self.timeout_s:g} s")

    def _end(self, answer: Answer) -> None:
        then, self._then = self._then, None
        self._sender.forget(self)
        if then is not None:
            then(answer)

    # -- WholeReceiver ------------------------------------------------------------------------------------

    def knows(self, answer: bytes) -> int:
        """Status of an answer that is a usual one, else 0."""
        return self._sender.usual.status(answer)

    def takes(self, status: int, headers: list[Header], answer: bytes) -> bool:
        """Whether it is a usual one from now on."""
        return not _carries_event(headers) and self._sender.usual.learn(status, headers, answer)

    def whole(self, status: int, _answer: bytes) -> None:
        """It was a usual answer."""
        self._end(Answer(status))

    def head(self, status: int, headers: list[Header]) -> None:
        """Final status and headers."""
        self._status = status
        self._headers = headers

    def data(self, chunk: bytes) -> None:
        """More of the body."""
        self._size_bytes += len(chunk)
        if self._size_bytes <= self._sender.answer_bytes:
            self._chunks.append(chunk)
        elif self._upstream is not None:
            self._chunks.clear()
            self._upstream.fail("too-large", f"the answer is larger than {self._sender.answer_bytes} bytes")

    def end(self) -> None:
        """That was the whole answer; one that only we fail to read is none."""
        try:
            answer = _read(self._status, self._headers, b"".join(self._chunks))
        except Exception as error:
            log.exception("answer not understood", address=self._route.address, status=self._status)
            answer = Answer(NO_ANSWER, None, f"{type(error).__name__}: {error}".encode(errors="replace"))
        self._end(answer)

    def failed(self, error: NoAnswer) -> None:
        """
        There is no answer. One that an old connection took with it at once is asked for again on a new one.

        It was closed before the request came then, as far as anybody can tell: that is no attempt. What ends
        later may have been read, by a subscriber that fails at it.
        """
        upstream, self._upstream = self._upstream, None
        is_stale = error.reason == "closed" and upstream is not None and upstream.is_stale and \
            self._sender.now() - self.deadline + self.timeout_s < _AT_ONCE_S
        if is_stale and not self._is_fresh and self._then is not None:
            self.connect(fresh=True)
        else:
            self._end(Answer(NO_ANSWER, None, str(error).encode()))


def _read(status: int, headers: list[Header], body: bytes) -> Answer:
    """Take the event out of an answer, if it is a success and carries one."""
    if not 200 <= status < 300:  # noqa: PLR2004  HTTP's own classes
        return Answer(status, None, body, wire.find(headers, b"retry-after"))
    if not _carries_event(headers):
        return Answer(status, None, body)
    try:
        event = binding.from_http(headers, body)
    except NotACloudEvent as error:
        return Answer(status, None, f"the reply is not a CloudEvent: {error}".encode())
    passed = passage.lines([name for name, _ in headers], headers)
    return Answer(status, event._replace(headers=passed) if passed else event)


def _carries_event(headers: list[Header]) -> bool:
    for name, value in headers:
        if name == b"ce-specversion" or \
                (name == b"content-type" and value.lstrip().lower().startswith(_EVENT_TYPES)):
            return True
    return False
