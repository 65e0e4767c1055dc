"""
RabbitmqSource's coroutine: a message is acknowledged once its event has been accepted, and not before.

    the sink                        the message
    accepts (2xx)                   basic.ack
    is away, slow, or says "later"  waits: RabbitMQ sends no more than `parallelism` messages ahead
    refuses for good                goes to delivery.deadLetterSink if there is one, and is acknowledged; else
                                    basic.reject without requeue: RabbitMQ moves it to the queue's dead
                                    letter exchange, and drops it where the queue has none

A connection that is lost, a queue that is deleted, a server that restarts: the run ends with the reason, and
the sources role starts another after a while. RabbitMQ then delivers again what had not been acknowledged, so
a crash anywhere repeats at most `parallelism` events and loses none.

aio-pika connects, declares and acknowledges; the messages come past it, through sieve.py. It is imported when
a source runs: nobody else pays for it.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from eventing.event import Event
from eventing.projection import Record
from sources.rabbitmq import address, topology
from sources.rabbitmq.acks import Acks
from sources.rabbitmq.message import to_event
from sources.rabbitmq.topology import Topology
from sources.source import Emit, NotReady, Refused, secrets_of, source, spec_of

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue

    from sources.rabbitmq.sieve import Delivery, OnDeliveries

_CONNECT_S = 10.0
_CLOSE_S = 2.0  # a server that is gone does not say goodbye
# A peer that vanished without a word is noticed after three of these; RabbitMQ proposes 60.
_HEARTBEAT_S = 10
# Of messages that wait at the same moment two groups are under way to a broker of ours, of as many events as
# it gets in one request (batches.py).
_CARRIERS = 2
_TOGETHER = 64


class _Over(Exception):
    """The run has ended."""


@source("RabbitmqSource")
async def rabbitmq(record: Record, emit: Emit) -> None:
    """Consume until the connection ends; raises NotReady with the reason."""
    wanted = topology.of(spec_of(record))
    consumer = _Consumer(record, emit)
    async with _connected(record, consumer.arrived) as connection:
        channel = await _channel(connection, wanted)
        queue = await _declared(channel, wanted)
        await consumer.run(channel, queue)


class _Consumer:
    """Messages of one connection, each on its way to the sink."""

    def __init__(self, record: Record, emit: Emit) -> None:
        self._source: str = record["source"]
        self._has_dead_letter_sink = bool((record.get("delivery") or {}).get("dead_letter_url"))
        self._emit = emit
        self._acks = Acks()
        self._is_acknowledging = False
        self._waiting: deque[Delivery] = deque()  # bounded by the prefetch, as all that follows
        self._carriers = 0
        self._tasks = asyncio.TaskGroup()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, channel: "AbstractChannel", queue: "AbstractQueue") -> None:
        """Until the channel closes or the server cancels the consumer; raises why."""
        channel.close_callbacks.add(self._on_close)
        self._channel = await channel.get_underlay_channel()
        self._channel.on_consumer_cancel_callbacks.add(self._on_cancel)
        try:
            async with self._tasks:
                await self._consume(queue.name)
        except* _Over:
            pass
        finally:
            self._ended.cancel()  # the connection's end is no news any more; it keeps what it has
        self._ended.result()

    async def _consume(self, queue: str) -> None:
        """Raises _Over at the end, so that nothing of the run is left."""
        try:
            with _failing("QueueFailed"):
                await self._channel.basic_consume(queue, _nobody)
        except NotReady as why:
            self._end(why)
        else:
            self._emit.ready()
        await asyncio.wait((self._ended,))
        raise _Over

    def arrived(self, deliveries: "Sequence[Delivery]") -> None:
        """Messages have come."""
        if self._ended.done():
            return
        for delivery in deliveries:
            self._acks.delivered(delivery.tag)
        self._waiting.extend(deliveries)
        if self._carriers < _CARRIERS and self._has_work(self._carriers):
            self._carriers += 1
            self._tasks.create_task(self._carry())

    def _on_close(self, _channel: object, error: BaseException | None) -> None:
        self._end(NotReady("ConnectionLost", f"the connection to RabbitMQ ended: {_said(error)}"))

    def _on_cancel(self, _frame: object) -> None:
        self._end(NotReady("QueueFailed", "RabbitMQ ended the consumer: the queue was deleted or has moved"))

    def _end(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    def _has_work(self, others: int) -> bool:
        """Whether there is something to pass on; beside *others* only what fills a request."""
        return len(self._waiting) >= (_TOGETHER if others else 1)

    async def _carry(self) -> None:
        """Pass on what waits, those together that came together; an error ends the run."""
        try:
            while self._has_work(self._carriers - 1):
                count = min(len(self._waiting), _TOGETHER)
                await self._pass_on([self._waiting.popleft() for _ in range(count)])
        except Exception as error:  # noqa: BLE001  it is raised again by `run`
            self._end(error)
        finally:
            self._carriers -= 1

    async def _pass_on(self, deliveries: "Sequence[Delivery]") -> None:
        events = [(delivery.tag, to_event(delivery.message, self._source)) for delivery in deliveries]
        while len(events) > 1 and (accepted := await self._emit.in_order([event for _, event in events])):
            for tag, _ in events[:accepted]:
                self._acks.done(tag)
            del events[:accepted]
            await self._acknowledge()
        for tag, event in events:
            self._tasks.create_task(self._send(tag, event))

    async def _send(self, tag: int, event: Event) -> None:
        """One message by itself, whatever happens to it."""
        try:
            try:
                await self._emit(event)
            except Refused as refused:
                if not self._has_dead_letter_sink:
                    self._emit.hand_back(event, refused)
                    self._acks.rejected(tag)
                    await self._channel.basic_reject(tag, requeue=False)
                    return
                await self._emit.give_up(event, refused)
            self._acks.done(tag)
            await self._acknowledge()
        except Exception as error:  # noqa: BLE001  as above
            self._end(error)

    async def _acknowledge(self) -> None:
        """Tell the server what is done; who was accepted together is acknowledged together."""
        if self._is_acknowledging:
            return  # whoever does takes this one along: two at once could acknowledge a tag twice
        self._is_acknowledging = True
        await asyncio.sleep(0)  # the others that were accepted in one answer of the sink come now
        while any(taken := self._acks.take()):
            upto, others = taken
            if upto:
                await self._channel.basic_ack(upto, multiple=True)
            for tag in others:
                await self._channel.basic_ack(tag)
        self._is_acknowledging = False


async def _nobody(_delivered: object) -> None:
    """What aiormq would call with a message, if the sieve let one through."""


@contextlib.asynccontextmanager
async def _connected(record: Record, on_deliveries: "OnDeliveries") -> AsyncIterator["AbstractConnection"]:
    try:
        import aio_pika  # noqa: PLC0415  an extra; and half a second that only this process should pay

        from sources.rabbitmq.sieve import Sieved  # noqa: PLC0415  likewise
    except ImportError as error:
        why = "RabbitmqSource needs aio-pika: pip install 'clarion[rabbitmq]'"
        raise NotReady("ClientMissing", why) from error
    # What they say of a lost connection, with a traceback, we say in a condition and one line.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    resources, _, _ = topology.blocks(spec_of(record))
    at = address.of(secrets_of(record), resources.get("vhost") or "/")
    options: dict[str, Any] = {"heartbeat": _HEARTBEAT_S, "name": f"clarion {record['source']}", **at.options}

    class Connection(aio_pika.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.kwargs["transport_factory"] = Sieved(is_tls=at.ssl, on_deliveries=on_deliveries)

    with _failing("ConnectionFailed", f"{at.host}:{at.port}"):
        connection = await aio_pika.connect(
            connection_class=Connection,
            host=at.host, port=at.port, login=at.login, password=at.password, virtualhost=at.virtualhost,
            ssl=at.ssl, timeout=_CONNECT_S, **options)
    try:
        yield connection
    finally:
        with contextlib.suppress(*_errors()):
            async with asyncio.timeout(_CLOSE_S):
                await connection.close()


async def _channel(connection: "AbstractConnection", wanted: Topology) -> "AbstractChannel":
    with _failing("ConnectionFailed"):
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=wanted.parallelism)
    return channel


async def _declared(channel: "AbstractChannel", wanted: Topology) -> "AbstractQueue":
    """The queue, there and bound; declaring what is there already in the same way changes nothing."""
    if wanted.is_predeclared:
        with _failing("QueueFailed"):
            return await channel.get_queue(wanted.queue, ensure=True)
    with _failing("ExchangeFailed"):
        exchange = await channel.declare_exchange(wanted.exchange, wanted.exchange_type,
                                                  **wanted.exchange_options)
    with _failing("QueueFailed"):
        queue = await channel.declare_queue(wanted.queue, arguments=dict(wanted.queue_arguments),
                                            **wanted.queue_options)
        for key in wanted.routing_keys:
            await queue.bind(exchange, key)
    return queue


@contextlib.contextmanager
def _failing(reason: str, where: str = "") -> Iterator[None]:
    """Errors of the library and the network become NotReady with that reason; *where*: of a server."""
    try:
        yield
    except _errors() as error:
        raise _explained(error, reason, where) from error


def _explained(error: Exception, reason: str, where: str) -> NotReady:
    from aio_pika import exceptions  # noqa: PLC0415  imported by now

    if isinstance(error, exceptions.ProbableAuthenticationError | exceptions.AuthenticationError):
        return NotReady("AuthenticationFailed", _said(error))
    if isinstance(error, exceptions.InvalidFrameError):  # a Close where the virtual host should open
        return NotReady(reason, "RabbitMQ closed the connection: is there such a virtual host, and may the "
                                "user enter it?")
    return NotReady(reason, f"{where}: {_said(error)}" if where else _said(error))


def _errors() -> tuple[type[Exception], ...]:
    """What the library raises for a server that is away or says no."""
    from aio_pika import exceptions  # noqa: PLC0415  imported by now

    return TimeoutError, *exceptions.CONNECTION_EXCEPTIONS


def _said(error: BaseException | None) -> str:
    return str(error) or type(error).__name__ if error else "it was closed"
