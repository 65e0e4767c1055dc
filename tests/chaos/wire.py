"""HTTP/1.1 with nothing of the product in it: just what producers and subscribers of this run need."""

import asyncio
import base64
import json
from collections.abc import Mapping
from urllib.parse import quote, unquote

_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_LIMIT_BYTES = 1 << 20


async def read(reader):
    """(first line, headers, body) of the next message; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ConnectionResetError("the connection ended within a head") from error
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    try:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the connection ended within a body") from error
    return first, headers, body


def binary(attributes: Mapping[str, str], data: bytes) -> tuple[dict[str, str], bytes]:
    """Headers and body of an event in binary mode."""
    headers = {"ce-specversion": "1.0"}
    for name, value in attributes.items():
        headers["content-type" if name == "datacontenttype" else f"ce-{name}"] = quote(value, safe=_SAFE)
    return headers, data


def batch(events) -> tuple[dict[str, str], bytes]:
    """Headers and body of several events, (attributes, data) each, in one request."""
    body = [{"specversion": "1.0", **attributes, "data_base64": base64.b64encode(data).decode()}
            for attributes, data in events]
    return {"content-type": "application/cloudevents-batch+json"}, json.dumps(body).encode()


def attributes_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Attributes of an event that came in binary mode."""
    found = {name[3:]: unquote(value) for name, value in headers.items()
             if name.startswith("ce-") and name != "ce-specversion"}
    if "content-type" in headers:
        found["datacontenttype"] = headers["content-type"]
    return found


class Connection:
    """A client's connection, made when it is needed, given up at the first trouble."""

    def __init__(self, port):
        """Post to *port* on loopback."""
        self._port = port
        self._writer = None

    async def post(self, target, headers, body, timeout_s):
        """Status of the answer; raises OSError, ValueError or TimeoutError when there is none."""
        try:
            async with asyncio.timeout(timeout_s):
                if self._writer is None:
                    self._reader, self._writer = await asyncio.open_connection(
                        "127.0.0.1", self._port, limit=_LIMIT_BYTES)
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                head = (f"POST {target} HTTP/1.1\r\nhost: localhost\r\n{lines}"
                        f"content-length: {len(body)}\r\n\r\n")
                self._writer.write(head.encode() + body)
                answer = await read(self._reader) or ["closed without an answer"]
                return int(answer[0].split()[1])
        except BaseException:
            self.close()
            raise

    def close(self):
        """Cut it, if there is one."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None
