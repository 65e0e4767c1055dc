"""
Where the control API is, and what commands ask it that is no object: feeds, and an event's way to a broker.

    --server, else CLARION_SERVER, else the instance on the data directory (CLARION_DATA_DIR, .clarion),
    else http://127.0.0.1:8001

Nothing here imports what only a server needs; a command answers in the time that Python takes to start.
"""

import http.client
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from eventing import instance
from eventing.errors import ClarionError, UsageError

DEFAULT = "http://127.0.0.1:8001"
# A command is answered in milliseconds; a feed may be silent for as long as nothing happens.
_TIMEOUT_S = 30.0

Server = Annotated[str | None, typer.Option(
    "--server", envvar="CLARION_SERVER", show_default="the one on .clarion, else " + DEFAULT,
    help="URL of the control API.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", envvar="CLARION_NAMESPACE", help="Namespace.")]


def find(given: str | None) -> str:
    """URL of the control API, without a slash at its end."""
    if given:
        if not given.startswith(("http://", "https://")):
            raise UsageError(f"--server {given}: give a URL such as {DEFAULT}")
        return given.rstrip("/")
    record = instance.running(Path(os.environ.get("CLARION_DATA_DIR", ".clarion")))
    if record is None:
        return DEFAULT
    return f"http://{instance.reachable(record['host'])}:{record['control_port']}"


def lines(server: str, path: str) -> Iterator[bytes]:
    """
    Lines of a feed, until the server ends it.

    Raises:
        ClarionError: the server cannot be reached, or refuses; says what it said.
    """
    connection = _connect(server, timeout_s=None)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise ClarionError(answer.read().decode(errors="replace").strip())
        while line := answer.readline():
            yield line
    except (OSError, http.client.HTTPException) as error:
        raise unreachable(server, error) from error
    finally:
        connection.close()


def post(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """
    Status and body of the answer to one POST.

    Raises:
        ClarionError: nobody answers there.
    """
    connection = _connect(url, timeout_s=_TIMEOUT_S)
    try:
        connection.request("POST", urlsplit(url).path or "/", body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise unreachable(url, error) from error
    finally:
        connection.close()


def _connect(url: str, *, timeout_s: float | None) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    host = parts.hostname or "localhost"
    if host.endswith(".localhost"):
        host = "127.0.0.1"  # RFC 6761 reserves these names for it, but not every resolver knows
    return kind(host, parts.port, timeout=timeout_s)


def unreachable(url: str, error: Exception) -> ClarionError:
    """One line for a server that does not answer, with the next step."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ClarionError(f"cannot reach {url}: {reason}; is `clarion up` running? --server names another one")
