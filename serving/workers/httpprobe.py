"""
One HTTP probe: GET, and what its status says; as kubelet's `pkg/probe/http`.

    200..399                  passes
    redirect, same place      followed, ten times at most
    redirect, another host    passes: whoever answered is well, and the other one is not asked
    scheme HTTPS              the certificate is not looked at

Another port is another host: all workers share those of this machine, where a pod has its own.
Each on a connection of its own: an idle one would be one more that the worker has to keep.
"""

import asyncio
import contextlib
import functools
import ssl
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_REDIRECTS = 10
_HEAD_BYTES = 64 * 1024
_BODY_BYTES = 10 * 1024  # as kubelet: read and forgotten, so that a server which still writes is not cut
_DEFAULTS = {"User-Agent": "kube-probe/1.0", "Accept": "*/*"}
_LAST_CHUNK = b"0\r\n\r\n"
_EMPTY = frozenset({204, 304})
_FOLLOWED = frozenset({301, 302, 303, 307, 308})
_SAFE = "/:@!$&'()*+,;=~-._%?"


class _Said(NamedTuple):
    status: int
    fields: Mapping[str, str]


async def ask(address: tuple[str, int], handler: Mapping[str, Any]) -> str:
    """
    Ask *address* as the `httpGet` *handler* says: why it did not pass, or "".

    Raises:
        OSError: no connection, or it broke; also ssl.SSLError. The caller limits the time.
        ValueError: it redirects to what is no URL.
    """
    scheme = str(handler.get("scheme") or "HTTP").lower()
    path = "/" + str(handler.get("path") or "").removeprefix("/")
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    url = f"{scheme}://{host}:{address[1]}{path}"
    fields = _fields(handler.get("httpHeaders") or ())
    for _ in range(_REDIRECTS):
        said = await _get(url, fields)
        if said is None:
            return "the answer is no HTTP/1.1"
        if said.status not in _FOLLOWED or "location" not in said.fields:
            break
        target = urllib.parse.urljoin(url, said.fields["location"])
        if _place(target) != _place(url):
            break
        url = target
    else:
        return f"stopped after {_REDIRECTS} redirects"
    passes = 200 <= said.status < 400  # noqa: PLR2004  Kubernetes' definition of a success
    return "" if passes else f"HTTP probe failed with statuscode: {said.status}"


def _place(url: str) -> tuple[str | None, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _fields(asked: Iterable[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Headers to send; one of the defaults that is asked for without a value is left out."""
    found = [(field["name"], field.get("value") or "") for field in asked if field.get("name")]
    named = {name.title() for name, _ in found}
    found = [(name, value) for name, value in found if value or name.title() not in _DEFAULTS]
    return [*((name, value) for name, value in _DEFAULTS.items() if name not in named), *found]


async def _get(url: str, fields: list[tuple[str, str]]) -> _Said | None:
    parts = urllib.parse.urlsplit(url)
    reader, writer = await asyncio.open_connection(
        *_place(url), limit=_HEAD_BYTES, ssl=_unverified() if parts.scheme == "https" else None)
    target = urllib.parse.quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        target += "?" + urllib.parse.quote(parts.query, safe=_SAFE)
    host = [] if any(name.title() == "Host" for name, _ in fields) else [("Host", parts.netloc)]
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in (*host, *fields)),
             "Connection: close", "", ""]
    try:
        writer.write("\r\n".join(lines).encode())
        said = await _read(reader)
        if said is not None:
            await _forget_body(reader, said)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        return None
    finally:
        writer.transport.abort()  # nothing is on its way, and TLS might wait for a farewell
    return said


async def _read(reader: asyncio.StreamReader) -> _Said | None:
    """The head of the answer, behind those that are only on the way to it (1xx)."""
    while True:
        first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        version, _, after = first.partition(" ")
        if not version.startswith("HTTP/1."):
            return None
        status = int(after[:3])
        if status >= 200:  # noqa: PLR2004  RFC 9110, section 15.2
            parts = (line.partition(":") for line in rest if line)
            return _Said(status, {name.strip().lower(): value.strip() for name, _, value in parts})


async def _forget_body(reader: asyncio.StreamReader, said: _Said) -> None:
    """Read the body, or so much of it that nobody can say we had not listened."""
    length = int(said.fields.get("content-length") or _BODY_BYTES)
    if said.status in _EMPTY:
        return
    body = b""
    with contextlib.suppress(OSError):
        while len(body) < min(length, _BODY_BYTES) and not body.endswith(_LAST_CHUNK):
            chunk = await reader.read(_BODY_BYTES)
            if not chunk:
                return
            body += chunk


@functools.cache
def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
