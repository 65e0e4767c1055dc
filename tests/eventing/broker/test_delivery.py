"""The table in delivery's docstring, row by row, and the waits."""

import pytest

from eventing.broker.delivery import (
    MAX_BACKOFF_S,
    NO_ANSWER,
    WAIT_S,
    Answer,
    DeadLetter,
    Policy,
    Reply,
    RetryAt,
    Settle,
    backoff_s,
    decide,
    decide_status,
    policy_of,
)
from eventing.event import Event

EVENT = Event({"id": "1", "source": "/s", "type": "t", "specversion": "1.0"})
POLICY = Policy(retry=3, exponential=True, backoff_s=0.5)
LATER = RetryAt(100.5)

ROWS = [
    pytest.param([Answer(200, EVENT)], Reply(EVENT), Reply(EVENT), id="200 and an event"),
    pytest.param([Answer(200)], Settle(), Settle(), id="200 and nothing"),
    pytest.param([Answer(200, None, b"hi")], LATER, DeadLetter(), id="200 and something else"),
    pytest.param([Answer(202, EVENT)], Settle(), Settle(), id="202 and an event"),
    pytest.param([Answer(status) for status in (201, 202, 204, 299)],
                 Settle(), Settle(), id="2xx and nothing"),
    pytest.param([Answer(status, EVENT) for status in (201, 203, 299)],
                 Settle(), Settle(), id="2xx and an event"),
    pytest.param([Answer(status, None, b"hi") for status in (201, 202, 299)], LATER, DeadLetter(),
                 id="2xx and something else"),
    pytest.param([Answer(NO_ANSWER, None, b"refused")], LATER, DeadLetter(), id="none"),
    pytest.param([Answer(status) for status in (404, 408, 409, 429)],
                 LATER, DeadLetter(), id="404, 408, 409, 429"),
    pytest.param([Answer(status) for status in (500, 502, 503, 504, 599, 600, 999)], LATER, DeadLetter(),
                 id="5xx, and numbers above"),
    pytest.param([Answer(status) for status in (100, 101, 199, 300, 307, 399, 400, 401, 403, 405, 410, 499)],
                 DeadLetter(), DeadLetter(), id="1xx, 3xx, any other 4xx"),
]


@pytest.mark.parametrize(("answers", "retries_left", "none_left"), ROWS)
def test_decision(answers, retries_left, none_left):
    """The decision depends on the answer and on whether retries are left."""
    for answer in answers:
        assert retries_left == decide(POLICY, answer, 1, 100.0)
        assert none_left == decide(POLICY, answer, 4, 100.0)


def test_attempts_are_one_more_than_retries():
    """`retry: 3` makes four attempts, `retry: 0` one."""
    failure = Answer(500)

    assert isinstance(decide(POLICY, failure, 3, 0.0), RetryAt)
    assert decide(POLICY, failure, 4, 0.0) == DeadLetter()
    assert decide(Policy(retry=0), failure, 1, 0.0) == DeadLetter()


@pytest.mark.parametrize(("exponential", "waits"), [
    pytest.param(True, [0.2, 0.4, 0.8, 1.6], id="exponential doubles"),
    pytest.param(False, [0.2, 0.4, 0.6, 0.8], id="linear adds"),
])
def test_backoff(exponential, waits):
    """The first retry waits one delay; later ones grow as the policy says."""
    policy = Policy(retry=10, exponential=exponential, backoff_s=0.2)

    assert waits == pytest.approx([backoff_s(policy, retry) for retry in range(4)])


def test_backoff_is_bounded():
    """No wait is longer than the bound, however many retries there were."""
    for exponential in (True, False):
        policy = Policy(retry=2**31, exponential=exponential, backoff_s=10.0)

        assert backoff_s(policy, 2**31 - 1) == MAX_BACKOFF_S


def test_jitter_only_lengthens_a_wait():
    """A retry is never early."""
    decision = decide(POLICY, Answer(500), 2, 100.0, jitter=1.0)

    assert decision == RetryAt(pytest.approx(101.1))


def test_dead_letter_sinks_answers_are_not_read():
    """To a dead letter sink any 2xx is a success, whatever it says."""
    for answer in (Answer(200, EVENT), Answer(200, None, b"thanks"), Answer(202)):
        assert decide_status(POLICY, answer, 1, 0.0) == Settle()
    assert isinstance(decide_status(POLICY, Answer(500), 1, 0.0), RetryAt)
    assert decide_status(POLICY, Answer(400), 1, 0.0) == DeadLetter()


def test_policy_of_a_record():
    """A record is read as it is; what it leaves out is no retry, no wait, the default timeout."""
    record = {"retry": 10, "backoff_policy": "linear", "backoff_s": 0.2, "timeout_s": 5.0,
              "dead_letter_url": "http://d", "format": "json"}

    assert Policy(10, False, 0.2, 5.0, "http://d", True) == policy_of(record)
    assert Policy() == policy_of(None) == policy_of({})


HEARS = Policy(retry=5, backoff_s=2.0, exponential=False, retry_after_max_s=10.0)


@pytest.mark.parametrize(("policy", "status", "header", "wait_s"), [
    (HEARS, 429, b"6", 6.0),
    (HEARS, 503, b" 6 ", 6.0),
    (HEARS, 429, b"1", 2.0),
    (HEARS, 429, b"60", 10.0),
    (HEARS, 500, b"6", 2.0),
    (HEARS, 429, None, 2.0),
    (HEARS, 429, b"-6", 2.0),
    (HEARS, 429, b"soon", 2.0),
    (HEARS, 429, b"9" * 400, 10.0),
    (HEARS, 503, b"Thu, 01 Jan 1970 00:16:48 GMT", 8.0),
    (HEARS, 503, b"Thu, 01 Jan 1970 00:00:00 GMT", 2.0),
    (Policy(retry=5, backoff_s=2.0, exponential=False), 429, b"6", 2.0),
], ids=["longer than the back-off", "503 too", "shorter", "longer than the most", "not on a 500", "absent",
        "negative", "no number", "absurd", "a date", "a date that is over", "where nobody listens"])
def test_retry_after(policy, status, header, wait_s):
    """The wait is the longer of back-off and what was asked for, within `retryAfterMax`."""
    decision = decide(policy, Answer(status, None, b"", header), 1, 1000.0)

    assert decision == RetryAt(1000.0 + wait_s)


@pytest.mark.parametrize(("age_s", "expected"), [(7.9, RetryAt(1002.0)), (8.1, DeadLetter())])
def test_total_age(age_s, expected):
    """An event gets no attempt after its `max_age_s`."""
    policy = Policy(retry=50, backoff_s=2.0, exponential=False, max_age_s=10.0)

    assert decide(policy, Answer(500), 1, 1000.0, age_s=age_s) == expected


@pytest.mark.parametrize("status", [400, 500])
def test_one_that_waits_is_never_given_up(status):
    """What would be given up is tried again, with a pause."""
    policy = Policy(retry=0, waits=True)

    assert decide(policy, Answer(status), 9, 1000.0) == RetryAt(1000.0 + WAIT_S)
    assert decide(policy, Answer(202), 9, 1000.0) == Settle()
