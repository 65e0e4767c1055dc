"""
Heads of HTTP/1.1 messages as bytes: status lines, header blocks, and what may not cross a hop.

A header block is written here and nowhere else, so a line break inside a name or a value cannot leave
this process (response splitting, CWE-113). Reading is the parser's work (httptools).
"""

import functools
import http
import re
from collections.abc import Collection, Iterable

# Lower-case name, and value. Names that we write are lower-case too: HTTP does not care, and nobody converts.
Header = tuple[bytes, bytes]

# An http URL as target: its authority, without a user (RFC 9110, section 4.2.4), and what is asked for there.
_ABSOLUTE = re.compile(rb"(?i:https?)://(?:[^/?#@]*@)?([^/?#@]+)([/?].*)?")

# RFC 9110, section 7.6.1, and the two that browsers and old proxies added.
HOP_BY_HOP = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
    b"transfer-encoding", b"upgrade",
    b"expect",  # end to end by the book, but the server here answers it itself
})

# What a handler may have copied from another message, and only the connection knows.
PER_HOP_FRAMING = frozenset({b"transfer-encoding", b"connection"})
_FRAMING = PER_HOP_FRAMING | {b"content-length"}

# Answers with headers of their own that all handlers of a process have.
_CONSTANTS = 64

_REASONS = {status.value: status.phrase.encode() for status in http.HTTPStatus}


class BadHeader(ValueError):
    """A header that cannot be written: a line break or NUL in it, or no name."""


def status_line(status: int) -> bytes:
    """First line of an answer, with its line break."""
    return b"HTTP/1.1 %d %b\r\n" % (status, _REASONS.get(status, b""))


def encode(headers: Collection[Header]) -> bytes:
    """Header lines, each with its line break. Raises BadHeader."""
    block = b"".join([b"%b: %b\r\n" % header for header in headers])
    lines = len(headers)
    # Each header brings exactly one CR and one LF; any more came from a name or a value.
    if block.count(b"\r") != lines or block.count(b"\n") != lines or 0 in block:
        raise BadHeader("a header contains a line break or NUL")
    if block.startswith(b":") or block.find(b"\n:") >= 0:
        raise BadHeader("a header has no name")
    return block


def is_plain(head: bytes, headers: int) -> bool:
    """Whether *head*, first line to empty line and parsed already, has as many lines as it has headers."""
    # No CR stands alone: llhttp refuses that. A line may end with LF only, or go on in the next one.
    lines = headers + 2
    return head.count(b"\r\n") == lines and head.count(b"\n") == lines


def answer(headers: Iterable[Header]) -> bytes:
    """Header lines of an answer but for its framing; those of a tuple, a constant, are made once."""
    return _constant(headers) if type(headers) is tuple else encode(without_framing(headers))


@functools.lru_cache(_CONSTANTS)
def _constant(headers: tuple[Header, ...]) -> bytes:
    return encode(without_framing(headers))


def find(headers: Iterable[Header], name: bytes) -> bytes | None:
    """Value of the first header called *name* (lower-case), or None."""
    for known, value in headers:
        if known == name:
            return value
    return None


def without_framing(headers: Iterable[Header]) -> list[Header]:
    """*headers* without those that say where the body ends: whoever writes the message says that."""
    return [header for header in headers if header[0] not in _FRAMING]


def last_chunk(trailers: Collection[Header] = ()) -> bytes:
    """The end of a chunked body, and behind it *trailers* but for those that belong into a head."""
    if not trailers:
        return b"0\r\n\r\n"
    try:
        return b"0\r\n%b\r\n" % encode(without_framing(end_to_end(trailers)))
    except BadHeader:
        return b"0\r\n\r\n"


def end_to_end(headers: Collection[Header]) -> list[Header]:
    """*headers* without those that are meant for one hop, among them the ones that Connection names."""
    named = find(headers, b"connection")
    if named is None:
        return [header for header in headers if header[0] not in HOP_BY_HOP]
    dropped = set(HOP_BY_HOP)
    for name, value in headers:
        if name == b"connection":
            dropped.update(token.strip().lower() for token in value.split(b","))
    return [header for header in headers if header[0] not in dropped]


def origin_form(target: bytes, headers: list[Header]) -> tuple[bytes, list[Header]]:
    """
    Path and query of *target*, and *headers* whose Host is its authority (RFC 9112, section 3.2.2).

    As they are where *target* is no http URL: another form, such as OPTIONS' `*`.
    """
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        return target, headers
    authority, rest = found.groups(b"")
    said = [(name, authority if name == b"host" else value) for name, value in headers]
    return rest if rest.startswith(b"/") else b"/" + rest, said
