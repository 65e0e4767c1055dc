"""
Events that wait at the same moment go to a broker of ours in one request: its ingress takes batches whole.

Nobody waits for a batch to fill: an event that finds fewer than AT_ONCE requests under way goes at once, with
those that come in the same turn of the event loop, and whoever waits meanwhile goes together in the next.
There is no task behind this: the first that waits carries the others. Data travels as base64, so that its
bytes stay as they are; JSON inside JSON would be written anew.

What is not accepted as a batch, for whatever reason, its events send one by one: the sink then says which of
them it does not like, and each is repeated by itself.
"""

import asyncio
import binascii
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import orjson

from eventing.event import Event

# Two, so that the broker writes one to disk while it reads the other.
AT_ONCE = 2
# Far below the ingress' limits of events and bytes, and enough to make the request itself cheap.
_EVENTS = 64
_DATA_BYTES = 256 * 1024

Post = Callable[[bytes], Awaitable[bool]]
_Turn = asyncio.Future[bool | None]  # whether it was accepted; None: it is your turn to carry


class Batches:
    """Events on their way to one broker: of one source, or of many small ones."""

    def __init__(self, post: Post) -> None:
        """*post* sends the body of one batch, and says whether it was accepted."""
        self._post = post
        self._waiting: deque[tuple[Event, _Turn]] = deque()
        self._open = 0
        self._is_gathering = False  # somebody is about to go, and takes along who waits

    def __repr__(self) -> str:
        """Counts."""
        return f"<Batches [{self._open} under way | {len(self._waiting)} waiting]>"

    async def send(self, event: Event) -> bool:
        """True once *event* was accepted; False if it has to be sent by itself."""
        if self._open < AT_ONCE and not self._is_gathering:
            self._open += 1
            return await self._carry(event)
        turn: _Turn = asyncio.get_running_loop().create_future()
        self._waiting.append((event, turn))
        try:
            accepted = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result() is None:
                self._pass_on()
            raise
        return await self._carry(event) if accepted is None else accepted

    async def send_in_order(self, events: Sequence[Event]) -> int:
        """
        How many of *events*, from the first on, were accepted in one batch; 0: the first goes by itself.

        A broker stores a batch in its order, so one order needs no request for each event.
        """
        room_bytes, count = _DATA_BYTES, 0
        for event in events[:_EVENTS]:
            room_bytes -= len(event.data or b"")
            if count and room_bytes < 0:
                break
            count += 1
        return count if await self._post(_body(events[:count])) else 0

    async def _carry(self, event: Event) -> bool:
        others: list[tuple[Event, _Turn]] = []
        accepted = False
        try:
            self._is_gathering = True
            await asyncio.sleep(0)
            self._is_gathering = False
            others = self._take(_DATA_BYTES - len(event.data or b""))
            if self._waiting and self._open < AT_ONCE:
                self._open += 1
                self._pass_on()
            accepted = await self._post(_body([event, *(other for other, _ in others)]))
        finally:
            self._is_gathering = False
            for _, turn in others:
                if not turn.done():
                    turn.set_result(accepted)
            self._pass_on()
        return accepted

    def _take(self, room_bytes: int) -> list[tuple[Event, _Turn]]:
        """Those that wait, as far as they fit into one batch."""
        taken: list[tuple[Event, _Turn]] = []
        while self._waiting and len(taken) < _EVENTS - 1:
            event, turn = self._waiting[0]
            room_bytes -= len(event.data or b"")
            if room_bytes < 0:
                break
            self._waiting.popleft()
            if not turn.done():  # else it was cancelled
                taken.append((event, turn))
        return taken

    def _pass_on(self) -> None:
        """Let the first that waits carry the next batch."""
        while self._waiting:
            _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._open -= 1


def _body(events: Sequence[Event]) -> bytes:
    """A batch (CloudEvents' JSON format, section 4)."""
    return b"[%b]" % b",".join([_member(event) for event in events])


def _member(event: Event) -> bytes:
    """An event in it; its data is put in as bytes, which JSON need not look at again."""
    attributes = orjson.dumps(event.attributes)
    if not event.data:
        return attributes
    return b'%b,"data_base64":"%b"}' % (attributes[:-1], binascii.b2a_base64(event.data, newline=False))
