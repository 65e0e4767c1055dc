"""Which requests that got no answer are sent again, row by row."""

from types import SimpleNamespace

import pytest

from serving.activator.again import Again, decide


@pytest.mark.parametrize(("slot", "upstream", "asked", "then"), [
    pytest.param("starting", "fresh", (b"POST", 5, True, 0), Again.ELSEWHERE, id="not ready yet"),
    pytest.param("starting", None, (b"POST", 5, False, 1), Again.ELSEWHERE, id="not ready, no connection"),
    pytest.param("ready", None, (b"POST", 5, False, 0), Again.LATER, id="no connection"),
    pytest.param("ready", None, (b"POST", 5, False, 40), Again.LATER, id="no connection, on a busy machine"),
    pytest.param("ready", None, (b"GET", 5, False, 1000), Again.NEVER, id="no connection, for seconds"),
    pytest.param("ready", "stale", (b"POST", 0.01, True, 0), Again.ANEW, id="closed before"),
    pytest.param("closed", "stale", (b"POST", 0.01, True, 1), Again.ELSEWHERE, id="closed, retired"),
    pytest.param("ready", "stale", (b"POST", 1, True, 0), Again.NEVER, id="an effect may be repeated"),
    pytest.param("closed", "stale", (b"GET", 1, True, 0), Again.ELSEWHERE, id="no effect to repeat"),
    pytest.param("ready", "fresh", (b"GET", 0.01, True, 0), Again.LATER, id="closed a fresh one"),
    pytest.param("ready", "fresh", (b"GET", 0.01, True, 1), Again.NEVER, id="closed a fresh one, twice"),
    pytest.param("ready", "fresh", (b"POST", 0.01, True, 0), Again.NEVER, id="closed a fresh one, POST"),
    pytest.param("ready", "fresh", (b"GET", 0.01, False, 0), Again.NEVER, id="garbage"),
])
def test_table(slot, upstream, asked, then):
    """The module's table."""
    method, sent_s, closed, tries = asked
    slot = SimpleNamespace(is_ready=slot != "starting", is_open=slot == "ready")
    upstream = upstream and SimpleNamespace(is_stale=upstream == "stale")
    assert decide(slot, upstream, method, sent_s, closed=closed, tries=tries) is then
