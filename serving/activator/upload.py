"""
The client's bytes on their way to a worker: a body that is too long to keep, or its own protocol after a 101.

They cross as they come, and the client is read no faster than the worker takes them.
"""

from typing import Protocol

from eventing.http.client import Upstream
from eventing.http.exchange import Exchange


class Sender(Protocol):
    """Whose bytes they are."""

    def uploaded(self) -> None:
        """All of them have come."""

    def give_up(self) -> None:
        """The rest will never come."""


class Upload:
    """Receives what one exchange's client sends."""

    def __init__(self, sender: Sender, exchange: Exchange, upstream: Upstream) -> None:
        """Give it to *upstream*."""
        self._sender = sender
        self._exchange = exchange
        self._upstream = upstream
        upstream.on_drain = exchange.resume_body

    def __repr__(self) -> str:
        """Where to."""
        return f"<Upload to {self._upstream!r}>"

    def data(self, chunk: bytes) -> None:
        """More of it."""
        self._upstream.write(chunk)
        if not self._upstream.writable:
            self._exchange.pause_body()

    def end(self) -> None:
        """That was all."""
        self._sender.uploaded()
        self._upstream.end(self._exchange.trailers)

    def aborted(self) -> None:
        """The rest will never come."""
        self._sender.give_up()
