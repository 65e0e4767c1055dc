"""`clarion explain event ID`: from an event to its Triggers, against a running instance."""

import json

import pytest

from tests.listener import listening

TRIGGER = """
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: NAME}
spec:
  broker: BROKER
  filter: {attributes: {type: TYPE}}
  subscriber: {uri: URL}
  delivery: {retry: 3, backoffPolicy: linear, backoffDelay: PT10M}
"""
BROKER = """
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: NAME}
"""
BROKEN = """
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: broken}
spec:
  broker: default
  filters: [{cel: "data.amount >"}]
  subscriber: {uri: "http://127.0.0.1:9/"}
"""


def trigger(name, type_, url, broker="default"):
    """A Trigger, as YAML."""
    return TRIGGER.replace("NAME", name).replace("BROKER", broker).replace("TYPE", type_).replace("URL", url)


@pytest.fixture(scope="module")
def instance(instances):
    """An instance whose Triggers take an event, fail at it, refuse it, and do not want it."""
    made = instances()
    made.start()
    with listening(lambda request: (202, {}, b"")) as well, \
            listening(lambda request: (503, {}, b"no room")) as busy, \
            listening(lambda request: (400, {}, b"no stock")) as picky:
        made.clarion("apply", "-f", "-", stdin=BROKER.replace("NAME", "default") + "".join([
            trigger("takes", "order", well.url), trigger("fails", "order", busy.url),
            trigger("refuses", "order", picky.url), trigger("other", "payment", well.url),
            BROKER.replace("NAME", "busy"), trigger("wants", "order", well.url, "busy"),
            *(trigger(f"idle-{number}", "payment", well.url, "busy") for number in range(21))]))
        assert "is not Ready" in made.run("apply", "-f", "-", stdin=BROKEN).stderr
        assert made.publish("one", "order", {"n": 1}) == 202
        assert made.publish("two", "parcel", {"n": 1}) == 202
        yield made
    made.stop()


def test_what_became_of_it(instance, until):
    """Each Trigger: delivered, retried with the reason, given up with the reason, or what its filter says."""
    def told():
        return instance.run("explain", "event", "one")

    def is_told():
        done = told()
        return done if all(word in done.stdout for word in ("delivered", "no room", "no stock")) else None

    done = until(is_told, what="what became of it")
    lines = {line.split(":")[0].split()[-1]: line for line in done.stdout.splitlines()[1:]}
    assert done.returncode == 0
    assert "Event one (type order, source " in done.stdout.splitlines()[0]
    assert "delivered (" in lines["takes"]
    assert "attempt 1, answer 503): the subscriber answered 503: no room; next try in" in lines["fails"]
    assert "attempt 1, answer 400): the subscriber answered 400: no stock" in lines["refuses"]
    assert "its filter says no" in lines["other"]
    assert 'type is "order"' in done.stdout
    (shown,) = map(json.loads, instance.run("explain", "event", "one", "-o", "json").stdout.splitlines())
    assert {fate["trigger"]: fate["state"] for fate in shown["fates"] if fate["passes"]} == {
        "default/takes": "delivered", "default/fails": "retry", "default/refuses": "dead"}


def test_a_filter_that_does_not_compile(instance):
    """Its Trigger says so in its line, and in JSON; the others are told of as ever."""
    done = instance.run("explain", "event", "one")

    assert done.returncode == 0
    assert "no   broken: Ready=False, gets nothing: the filter does not compile: " in done.stdout
    assert "yes  takes: " in done.stdout
    (shown,) = map(json.loads, instance.run("explain", "event", "one", "-o", "json").stdout.splitlines())
    assert ["the filter does not compile: " in fate["problem"] for fate in shown["fates"]
            if fate["trigger"] == "default/broken"] == [True]


def test_one_that_came_often_and_many_that_do_not_want_it(instance, until):
    """Copies are one block; many Triggers that do not want it are one line unless asked; JSON stays whole."""
    for _ in range(3):
        assert instance.publish("often", "order", {"n": 1}, broker="default/busy") == 202

    def told(*options):
        return instance.clarion("explain", "event", "often", "--broker", "busy", *options).splitlines()

    head, wants, idle = until(lambda: (lines := told()) and "3 x delivered" in lines[1] and lines,
                              what="three deliveries")
    assert "came 3 times to broker default/busy, the last " in head
    assert "yes  wants: 3 x delivered (" in wants
    assert idle == "  no   21 more do not want it; --all shows them"
    assert sum("its filter says no" in line for line in told("--all")) == 21
    assert [len(json.loads(line)["fates"]) for line in told("-o", "json")] == [22] * 3


def test_nobody_wants_it(instance):
    """An event that no Trigger wants says so, with exit code 1."""
    done = instance.run("explain", "event", "two")

    assert done.returncode == 1
    assert done.stdout.endswith("No Trigger of this broker wants it: it is delivered to nobody.\n")


@pytest.mark.parametrize(("arguments", "says"), [
    (("event", "three"), "no event three came to broker default/default in the last 60m"),
    (("event", "one", "--broker", "nope"), "there is no broker default/nope"),
    (("event", "one", "--since", "soon"), "soon: give a number"),
    (("event",), "clarion explain event ID"),
    (("trigger", "takes"), "--event FILE"),
])
def test_what_is_wrong(instance, arguments, says):
    """One line that says what to do, and exit code 2."""
    done = instance.run("explain", *arguments)

    assert done.returncode == 2
    assert says in done.stderr
