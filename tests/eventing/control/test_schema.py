"""Shapes: what is unknown in a value, what is left of it, and the same as OpenAPI."""

import pytest

from eventing.control import schema
from eventing.control.schema import ANY, Strict, Unknown

INNER = {"kind": str, "tags": {"*": str}}
SHAPE = {"list": [INNER], "free": ANY, "strict": Strict({"inner": INNER}), "port": (int, str), "on": bool}


@pytest.mark.parametrize(("value", "found"), [
    pytest.param({"list": [{"kind": "a"}], "free": {"x": 1}, "on": True}, [], id="all is known"),
    pytest.param({"lost": 1}, [Unknown("lost", "lost", False)], id="at the top"),
    pytest.param({"list": [{}, {"knd": 1}]}, [Unknown("list[1].knd", "knd", False)], id="in a list"),
    pytest.param({"list": [{"tags": {"any": "x"}}]}, [], id="keys of a map are free"),
    pytest.param({"strict": {"inner": {"x": None}}}, [Unknown("strict.inner.x", "x", True)],
                 id="anywhere in a strict part, null or not"),
    pytest.param({"list": {"not": "a list"}, "strict": 3}, [], id="a wrong type is another's affair"),
])
def test_unknown(value, found):
    """Each field that the shape has not is told with its path, and whether it is refused."""
    assert list(schema.unknown(value, SHAPE)) == found


def test_known():
    """What is unknown is left out of a copy; a value that is all known is not copied."""
    value = {"list": [{"kind": "a", "x": 1}], "strict": {"y": 1, "inner": {}}, "free": {"z": 1}, "w": 1}
    before = repr(value)

    left = schema.known(value, SHAPE)

    assert left == {"list": [{"kind": "a"}], "strict": {"inner": {}}, "free": {"z": 1}}
    assert repr(value) == before
    assert schema.known(left, SHAPE) is left


def test_openapi():
    """A shape is drawn with types; strict parts keep what is unknown, and so does what contains itself."""
    element = {"exact": {"*": str}}
    element["not"] = element
    drawn = schema.openapi({**SHAPE, "filters": [element]})["properties"]

    assert drawn["list"]["items"]["properties"]["kind"] == {"type": "string"}
    assert drawn["list"]["items"]["properties"]["tags"]["additionalProperties"] == {"type": "string"}
    assert drawn["free"] == {"x-kubernetes-preserve-unknown-fields": True}
    assert drawn["strict"]["x-kubernetes-preserve-unknown-fields"] is True
    assert (drawn["port"], drawn["on"]) == ({"x-kubernetes-int-or-string": True}, {"type": "boolean"})
    inner = drawn["filters"]["items"]["properties"]["not"]
    assert inner == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(("value", "wrong"), [
    ({"text": "a", "count": 1, "list": ["a"], "map": {"a": "b"}, "port": "http", "share": 1}, []),
    ({"text": None, "other": 3, "any": {"a": [1]}}, []),
    ({"text": 1}, [("text", "integer", "string")]),
    ({"count": True, "text": False}, [("count", "boolean", "integer"), ("text", "boolean", "string")]),
    ({"list": "a"}, [("list", "string", "array")]),
    ({"list": ["a", {}]}, [("list[1]", "object", "string")]),
    ({"map": {"a": 1.5}}, [("map.a", "number", "string")]),
    ({"map": []}, [("map", "array", "object")]),
    ({"port": []}, [("port", "array", "integer")]),
])
def test_mistyped(value, wrong):
    """What is of another JSON type is told with its path and both types; null is absent."""
    shape = {"text": str, "count": int, "list": [str], "map": {"*": str}, "port": (int, str), "share": float,
             "any": schema.ANY}

    assert list(schema.mistyped(value, shape)) == wrong
