"""Conditions, as the error-signalling specification has them."""

import pytest

from eventing.control import resource


@pytest.mark.parametrize(("first", "second", "ready"), [
    (("True", "", ""), ("True", "", ""), ("True", None, None)),
    (("Unknown", "W", "wait"), ("False", "Bad", "broken"), ("False", "Bad", "broken")),
    (("True", "", ""), ("Unknown", "W", "wait"), ("Unknown", "W", "wait")),
    (("False", "A", "a"), ("False", "B", "b"), ("False", "A", "a")),
])
def test_ready_is_computed(first, second, ready):
    """False beats Unknown beats True, with the reason and message of the one that decides."""
    status = {}
    resource.set_condition(status, "Xylophone", *second, now=0)
    resource.set_condition(status, "Addressable", *first, now=0)
    resource.compute_ready(status, ["Addressable", "Xylophone"], now=0)
    found = resource.condition(status, "Ready")
    assert (found["status"], found.get("reason"), found.get("message")) == ready
    assert [one["type"] for one in status["conditions"]] == ["Addressable", "Ready", "Xylophone"]


def test_the_transition_time_moves_only_with_a_change():
    """Saying the same again changes nothing, so nothing is written."""
    status = {}
    resource.set_condition(status, "A", "False", "No", "not yet", now=0)
    resource.set_condition(status, "A", "False", "No", "not yet", now=60)
    assert resource.condition(status, "A")["lastTransitionTime"] == "1970-01-01T00:00:00Z"
    resource.set_condition(status, "A", "True", now=60)
    assert resource.condition(status, "A") == {
        "type": "A", "status": "True", "lastTransitionTime": "1970-01-01T00:01:00Z"}


def test_conditions_begin_unknown():
    """All that a kind declares, and Ready; what is known already stays."""
    status = {}
    resource.set_condition(status, "A", "True", now=0)
    resource.initialize_conditions(status, ["A", "B"], now=0)
    found = {one["type"]: one["status"] for one in status["conditions"]}
    assert found == {"A": "True", "B": "Unknown", "Ready": "Unknown"}


def test_ready_counts_for_the_generation_that_was_seen():
    """A Ready of an older generation is no Ready."""
    one = {"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}
    resource.set_condition(one["status"], "Ready", "True", now=0)
    assert not resource.is_ready(one)
    one["status"]["observedGeneration"] = 2
    assert resource.is_ready(one)
