"""Selectors, row by row."""

import pytest

from eventing.control.selector import SelectorInvalid, fields, labels, text


@pytest.mark.parametrize(("selector", "found", "passes"), [
    ("", {}, True),
    ("a=b", {"a": "b"}, True),
    ("a==b", {"a": "c"}, False),
    ("a!=b", {}, True),
    ("a!=b", {"a": "b"}, False),
    ("a in (b, c)", {"a": "c"}, True),
    ("a in (b, c)", {}, False),
    ("a notin (b,c)", {}, True),
    ("a notin (b,c)", {"a": "b"}, False),
    ("x.io/a", {"x.io/a": ""}, True),
    ("!a", {"a": ""}, False),
    ("a=b,c", {"a": "b"}, False),
    ("a in (b,c),!d", {"a": "b"}, True),
    ("a=", {"a": ""}, True),
])
def test_label_selectors(selector, found, passes):
    """Each form of a requirement, alone and joined."""
    assert labels(selector)(found) is passes


@pytest.mark.parametrize("selector", ["a b", "a in b", "=b", "a=b=c", "a in (", "a>1"])
def test_a_bad_label_selector(selector):
    """What does not parse is refused rather than guessed."""
    with pytest.raises(SelectorInvalid):
        labels(selector)


@pytest.mark.parametrize(("selector", "passes"), [
    ("metadata.name=x", True), ("metadata.name==y", False), ("metadata.name!=y", True),
    ("involvedObject.uid=7,metadata.name=x", True), ("status.phase=", True), ("metadata.name=a=b", False),
])
def test_field_selectors(selector, passes):
    """Dotted paths; what is absent is the empty text."""
    resource = {"metadata": {"name": "x"}, "involvedObject": {"uid": 7}}
    assert fields(selector)(resource) is passes


def test_a_bad_field_selector():
    """A path without an operator is none."""
    with pytest.raises(SelectorInvalid):
        fields("metadata.name")


def test_a_label_selector_in_one_line():
    """A LabelSelector becomes what the API takes in a query."""
    selector = {"matchLabels": {"a": "b"}, "matchExpressions": [
        {"key": "c", "operator": "In", "values": ["d", "e"]},
        {"key": "f", "operator": "NotIn", "values": ["g"]},
        {"key": "h", "operator": "Exists"}, {"key": "i", "operator": "DoesNotExist"}]}
    assert text(selector) == "a=b,c in (d,e),f notin (g),h,!i"
    assert text({}) == ""


@pytest.mark.parametrize("expression", [
    {"key": "a", "operator": "Like", "values": ["b"]}, {"key": "a", "operator": "In"},
    {"key": "a", "operator": "Exists", "values": ["b"]}, {"key": "a b", "operator": "Exists"}, {},
])
def test_a_bad_label_selector_object(expression):
    """An expression that cannot be said is refused."""
    with pytest.raises(SelectorInvalid):
        text({"matchExpressions": [expression]})
