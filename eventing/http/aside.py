"""
What an answer brings beside its head and its body, on its way through a proxy: hints before, trailers behind.

    103 (Early Hints), 102     at once, to clients of HTTP/1.1; 100 is each server's own affair
    trailers                   behind the last chunk, where the answer is chunked on both sides

Sources: RFC 9110, sections 6.5 and 15.2; RFC 8297.
"""

import contextlib
from collections.abc import Collection

from eventing.http import wire
from eventing.http.exchange import Exchange
from eventing.http.wire import Header


class Aside:
    """The part of an answer's receiver that passes them on to the client of `_exchange`."""

    _exchange: Exchange

    def interim(self, status: int, headers: Collection[Header]) -> None:
        """An answer before the answer; one that cannot be written is no loss."""
        with contextlib.suppress(wire.BadHeader):
            self._exchange.hint(status, wire.end_to_end(headers))

    def trailers(self, headers: Collection[Header]) -> None:
        """What stands behind the body; `end` follows."""
        self._exchange.trail(headers)
