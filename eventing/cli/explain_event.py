"""
`clarion explain event ID`: which Triggers want an event that came, and what became of it there.

What is known of its deliveries is asked of the server; the filters are evaluated here, as for one Trigger. An
event that came several times, as one that its Trigger replies to the same broker, is told of once.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import typer

from eventing import binding, client
from eventing.cli import output, server
from eventing.errors import ClarionError, UsageError
from eventing.event import Event

Resource = dict[str, Any]
Judge = Callable[[Resource, Event], list[Any]]  # a Trigger's filters: a verdict each; raises UsageError
Lines = Callable[[Any, int], list[str]]

_FEW = 20  # Triggers that do not want it, told of one by one

_STATES = {
    "delivered": "delivered", "dead letter sink": "given up, and sent to the dead letter sink",
    "retry": "failed, and is retried", "dead": "given up: a dead letter",
    "waiting": "waits to be sent", "unknown": "nothing is on record of it",
}
_NOTHING = frozenset({"unknown", "waiting"})  # of a Trigger that does not want the event


class Place(NamedTuple):
    """Where an event is looked for, and how far back."""

    namespace: str
    broker: str
    since_s: float
    server_url: str | None


class Form(NamedTuple):
    """How it is told: as JSON or as text, which has many Triggers that do not want the event in one line."""

    is_json: bool
    is_all: bool
    lines: Lines


class _Judged(NamedTuple):
    """What one Trigger's filter says of the event; *problem*: why it says nothing."""

    trigger: Resource
    verdicts: list[Any]
    problem: str

    @property
    def passes(self) -> bool:
        return not self.problem and all(verdict.passes for verdict in self.verdicts)


def tell(event_id: str, place: Place, form: Form, judge: Judge) -> None:
    """Print what became of the event. Exit code 1: nobody wants it, 2: not found."""
    answer, triggers = _ask(event_id, place)
    if not answer["found"]:
        more = "" if answer["is_whole"] else " (there are too many to look at all: give a shorter --since)"
        raise UsageError(f"no event {event_id} came to broker {place.namespace}/{place.broker} in the last "
                         f"{output.length(place.since_s)}{more}; --broker and --since look elsewhere")
    is_wanted = False
    blocks: dict[tuple[Any, ...], tuple[list[Resource], list[_Judged]]] = {}
    for found in answer["found"]:
        event = binding.from_json(json.dumps(found["event"]).encode())
        judged = [_judged(trigger, event, judge) for trigger in triggers]
        wants = tuple(each.passes for each in judged)
        is_wanted |= any(wants)
        if form.is_json:
            shown = [{**_fate(found, each.trigger), "passes": each.passes,
                      **({"problem": each.problem} if each.problem else {})} for each in judged]
            sys.stdout.write(f"{json.dumps({**found, 'fates': shown})}\n")
        else:
            same = event.attributes["source"], event.attributes["type"], wants
            blocks.setdefault(same, ([], judged))[0].append(found)
    for copies, judged in blocks.values():
        sys.stdout.write(_head(copies, place, is_whole=answer["is_whole"]) + _block(copies, judged, form))
    if not is_wanted:
        raise typer.Exit(1)


def _judged(trigger: Resource, event: Event, judge: Judge) -> _Judged:
    try:
        return _Judged(trigger, judge(trigger, event), "")
    except UsageError as error:
        return _Judged(trigger, [], str(error))


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


def _head(copies: list[Resource], place: Place, *, is_whole: bool) -> str:
    event, ago = copies[0]["event"], output.length(time.time() - copies[0]["when"])
    times = f" {len(copies)} times{'' if is_whole else ' or more'}" if len(copies) > 1 else ""
    return (f"Event {event['id']} (type {event['type']}, source {event['source']}) came{times} to broker "
            f"{place.namespace}/{place.broker}{', the last' if times else ''} {ago} ago.\n")


def _block(copies: list[Resource], judged: list[_Judged], form: Form) -> str:
    """A line and what is below it for each Trigger; those that have nothing to do with it in one, if many."""
    idle = [_is_idle(copies, each) for each in judged]
    is_short = sum(idle) > _FEW and not form.is_all
    text = "".join(_told(copies, each, form.lines) for each, is_idle in zip(judged, idle, strict=True)
                   if not (is_short and is_idle))
    if is_short:
        text += f"  {output.bold('no ')}  {sum(idle)} more do not want it; --all shows them\n"
    if not any(each.passes for each in judged):
        text += "No Trigger of this broker wants it: it is delivered to nobody.\n"
    return text


def _is_idle(copies: list[Resource], judged: _Judged) -> bool:
    return not judged.problem and not judged.passes and all(
        _fate(found, judged.trigger)["state"] in _NOTHING for found in copies)


def _told(copies: list[Resource], judged: _Judged, lines: Lines) -> str:
    """A line for one Trigger, and what its filter says below if that is no."""
    name = judged.trigger["metadata"]["name"]
    if judged.problem:
        return f"  {output.bold('no ')}  {name}: Ready=False, gets nothing: {judged.problem}\n"
    fates = [_fate(found, judged.trigger) for found in copies]
    if judged.passes:
        return f"  {output.bold('yes')}  {name}: {_all_became(fates)}\n"
    fates = [fate for fate in fates if fate["state"] not in _NOTHING]
    was = f"; but it was: {_all_became(fates)}" if fates else ""
    return f"  {output.bold('no ')}  {name}: its filter says no{was}\n" + "".join(lines(judged.verdicts, 3))


def _all_became(fates: list[Resource]) -> str:
    """What became of the copies of an event, newest first: of each state the newest, and how many."""
    if len(fates) == 1:
        return _became(fates[0])
    counts, newest = Counter(fate["state"] for fate in fates), dict[str, Resource]()
    for fate in fates:
        newest.setdefault(fate["state"], fate)
    return "; ".join(f"{counts[state]} x {_became(fate)}" for state, fate in newest.items())


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
