"""
What may cross the activator as the bytes it came as: whole requests, and whole answers.

Writing a head anew costs more than all else that a request costs here. So where one read brought all of a
message, and none of its headers is meant for one hop, its bytes are passed on. They have been parsed before
they come here; what is looked at again is whether another parser could see more lines in the head than ours
has seen headers. Parsing an answer costs as much again, and is spared where its head is one that was.
"""

from eventing.http import wire
from eventing.http.wire import Header

# Of an answer: with one of these it is written anew. (How it is framed may stay.)
_PER_HOP = wire.HOP_BY_HOP - {b"transfer-encoding"}
_BODYLESS = frozenset({204, 304})
# Heads that are known: those of a second, and no more memory than a few connections take.
_KNOWN = 256
_UNKNOWN = 0, -1, b""
_END, _LAST_CHUNK, _CONNECTION = b"\r\n\r\n", b"\r\n0\r\n\r\n", b"\r\nconnection:"


def request(read: bytes, headers: int, lines: bytes, body_bytes: int, *, persists: bool) -> bytes | None:
    """
    What *read* holds with *lines* added to its head; None if it is not one request and nothing else.

    *headers* is how many the request has, *body_bytes* how long its body is. *persists*: one of them is
    Connection, which says no more than keep-alive; it is left out.
    """
    end = read.find(_END) + len(_END)
    if end + body_bytes != len(read) or not wire.is_plain(read[:end], headers):
        return None
    head = read[:end - 2]
    if persists:
        begin = head.lower().find(_CONNECTION)
        head = head[:begin] + head[head.find(b"\r\n", begin + 2):]
    return b"%b%b%b" % (head, lines, read[end - 2:])


class Heads:
    """
    Heads of answers that may cross, by their bytes: an answer that begins like one before is not parsed.

    Many answers do within a second, until the date changes. Only framing that shows at a glance is known: a
    body as long as the head says, or the last chunk and no other.
    """

    def __init__(self) -> None:
        """None yet."""
        self._known: dict[bytes, tuple[int, int, bytes]] = {}  # status, length of the body, and its end

    def __repr__(self) -> str:
        """How many."""
        return f"<Heads [{len(self._known)}]>"

    def status(self, answer: bytes) -> int:
        """Status of *answer*, if it is whole and begins with a known head; else 0."""
        begin = answer.find(_END) + len(_END)
        status, body_bytes, tail = self._known.get(answer[:begin], _UNKNOWN)
        return status if len(answer) - begin == body_bytes and answer.endswith(tail) else 0

    def fits(self, status: int, headers: list[Header], answer: bytes) -> bool:
        """Whether *answer*, parsed and whole, is good for a client as it is; if so, its head is known now."""
        named = dict(headers)
        if b"date" not in named or not _PER_HOP.isdisjoint(named) or not answer.startswith(b"HTTP/1.1 "):
            return False
        begin = answer.find(_END) + len(_END)
        length = named.get(b"content-length")
        tail = b""
        if length is not None:
            is_framed = begin + int(length) == len(answer)
        elif b"transfer-encoding" in named:
            tail = _LAST_CHUNK
            is_framed = answer.endswith(tail)
        else:
            is_framed = begin == len(answer) and status in _BODYLESS
        if not is_framed or not wire.is_plain(answer[:begin], len(headers)):
            return False
        body_bytes = len(answer) - begin
        if not tail or body_bytes == len(_LAST_CHUNK) - 2:
            if len(self._known) == _KNOWN:
                self._known.clear()
            self._known[answer[:begin]] = status, body_bytes, tail
        return True
