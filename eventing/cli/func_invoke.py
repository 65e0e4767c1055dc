"""
One call of a function, as a person makes it: where it is, what it is sent, what comes back.

`clarion func run` notes its URL in the folder (RUNNING), so that a call from there finds it.
"""

import http.client
import json
import os
import socket
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from eventing import client, instance
from eventing.attributes import extension_name, validate
from eventing.errors import ClarionError, NotACloudEvent, NotFound, UsageError

# Where the folder says which `func run` serves it: {"url", "pid"}. Bundles leave .func out.
RUNNING = Path(".func") / "run.json"
_INNER = ".svc.cluster.local"  # as in eventing.config, which is too dear to be imported by every call


def attributes(given: list[str]) -> dict[str, str]:
    """Extension attributes from NAME=VALUE; UsageError for anything else, or a name that none has."""
    found = {}
    for item in given:
        name, is_there, value = item.partition("=")
        if not is_there or not name:
            raise UsageError(f"--extension {item}: give NAME=VALUE, such as -e partitionkey=A1")
        try:
            found[extension_name(name.lower())] = value
        except NotACloudEvent as error:
            raise UsageError(f"--extension {item}: {error}") from error
    return found


def body(data: str, file: Path | None) -> bytes:
    """The bytes to send; UsageError if *file* cannot be read."""
    if file is None:
        return data.encode()
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"--file {file}: {error.strerror}") from error


def running_url(folder: Path) -> str | None:
    """Where `clarion func run` serves *folder* now; None if it does not."""
    try:
        noted: dict[str, Any] = json.loads((folder / RUNNING).read_text())
        os.kill(int(noted["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return None
    return str(noted["url"])


def deployed_url(api: str, namespace: str, name: str) -> str:
    """URL of a deployed function; NotFound, or ClarionError while it has none."""
    with client.Client(api) as connected:
        found = connected.find(f"/apis/serving.knative.dev/v1/namespaces/{namespace}/services/{name}")
    if found is None:
        raise NotFound(f"there is no function {name} in namespace {namespace}; "
                       "clarion func list -A lists them")
    url = (found.get("status") or {}).get("url")
    if not url:
        raise ClarionError(f"function {name} has no URL yet; "
                           f"clarion describe service {name} -n {namespace} says why")
    return str(url)


def _inside(url: str, timeout_s: float) -> socket.socket:
    """A connection to where inner names lead, in the instance on our data directory; ClarionError: none."""
    # Settings cost a command more than all else that it imports, and few calls are for inner names.
    from eventing.config import Config  # noqa: PLC0415

    record = instance.running(Path(os.environ.get("CLARION_DATA_DIR", ".clarion")))
    if record is None:
        raise ClarionError(f"cannot call {url}: names under {_INNER} lead nowhere outside Clarion; call it "
                           "on Clarion's machine, in the folder that has .clarion, or set CLARION_DATA_DIR")
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout_s)
        connection.connect(str(Config.model_validate({"data_dir": record["data_dir"]}).activator_socket))
    except OSError:
        connection.close()
        raise
    return connection


@dataclass(frozen=True, kw_only=True)
class Call:
    """What is sent."""

    data: bytes
    content_type: str
    method: str
    event_type: str
    source: str
    event_id: str | None
    extensions: dict[str, str]
    timeout_s: float

    def send(self, url: str, form: str, *, is_verbose: bool) -> None:
        """
        Send it to *url* and print the answer's body; *form*: `http` or `cloudevent`.

        Raises:
            UsageError: there is no such form, or it would be no event.
            ClarionError: nobody answers, or the answer is an error.
        """
        if form not in {"http", "cloudevent"}:
            raise UsageError(f"--format {form}: choose http or cloudevent")
        method = self.method.upper() if form == "http" else "POST"
        answer, content = self._ask(url, method, self._headers(form))
        if is_verbose:
            head = "".join(f"{name}: {value}\n" for name, value in answer.getheaders())
            sys.stderr.write(f"{answer.status} {answer.reason}\n{head}\n")
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            said = content.decode(errors="replace").strip() or answer.reason
            raise ClarionError(f"{url} answered {answer.status}: {said}")
        sys.stdout.buffer.write(content)
        if content and not content.endswith(b"\n"):
            sys.stdout.buffer.write(b"\n")
        if not content:
            sys.stderr.write(f"{answer.status} {answer.reason}, without a body\n")

    def _headers(self, form: str) -> dict[str, str]:
        headers = {"content-type": self.content_type}
        if form == "cloudevent":
            event_id = str(uuid.uuid4()) if self.event_id is None else self.event_id
            event = {"specversion": "1.0", "id": event_id, "type": self.event_type, "source": self.source,
                     **self.extensions}
            try:
                validate(event)
            except NotACloudEvent as error:
                raise UsageError(str(error)) from error
            headers |= {f"ce-{name}": value for name, value in event.items()}
        return headers

    def _ask(
        self, url: str, method: str, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        parts = urlsplit(url)
        # The name is the address: several functions share a port.
        headers["host"] = parts.netloc
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        connection = client.connect(url, self.timeout_s)
        try:
            if (parts.hostname or "").endswith(_INNER):
                connection.sock = _inside(url, self.timeout_s)
            connection.request(method, path, self.data if method != "GET" else None, headers)
            answer = connection.getresponse()
            return answer, answer.read()
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ClarionError(f"cannot call {url}: {reason}") from error
        finally:
            connection.close()
