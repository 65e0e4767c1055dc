"""
Who takes an answer: what the client's side of a connection (upstream.py) calls as it arrives.

    AnswerReceiver    head, data.., end; or failed
    WholeReceiver     all of it at once, where it comes so
    AsideReceiver     interim answers and trailers, too

Names only: nothing here knows how bytes become an answer, or where it goes then.
"""

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from eventing.errors import NoAnswer
from eventing.http.wire import Header


class AnswerReceiver(Protocol):
    """Takes an answer as it arrives; no method may raise."""

    def head(self, status: int, headers: list[Header]) -> None:
        """Final status (interim ones are skipped; 101 means raw bytes from here on) and headers."""

    def data(self, chunk: bytes) -> None:
        """More of the body."""

    def end(self) -> None:
        """That was the whole answer."""

    def failed(self, error: NoAnswer) -> None:
        """There is no answer, or no more of it; nothing is called after this."""


class WholeReceiver(AnswerReceiver, Protocol):
    """One who would rather have an answer at once, if it comes at once."""

    def knows(self, answer: bytes) -> int:
        """
        Status of the *answer*, what one read brought, if it need not even be parsed; else 0.

        That is: it is whole, nothing is behind it, and the connection is kept. Nothing else may happen here.
        """

    def takes(self, status: int, headers: list[Header], answer: bytes) -> bool:
        """
        Whether it wants `whole` in place of head, data and end; nothing else may happen here.

        The *answer* came in one read, and no interim one before it; *headers* are those that it begins with.
        """

    def whole(self, status: int, answer: bytes) -> None:
        """The *answer* as it came; the connection is free again already."""


@runtime_checkable
class AsideReceiver(Protocol):
    """One who wants what comes beside an answer, too; asked for only where there is something."""

    def interim(self, status: int, headers: Collection[Header]) -> None:
        """An interim answer, neither 100 nor 101; the final one follows."""

    def trailers(self, headers: Collection[Header]) -> None:
        """What came behind the body; `end` follows."""
