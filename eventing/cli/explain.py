"""
`clarion explain`: whether a Trigger wants an event, and which part of its filter says so, and why.

The filter is evaluated here, as the dispatcher does it; nothing is sent. What became of an event that came by
is looked for by its id (explain_event.py). The exit code is 0 if the event would be delivered, 1 if it would
not, and 2 if that cannot be said.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from eventing import binding, client
from eventing.cli import explain_event, output, server
from eventing.errors import ClarionError, NotACloudEvent, UsageError
from eventing.event import Event

app = typer.Typer()


@app.command()
def explain(
    what: Annotated[str, typer.Argument(help="trigger, trigger/NAME, or event.")],
    name: Annotated[str | None, typer.Argument(help="Name of the Trigger, or id of the event.",
                                               show_default=False)] = None,
    *,
    event: Annotated[str | None, typer.Option(help="File with the event as JSON, - for stdin.",
                                              show_default=False)] = None,
    broker: Annotated[str, typer.Option("--broker", "-b", help="Where the event came.")] = "default",
    since: Annotated[str, typer.Option(help="How far to look back for it: 30s, 5m, 2h, 1d.")] = "1h",
    show_all: Annotated[bool, typer.Option("--all", help="With an id: every Trigger that does not want it, "
                                                         "however many.")] = False,
    form: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    Say why a Trigger wants an event, or why not; or what became of an event that came.

    With the id of an event: each Trigger of the broker, whether it wants the event, which part of its filter
    says no, and as far as that is known whether it was delivered, is retried, given up or waits, and why.

    Every part of its filter is judged, with a reason. An event is JSON as `clarion tail -o json` prints it.
    Exit code 0: the Trigger wants it; 1: it does not (with an id: no Trigger does); 2: there is no such
    Trigger or event, nobody to ask, or its filter does not compile (with an id: its line says so).

    Example: clarion explain trigger price --event order.json

    What became of one: clarion explain event 4711 --broker default --since 1d

    Or of what just came by: clarion tail --since 10m -c 1 -o json | clarion explain trigger price --event -
    """
    if form not in {"text", "json"}:
        raise UsageError(f"-o {form}: choose text or json")
    if what in {"event", "events"} and name and event is None:
        place = explain_event.Place(namespace, broker, output.duration_s(since), server_url)
        explain_event.tell(name, place, explain_event.Form(form == "json", show_all, _lines), _verdicts)
        return
    chosen, given = _named(what, name), _load(event)
    trigger = _trigger(chosen, namespace, server_url)
    verdicts = _verdicts(trigger, given)
    passes = all(verdict.passes for verdict in verdicts)
    if form == "json":
        shown = {"passes": passes, "verdicts": [asdict(verdict) for verdict in verdicts]}
        sys.stdout.write(f"{json.dumps(shown)}\n")
    else:
        sys.stdout.write(_told(trigger, verdicts, passes=passes))
    if not passes:
        raise typer.Exit(1)


def _named(what: str, name: str | None) -> str:
    """Name of the Trigger."""
    kind, _, after = what.partition("/")
    chosen = name or after
    if kind.lower() not in {"trigger", "triggers"} or not chosen or (name and after):
        raise UsageError("say which Trigger: clarion explain trigger NAME --event FILE, "
                         "or which event: clarion explain event ID")
    return chosen


def _trigger(name: str, namespace: str, server_url: str | None) -> dict[str, Any]:
    path = f"/apis/eventing.knative.dev/v1/namespaces/{quote(namespace, '')}/triggers/{quote(name, '')}"
    try:
        with client.Client(server.find(server_url)) as connected:
            found = connected.find(path)
    except ClarionError as error:  # 1 says that the Trigger does not want the event
        raise UsageError(str(error)) from error
    if found is None:
        raise UsageError(f"there is no Trigger {namespace}/{name}; clarion get triggers -A lists them")
    return found


def _load(path: str | None) -> Event:
    if path is None:
        raise UsageError("say which event: --event FILE, - for stdin")
    try:
        text = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return binding.from_json(text)
    except OSError as error:
        raise UsageError(f"--event {path}: {error.strerror}") from error
    except NotACloudEvent as error:
        raise UsageError(f"--event {path}: {error}") from error


def _verdicts(trigger: dict[str, Any], event: Event) -> list[Any]:
    # What filters are made of takes a while to import: only here.
    from eventing.broker import explain as explaining  # noqa: PLC0415
    from eventing.broker.filters import FilterInvalid  # noqa: PLC0415

    try:
        return explaining.explain(trigger.get("spec") or {}, event)
    except FilterInvalid as error:
        raise UsageError(f"the filter does not compile: {error}") from error


def _told(trigger: dict[str, Any], verdicts: list[Any], *, passes: bool) -> str:
    """The answer in a sentence, and what each part of the filter says below."""
    name = f"{trigger['metadata']['namespace']}/{trigger['metadata']['name']}"
    text = f"Trigger {name} {'wants' if passes else 'does not want'} this event.\n"
    if not verdicts:
        text += "  It has no filter: it wants every event of its broker.\n"
    text += "".join(_lines(verdicts, 1))
    ready = next((each for each in (trigger.get("status") or {}).get("conditions", ())
                  if each["type"] == "Ready"), {"status": "Unknown"})
    if ready["status"] != "True":
        why = ready.get("message") or ready.get("reason") or "not reconciled yet"
        text += f"It is not Ready: {why}\n"
    return text


def _lines(verdicts: Any, depth: int) -> list[str]:
    lines = []
    for verdict in verdicts:
        mark = output.bold("yes") if verdict.passes else output.bold("no ")
        facts = " ".join(filter(None, (verdict.path, verdict.wanted)))
        why = f"  {output.dim(verdict.reason)}" if verdict.reason else ""
        lines += [f"{'  ' * depth}{mark}  {facts}{why}\n", *_lines(verdict.parts, depth + 1)]
    return lines
