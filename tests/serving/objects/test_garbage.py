"""Which old Revisions go."""

import pytest

from eventing.control import resource
from serving.objects import garbage
from serving.objects.garbage import Retention

NOW = 1_800_000_000.0
HOUR_S = 3600.0


def revision(name, age_h=100, idle_h=None, state="reserve", annotations=None):
    """A Revision that was made *age_h* ago and routed to *idle_h* ago."""
    said = dict(annotations or {})
    if idle_h is not None:
        said["serving.knative.dev/routingStateModified"] = resource.timestamp(NOW - idle_h * HOUR_S)
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": resource.timestamp(NOW - age_h * HOUR_S),
            "labels": {"serving.knative.dev/routingState": state},
            "annotations": said,
        }
    }


NONE_KEPT = Retention(least=0)


@pytest.mark.parametrize(
    ("revisions", "keep", "expected"),
    [
        ([revision("a"), revision("b")], Retention(), []),
        ([revision("a"), revision("b")], NONE_KEPT, ["a", "b"]),
        ([revision("a", idle_h=20), revision("b", idle_h=30)], Retention(least=1), ["b"]),
        ([revision("a", age_h=47)], NONE_KEPT, []),
        ([revision("a", idle_h=14)], NONE_KEPT, []),
        ([revision("latest")], NONE_KEPT, []),
        ([revision("a", state="active"), revision("b", state="pending")], NONE_KEPT, []),
        ([revision("a", annotations={"serving.knative.dev/no-gc": "true"})], NONE_KEPT, []),
        (
            [revision("a", age_h=3), revision("b", age_h=2), revision("c", age_h=1)],
            Retention(least=0, most=1),
            ["a", "b"],
        ),
        ([revision("a")], Retention(least=0, since_create_s=None, since_active_s=None), []),
        ([revision("a")], Retention(least=0, since_create_s=None, since_active_s=None, most=None), []),
        (
            [revision("a", age_h=1, idle_h=1)],
            Retention(least=0, since_create_s=None, since_active_s=1),
            ["a"],
        ),
    ],
)
def test_superfluous(revisions, keep, expected):
    """Old ones that nobody routes to go, the longest idle first, down to what is to be kept."""
    assert garbage.superfluous(revisions, "latest", keep, NOW) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, Retention()),
        (
            {
                "retain-since-create-time": "1h",
                "retain-since-last-active-time": "disabled",
                "min-non-active-revisions": "2",
                "max-non-active-revisions": "disabled",
            },
            Retention(since_create_s=3600.0, since_active_s=None, least=2, most=None),
        ),
        ({"retain-since-create-time": "soon", "max-non-active-revisions": "many"}, Retention()),
    ],
)
def test_retention(data, expected):
    """ConfigMap config-gc, with Knative's defaults for what is absent or no value."""
    assert garbage.retention(data) == expected
