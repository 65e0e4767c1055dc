"""
One gRPC probe: grpc.health.v1.Health/Check over HTTP/2 without TLS, as kubelet's `pkg/probe/grpc`.

HTTP/2 is the h2 library's business, which is imported with the first such probe (11 ms, 1.6 MB). The two
messages are one field each and written by hand: a request is `string service = 1`, an answer is an enum,
`status = 1`. Sources: grpc/proto/grpc/health/v1, gRPC's PROTOCOL-HTTP2.
"""

import asyncio
import urllib.parse
from typing import Any

_PATH = "/grpc.health.v1.Health/Check"
_STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_SERVING = 1
_UNIMPLEMENTED, _NOT_FOUND = "12", "5"
_READ_BYTES = 64 * 1024
_ANSWER_BYTES = 4096  # a health answer has 7
_PREFIX_BYTES = 5  # of every message: whether it is compressed, and its length
_NO_HTTP2 = "the answer is no HTTP/2"


async def ask(address: tuple[str, int], service: str) -> str:
    """
    Ask *address* for *service*, "" being the whole server: why it did not pass, or "".

    Raises:
        OSError: no connection, or it broke. The caller limits the time.
    """
    reader, writer = await asyncio.open_connection(*address)
    try:
        return await _check(reader, writer, f"{address[0]}:{address[1]}", service.encode())
    finally:
        writer.transport.abort()


async def _check(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str,
                 service: bytes) -> str:
    import h2.config  # noqa: PLC0415  few need it
    import h2.connection  # noqa: PLC0415
    import h2.exceptions  # noqa: PLC0415

    talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    talk.initiate_connection()
    talk.send_headers(1, [
        (":method", "POST"), (":scheme", "http"), (":path", _PATH), (":authority", authority),
        ("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", "kube-probe/1.0")])
    talk.send_data(1, _message(service), end_stream=True)
    answer = _Answer()
    while answer.verdict is None:
        writer.write(talk.data_to_send())
        data = await reader.read(_READ_BYTES)
        if not data:
            return "the connection was closed without an answer"
        try:
            for event in talk.receive_data(data):
                answer.take(event)
        except h2.exceptions.ProtocolError:
            return _NO_HTTP2
        if data.startswith(b"HTTP/1"):  # the library waits for what looks like a very long frame
            return _NO_HTTP2
    return answer.verdict


class _Answer:
    """What has come of the answer."""

    def __init__(self) -> None:
        self.verdict: str | None = None  # once it is whole, or there will be none
        self._headers: dict[str, str] = {}
        self._body = b""

    def take(self, event: Any) -> None:
        """One event of the connection."""
        import h2.events  # noqa: PLC0415  few need it

        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            self._headers |= {_text(name): _text(value) for name, value in event.headers or ()}
        elif isinstance(event, h2.events.DataReceived):
            self._body += event.data or b""
            if len(self._body) > _ANSWER_BYTES:
                self.verdict = "the answer is too long for one of health"
        elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
            self.verdict = f"the call was cut: HTTP/2 error {int(event.error_code or 0)}"
        elif isinstance(event, h2.events.StreamEnded):
            self.verdict = _verdict(self._headers, self._body)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _message(service: bytes) -> bytes:
    """A HealthCheckRequest for *service* with its prefix."""
    field = b"\x0a" + _varint(len(service)) + service if service else b""
    return b"\0" + len(field).to_bytes(4) + field


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:  # noqa: PLR2004  seven bits a byte
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


def _verdict(headers: dict[str, str], body: bytes) -> str:
    """What the whole answer says, in kubelet's words."""
    if headers.get(":status") != "200":
        return f"HTTP status {headers.get(':status')} where gRPC answers 200"
    code = headers.get("grpc-status", "missing")
    if code == _UNIMPLEMENTED:
        return "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
    if code != "0":
        said = urllib.parse.unquote(headers.get("grpc-message", ""))
        about = " (it knows no such service)" if code == _NOT_FOUND and not said else ""
        return f"health rpc probe failed: grpc-status {code}{about}{': ' if said else ''}{said}"
    message = body[_PREFIX_BYTES:]
    status = message[1] if message[:1] == b"\x08" and len(message) > 1 else 0  # zero is not written
    name = _STATUSES.get(status, status)
    return "" if status == _SERVING else f'service unhealthy (responded with "{name}")'
