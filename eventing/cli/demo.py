"""
`clarion demo`: the whole story by itself, on free ports in a temporary directory, ended and gone afterwards.

    start -> zero workers -> publish -> price wakes -> its reply wakes log -> the ping -> zero workers

Everything is done as a person would: `clarion up` as a process, the API, HTTP. Every wait has a deadline;
what does not come in time ends the demo with exit code 1 and what the instance said.
"""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import typer

from eventing import client, instance, process
from eventing.cli import output
from eventing.client import Client
from eventing.errors import ClarionError, UsageError

app = typer.Typer()

_CHECKOUT = Path(__file__).parents[2] / "examples" / "quickstart"
QUICKSTART = _CHECKOUT if _CHECKOUT.is_dir() else Path(sys.prefix) / "share" / "clarion" / "quickstart"
_EVENTING = "/apis/eventing.knative.dev/v1/namespaces/default"
_SERVING = "/apis/serving.knative.dev/v1/namespaces/default"
_START_S = 30.0
_STEP_S = 30.0  # for each step; the longest, to zero, takes the window of 6 s and a little
_POLL_S = 0.1
Found = TypeVar("Found")
_ORDER = b'{"sku":"A1","qty":2}'


@app.command()
def demo(
    files: Annotated[Path, typer.Option(
        "--file", "-f", show_default="examples/quickstart", help="The files of the story.")] = QUICKSTART,
) -> None:
    """
    Show the whole story in under a minute, without a trace.

    Example: clarion demo
    """
    if not files.is_dir():
        raise UsageError(f"{files} is not there; name a folder with -f")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="clarion-demo-") as place, _running(Path(place), files) as server:
        _Story(server, began).tell()
    sys.stdout.write(f"\nDone in {time.monotonic() - began:.0f} s. Everything is stopped, nothing is left.\n")


@contextlib.contextmanager
def _running(place: Path, files: Path) -> Iterator[str]:
    """`clarion up` as a process, Ready; gives the URL of its control API."""
    log = place / "up.log"
    command = [sys.executable, "-m", "eventing", "up", "--data-dir", str(place / "data"), "--port", "0",
               "--control-port", "0", "--file", str(files)]
    with log.open("wb") as file:
        ending = functools.partial(process.end_with, os.getpid(), signal.SIGTERM)
        child = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True,
                                 preexec_fn=ending)  # noqa: PLW1509  there are no threads here
    try:
        record = _wait("the start", lambda: _announced(child, place / "data"), _START_S)
        yield f"http://127.0.0.1:{record['control_port']}"
    except ClarionError as error:
        raise ClarionError(f"{error}; clarion up said: {log.read_text(errors='replace')[-2000:]}") from error
    finally:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(_START_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _announced(child: "subprocess.Popen[bytes]", data_dir: Path) -> dict[str, Any] | None:
    if child.poll() is not None:
        raise ClarionError(f"clarion up ended with {child.returncode}")
    return instance.running(data_dir)


def _wait(what: str, look: Callable[[], Found | None], limit_s: float = _STEP_S) -> Found:
    """What *look* finds, once it finds something; ClarionError when it has not within *limit_s*."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(_POLL_S)
    raise ClarionError(f"{what} did not come within {limit_s:.0f} s")


class _Story:
    """The steps, each printed as it happens."""

    def __init__(self, server: str, began: float) -> None:
        self._client = Client(server)
        self._server = server
        self._began = began

    def tell(self) -> None:
        """All of it."""
        self._say(f"clarion up listens, control API at {self._server}")
        _wait("readiness", self._is_ready)
        self._say("everything of the quickstart is Ready")
        _wait("zero workers", lambda: self._workers() == 0)
        self._say("no function is running: zero workers")
        published = self._publish()
        self._say("published order.placed, accepted: it is on disk")
        when, text = _wait("the first line of price", lambda: self._first_line("price", published))
        woke = output.bold(f"woke from zero and ran in {(when - published) * 1000:.0f} ms")
        self._say(f"function price {woke}: {text}")
        self._tell_event("order.priced", "its reply is an event", published)
        when, text = _wait("the first line of log", lambda: self._first_line("log", published))
        self._say(f"function log woke for it, {(when - published) * 1000:.0f} ms after the order: {text}")
        self._tell_event("dev.knative.sources.ping", "the cron line ticks", published)
        _wait("zero workers", lambda: self._workers() == 0)
        self._say("nothing came for a while: zero workers again")

    def _say(self, text: str) -> None:
        sys.stdout.write(f"{output.dim(f'{time.monotonic() - self._began:5.1f} s')}  {text}\n")
        sys.stdout.flush()

    def _tell_event(self, event_type: str, meaning: str, since: float) -> None:
        data = self._event(event_type, since).get("data")
        self._say(f"{meaning}: {output.bold(event_type)} {json.dumps(data)}")

    def _is_ready(self) -> bool:
        try:
            self._client.request("GET", "/readyz")
        except ClarionError:
            return False
        return True

    def _workers(self) -> int:
        revisions = self._client.get(f"{_SERVING}/revisions")["items"]
        return sum(item.get("status", {}).get("actualReplicas", 0) for item in revisions)

    def _publish(self) -> float:
        """Send the order; Unix time just before."""
        broker = self._client.get(f"{_EVENTING}/brokers/default")
        url = broker["status"]["address"]["url"]
        headers = {"ce-specversion": "1.0", "ce-id": "demo-1", "ce-type": "order.placed",
                   "ce-source": "/demo", "content-type": "application/json"}
        with Client(url) as ingress:
            published = time.time()
            ingress.request("POST", urlsplit(url).path, _ORDER, headers)
        return published

    def _first_line(self, service: str, since: float) -> tuple[float, str] | None:
        """Time and text of the first line that *service* printed after *since*."""
        for line in client.lines(self._server, f"/feeds/logs/default/{service}"):
            stamp, _, rest = line.decode().partition(" ")
            when = datetime.fromisoformat(stamp).timestamp()
            if when >= since:
                return when, rest.partition(" ")[2].strip()
        return None

    def _event(self, event_type: str, since: float) -> dict[str, Any]:
        """The first event of that type after *since*; the cron line's ticks keep the feed from silence."""
        feed = f"/feeds/events?broker=default/default&since={since}"
        for line in client.lines(self._server, feed, silence_s=_STEP_S):
            event: dict[str, Any] = json.loads(line)["event"] if line.strip() else {}
            if event.get("type") == event_type:
                return event
        raise ClarionError(f"the feed ended before {event_type} came")
