"""
A group: the events that one call of `clarion_append` carries, in the form that it takes them in.

Usually they are events of one partition that arrived together, each with somebody who waits for it; or they
are batches, on one or several partitions, for each of which one waits. A group knows nothing of connections,
and of an event only what is stored.
"""

import hashlib
from collections.abc import Callable

from eventing.errors import Unavailable

OnStored = Callable[[Unavailable | None], None]

GROUP_LIMIT_EVENTS = 512  # one call blocks the store for about 1 ms
GROUP_LIMIT_BYTES = 1024 * 1024  # likewise; one event may be larger, and goes alone
# Of a batch, and of batches that go in one call: the store stands still for some 5 ms.
BATCH_LIMIT_EVENTS = 1000

_LENGTH = b"\r\n$%d\r\n"  # of an argument that follows (RESP); it ends the one before
_DIGEST_BYTES = 16  # two events of one would be taken for repeats: never, with 128 bits


class _Section:
    """Events of one partition."""

    __slots__ = ("parts", "shapes")

    def __init__(self) -> None:
        self.shapes = bytearray()
        self.parts: list[bytes] = []  # of each argument its length, and what it is


class Group:
    """Events that are stored together, and who waits for that."""

    __slots__ = ("_sections", "events", "is_second_try", "size_bytes", "waiters", "window_ms")

    def __init__(self, window_ms: int) -> None:
        """*window_ms* is for how long repeats of these events are known; 0: they are not looked for."""
        self.window_ms = window_ms
        self.events = 0
        self.size_bytes = 0
        self.waiters: list[OnStored] = []
        self.is_second_try = False  # the store had lost the functions when it went the first time
        self._sections: dict[str, _Section] = {}  # by stream

    def add(
        self, stream: str, attributes: bytes, data: bytes | None, *, due: int | None, identity: str | None
    ) -> int:
        """
        Take one event; returns its size in bytes.

        *due* is the Unix ms until which it is held; *identity* says which event it is, where repeats count.
        """
        section = self._sections.get(stream)
        if section is None:
            section = self._sections[stream] = _Section()
        parts = section.parts
        if identity is not None:
            digest = hashlib.blake2b(identity.encode(), digest_size=_DIGEST_BYTES).digest()
            parts += (_LENGTH % _DIGEST_BYTES, digest)
        if due is not None:
            when = b"%d" % due
            parts += (_LENGTH % len(when), when)
        size_bytes = len(attributes)
        if data is None:
            section.shapes += b"-" if due is None else b"N"
            parts += (_LENGTH % size_bytes, attributes)
        else:
            section.shapes += b"d" if due is None else b"D"
            parts += (_LENGTH % size_bytes, attributes, _LENGTH % len(data), data)
            size_bytes += len(data)
        self.events += 1
        self.size_bytes += size_bytes
        return size_bytes

    def command(self) -> bytes:
        """Return the call as it goes over the wire (RESP)."""
        # Joined, not packed by hiredis: of a MiB that makes copies, which cost four times as much.
        sections = self._sections
        count = 3 + 3 * len(sections) + sum(len(section.parts) // 2 for section in sections.values())
        parts = [b"*%d" % count, _bulk(b"FCALL"), _bulk(b"clarion_append"), _bulk(b"%d" % len(sections)),
                 *(_bulk(stream.encode()) for stream in sections)]
        for section in sections.values():
            parts += (_bulk(bytes(section.shapes)), _bulk(b"%d" % self.window_ms))
            parts += section.parts
        parts.append(b"\r\n")
        return b"".join(parts)

    @property
    def is_full(self) -> bool:
        """Whether the next event starts another group."""
        return self.size_bytes >= GROUP_LIMIT_BYTES or self.events >= GROUP_LIMIT_EVENTS


def _bulk(argument: bytes) -> bytes:
    return _LENGTH % len(argument) + argument
