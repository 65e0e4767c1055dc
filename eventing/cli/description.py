"""One object as a person reads it: what it is, its conditions, what happened to it lately. No I/O."""

import time
from typing import Any

from eventing.cli import output

Resource = dict[str, Any]

_RECENT = 20
_KEYED_QUEUE = 1024  # eventing/broker/lane.py: events of an ordered Trigger that are in memory
# Facts for machines; `get -o yaml` has them.
_QUIET_ANNOTATIONS = (
    "kubectl.kubernetes.io/", "serving.knative.dev/creator", "serving.knative.dev/lastModifier",
    "eventing.knative.dev/creator", "eventing.knative.dev/lastModifier", "clarion.dev/partitions-since")


def describe(item: Resource, events: list[Resource], waiting: Resource | None = None) -> str:
    """
    Text of *item*.

    Args:
        item: a whole object.
        events: core/v1 Events about it, in any order.
        waiting: of a Trigger, how many events wait for it and where.
    """
    metadata = item["metadata"]
    status = dict(item.get("status") or {})
    conditions = status.pop("conditions", [])
    if told := _loud(status.pop("annotations", {})):
        status["annotations"] = told
    owners = metadata.get("ownerReferences") or []
    facts = {
        "Name": metadata["name"],
        "Namespace": metadata.get("namespace", ""),
        "Kind": f"{item['kind']} ({item['apiVersion']})",
        "Age": output.age(metadata.get("creationTimestamp")),
        "Labels": _pairs(metadata.get("labels") or {}),
        "Annotations": _pairs(_loud(metadata.get("annotations") or {})),
        "Owner": ", ".join(f"{owner['kind']}/{owner['name']}" for owner in owners),
        "Deleted": metadata.get("deletionTimestamp", ""),
    }
    text = "".join(f"{key + ':':<14}{value}\n" for key, value in facts.items() if value)
    for title, content in (("Spec", item.get("spec")), ("Data", _data(item)), ("Status", status)):
        if content:
            text += f"\n{output.bold(title)}\n{_indented(output.as_yaml(content))}"
    if conditions:
        text += f"\n{output.bold('Conditions')}\n{_conditions(conditions)}"
    if waiting:
        text += f"\n{output.bold('Waiting')}\n{_waiting(waiting)}"
        if failures := failures_of(waiting, time.time()):
            text += f"\n{output.bold('Failures')}\n{failures}"
    return f"{text}\n{output.bold('Events')}\n{_events(events)}"


def _waiting(counts: Resource) -> str:
    hint = f"   (clarion dead list {counts['trigger']})" if counts["dead"] else ""
    return (f"  lag              {output.length(counts['lag_s'])}\n"
            f"  being sent       {counts['open']}{_open(counts)}\n"
            f"  in the backlog   {counts['backlog']}{_held(counts)}\n"
            f"  to be retried    {counts['retries']}\n"
            f"  dead letters     {counts['dead']}{hint}\n")


def _open(counts: Resource) -> str:
    """For how long the oldest request has been open, where that is worth a word."""
    since = counts.get("open_s", 0.0)
    return f"   (the oldest request has been open for {output.length(since)})" if since >= 1.0 else ""


def _held(counts: Resource) -> str:
    """What an ordered Trigger's failed events hold up; past a queue of memory that is other keys, too."""
    if not counts.get("held"):
        return ""
    others = "; other keys may wait behind them, too" if counts["backlog"] > _KEYED_QUEUE else ""
    return f"   ({counts['held']} failed and hold their key until they are delivered or given up{others})"


def failures_of(counts: Resource, now: float) -> str:
    """Why nothing arrives at a Trigger, as far as it is known *now*, a Unix time; "" if nothing failed."""
    def ago(what: Resource) -> str:
        return f"{output.length(now - what['when'])} ago, event {what['event']}"

    text = ""
    if failure := counts.get("failure"):
        text += f"  last failure     {ago(failure)}, {reason_of(failure, now)}\n"
        length = output.length(now - failure["since"])
        text += "                   events are delivered again since\n" if failure["is_over"] else \
            f"  failing for      {length}, attempts that failed: {failure['count']}\n"
    if letter := counts.get("letter"):
        text += (f"  last dead letter {ago(letter)}, given up after attempt {letter['attempts']}: "
                 f"{letter['reason']}   (clarion dead show {counts['trigger']} {letter['id']})\n")
    if drops := counts.get("drops"):
        text += (f"  replies dropped  {drops['count']}, the last {ago(drops)}: too many hops; "
                 "does a subscriber reply with what its Trigger wants?\n")
    if unjudged := counts.get("unjudged"):
        text += (f"  filter unjudged  {unjudged['count']} events were not judged, and so not delivered, "
                 f"the last {output.length(now - unjudged['when'])} ago: {unjudged['reason']}\n")
    return text


def reason_of(failure: Resource, now: float) -> str:
    """Which attempt failed, why, and what comes next, *now* being a Unix time."""
    of = f" of {failure['attempts']}" if failure["attempts"] else ""
    next_at = failure["next_at"]
    then = "given up" if next_at is None else f"next try in {output.length(next_at - now)}" \
        if next_at > now else "tried again since"
    return f"attempt {failure['attempt']}{of}: {failure['reason']}; {then}"


def _data(item: Resource) -> Resource | None:
    """Of a Secret only how long its values are, as kubectl shows it."""
    data: Resource | None = item.get("data")
    if not data or (item["apiVersion"], item["kind"]) != ("v1", "Secret"):
        return data
    return {key: f"{_decoded_bytes(text)} bytes" for key, text in data.items()}


def _decoded_bytes(base64: str) -> int:
    return len("".join(base64.split()).rstrip("=")) * 3 // 4


def _loud(annotations: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in annotations.items() if not key.startswith(_QUIET_ANNOTATIONS)}


def _pairs(pairs: dict[str, str]) -> str:
    return f"\n{'':14}".join(f"{key}={value}" for key, value in pairs.items())


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def _conditions(conditions: list[Resource]) -> str:
    ordered = sorted(conditions, key=lambda entry: entry["type"] != "Ready")  # Ready first, else as they are
    rows = [[entry["type"], entry["status"], output.age(entry.get("lastTransitionTime")),
             entry.get("reason", "")] for entry in ordered]
    lines = _indented(output.table(["TYPE", "STATUS", "AGE", "REASON"], rows)).splitlines()
    shown, told = [lines[0]], set[str]()
    for line, entry in zip(lines[1:], ordered, strict=True):
        shown.append(line)
        message = str(entry.get("message") or "")
        # A traceback is what somebody came here for: all of its lines, below the condition; Ready repeats
        # what another one says, and need not be read twice.
        is_repeated = "\n" in message and message in told
        parts = ["(as above)"] if is_repeated else message.splitlines()
        shown += [f"      {part}" for part in parts]
        told.add(message)
    return "".join(f"{line}\n" for line in shown)


def _events(events: list[Resource]) -> str:
    def when(event: Resource) -> str:
        return str(event.get("lastTimestamp") or event.get("eventTime")
                   or event["metadata"].get("creationTimestamp") or "")

    recent = sorted(events, key=when)[-_RECENT:]
    if not recent:
        return "  none\n"
    rows = [[output.age(when(event)), event.get("type", ""), event.get("reason", ""),
             f"x{event.get('count', 1)}", " ".join(event.get("message", "").split())] for event in recent]
    return _indented(output.table(["AGE", "TYPE", "REASON", "COUNT", "MESSAGE"], rows))
