"""
What may cross the activator as the bytes it came as: whole requests, and whole answers.

Writing a head anew costs more than all else that a request costs here. So where one read brought all of a
message, and none of its headers is meant for one hop, its bytes are passed on. They have been parsed before
they come here; what is looked at again is whether another parser could see more lines in the head than ours
has seen headers.
"""

from eventing.http import wire
from eventing.http.wire import Header

# Of an answer: with one of these it is written anew. (How it is framed may stay.)
_PER_HOP = wire.HOP_BY_HOP - {b"transfer-encoding"}
_BODYLESS = frozenset({204, 304})
_END, _LAST_CHUNK, _CONNECTION = b"\r\n\r\n", b"\r\n0\r\n\r\n", b"\r\nconnection:"


def request(read: bytes, headers: int, lines: bytes, body_bytes: int, *, persists: bool) -> bytes | None:
    """
    What *read* holds with *lines* added to its head; None if it is not one request and nothing else.

    *headers* is how many the request has, *body_bytes* how long its body is. *persists*: one of them is
    Connection, which says no more than keep-alive; it is left out.
    """
    end = read.find(_END) + len(_END)
    head = read[:end - 2]
    if end + body_bytes != len(read) or not wire.is_plain(read[:end], headers):
        return None
    if persists:
        begin = head.lower().find(_CONNECTION)
        head = head[:begin] + head[head.find(b"\r\n", begin + 2):]
    return b"%b%b%b" % (head, lines, read[end - 2:])


def is_answer(status: int, headers: list[Header], answer: bytes) -> bool:
    """Whether *answer* is one of HTTP/1.1 that clients understand as it is, and has all it should have."""
    named = dict(headers)
    if b"date" not in named or not _PER_HOP.isdisjoint(named) or not answer.startswith(b"HTTP/1.1 "):
        return False
    end = answer.find(_END) + len(_END)
    length = named.get(b"content-length")
    if length is not None:
        is_framed = end + int(length) == len(answer)
    elif b"transfer-encoding" in named:
        is_framed = answer.endswith(_LAST_CHUNK)
    else:
        is_framed = end == len(answer) and status in _BODYLESS
    return is_framed and wire.is_plain(answer[:end], len(headers))
