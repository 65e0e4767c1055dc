"""
A request's body on its way to a server: it crosses as it comes, and is kept to be sent once more.

64 KiB are; of a longer one the beginning is gone once it is sent. While there is no connection yet that much
is held, and the client is read no further.
"""

from collections.abc import Callable

from eventing.http.exchange import Exchange
from eventing.http.upstream import Upstream

# Of a request's body: kept to be sent again, and held while there is no connection yet.
_KEPT_BYTES = 64 * 1024


class KeptBody:
    """The body of one exchange's request; a BodyReceiver."""

    def __init__(self, exchange: Exchange, leave: Callable[[], None]) -> None:
        """Belong to *exchange*; *leave* is called where the rest of the body will never come."""
        self._exchange = exchange
        self._leave = leave
        self._upstream: Upstream | None = None
        self._kept: list[bytes] | None = []
        self._kept_bytes = 0
        self._ended = False

    def __repr__(self) -> str:
        """How much of it came, and whether all that came is still here."""
        return f"<KeptBody [{self._kept_bytes} bytes{'' if self._kept is None else ' | kept'}]>"

    @property
    def size_bytes(self) -> int:
        """How much of it came; no more than was kept, where that is less."""
        return self._kept_bytes

    def attach(self, upstream: Upstream) -> None:
        """Send to *upstream* what is here and what will come."""
        self._upstream = upstream
        upstream.on_drain = self._exchange.resume_body
        for chunk in self._kept or ():
            upstream.write(chunk)
        if self._kept_bytes > _KEPT_BYTES:
            self._kept = None
        if self._ended:
            upstream.end(self._exchange.trailers)
        self._exchange.resume_body()

    def rewind(self) -> bool:
        """Get ready to be sent once more; False if it cannot."""
        self._upstream = None
        return self._kept is not None

    def forget(self) -> None:
        """It will not be sent again."""
        self._kept = None

    def data(self, chunk: bytes) -> None:
        """More of it."""
        upstream = self._upstream
        if self._kept is not None:
            self._kept_bytes += len(chunk)
            if self._kept_bytes <= _KEPT_BYTES or upstream is None:
                self._kept.append(chunk)
            else:
                self._kept = None
        if upstream is not None:
            upstream.write(chunk)
        if (upstream is None and self._kept_bytes > _KEPT_BYTES) or (upstream and not upstream.writable):
            self._exchange.pause_body()

    def end(self) -> None:
        """That was all of it."""
        self._ended = True
        if self._upstream is not None:
            self._upstream.end(self._exchange.trailers)

    def aborted(self) -> None:
        """The rest will never come."""
        self._leave()
