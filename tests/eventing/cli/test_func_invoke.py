"""What `clarion func invoke` refuses to send."""

import pytest

from eventing.cli import func_invoke
from eventing.errors import UsageError

NOBODY = "http://127.0.0.1:1"
RULE = "is not an attribute's name; use lower-case letters and digits"


def call(**given):
    """A call with these fields, else the command's own."""
    return func_invoke.Call(**{
        "data": b"{}", "content_type": "application/json", "method": "POST", "event_type": "boson.fn",
        "source": "/boson/fn", "event_id": None, "extensions": {}, "timeout_s": 5, **given})


@pytest.mark.parametrize(("given", "message"), [
    ("Up Case=1", f"--extension Up Case=1: up case: {RULE}"),
    ("a-b=1", f"--extension a-b=1: a-b: {RULE}"),
    ("=1", "--extension =1: give NAME=VALUE, such as -e partitionkey=A1"),
])
def test_extensions(given, message):
    """No attribute is called so: it is said before anything is sent."""
    with pytest.raises(UsageError) as caught:
        func_invoke.attributes([given])
    assert str(caught.value) == message


def test_names_in_any_case():
    """Letters are made lower-case, as `clarion send` does."""
    assert func_invoke.attributes(["PartitionKey=A=1"]) == {"partitionkey": "A=1"}


@pytest.mark.parametrize(("given", "message"), [
    ({"event_id": ""}, "id: is empty; every event has one"),
    ({"event_type": ""}, "type: is empty; every event has one"),
    ({"source": " "}, "source: is empty; every event has one"),
    ({"extensions": {"time": "now"}}, "time: is not a time as in 2026-01-31T23:59:59Z (RFC 3339)"),
])
def test_what_is_no_event(given, message):
    """An attribute that makes it no event is named, and nobody is called."""
    with pytest.raises(UsageError) as caught:
        call(**given).send(NOBODY, "cloudevent", is_verbose=False)
    assert str(caught.value) == message
