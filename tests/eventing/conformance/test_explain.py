"""`clarion explain` against a running instance: the answer, its exit code, and what is said of a mistake."""

import json

import pytest

from tests.eventing.conformance.wire import TRIGGERS

EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "order.placed", "data": {"amount": 120}}


@pytest.fixture
def trigger(broker, make_trigger):
    """Name of a Trigger that looks into the data."""
    path = make_trigger(broker, "http://127.0.0.1:9", filters=[
        {"prefix": {"type": "order."}}, {"cel": "data.amount > 100"}])
    return path.rpartition("/")[2]


def test_an_event_that_is_wanted(instance, trigger):
    """Exit code 0, and each part of the filter with what was found."""
    done = instance.run("explain", "trigger", trigger, "--event", "-", stdin=json.dumps(EVENT))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"Trigger default/{trigger} wants this event.",
        '  yes  spec.filters[0].prefix.type "order."  type is "order.placed"',
        "  yes  spec.filters[1].cel data.amount > 100  the value is true"]


def test_an_event_that_is_not(instance, trigger, tmp_path):
    """Exit code 1, and the reason, for people and for programs."""
    (tmp_path / "event.json").write_text(json.dumps(EVENT | {"data": {"price": 1}}))
    command = ("explain", f"trigger/{trigger}", "--event", str(tmp_path / "event.json"))
    text, parsed = instance.run(*command), instance.run(*command, "-o", "json")

    assert (text.returncode, parsed.returncode) == (1, 1)
    assert "  no   spec.filters[1].cel data.amount > 100  there is no field 'amount'" in text.stdout
    told = json.loads(parsed.stdout)
    assert told["passes"] is False
    assert [(each["path"], each["passes"]) for each in told["verdicts"]] == [
        ("spec.filters[0].prefix.type", True), ("spec.filters[1].cel", False)]


def test_null_is_data(instance, broker, make_trigger):
    """As delivery has it, and `tail` prints it; an event without data is another."""
    path = make_trigger(broker, "http://127.0.0.1:9", filters=[{"cel": "data == null"}])
    command = ("explain", f"trigger/{path.rpartition('/')[2]}", "--event", "-")
    null, none = (instance.run(*command, stdin=json.dumps(event)) for event in (
        EVENT | {"data": None}, {key: value for key, value in EVENT.items() if key != "data"}))

    assert (null.returncode, none.returncode) == (0, 1)
    assert "the event has no JSON data" in none.stdout


def test_what_cannot_be_said(instance, api, broker, trigger):
    """A filter that does not compile, and an event that nobody takes: exit code 2, for 1 is a verdict."""
    api.create(TRIGGERS, "garbled", {"broker": broker, "subscriber": {"uri": "http://127.0.0.1:9"},
                                     "filters": [{"cel": "data.amount >"}]})
    deep = json.dumps(EVENT).replace('{"amount": 120}', "[" * 900 + "]" * 900)
    garbled = instance.run("explain", "trigger", "garbled", "--event", "-", stdin=json.dumps(EVENT))
    too_deep = instance.run("explain", "trigger", trigger, "--event", "-", stdin=deep)

    assert (garbled.returncode, too_deep.returncode) == (2, 2)
    assert "the filter does not compile" in garbled.stderr
    assert "data: is nested more than 254 levels deep" in too_deep.stderr


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (("trigger", "nope", "--event", "-"), 2, "there is no Trigger default/nope"),
    (("trigger", "a/../b c", "--event", "-"), 2, "there is no Trigger default/a/../b c"),
    (("trigger", "x", "--event", "-", "--server", "http://127.0.0.1:9"), 2, "http://127.0.0.1:9"),
    (("broker", "x", "--event", "-"), 2, "clarion explain trigger NAME --event FILE"),
    (("trigger", "x", "--event", "/nowhere"), 2, "/nowhere"),
], ids=["no such Trigger", "a name with a path", "nobody there", "no Trigger", "no such file"])
def test_what_is_wrong(instance, arguments, code, says):
    """One line that says what to do."""
    done = instance.run("explain", *arguments, stdin=json.dumps(EVENT))

    assert done.returncode == code
    assert says in done.stderr
