"""
The way from a source to its sink: POST until it is accepted.

A sink that is away, overloaded or fails is asked again, at first after 50 ms, then twice as long each time,
up to 5 s, for as long as it takes: a source only goes on when its event is safe, and what it reads
from keeps the rest. `Retry-After` is honoured. A sink that refuses the event for good (a 4xx that Knative
does not repeat) ends the attempt.
"""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from eventing import binding
from eventing.event import Event
from eventing.http.client import Client, NoAnswer
from sources.source import Refused

# 404: the broker may not be there yet. 409, 425, 429: "not now". 408: they were slow. (data-plane.md)
_REPEATED = frozenset({404, 408, 409, 425, 429, *range(500, 600)})

_FIRST_WAIT_S = 0.05  # Knative's sources begin with 50 ms
_LONGEST_WAIT_S = 5.0
_TIMEOUT_S = 30.0
_ANSWER_LIMIT_BYTES = 64 * 1024  # only the status is of interest

log = structlog.get_logger(__name__)


class Emitter:
    """One source's `emit`."""

    def __init__(self, client: Client, sink: str, extensions: Mapping[str, str], *, name: str,
                 on_ready: Callable[[], None]) -> None:
        """Send to URL *sink*, with *extensions* overriding; *on_ready* hears of `ready`."""
        self._client = client
        self._sink = sink
        self._extensions = {key.lower(): value for key, value in extensions.items()}
        self._log = log.bind(source=name, sink=sink)
        self.ready = on_ready

    async def __call__(self, event: Event) -> None:
        """Return once the sink has accepted *event*; raise Refused if it never will."""
        headers, body = binding.to_http(Event({**event.attributes, **self._extensions}, event.data))
        wait_s = _FIRST_WAIT_S
        while True:
            problem, retry_after_s = await self._attempt(headers, body)
            if not problem:
                return
            self._log.warning("sink did not accept", id=event.attributes["id"], problem=problem,
                              again_in_s=max(wait_s, retry_after_s))
            await asyncio.sleep(max(wait_s, retry_after_s))
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _attempt(self, headers: list[tuple[bytes, bytes]], body: bytes) -> tuple[str, float]:
        """What went wrong ("" if nothing did), and how long the sink asks to be left alone, in seconds."""
        try:
            answer = await self._client.request("POST", self._sink, headers, body, timeout_s=_TIMEOUT_S,
                                                max_answer_bytes=_ANSWER_LIMIT_BYTES)
        except NoAnswer as error:
            return str(error), 0.0
        if answer.status // 100 == 2:  # noqa: PLR2004  2xx is what accepted means
            return "", 0.0
        if answer.status not in _REPEATED:
            reason = answer.body[:200].decode(errors="replace").strip()
            raise Refused(f"{self._sink} answered {answer.status}: {reason}")
        return f"HTTP {answer.status}", _seconds(dict(answer.headers).get(b"retry-after"))


def _seconds(retry_after: bytes | None) -> float:
    """`Retry-After` in seconds, at most the longest wait; dates and nonsense count as none."""
    if retry_after is None or not retry_after.isdigit():
        return 0.0
    return min(float(retry_after), _LONGEST_WAIT_S)
