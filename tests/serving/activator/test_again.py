"""Which requests that got no answer are sent again, row by row."""

from types import SimpleNamespace

import pytest

from serving.activator.again import Again, decide


@pytest.mark.parametrize(("slot", "upstream", "asked", "then"), [
    pytest.param("starting", "fresh", (b"POST", 5, "closed", 0), Again.ELSEWHERE, id="not ready yet"),
    pytest.param("starting", None, (b"POST", 5, "refused", 1), Again.ELSEWHERE, id="not ready, refused"),
    pytest.param("ready", None, (b"POST", 5, "refused", 0), Again.LATER, id="no connection"),
    pytest.param("ready", None, (b"POST", 5, "refused", 40), Again.LATER, id="refused, still"),
    pytest.param("ready", None, (b"GET", 5, "refused", 1000), Again.NEVER, id="refused, for seconds"),
    pytest.param("ready", None, (b"GET", 5, "timeout", 1), Again.NEVER, id="no connection in time, twice"),
    pytest.param("ready", "stale", (b"POST", 0.01, "closed", 0), Again.ANEW, id="closed before"),
    pytest.param("closed", "stale", (b"POST", 0.01, "closed", 1), Again.ELSEWHERE, id="closed, retired"),
    pytest.param("ready", "stale", (b"POST", 1, "closed", 0), Again.NEVER, id="an effect may be repeated"),
    pytest.param("closed", "stale", (b"GET", 1, "closed", 0), Again.ELSEWHERE, id="no effect to repeat"),
    pytest.param("ready", "fresh", (b"GET", 0.01, "closed", 0), Again.LATER, id="closed a fresh one"),
    pytest.param("ready", "fresh", (b"GET", 0.01, "closed", 1), Again.NEVER, id="closed a fresh one, twice"),
    pytest.param("ready", "fresh", (b"POST", 0.01, "closed", 0), Again.NEVER, id="closed a fresh one, POST"),
    pytest.param("ready", "fresh", (b"GET", 0.01, "garbage", 0), Again.NEVER, id="garbage"),
])
def test_table(slot, upstream, asked, then):
    """The module's table."""
    method, sent_s, reason, tries = asked
    slot = SimpleNamespace(is_ready=slot != "starting", is_open=slot == "ready")
    upstream = upstream and SimpleNamespace(is_stale=upstream == "stale")
    assert decide(slot, upstream, method, sent_s, reason=reason, tries=tries) is then
