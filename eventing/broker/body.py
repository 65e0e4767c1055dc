"""
A request's body as its sender wrote it: what was compressed on the way is inflated, within a limit.

    Content-Encoding      becomes
    none, identity        the body as it is
    gzip, x-gzip          inflated; 413 when that is longer than the limit, 400 when it is broken or cut off
    anything else         415, with Accept-Encoding

A few bytes can inflate to gigabytes, so inflating stops one byte above the limit. Pure.
"""

import zlib

from eventing.errors import Rejected, TooLarge

ACCEPTED = b"gzip"

# At a member's end zlib copies what is behind it in the piece; the smallest of members have 20 bytes.
_PIECE_BYTES = 4096
_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to say: a gzip header and trailer, and nothing else


class UnknownEncoding(Rejected):
    """A Content-Encoding that is not read here."""

    status = 415


def plain(body: bytes, encoding: bytes | None, limit_bytes: int) -> bytes:
    """Undo *encoding* (the header's value; None without one). Raises Rejected, TooLarge, UnknownEncoding."""
    name = b"" if encoding is None else encoding.strip().lower()
    if name in (b"", b"identity"):
        return body
    if name not in (b"gzip", b"x-gzip"):
        raise UnknownEncoding(
            f"content-encoding: {name.decode('latin-1')} is not read here; send gzip, or the body as it is")
    return _inflated(body, limit_bytes)


def _inflated(body: bytes, limit_bytes: int) -> bytes:
    """All members of a gzip file (RFC 1952, section 2.2), one after the other."""
    found, at = bytearray(), 0
    while at < len(body):
        inflater = zlib.decompressobj(_GZIP)
        while not inflater.eof:
            piece = body[at:at + _PIECE_BYTES]
            if not piece:
                raise Rejected("body: the gzip data is cut off")
            try:
                found += inflater.decompress(piece, limit_bytes + 1 - len(found))
            except zlib.error as error:
                raise Rejected(f"body: is not gzip, although content-encoding says so: {error}") from error
            if len(found) > limit_bytes:
                raise TooLarge(f"the inflated body is larger than the limit of {limit_bytes} bytes")
            at += len(piece)
        at -= len(inflater.unused_data)
    return bytes(found)
