"""
Who owns a partition: a lease of 2.5 s with an epoch, and the sharing out among living dispatchers.

The epoch protects, the lease only decides who may ask for one (`scripts/lease.lua`): a dispatcher that
was stopped past its lease finds its writes refused (Fenced), and its own clock tells it even before it
asks. `until` is reckoned from before the call was sent, so it is never later than what the store believes.

Partitions are shared out by rendezvous hashing within limits: each of a broker goes to that living dispatcher
with room whose name, hashed together with the partition's, is greatest; all have room for the same number, or
one less. All dispatchers reckon the same from the same names, and one that comes or goes moves little else.
"""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio
import redis.exceptions

from eventing import keys
from eventing.broker import functions
from eventing.errors import ClarionError

LEASE_S = 2.5  # a killed dispatcher's partitions are delivered again within 3 s
RENEW_S = 1.0  # two renewals may be lost
LIVING_S = 2.0  # less than the lease: when that ends, its heirs know that they are heirs
HEARTBEAT_S = 0.5

_LEASE_MS = int(LEASE_S * 1000)
_FENCED = "FENCED"


class Fenced(ClarionError):
    """Another dispatcher owns the partition now; nothing was written."""


@dataclass(slots=True)
class Grant:
    """An ownership, and what the one before left: `until` is a time of `time.monotonic()`."""

    epoch: str
    until: float
    floor: str = "0-0"
    resolved: list[str] = field(default_factory=list)  # "id uid"
    backlogs: dict[str, int] = field(default_factory=dict)  # by uid of the trigger: entries
    next_due_ms: float | None = None

    @property
    def holds(self) -> bool:
        """Whether nobody else can own the partition yet."""
        return time.monotonic() < self.until


class Lease:
    """One dispatcher's claim to one partition. Methods raise what redis-py raises, or Fenced."""

    def __init__(self, store: redis.asyncio.Redis, broker: str, partition: int, owner: str) -> None:
        """*owner* is the dispatcher's name."""
        self._store = store
        self._tag = keys.partition_tag(broker, partition)
        self._owner = owner
        self.grant: Grant | None = None

    async def acquire(self) -> float:
        """Become the owner and set `grant`; else return how many seconds the present owner has left."""
        asked = time.monotonic()
        answer = await self._call("clarion_acquire", self._owner, _LEASE_MS)
        if not answer[0]:
            return int(answer[1]) / 1000
        epoch, floor, resolved, backlogs, due = answer
        uids = [uid.decode() for uid in backlogs[::2]]
        self.grant = Grant(epoch.decode(), asked + LEASE_S, floor.decode(),
                           [pair.decode() for pair in resolved],
                           dict(zip(uids, backlogs[1::2], strict=True)), due_of(due))
        return 0.0

    async def renew(self) -> float | None:
        """Stay the owner; returns when the next retry is due (Unix ms), if one waits."""
        assert self.grant is not None
        asked = time.monotonic()
        due = await self._call("clarion_renew", self._owner, _LEASE_MS, self.grant.epoch)
        self.grant.until = asked + LEASE_S
        return due_of(due)

    async def release(self) -> None:
        """Let the next owner begin at once."""
        assert self.grant is not None
        self.grant.until = 0.0
        await self._call("clarion_release", self._owner, self.grant.epoch)

    async def commit(self, number: int, page: list[bytes]) -> float | None:
        """Write *page*, the commit *number* of this epoch; renews, and returns what `renew` does."""
        assert self.grant is not None
        asked = time.monotonic()
        due = await self._call("clarion_commit", self._owner, _LEASE_MS, self.grant.epoch, number, *page)
        self.grant.until = asked + LEASE_S
        return due_of(due)

    async def owned(self, name: str, *arguments: Any) -> Any:
        """Call a function of `scripts/` that takes the epoch first."""
        assert self.grant is not None
        return await self._call(name, self.grant.epoch, *arguments)

    async def _call(self, name: str, *arguments: Any) -> Any:
        try:
            return await functions.call(self._store, name, [self._tag], list(arguments))
        except redis.exceptions.ResponseError as error:
            if str(error).startswith(_FENCED):
                raise Fenced(f"{self._tag}: {error}") from error
            raise


def due_of(answer: bytes) -> float | None:
    """When the next retry is due (Unix ms), as the functions say it."""
    return float(answer) if answer else None


async def living(store: redis.asyncio.Redis, name: str, seconds: float = LIVING_S) -> list[str]:
    """Say that dispatcher *name* lives (0 seconds: that it leaves); returns the names of all that live."""
    names = await functions.call(store, "clarion_living", [keys.DISPATCHERS], [name, int(seconds * 1000)])
    return [found.decode() for found in names]


def owners(broker: str, partitions: int, names: Iterable[str]) -> list[str]:
    """Return which dispatcher is to own each partition of *broker*; empty when there is no dispatcher."""
    ranked = sorted(names, key=lambda name: _draw(name, broker))
    if not ranked:
        return []
    least, more = divmod(partitions, len(ranked))
    room = {name: least + (place < more) for place, name in enumerate(ranked)}
    found: list[str] = []
    for number in range(partitions):
        tag = keys.partition_tag(broker, number)
        owner = max((name for name in ranked if room[name]), key=lambda name: _draw(name, tag))
        room[owner] -= 1
        found.append(owner)
    return found


def _draw(name: str, tag: str) -> bytes:
    return hashlib.blake2b(f"{name} {tag}".encode(), digest_size=8).digest()
