"""
Usual answers of subscribers: done, and nothing beside. One that came before, byte by byte, is not parsed.

A subscriber's are the same until its clock's second changes. Parsing one, and taking it in piece by piece,
costs 1.6 us, a twentieth of what an event costs the dispatcher. Pure.
"""

from eventing.http import wire
from eventing.http.wire import Header

_END = b"\r\n\r\n"
_KNOWN = 256
_LONGEST_BYTES = 1024  # so that all of them are a quarter of a MiB at most


class UsualAnswers:
    """Those that one sender has seen."""

    def __init__(self) -> None:
        """None yet."""
        self._statuses: dict[bytes, int] = {}

    def __repr__(self) -> str:
        """How many."""
        return f"<UsualAnswers [{len(self._statuses)}]>"

    def status(self, answer: bytes) -> int:
        """Status of *answer*, as one read brought it; 0 if it is not known."""
        return self._statuses.get(answer, 0)

    def learn(self, status: int, headers: list[Header], answer: bytes) -> bool:
        """Know *answer*, parsed and whole, if it is a success without a body and the connection goes on."""
        is_usual = (200 <= status < 300 and len(answer) <= _LONGEST_BYTES  # noqa: PLR2004  HTTP's own classes
                    and answer.find(_END) == len(answer) - len(_END) and answer.startswith(b"HTTP/1.1 ")
                    and wire.find(headers, b"connection") is None
                    and wire.find(headers, b"transfer-encoding") is None)
        if is_usual:
            if len(self._statuses) == _KNOWN:
                self._statuses.clear()
            self._statuses[answer] = status
        return is_usual
