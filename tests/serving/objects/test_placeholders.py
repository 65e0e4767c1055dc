"""Who has a host that two Routes could have."""

import pytest

from serving.objects import placeholders


def route(name, *tags, served=()):
    """A Route with *tags*; *served*: None, or those of them at which it is served by now."""
    status = {"address": {}, "traffic": [{"tag": tag} for tag in served]} if served is not None else {}
    targets = [{"percent": 100}, *({"tag": tag} for tag in tags)]
    return {"metadata": {"name": name}, "spec": {"traffic": targets}, "status": status}


@pytest.mark.parametrize(("mine", "others", "label"), [
    (route("x", "t"), [], ""),
    (route("x", "t"), [route("y", "t"), route("t")], ""),
    (route("x", "t"), [route("t-x")], "t-x"),
    (route("x", "t", served=["t"]), [route("t-x", served=None)], ""),
    (route("t-x", served=None), [route("x", "t", served=["t"])], "t-x"),
    (route("t-x", served=None), [route("x", "t", served=None)], ""),
    (route("x", "t", served=None), [route("t-x", served=None)], "t-x"),
    (route("t-x"), [route("x", "t", served=["t"])], ""),
    (route("t-x", served=None), [route("x", "u", served=["u"])], ""),
    (route("c", "a-b", served=None), [route("b-c", "a", served=["a"])], "a-b-c"),
    (route("c", "a-b", served=["a-b"]), [route("b-c", "a", served=None)], ""),
])
def test_taken(mine, others, label):
    """Whoever is served has it, else the one whose own name it is; nobody gives up what he has."""
    by_name = {each["metadata"]["name"]: each for each in others}

    assert placeholders.taken(mine, by_name.get) == label


def test_two_tags_at_once():
    """Two tags that make one host, and came at the same moment, agree on who has it."""
    for served in (None, True):
        first = route("c", "a-b", served=served and ["a-b"])
        second = route("b-c", "a", served=served and ["a"])

        assert placeholders.taken(first, {"b-c": second}.get) == "a-b-c"
        assert placeholders.taken(second, {"c": first}.get) == ""
