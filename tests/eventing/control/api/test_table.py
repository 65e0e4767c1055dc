"""Ages and cells as kubectl shows them."""

import pytest

from eventing.control.api.jsonpath import compiled
from eventing.control.api.table import age, duration


@pytest.mark.parametrize(("seconds", "words"), [
    (-5, "<invalid>"), (0, "0s"), (119, "119s"), (120, "2m"), (190, "3m10s"), (599, "9m59s"), (600, "10m"),
    (10799, "179m"),
    (10800, "3h"), (19200, "5h20m"), (28800, "8h"), (172799, "47h"), (172800, "2d"),
    (183600, "2d3h"), (691200, "8d"), (63071999, "729d"), (63072000, "2y"), (65664000, "2y30d"),
    (315360000, "10y"),
])
def test_duration(seconds, words):
    """Two units where the first one is small."""
    assert duration(seconds) == words


def test_age_of_nothing():
    """An object without a timestamp has no age."""
    assert age(None, 0) == "<unknown>"
    assert age("soon", 0) == "<invalid>"
    assert age("1970-01-01T00:00:00Z", 61) == "61s"


FOUND = {"status": {"conditions": [{"type": "Ready", "status": "True"}], "url": "u"},
         "metadata": {"annotations": {"a.b/c": "d"}}, "list": [{"x": 1}]}


@pytest.mark.parametrize(("path", "value"), [
    (".status.url", "u"), ("{.status.url}", "u"), (".status.none.x", None), (".list[0].x", 1),
    (".list[1].x", None),
    ('.status.conditions[?(@.type=="Ready")].status', "True"),
    (".status.conditions[?(@.type=='No')].status", None),
    (r".metadata.annotations.a\.b/c", "d"), (".metadata.annotations['a.b/c']", "d"),
])
def test_json_paths(path, value):
    """The forms that printer columns use."""
    assert compiled(path)(FOUND) == value


def test_a_path_that_is_none():
    """A kind's mistake is found when the path is first used."""
    with pytest.raises(ValueError, match="cannot read the JSON path"):
        compiled(".a[*]")
