"""Which requests that got no answer are sent again, row by row."""

from types import SimpleNamespace

import pytest

from serving.activator.again import Again, decide


@pytest.mark.parametrize(("slot", "upstream", "asked", "then"), [
    pytest.param("starting", "fresh", (b"POST", 5, True, False), Again.ELSEWHERE, id="not ready yet"),
    pytest.param("starting", None, (b"POST", 5, False, True), Again.ELSEWHERE, id="not ready, no connection"),
    pytest.param("ready", None, (b"POST", 5, False, False), Again.LATER, id="no connection"),
    pytest.param("ready", None, (b"GET", 5, False, True), Again.NEVER, id="no connection, twice"),
    pytest.param("ready", "stale", (b"POST", 0.01, True, False), Again.ANEW, id="closed before"),
    pytest.param("closed", "stale", (b"POST", 0.01, True, True), Again.ELSEWHERE, id="closed, retired"),
    pytest.param("ready", "stale", (b"POST", 1, True, False), Again.NEVER, id="an effect may be repeated"),
    pytest.param("closed", "stale", (b"GET", 1, True, False), Again.ELSEWHERE, id="no effect to repeat"),
    pytest.param("ready", "fresh", (b"GET", 0.01, True, False), Again.LATER, id="closed a fresh one"),
    pytest.param("ready", "fresh", (b"GET", 0.01, True, True), Again.NEVER, id="closed a fresh one, twice"),
    pytest.param("ready", "fresh", (b"POST", 0.01, True, False), Again.NEVER, id="closed a fresh one, POST"),
    pytest.param("ready", "fresh", (b"GET", 0.01, False, False), Again.NEVER, id="garbage"),
])
def test_table(slot, upstream, asked, then):
    """The module's table."""
    method, sent_s, closed, tried = asked
    slot = SimpleNamespace(is_ready=slot != "starting", is_open=slot == "ready")
    upstream = upstream and SimpleNamespace(is_stale=upstream == "stale")
    assert decide(slot, upstream, method, sent_s, closed=closed, tried=tried) is then
