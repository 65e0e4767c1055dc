"""
The request log: what a line says of one request that a worker, or the activator in its place, has answered.

Off unless config-observability asks for it (serving/objects/observability.py). A line goes where what the
worker prints goes, to the log of its revision.
"""

from collections.abc import Callable
from dataclasses import dataclass

from eventing.http.exchange import Exchange
from serving.activator.breaker import Slot
from serving.activator.pool import Pool
from serving.objects.observability import HEADER, Template

CONFIG = "knative-serving/config-observability"

@dataclass(frozen=True)
class Answered:
    """One request, as far as a line can tell of it."""

    exchange: Exchange
    pool: Pool
    slot: Slot | None  # None: no worker had it
    status: int
    answer_bytes: int
    latency_s: float

    def header(self, name: str) -> str:
        """The first header called *name*."""
        return (self.exchange.header(name.lower().encode()) or b"").decode("latin-1")

    def value(self, field: str) -> str:
        """What a template's *field* stands for."""
        if field.startswith(HEADER):
            return self.header(field.removeprefix(HEADER))
        return _FIELDS[field](self)

    @property
    def remote(self) -> str:
        """Where the request came from: said by the hop before us, where that is our own."""
        return self.exchange.peer or self.header("x-forwarded-for").rpartition(",")[2].strip()

    @property
    def trace(self) -> str:
        """The id of its trace."""
        parts = self.header("traceparent").split("-")
        return parts[1] if len(parts) > 1 else self.header("x-b3-traceid")


Field = Callable[[Answered], str]

_FIELDS: dict[str, Field] = {
    ".Request.Method": lambda it: it.exchange.method.decode("latin-1"),
    ".Request.RequestURI": lambda it: it.exchange.target.decode("latin-1"),
    ".Request.Host": lambda it: it.header("host"),
    ".Request.ContentLength": lambda it: "-1" if it.exchange.is_chunked else str(it.exchange.announced_bytes),
    ".Request.UserAgent": lambda it: it.header("user-agent"),
    ".Request.Referer": lambda it: it.header("referer"),
    ".Request.RemoteAddr": lambda it: it.remote,
    ".Request.Proto": lambda it: "HTTP/1.0" if it.exchange.old else "HTTP/1.1",
    ".Response.Code": lambda it: str(it.status),
    ".Response.Size": lambda it: str(it.answer_bytes),
    ".Response.Latency": lambda it: f"{it.latency_s:.6f}",
    ".Revision.Name": lambda it: it.pool.name.partition("/")[2],
    ".Revision.Namespace": lambda it: it.pool.name.partition("/")[0],
    ".Revision.Service": lambda it: it.pool.record.get("service") or "",
    ".Revision.Configuration": lambda it: it.pool.record.get("configuration") or "",
    ".Revision.PodName": lambda it: it.slot.worker.id if it.slot else "",
    ".Revision.PodIP": lambda it: it.slot.worker.address[0] if it.slot else "",
    ".TraceID": lambda it: it.trace,
}


class RequestLog:
    """Writes the lines."""

    def __init__(self, template: Template, note: Callable[[Pool, Slot | None, str], None]) -> None:
        """*note* puts a line into the log of a revision."""
        self._template = template
        self._note = note

    def __repr__(self) -> str:
        """Its name."""
        return "<RequestLog>"

    def add(self, answered: Answered) -> None:
        """Log one request."""
        self._note(answered.pool, answered.slot, self._template.line(answered.value))
