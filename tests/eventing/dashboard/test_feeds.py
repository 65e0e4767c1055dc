"""How an event is shown; the feeds themselves are tested through the commands that read them."""

import pytest

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
])
def test_shown(content_type, data, shown):
    """Data is shown as what its content type says, as base64 where it is not that."""
    attributes = {"id": "1"} | ({"datacontenttype": content_type} if content_type else {})

    assert as_json(Event(attributes, data)) == attributes | shown
