"""How an event is shown; the feeds themselves are tested through the commands that read them."""

import base64
import json

import orjson
import pytest
from pydantic_core import to_json

from eventing.cli import output
from eventing.dashboard.feeds import as_json
from eventing.event import Event


@pytest.mark.parametrize(("content_type", "data", "shown"), [
    pytest.param("application/json", b'{"a": 1}', {"data": {"a": 1}}, id="JSON"),
    pytest.param("application/vnd.x+json; charset=utf-8", b"[1]", {"data": [1]}, id="a kind of JSON"),
    pytest.param(None, b"1", {"data": 1}, id="no content type means JSON"),
    pytest.param("application/json", b"{", {"data_base64": "ew=="}, id="not the JSON it says it is"),
    pytest.param("text/plain", "ä".encode(), {"data": "ä"}, id="text"),
    pytest.param("image/png", b"\xff\x00", {"data_base64": "/wA="}, id="bytes"),
    pytest.param("text/plain", b"", {"data": ""}, id="nothing in it"),
    pytest.param("application/json", None, {}, id="no data"),
    pytest.param("application/json", b"[" * 201 + b"]" * 201, {
        "data_base64": base64.b64encode(b"[" * 201 + b"]" * 201).decode()}, id="too deep to be read"),
    pytest.param("application/json", b"[%b]" % b",".join([b'{"a":[]}'] * 300), {"data": [{"a": []}] * 300},
                 id="wide is not deep"),
])
def test_shown(content_type, data, shown):
    """Data is shown as what its content type says, as base64 where it is not that."""
    attributes = {"id": "1"} | ({"datacontenttype": content_type} if content_type else {})

    assert as_json(Event(attributes, data)) == attributes | shown


@pytest.mark.parametrize("levels", [200, 201, 1000, 2000])
def test_whatever_is_shown_can_be_read(levels):
    """A listing of letters as JSON and as YAML: nobody who writes or reads them gives up."""
    shown = as_json(Event({"id": "1"}, b"[" * levels + b"]" * levels))

    letters = [{"event": shown}]
    assert json.loads(orjson.dumps(letters)) == json.loads(to_json(letters)) == letters
    assert "event" in output.as_yaml(letters[0])
