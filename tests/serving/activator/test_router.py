"""Percentages are kept exactly, request by request."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from serving.activator.router import Route


def route(**percents):
    """A Route of revisions ns/NAME with these percentages."""
    targets = [{"revision": f"ns/{name}", "percent": share, "tag": ""} for name, share in percents.items()]
    return Route({"service": "ns/s", "targets": targets})


def test_one_target_gets_everything():
    """Without a split there is nothing to count."""
    assert {route(a=100).choose() for _ in range(3)} == {"ns/a"}


def test_target_of_zero_percent_gets_nothing():
    """Its tag has a host of its own."""
    assert {route(a=0, b=100).choose() for _ in range(3)} == {"ns/b"}


def test_route_without_shares_leads_nowhere():
    """All targets at zero percent: no revision is chosen."""
    assert route(a=0).choose() is None


def test_small_share_is_spread_evenly():
    """One in four, never two in a row."""
    chosen = [route_.choose() for route_ in [route(a=75, b=25)] for _ in range(8)]
    assert chosen == ["ns/a", "ns/a", "ns/b", "ns/a"] * 2


def test_targets_of_one_revision_add_up():
    """The same revision named twice has the sum of its shares."""
    same = Route({"service": "ns/s", "targets": [
        {"revision": "ns/a", "percent": 10, "tag": ""}, {"revision": "ns/a", "percent": 40, "tag": "x"},
        {"revision": "ns/b", "percent": 50, "tag": ""}]})
    assert Counter(same.choose() for _ in range(10)) == {"ns/a": 5, "ns/b": 5}


@st.composite
def splits(draw):
    """Percentages that sum to 100."""
    cuts = sorted(draw(st.lists(st.integers(0, 100), max_size=6)))
    return [after - before for before, after in zip([0, *cuts], [*cuts, 100], strict=True)]


@given(splits(), st.integers(0, 250))
def test_every_hundred_in_a_row_are_split_exactly(percents, skipped):
    """Of any 100 consecutive requests each target gets exactly its percentage."""
    split = route(**{f"r{number}": percent for number, percent in enumerate(percents)})
    for _ in range(skipped):
        split.choose()
    expected = {f"ns/r{number}": percent for number, percent in enumerate(percents) if percent}
    assert Counter(split.choose() for _ in range(100)) == expected


def targets(tag, revision):
    """All of a host for one revision."""
    return [{"revision": f"ns/{revision}", "percent": 100, "tag": tag}]


def test_tag_of_a_request():
    """A known tag chooses its revision, an unknown one the default; the host of a tag has one only."""
    default = Route({"service": "ns/s", "targets": targets("", "a"), "tags": {"t": targets("t", "b")}})
    of_tag = Route({"service": "ns/s", "targets": targets("t", "b"), "tags": {}})

    assert (default.tagged(b"t").choose(), default.tagged(b"t").mark) == ("ns/b", None)
    assert (default.tagged(b"u").choose(), default.tagged(None).choose()) == ("ns/a", "ns/a")
    assert default.tagged(b"u").mark == (b"knative-serving-default-route", b"true")
    assert (of_tag.tagged(b"x").choose(), of_tag.mark) == ("ns/b", (b"knative-serving-tag", b"t"))


def test_feature_is_off():
    """Without it a request's tag means nothing."""
    assert Route({"service": "ns/s", "targets": targets("", "a")}).mark is None
