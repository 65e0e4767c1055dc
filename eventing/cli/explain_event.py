"""
`clarion explain event ID`: which Triggers want an event that came, and what became of it there.

What is known of its deliveries is asked of the server; the filters are evaluated here, as for one Trigger.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import typer

from eventing import binding, client
from eventing.cli import output, server
from eventing.errors import ClarionError, UsageError
from eventing.event import Event

Resource = dict[str, Any]
Judge = Callable[[Resource, Event], list[Any]]  # a Trigger's filters: a verdict each
Lines = Callable[[Any, int], list[str]]

_STATES = {
    "delivered": "delivered", "dead letter sink": "given up, and sent to the dead letter sink",
    "retry": "failed, and is retried", "dead": "given up: a dead letter",
    "waiting": "waits to be sent", "unknown": "nothing is on record of it",
}


class Place(NamedTuple):
    """Where an event is looked for, and how far back."""

    namespace: str
    broker: str
    since_s: float
    server_url: str | None


def tell(event_id: str, place: Place, form: str, judge: Judge, lines: Lines) -> None:
    """Print what became of the event; *form*: text or json. Exit code 1: nobody wants it, 2: not found."""
    answer, triggers = _ask(event_id, place)
    if not answer["found"]:
        more = "" if answer["is_whole"] else " (there are too many to look at all: give a shorter --since)"
        raise UsageError(f"no event {event_id} came to broker {place.namespace}/{place.broker} in the last "
                         f"{output.length(place.since_s)}{more}; --broker and --since look elsewhere")
    is_wanted = False
    for found in answer["found"]:
        event = binding.from_json(json.dumps(found["event"]).encode())
        judged = [(trigger, judge(trigger, event)) for trigger in triggers]
        wants = [all(verdict.passes for verdict in verdicts) for _, verdicts in judged]
        is_wanted |= any(wants)
        if form == "json":
            shown = [{**_fate(found, trigger), "passes": passes}
                     for (trigger, _), passes in zip(judged, wants, strict=True)]
            sys.stdout.write(f"{json.dumps({**found, 'fates': shown})}\n")
        else:
            sys.stdout.write(_head(found, place) + "".join(
                _told(found, trigger, verdicts, lines) for trigger, verdicts in judged))
            if not any(wants):
                sys.stdout.write("No Trigger of this broker wants it: it is delivered to nobody.\n")
    if not is_wanted:
        raise typer.Exit(1)


def _ask(event_id: str, place: Place) -> tuple[Resource, list[Resource]]:
    """What the server knows, and the broker's Triggers."""
    query = urlencode({"id": event_id, "since": time.time() - place.since_s})
    namespace = quote(place.namespace, "")
    try:
        with client.Client(server.find(place.server_url)) as connected:
            answer = connected.get(f"/fates/{namespace}/{quote(place.broker, '')}?{query}")
            listed = connected.get(f"/apis/eventing.knative.dev/v1/namespaces/{namespace}/triggers")["items"]
    except ClarionError as error:  # 1 says that no Trigger wants the event
        raise UsageError(str(error)) from error
    return answer, [item for item in listed if _broker(item) == place.broker]


def _broker(trigger: Resource) -> str:
    spec = trigger.get("spec") or {}
    return str(spec.get("broker") or (spec.get("brokerRef") or {}).get("name") or "")


def _fate(found: Resource, trigger: Resource) -> Resource:
    name = f"{trigger['metadata']['namespace']}/{trigger['metadata']['name']}"
    return next((fate for fate in found["fates"] if fate["trigger"] == name),
                {"trigger": name, "state": "unknown"})


def _head(found: Resource, place: Place) -> str:
    event, ago = found["event"], output.length(time.time() - found["when"])
    return (f"Event {event['id']} (type {event['type']}, source {event['source']}) came to broker "
            f"{place.namespace}/{place.broker} {ago} ago.\n")


def _told(found: Resource, trigger: Resource, verdicts: list[Any], lines: Lines) -> str:
    """A line for one Trigger, and what its filter says below if that is no."""
    name, fate = trigger["metadata"]["name"], _fate(found, trigger)
    if not all(verdict.passes for verdict in verdicts):
        was = "" if fate["state"] in {"unknown", "waiting"} else f"; but it was: {_became(fate)}"
        return f"  {output.bold('no ')}  {name}: its filter says no{was}\n" + "".join(lines(verdicts, 3))
    return f"  {output.bold('yes')}  {name}: {_became(fate)}\n"


def _became(fate: Resource) -> str:
    """What became of it, in words."""
    text = _STATES[fate["state"]]
    if fate.get("when") is None:
        return text
    now = time.time()
    text += f" ({output.length(now - fate['when'])} ago, attempt {fate['attempt']}"
    text += f", answer {fate['status']})" if fate["status"] else ", no answer)"
    if fate["reason"]:
        text += f": {fate['reason']}"
    if fate["next_at"]:
        text += f"; next try in {output.length(fate['next_at'] - now)}"
    return text
