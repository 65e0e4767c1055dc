"""`clarion send` and `clarion tail`: an event's way in, and what arrives."""

import contextlib
import itertools
import json
import sys
import time
import uuid
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

import typer

from eventing import client
from eventing.cli import output, server
from eventing.errors import ClarionError, NotFound, UsageError

app = typer.Typer()

Broker = Annotated[str, typer.Option("--broker", "-b", help="[NAMESPACE/]NAME of the broker.")]

_OURS = {"id", "source", "specversion", "type", "time", "datacontenttype", "data", "data_base64"}


@app.command()
def send(
    *,
    event_type: Annotated[str, typer.Option("--type", "-t", help="The event's type.")],
    source: Annotated[str, typer.Option(help="The event's source, a URI reference.")] = "/clarion/send",
    data: Annotated[str | None, typer.Option(
        "--data", "-d", help="JSON or text, @FILE for a file's bytes, - for stdin.")] = None,
    attr: Annotated[list[str] | None, typer.Option(
        "--attr", "-a", help="Any attribute, NAME=VALUE; may be given often.")] = None,
    broker: Broker = "default",
    event_id: Annotated[str | None, typer.Option(
        "--id", show_default="a new UUID", help="The event's id.")] = None,
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    Send one event to a broker.

    Prints the event's id once the broker has it on disk. JSON data is sent as application/json, any other as
    text/plain; --attr datacontenttype=... says otherwise.

    Example: clarion send --type order.placed --data '{"sku": "A1", "qty": 2}'
    """
    attributes = {"specversion": "1.0", "type": event_type, "source": source,
                  "id": event_id or str(uuid.uuid4()), **_attributes(attr or [])}
    body = _body(data)
    if body is not None:
        attributes.setdefault("datacontenttype", "application/json" if _is_json(body) else "text/plain")
    url = _address(broker if "/" in broker else f"{namespace}/{broker}", server.find(server_url))
    headers = {f"ce-{key}": _header(value)
               for key, value in attributes.items() if key != "datacontenttype"}
    if "datacontenttype" in attributes:
        headers["content-type"] = attributes["datacontenttype"]
    with client.Client(url) as broker_ingress:
        broker_ingress.request("POST", urlsplit(url).path, body or b"", headers)
    sys.stdout.write(f"{attributes['id']}\n")


def _address(broker: str, api: str) -> str:
    """URL of a broker, asked of the API rather than guessed."""
    namespace, _, name = broker.partition("/")
    with client.Client(api) as connected:
        found = connected.find(f"/apis/eventing.knative.dev/v1/namespaces/{namespace}/brokers/{name}")
    if found is None:
        raise NotFound(f"there is no broker {broker}; clarion get brokers -A lists them")
    url = ((found.get("status") or {}).get("address") or {}).get("url")
    if not url:
        raise ClarionError(f"broker {broker} has no address yet; "
                           f"clarion describe broker {name} -n {namespace} says why")
    return str(url)


def _attributes(given: list[str]) -> dict[str, str]:
    found = {}
    for item in given:
        key, is_there, value = item.partition("=")
        if not is_there or not key:
            raise UsageError(f"--attr {item}: give NAME=VALUE, such as --attr partitionkey=A1")
        found[key.lower()] = value
    return found


def _body(data: str | None) -> bytes | None:
    if data == "-":
        return sys.stdin.buffer.read()
    if data is not None and data.startswith("@"):
        try:
            return Path(data[1:]).read_bytes()
        except OSError as error:
            raise UsageError(f"--data {data}: {error.strerror}") from error
    return None if data is None else data.encode()


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _header(value: str) -> str:
    """Percent-encoding of CloudEvents' HTTP binding, section 3.1.3.2: what no header takes."""
    return "".join(char if "!" <= char <= "~" and char not in '"%' else
                   "".join(f"%{byte:02X}" for byte in char.encode()) for char in value)


@app.command()
def tail(
    *,
    broker: Broker = "default",
    wanted: Annotated[list[str] | None, typer.Option(
        "--filter", "-f", help="Only events with this attribute, NAME=VALUE; may be given often.")] = None,
    since: Annotated[str | None, typer.Option(help="Begin that long ago: 30s, 5m, 2h, 1d.")] = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with what comes.")] = True,
    form: Annotated[str, typer.Option("--output", "-o", help="text or json (an event a line).")] = "text",
    count: Annotated[int | None, typer.Option("--count", "-c", min=1, help="End after so many.")] = None,
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    Print events as they arrive at a broker.

    Ctrl-C ends it.

    Example: clarion tail --filter type=order.placed
    """
    if form not in {"text", "json"}:
        raise UsageError(f"-o {form}: choose text or json")
    name = broker if "/" in broker else f"{namespace}/{broker}"
    query = {"broker": name, "follow": str(follow).lower()}
    if since:
        query["since"] = str(time.time() - output.duration_s(since))
    filters = _attributes(wanted or [])
    feed = client.endless if follow else client.lines
    records = map(json.loads, filter(bytes.strip, feed(
        server.find(server_url), f"/feeds/events?{urlencode(query)}")))
    chosen = (record for record in records
              if all(record["event"].get(key) == value for key, value in filters.items()))
    with contextlib.suppress(KeyboardInterrupt):
        for record in itertools.islice(chosen, count):
            sys.stdout.write(f"{json.dumps(record['event'])}\n" if form == "json" else _text(record))
            sys.stdout.flush()


def _text(record: dict[str, Any]) -> str:
    """Time, type and source of one event on a line, its extensions beside, its data below."""
    event = record["event"]
    when = int(record["id"].partition("-")[0]) / 1000
    clock = f"{time.strftime('%H:%M:%S', time.localtime(when))}.{int(when * 1000) % 1000:03d}"
    more = " ".join(f"{key}={value}" for key, value in event.items()
                    if key not in _OURS and not key.startswith("knative"))
    facts = [output.dim(clock), output.bold(event["type"]), event["source"], output.dim(f"id={event['id']}")]
    head = " ".join(facts + ([output.dim(more)] if more else [])).replace("\n", "\\n")
    data = event.get("data", event.get("data_base64"))
    body = "" if data is None else data if isinstance(data, str) else json.dumps(data)
    return f"{head}\n" + "".join(f"    {line}\n" for line in body.splitlines())
