"""Traffic: what is wrong with it, and who gets what."""

import pytest
import yaml

from eventing.control.field import render
from serving.objects import traffic
from serving.objects.rollout import Rollout
from serving.objects.traffic import Assignment, Unassigned, assign, goals, shares, spread


@pytest.mark.parametrize(
    ("targets", "is_service", "expected"),
    [
        ("[{latestRevision: true, percent: 100}]", True, ""),
        ("[{percent: 100, configurationName: c}]", False, ""),
        ("[{percent: 60, revisionName: a}, {percent: 40, revisionName: b, tag: x}]", True, ""),
        ("[{percent: 99, revisionName: a}]", True, "Traffic targets sum to 99, want 100: "),
        (
            "[{percent: 101, revisionName: a}, {percent: -1, revisionName: b}]",
            True,
            "expected 0 <= -1 <= 100: [1].percent\nexpected 0 <= 101 <= 100: [0].percent",
        ),
        (
            "[{percent: 100, revisionName: a, configurationName: c}]",
            True,
            "must not set the field(s): [0].configurationName",
        ),
        (
            "[{percent: 100, revisionName: a, configurationName: c}]",
            False,
            "expected exactly one, got both: [0].configurationName, [0].revisionName",
        ),
        (
            "[{percent: 100}]",
            False,
            "expected exactly one, got neither: [0].configurationName, [0].revisionName",
        ),
        (
            "[{percent: 100, revisionName: a, latestRevision: true}]",
            True,
            'may not set revisionName "a" when latestRevision is true: [0].latestRevision',
        ),
        (
            "[{percent: 100, latestRevision: false}]",
            True,
            'may not set revisionName "" when latestRevision is false: [0].latestRevision',
        ),
        ("[{percent: 100, revisionName: a, url: 'http://x'}]", True, "must not set the field(s): [0].url"),
        (
            "[{percent: 50, revisionName: a, tag: x}, {percent: 50, revisionName: b, tag: x}]",
            True,
            'Multiple definitions for "x": [0].tag, [1].tag',
        ),
    ],
)
def test_errors(targets, is_service, expected):
    """Percentages, tags and names of targets are judged in Knative's words."""
    assert render(traffic.errors_of(yaml.safe_load(targets), is_service=is_service)) == expected


def test_bad_names():
    """A tag is a DNS label, a revision's name a qualified name."""
    errors = render(traffic.errors_of([{"percent": 100, "revisionName": "a b", "tag": "A"}], is_service=True))

    assert 'invalid key name "a b": [0].revisionName\nname part must consist of' in errors
    assert "invalid value: not a DNS 1035 label: [a DNS-1035 label must" in errors


def test_default():
    """A target without a revision follows the latest; without a percentage it gets nothing."""
    targets = [{"revisionName": "a"}, {"tag": "x"}, {"percent": 5, "latestRevision": False}]
    traffic.default(targets)

    assert targets == [
        {"revisionName": "a", "latestRevision": False, "percent": 0},
        {"tag": "x", "latestRevision": True, "percent": 0},
        {"percent": 5, "latestRevision": False},
    ]


def thing(ready=None, latest=None, service="s"):
    """A Configuration or a Revision with a status."""
    status = {"observedGeneration": 1}
    if ready:
        status["conditions"] = [{"type": "Ready", "status": ready}]
    if latest:
        status["latestReadyRevisionName"] = latest
    labels = {"serving.knative.dev/service": service}
    return {"metadata": {"generation": 1, "labels": labels}, "status": status}


LATEST = {"configurationName": "c", "percent": 100, "latestRevision": True}
PINNED = {"revisionName": "r", "percent": 100, "latestRevision": False}


