"""Ages, durations, tables and descriptions: text from values."""

from datetime import UTC, datetime

import pytest

from eventing.cli import output
from eventing.cli.description import describe
from eventing.errors import UsageError

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(("timestamp", "age"), [
    ("2026-01-02T12:00:00Z", "0s"), ("2026-01-02T11:58:01Z", "119s"), ("2026-01-02T11:57:30Z", "2m30s"),
    ("2026-01-02T11:57:00Z", "3m"), ("2026-01-02T11:00:00Z", "60m"), ("2026-01-02T02:00:00Z", "10h"),
    ("2025-12-01T12:00:00Z", "32d"), (None, "<unknown>"), ("2026-01-02T13:00:00Z", "0s"),
])
def test_age(timestamp, age):
    """Ages as kubectl prints them; a clock ahead of ours is no negative age."""
    assert output.age(timestamp, NOW) == age


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1.5m", 90), ("2h", 7200), ("1d", 86400)])
def test_duration(text, seconds):
    """A number and a unit."""
    assert output.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 m", "-1s", "1w", "PT5S"])
def test_no_duration(text):
    """Anything else is told with an example."""
    with pytest.raises(UsageError, match="such as 30s"):
        output.duration_s(text)


def test_table():
    """Columns line up, and no line ends in spaces."""
    assert output.table(["NAME", "READY"], [["a-long-name", "True"], ["b", ""]]) == (
        "NAME          READY\na-long-name   True\nb\n")


def test_describe():
    """Ready first, messages below their condition with all their lines, events oldest first."""
    item = {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a", "uid": "u"}, "spec": {"x": 1},
            "status": {"conditions": [
                {"type": "Other", "status": "True"},
                {"type": "Ready", "status": "False", "reason": "Broken", "message": "one\ntwo"}]}}
    events = [{"metadata": {}, "reason": reason, "message": "m", "lastTimestamp": f"2026-01-0{day}T00:00:00Z"}
              for day, reason in ((2, "Later"), (1, "Earlier"))]

    text = describe(item, events)

    assert "      one\n      two\n" in text
    assert text.index("Ready") < text.index("Other")
    assert text.index("Earlier") < text.index("Later")
