"""
Look names up: one lookup of a name at a time for all who wait for it, and dead names hold up no living ones.

A name that does not resolve may take its resolver 10 s and more to say so (resolv.conf(5): 5 s, two attempts,
each server, each search domain), and event loops look up few names at once: libuv 4, asyncio no more than 32.
So there are threads of our own, one for each lookup, and how many may be under way depends on the name:

    it resolved last time       the most: whatever else goes on, it goes first
    it was never looked up      fewer
    it did not resolve          few, so that names that are dead do not hold up the others

Answers are kept for a moment, good ones and bad ones: addresses in Kubernetes change. Nobody cancels a
lookup; one that nobody waits for any more ends unheard, and its answer is kept like any other. This room
knows nothing of ports and connections.
"""

import asyncio
import contextlib
import enum
import ipaddress
import socket
import threading
from collections import deque
from dataclasses import dataclass

from eventing.http.address import resolve

_KEPT_S = 2.0  # an answer, good or bad
_KNOWN_NAMES = 4096  # whose last answer is remembered; as many may wait for a lookup


class _Standing(enum.IntEnum):
    """How a name's last lookup ended: how many lookups may be under way for one of it to begin."""

    GOOD = 160
    NEW = 128
    DEAD = 16


@dataclass(frozen=True, slots=True)
class _Found:
    """The answer to a lookup."""

    addresses: tuple[str, ...]
    error: tuple[int, str] | None  # number (EAI_*) and text, where there are none
    until: float  # loop time; after that it only tells the name's standing


class Lookups:
    """The lookups of one event loop."""

    def __init__(self) -> None:
        """Belong to the running loop; a thread begins with each lookup and ends with it."""
        self._loop = asyncio.get_running_loop()
        self._known: dict[str, _Found] = {}
        self._asked: dict[str, asyncio.Future[_Found]] = {}  # never fails: nobody might be there to hear it
        self._waiting: dict[_Standing, deque[str]] = {standing: deque() for standing in _Standing}
        self._under_way = 0

    def __repr__(self) -> str:
        """How many of what."""
        asked, known = len(self._asked), len(self._known)
        return f"<Lookups [{self._under_way} under way | {asked} asked | {known} known]>"

    async def addresses(self, host: str) -> tuple[str, ...]:
        """IP addresses of *host*, the preferred ones first; at least one. Raises socket.gaierror."""
        host, _ = resolve(host, 0)
        if _is_address(host):
            return (host,)
        found = self._known.get(host)
        if found is None or found.until <= self._loop.time():
            found = await asyncio.shield(self._asked.get(host) or self._ask(host, found))
        if found.error is not None:
            raise socket.gaierror(*found.error)
        return found.addresses

    def _ask(self, host: str, last: _Found | None) -> asyncio.Future[_Found]:
        """Have *host* looked up as soon as its standing allows."""
        if len(self._asked) >= _KNOWN_NAMES:
            raise socket.gaierror(socket.EAI_AGAIN, f"{_KNOWN_NAMES} other names are being looked up")
        standing = _Standing.NEW if last is None else _Standing.DEAD if last.error else _Standing.GOOD
        future = self._asked[host] = self._loop.create_future()
        self._waiting[standing].append(host)
        self._begin()
        return future

    def _begin(self) -> None:
        """Begin the lookups that may; good names first."""
        for standing, waiting in self._waiting.items():
            while waiting and self._under_way < standing:
                host = waiting.popleft()
                self._under_way += 1
                # A daemon: no end of a process waits for a resolver.
                thread = threading.Thread(target=self._look_up, args=(host,), name="lookup", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # the system gives no more threads
                    self._loop.call_soon(self._end, host, (), (socket.EAI_AGAIN, str(error)))

    def _look_up(self, host: str) -> None:
        """In a thread of its own."""
        addresses: tuple[str, ...] = ()
        failure = None
        try:  # bytes: of text Python would make IDNA once more, and raise UnicodeError where it is none
            answers = socket.getaddrinfo(host.encode(), None, type=socket.SOCK_STREAM)
            addresses = tuple(str(where[0]) for *_, where in answers)
        except OSError as error:
            failure = (error.errno or socket.EAI_FAIL, error.strerror or str(error))
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._end, host, addresses, failure)

    def _end(self, host: str, addresses: tuple[str, ...], error: tuple[int, str] | None) -> None:
        """Tell who waits for *host*, and let the next lookups begin."""
        found = _Found(addresses, error, self._loop.time() + _KEPT_S)
        self._known.pop(host, None)  # the latest answers are the last to be forgotten
        self._known[host] = found
        if len(self._known) > _KNOWN_NAMES:
            del self._known[next(iter(self._known))]
        self._under_way -= 1
        self._asked.pop(host).set_result(found)
        self._begin()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
