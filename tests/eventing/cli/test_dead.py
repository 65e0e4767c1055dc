"""`clarion dead` against a real instance: what is given up is kept, shown, sent again or thrown away."""

import json
import re
from types import SimpleNamespace

import pytest

from tests.listener import listening
from tests.objects import BROKER

OBJECTS = BROKER + """---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: picky}
spec:
  broker: default
  subscriber: {uri: URL}
  delivery: {retry: 0}
"""


@pytest.fixture(scope="module")
def subscriber():
    """A subscriber that answers what `status` says, and remembers what it took."""
    said = SimpleNamespace(status=422, taken=[], url="")

    def answer(request):
        if said.status == 202:
            said.taken.append(request.id)
        return said.status, {}, b"" if said.status == 202 else b"not this one"

    with listening(answer) as server:
        said.url = server.url
        yield said


@pytest.fixture(scope="module")
def instance(instances, subscriber):
    """An instance with one Trigger that retries nothing."""
    made = instances()
    made.start()
    made.clarion("apply", "-f", "-", stdin=OBJECTS.replace("URL", subscriber.url))
    yield made
    made.stop()


@pytest.fixture
def letters(instance, subscriber, until):
    """Ids of two dead letters, the only ones."""
    subscriber.status = 422
    instance.run("dead", "purge", "picky", "--all")
    for id_ in ("one", "two"):
        assert instance.publish(id_, "order.placed", {"n": 1}) == 202
    until(lambda: len(listed(instance)) == 2, what="dead letters")
    return [letter["id"] for letter in listed(instance)]


def listed(instance):
    """What `list -o json` prints."""
    return [json.loads(line) for line in instance.clarion("dead", "list", "picky", "-o", "json").splitlines()]


def test_list_and_show(instance, letters):
    """A letter says which event it is, why it was given up, and what was answered."""
    table = instance.clarion("dead", "list", "picky").splitlines()
    counts = instance.clarion("dead", "list").splitlines()[1].split()
    shown = instance.clarion("dead", "show", "picky", letters[0])

    described = instance.clarion("describe", "trigger", "picky")
    assert "dead letters     2   (clarion dead list picky)" in described
    assert table[0].split() == ["ID", "EVENT", "TYPE", "AGE", "ATTEMPTS", "REASON"]
    assert "the subscriber answered 422" in table[1]
    assert counts[:4] == ["picky", "0", "0", "2"]
    assert "body: not this one" in shown
    assert "status: 422" in shown


def test_why_nothing_arrived(instance, letters, until):
    """One look at the Trigger tells what fails and why: the last attempt, the last letter, and an Event."""
    def described():
        return instance.clarion("describe", "trigger", "picky")

    until(lambda: "Failures" in described() and "EventGivenUp" in described(), what="that it is told")
    text = " ".join(described().split())
    # Both events were sent at once, so either may have failed last.
    why = "the subscriber answered 422: not this one"
    assert re.search(f"event (one|two), attempt 1 of 1: {why}; given up", text)
    assert re.search(f"event (one|two), given up after attempt 1: {why}", text)
    assert "Warning EventGivenUp" in text
    assert "the subscriber answered 422: not this one" in instance.clarion("dead", "list")
    until(lambda: "event given up" in instance.output(), what="a log line")


def test_redrive(instance, letters, subscriber, until):
    """What is sent again reaches the subscriber and is no dead letter any more."""
    subscriber.status = 202

    assert instance.clarion("dead", "redrive", "picky", letters[0]) == "1 sent again\n"
    until(lambda: len(listed(instance)) == 1, what="one letter less")
    assert instance.clarion("dead", "redrive", "picky", "--all") == "1 sent again\n"
    until(lambda: sorted(subscriber.taken) == ["one", "two"], what="delivery of both")

    assert instance.run("dead", "list", "picky").stderr == "no dead letters\n"


def test_purge(instance, letters):
    """What is thrown away is gone; an id that is not there is a failure that says so."""
    assert instance.clarion("dead", "purge", "picky", letters[0]) == "1 thrown away\n"
    again = instance.run("dead", "purge", "picky", letters[0])

    assert (again.returncode, again.stdout) == (1, "0 thrown away\n")
    assert [letter["id"] for letter in listed(instance)] == letters[1:]


def test_a_letter_whose_data_is_nested_deep(instance, letters, until):
    """It is listed and shown like any other, and `tail` goes on behind it."""
    data = []
    for _ in range(300):
        data = [data]
    assert instance.publish("deep", "order.placed", data) == 202
    assert instance.publish("after", "order.placed", {}) == 202
    until(lambda: len(listed(instance)) == len(letters) + 2, what="the letters")

    deep = next(letter for letter in listed(instance) if letter["event"]["id"] == "deep")
    assert "data_base64" in instance.clarion("dead", "show", "picky", deep["id"])
    tailed = instance.clarion("tail", "--since", "5m", "--no-follow", "-o", "json").splitlines()
    assert [json.loads(line)["id"] for line in tailed][-2:] == ["deep", "after"]


@pytest.mark.parametrize(("arguments", "status", "message"), [
    (["redrive", "picky"], 2, "say which: ids as `clarion dead list` prints them, or --all"),
    (["list", "nobody"], 1, "there is no trigger default/nobody"),
    (["show", "picky", "nonsense"], 1, "there is no dead letter nonsense"),
    (["show", "picky", ""], 1, "there is no dead letter ''"),
    (["show", "picky", "0.1/../2-0"], 1, "there is no dead letter 0.1/../2-0"),
    (["show", "", "0.1-0"], 2, "'' is no name"),
    (["list", "picky/waiting"], 2, "'picky/waiting' is no name"),
    (["list", "-n", "no such"], 0, "no Triggers in namespace no such"),
])
def test_wrong_use(instance, arguments, status, message):
    """What is not there, or not said, is one line and the right status."""
    done = instance.run("dead", *arguments)

    assert done.returncode == status
    assert message in done.stderr
