"""The README's story, walked over real HTTP by a `clarion up` started as a process."""

import json
from pathlib import Path

import pytest

QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart"


def workers(instance):
    """How many workers of the quickstart's functions run now."""
    revisions = json.loads(instance.clarion("get", "revisions", "-o", "json"))["items"]
    return sum(revision["status"].get("actualReplicas", 0) for revision in revisions)


@pytest.fixture(scope="module")
def options():
    """The quickstart."""
    return "-f", str(QUICKSTART)


@pytest.mark.timeout(180)
def test_the_story(instance, until):
    """Zero workers, an event, a function wakes, its reply wakes the next, a tick, zero workers again."""
    until(lambda: workers(instance) == 0, what="zero workers", timeout_s=60)

    assert instance.publish("1", "order.placed", {"sku": "A1", "qty": 2}) == 202

    until(lambda: "2 x A1 = 25.0" in instance.clarion("logs", "price"), what="line of the first function")
    until(lambda: "order.priced 1-priced" in instance.clarion("logs", "log"), what="line of the second one")
    assert workers(instance) > 0
    until(lambda: "dev.knative.sources.ping" in seen_types(instance), what="tick")
    until(lambda: workers(instance) == 0, what="zero workers", timeout_s=90)


def seen_types(instance):
    """Types of all events that the broker has taken so far."""
    lines = instance.clarion("tail", "--since", "1h", "--no-follow", "-o", "json").splitlines()
    return [json.loads(line)["type"] for line in lines]


def test_everything_is_ready(instance):
    """`get` prints the objects of the quickstart, each of them Ready."""
    table = instance.clarion("get", "brokers,triggers,services,pingsources")

    assert [line.split()[0] for line in table.splitlines() if "True" in line] == [
        "broker.eventing.knative.dev/default",
        "trigger.eventing.knative.dev/log-prices", "trigger.eventing.knative.dev/price-orders",
        "service.serving.knative.dev/log", "service.serving.knative.dev/price",
        "pingsource.sources.knative.dev/tick",
    ]


def test_state_outlives_the_end(instances):
    """Ctrl-C ends everything with status 0, and the next start finds objects and events again."""
    made = instances("-f", str(QUICKSTART / "quickstart.yaml"))
    made.start()
    assert made.publish("kept", "nobody.wants.it", {}) == 202
    assert made.stop() == 0

    made.options = ()
    made.start()

    assert "default" in made.clarion("get", "brokers")
    assert "nobody.wants.it" in seen_types(made)
    made.stop()
