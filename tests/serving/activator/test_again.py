"""Which requests that got no answer are sent again, row by row."""

from types import SimpleNamespace

import pytest

from serving.activator.again import Again, decide


@pytest.mark.parametrize(("slot", "upstream", "asked", "then"), [
    pytest.param("starting", "reset", (b"POST", 9000, "closed", 0), Again.ELSEWHERE, id="not ready yet"),
    pytest.param("starting", "fresh", (b"GET", 10, "closed", 0), Again.ELSEWHERE, id="not known to be ready"),
    pytest.param("starting", "fresh", (b"POST", 10, "closed", 0), Again.NEVER, id="it was, and has read"),
    pytest.param("starting", None, (b"POST", 10, "refused", 1), Again.ELSEWHERE, id="not ready, refused"),
    pytest.param("ready", None, (b"POST", 10, "refused", 0), Again.LATER, id="no connection"),
    pytest.param("ready", None, (b"POST", 10, "refused", 40), Again.LATER, id="refused, still"),
    pytest.param("ready", None, (b"GET", 10, "refused", 1000), Again.NEVER, id="refused, for seconds"),
    pytest.param("ready", None, (b"GET", 10, "timeout", 1), Again.NEVER, id="no connection in time, twice"),
    pytest.param("ready", "stale reset", (b"POST", 10, "closed", 0), Again.ANEW, id="closed before"),
    pytest.param("closed", "stale reset", (b"POST", 10, "closed", 1), Again.ELSEWHERE, id="closed, retired"),
    pytest.param("ready", "stale reset", (b"POST", 9000, "closed", 0), Again.NEVER, id="half of it was read"),
    pytest.param("ready", "stale", (b"POST", 10, "closed", 0), Again.NEVER, id="an effect may be repeated"),
    pytest.param("closed", "stale", (b"GET", 10, "closed", 0), Again.ELSEWHERE, id="no effect to repeat"),
    pytest.param("ready", "stale", (b"GET", 10, "closed", 0), Again.LATER, id="it may have been read"),
    pytest.param("ready", "fresh", (b"GET", 10, "closed", 0), Again.LATER, id="closed a fresh one"),
    pytest.param("ready", "fresh", (b"GET", 10, "closed", 9), Again.LATER, id="closed, refused before"),
    pytest.param("ready", "reset", (b"POST", 10, "closed", 0), Again.NEVER, id="closed a fresh one, POST"),
    pytest.param("ready", "fresh", (b"GET", 10, "garbage", 0), Again.NEVER, id="garbage"),
])
def test_table(slot, upstream, asked, then):
    """The module's table."""
    assert decided(slot, upstream, asked) is then


@pytest.mark.parametrize(("slot", "upstream", "then"), [
    ("ready", "fresh", Again.NEVER), ("ready", "stale", Again.NEVER), ("ready", "stale reset", Again.NEVER),
    ("closed", "stale", Again.NEVER), ("starting", "fresh", Again.NEVER),
    ("starting", "reset", Again.ELSEWHERE), ("ready", None, Again.LATER),
])
def test_a_second_time(slot, upstream, then):
    """What went to a worker twice goes to no third one, unless that has certainly not read it."""
    asked = (b"GET", 10, "refused" if upstream is None else "closed", 0)
    assert decided(slot, upstream, asked, is_again=True) is then


def decided(slot, upstream, asked, *, is_again=False):
    """What `decide` says of a worker and a connection that are described."""
    method, sent_bytes, reason, tries = asked
    slot = SimpleNamespace(is_ready=slot != "starting", is_open=slot == "ready")
    upstream = upstream and SimpleNamespace(is_stale="stale" in upstream, was_reset="reset" in upstream)
    return decide(slot, upstream, method, sent_bytes, reason=reason, tries=tries, is_again=is_again)