@pytest.mark.parametrize(
    ("targets", "configurations", "revisions", "expected"),
    [
        (
            [LATEST],
            {},
            {},
            ("False", "ConfigurationMissing", 'Configuration "c" referenced in traffic not found.'),
        ),
        (
            [LATEST],
            {"c": thing()},
            {},
            ("Unknown", "RevisionMissing", 'Configuration "c" is waiting for a Revision to become ready.'),
        ),
        (
            [LATEST],
            {"c": thing("False")},
            {},
            ("False", "RevisionMissing", 'Configuration "c" does not have any ready Revision.'),
        ),
        (
            [LATEST],
            {"c": thing("True", "r")},
            {},
            ("False", "RevisionMissing", 'Revision "r" referenced in traffic not found.'),
        ),
        ([PINNED], {}, {}, ("False", "RevisionMissing", 'Revision "r" referenced in traffic not found.')),
        (
            [PINNED],
            {},
            {"r": thing()},
            ("Unknown", "RevisionMissing", 'Revision "r" is not yet ready.'),
        ),
        (
            [PINNED],
            {},
            {"r": thing("False")},
            ("False", "RevisionMissing", 'Revision "r" failed to become ready.'),
        ),
        (
            [PINNED],
            {},
            {"r": thing("True", service="other")},
            ("False", "RevisionNotOwned", 'Revision "r" belongs to Service "other", not Service "s".'),
        ),
        (
            [PINNED],
            {},
            {"r": thing("True", service="")},
            ("False", "RevisionNotOwned", 'Revision "r" does not belong to Service "s".'),
        ),
        (
            [LATEST, PINNED],
            {"c": thing()},
            {"r": thing("False")},
            ("False", "RevisionMissing", 'Revision "r" failed to become ready.'),
        ),
    ],
)
def test_unassigned(targets, configurations, revisions, expected):
    """What keeps traffic from being assigned; a failure comes before what may still become ready."""
    with pytest.raises(Unassigned) as wrong:
        assign(targets, "s", configurations, revisions)

    assert (wrong.value.status, wrong.value.reason, wrong.value.message) == expected


def test_assigned():
    """Targets of one tag that meet in one revision are merged; shares are by tag, without the empty ones."""
    targets = [
        {"revisionName": "r1", "percent": 30, "latestRevision": False},
        {"revisionName": "r1", "percent": 20, "latestRevision": False},
        {"configurationName": "c", "percent": 50, "latestRevision": True, "tag": "new"},
        {"revisionName": "r3", "percent": 0, "latestRevision": False, "tag": "old"},
    ]
    revisions = {name: thing("True") for name in ("r1", "r2", "r3")}
    assigned = assign(targets, "s", {"c": thing("True", "r2")}, revisions)

    assert assigned == [
        Assignment("r1", 50, "", is_latest=False),
        Assignment("r2", 50, "new", is_latest=True, configuration="c"),
        Assignment("r3", 0, "old", is_latest=False),
    ]
    assert shares(assigned, goals(assigned)) == {
        "": [("r1", 50), ("r2", 50)],
        "new": [("r2", 100)],
        "old": [("r3", 100)],
    }


def test_spread():
    """During a rollout a target of the latest revision stands for each one that has part of its share."""
    pinned = Assignment("r1", 20, "", is_latest=False)
    latest = Assignment("new", 50, "", is_latest=True, configuration="c")
    tagged = Assignment("new", 30, "t", is_latest=True, configuration="c")
    idle = Assignment("new", 0, "u", is_latest=True, configuration="c")
    rolling = [Rollout("c", "", 80, (("old", 60), ("new", 20))), Rollout("c", "t", 100, (("new", 100),))]

    assert spread([pinned, latest, tagged, idle], rolling) == [
        pinned,
        Assignment("old", 50, "", is_latest=False, configuration="c"),
        Assignment("old", 10, "t", is_latest=False, configuration="c"),
        Assignment("new", 20, "t", is_latest=True, configuration="c"),
        idle,
    ]
    assert shares([pinned, latest, tagged, idle], rolling) == {
        "": [("r1", 20), ("old", 60), ("new", 20)],
        "t": [("new", 100)],
    }
