"""
A dead letter: what is kept of a delivery that no retry brought, and the event that its sink gets.

Fields are those of deadletters.py. One that the sink did not take either says of both why. Pure, but for the
time that it was given up.
"""

import base64
import time

import orjson

from eventing.broker import message
from eventing.broker.delivery import NO_ANSWER, Answer
from eventing.broker.entry import encode
from eventing.broker.lane import Delivery
from eventing.event import Event

# Base64 makes 1024 characters of it, the most that `knativeerrordata` may have.
ERROR_DATA_BYTES = 768
_LOOK_BYTES = 16 * 1024  # of a body, for the line that says why: a traceback's last one is at its end
_LINE_CHARACTERS = 200


def event_of(delivery: Delivery) -> Event:
    """Return a dead letter for the sink; it says what went wrong as Knative's do (eventing.md 2.5)."""
    letter = delivery.letter or {}
    attributes = message.outgoing(delivery.event.attributes)
    attributes["knativeerrordest"] = _with_path(letter.get("destination", ""))
    # There was no answer: 500, as Knative's Go has it.
    attributes["knativeerrorcode"] = str(int(letter.get("status") or 0) or 500)
    if letter.get("body"):
        attributes["knativeerrordata"] = letter["body"]
    return delivery.event._replace(attributes=attributes)


def letter_of(delivery: Delivery, answer: Answer) -> dict[str, bytes]:
    """Fields of a dead letter: deadletters.py. One that the sink did not take either says both."""
    lane, earlier = delivery.lane, delivery.letter or {}
    attributes, data = encode(delivery.event)
    letter = {"a": attributes, "entry": earlier.get("entry", delivery.ref).encode(),
              "when": b"%d" % int(time.time() * 1000)}
    if delivery.ref[0] == "d":
        sink = _cause(delivery, lane.policy.dead_letter_url or "", answer)
        letter |= {name: earlier[name].encode() for name in sink}
        letter["reason"] += b"; " + sink["reason"]
        letter["sink"] = orjson.dumps({name: value.decode() for name, value in sink.items()})
    else:
        letter |= _cause(delivery, lane.subscriber, answer)
    if data is not None:
        letter["d"] = data
    return letter


def _cause(delivery: Delivery, destination: str, answer: Answer) -> dict[str, bytes]:
    """Why *destination* was given up."""
    said = b"dispatch error: " + answer.body if answer.status == NO_ANSWER else answer.body
    return {
        "attempts": b"%d" % delivery.attempt, "status": b"%d" % answer.status,
        "destination": destination.encode(), "reason": reason_of(delivery, answer).encode(),
        "body": base64.b64encode(said[:ERROR_DATA_BYTES]),
    }


def _with_path(url: str) -> str:
    """*url*, with the path that it means if it names none: so Knative writes it."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}://{rest}/" if separator and "/" not in rest else url


def reason_of(delivery: Delivery, answer: Answer) -> str:
    """Why an attempt with *answer* failed: a sentence for a person, with a line of what was answered."""
    where = "the dead letter sink" if delivery.ref[0] == "d" else "the subscriber"
    if answer.status == NO_ANSWER:
        return f"{where} gave no answer: {answer.body[:ERROR_DATA_BYTES].decode(errors='replace')}"
    if 200 <= answer.status < 300:  # noqa: PLR2004  HTTP's own classes
        return f"{where} answered {answer.status} with a body that is no event"
    line = _line(answer.body)
    return f"{where} answered {answer.status}: {line}" if line else f"{where} answered {answer.status}"


def _line(body: bytes) -> str:
    """What a failure's *body* says in one line: its first, or a traceback's last; "" if it is no text."""
    text = body[:_LOOK_BYTES].decode(errors="ignore")
    lines = [line for line in (line.strip() for line in text.splitlines()) if line]
    if not lines or lines[0].startswith("<"):  # a page for a browser
        return ""
    if lines[0][0] in "{[":  # JSON, over several lines or not
        lines = [" ".join(lines)]
    line = lines[-1] if "Traceback (most recent call last)" in text else lines[0]
    return "".join(filter(str.isprintable, line))[:_LINE_CHARACTERS]
