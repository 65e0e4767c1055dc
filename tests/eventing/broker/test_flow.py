"""Annotations that say how fast and in which order: what they mean, and what is refused."""

import pytest

from eventing.broker import flow
from eventing.broker.flow import PLAIN, FlowInvalid, flow_of


def test_nothing_said():
    """A trigger without annotations, or with others, is not limited."""
    assert flow_of({}) is PLAIN
    assert flow_of({"clarion.dev/entry": "a:b"}) == PLAIN


@pytest.mark.parametrize(("annotations", "expected"), [
    ({flow.ORDER: "ordered"}, True),
    ({flow.ORDER: "Ordered"}, True),
    ({flow.ORDER: "unordered"}, False),
    ({flow.PARALLELISM: "1"}, True),
    ({flow.PARALLELISM: "10"}, False),
])
def test_order(annotations, expected):
    """Order is asked for as users of either broker write it."""
    assert flow_of(annotations).is_ordered is expected


def test_limits():
    """Each annotation is one limit."""
    found = flow_of({flow.CONCURRENCY: "3", flow.RATE: "30/m", flow.BATCH: "50,200ms", flow.MAX_AGE: "PT1H"})

    assert (found.concurrency, found.rate_per_s, found.batch_events, found.linger_s, found.max_age_s) == \
        (3, 0.5, 50, 0.2, 3600.0)
    assert flow_of({flow.PARALLELISM: "10"}).concurrency == 10


def test_key():
    """A key is what an expression says of an event; alone it means one at a time."""
    found = flow_of({flow.CONCURRENCY_KEY: "CONCAT(source, subject)"})

    assert found.concurrency == 1
    assert found.key_of({"source": "/s", "subject": "x"}) == "/sx"


@pytest.mark.parametrize(("limit", "partitions", "shares", "turns"), [
    (10, 3, [4, 3, 3], None),
    (3, 3, [1, 1, 1], None),
    (2, 3, [1, 1, 1], 2),
    (1, 4, [1, 1, 1, 1], 1),
    (5, 1, [5], None),
])
def test_partitions_share_a_limit(limit, partitions, shares, turns):
    """What a trigger may have at once is divided among its broker's partitions; or they take turns."""
    whole = flow_of({flow.CONCURRENCY: str(limit), flow.RATE: "30/s"})

    parts = [whole.share(number, partitions) for number in range(partitions)]
    assert [part.concurrency for part in parts] == shares
    assert {part.turns for part in parts} == {turns}
    assert sum(part.rate_per_s for part in parts) == pytest.approx(30)
    assert sum(sorted(shares)[-(turns or partitions):]) == limit


@pytest.mark.parametrize(("limit", "share", "turns"), [(1, 1, 1), (3, 1, 3), (4, 1, None), (9, 2, None)])
def test_partitions_share_the_limit_of_a_key(limit, share, turns):
    """Of a value, too, no more than the limit is sent by those that may send."""
    whole = flow_of({flow.CONCURRENCY: str(limit), flow.CONCURRENCY_KEY: "subject"})

    parts = [whole.share(number, 4) for number in range(4)]
    assert {(part.concurrency, part.turns) for part in parts} == {(share, turns)}
    assert share * (turns or 4) <= limit


@pytest.mark.parametrize(("annotations", "named"), [
    ({flow.ORDER: "sorted"}, flow.ORDER),
    ({flow.PARALLELISM: "0"}, flow.PARALLELISM),
    ({flow.PARALLELISM: "1001"}, flow.PARALLELISM),
    ({flow.CONCURRENCY: "many"}, flow.CONCURRENCY),
    ({flow.CONCURRENCY: "-1"}, flow.CONCURRENCY),
    ({flow.CONCURRENCY_KEY: "subject ="}, flow.CONCURRENCY_KEY),
    ({flow.CONCURRENCY_KEY: "FOO(subject)"}, flow.CONCURRENCY_KEY),
    ({flow.RATE: "100"}, flow.RATE),
    ({flow.RATE: "0/s"}, flow.RATE),
    ({flow.BATCH: "0"}, flow.BATCH),
    ({flow.BATCH: "5,"}, flow.BATCH),
    ({flow.BATCH: "10,never"}, flow.BATCH),
    ({flow.BATCH: "10,2h"}, flow.BATCH),
    ({flow.MAX_AGE: "-PT1H"}, flow.MAX_AGE),
    ({flow.ON_POISON: "drop"}, flow.ON_POISON),
    ({flow.ON_POISON: "wait"}, flow.ON_POISON),
    ({flow.ORDER: "ordered", flow.BATCH: "10"}, flow.BATCH),
    ({flow.ORDER: "ordered", flow.CONCURRENCY_KEY: "subject"}, flow.CONCURRENCY_KEY),
    ({flow.CONCURRENCY_KEY: "subject", flow.BATCH: "10"}, flow.BATCH),
])
def test_refused(annotations, named):
    """What cannot be understood, or not together, is refused by the name of the annotation."""
    with pytest.raises(FlowInvalid) as refused:
        flow_of(annotations)

    assert refused.value.annotation == named
    assert named in str(refused.value)
    assert "expected" in str(refused.value)
