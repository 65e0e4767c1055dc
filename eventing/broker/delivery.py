"""
What to do after an attempt: the decision, and nothing else.

This module does no I/O and reads no clock; the dispatcher performs what is decided here. What is decided
depends only on the answer and on the policy:

    answer                                     retries left    none left
    ------                                     ------------    ---------
    200 and an event                           Reply           Reply
    200 and nothing                            Settle          Settle
    200 and something else                     RetryAt         DeadLetter
    202 and an event                           Settle          Settle
    any other 2xx and nothing                  Settle          Settle
    any other 2xx and an event                 Settle          Settle
    202, or any other 2xx, and something else  RetryAt         DeadLetter
    none: refused, reset, timed out, garbage   RetryAt         DeadLetter
    404, 408, 409, 429                         RetryAt         DeadLetter
    5xx, and numbers above                     RetryAt         DeadLetter
    1xx, 3xx, any other 4xx                    DeadLetter      DeadLetter

Where Knative's specification, documents and code disagree, this is what holds here:

- Only a 200 carries a reply. The specification says that a 202 must not be one (data-plane.md), and its
  table gives the reply to 200 alone; Knative's code takes an event out of any 2xx.
- A body that is no event is a failure (Knative's broker makes a 502 of it, and retries), so that
  a function that prints to its response by mistake is noticed. To a dead letter sink, whose answers
  nobody reads, any 2xx is a success.
- An exponential wait is delay * 2^n, a linear one delay * (n + 1), n from 0 for the first retry: the
  documents' reading. (The specification's linear is constant; Knative's code waits 0 first.)
- Without a policy or without a delay the retries follow at once, as in Knative.
- A wait is at most MAX_BACKOFF_S. Knative has no bound, and 2^32 * 0.2 s is 27 years.
- `Retry-After` counts on 429 and 503, where the delivery says `retryAfterMax`: the wait is the longer of the
  back-off and of what was asked for, the latter at most `retryAfterMax`.
- `max_age_s` ends the retries of an event that is older; `waits` means: where it says DeadLetter above, try
  again instead, for ever (an ordered trigger that would rather wait than go on without an event).
- Retries are counted per event and trigger, not per process: they go on where they were after a restart.
"""

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from eventing.event import Event

# 404: the subscriber may still be starting. 409: "not now". 408 and 429 say so themselves.
RETRYABLE = frozenset({404, 408, 409, 429})
# An hour: what is down for longer is asked often enough so, and a retry count of 20 still ends within a day.
MAX_BACKOFF_S = 3600.0
# What Knative's Kafka data plane waits; its Go code waits for ever, and a lane must not.
DEFAULT_TIMEOUT_S = 600.0
# Waits are spread by up to a tenth, so that a thousand events that failed together do not return together.
JITTER = 0.1
# How long an event that is never given up waits at least: its policy may say nothing, or nothing any more.
WAIT_S = 1.0
_ASKS_TO_WAIT = frozenset({429, 503})

NO_ANSWER = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """How one trigger's events are delivered: DELIVERY of eventing/keys.py. Times in seconds."""

    retry: int = 0
    exponential: bool = True
    backoff_s: float = 0.0
    timeout_s: float = DEFAULT_TIMEOUT_S
    dead_letter_url: str | None = None
    structured: bool = False
    retry_after_max_s: float | None = None  # None: what a subscriber asks for is not heard
    max_age_s: float | None = None
    waits: bool = False


class Answer(NamedTuple):
    """What an attempt came to; `status` is NO_ANSWER when there was none, and then `body` says why."""

    status: int
    event: Event | None = None
    body: bytes = b""
    retry_after: bytes | None = None  # header of a failure


@dataclass(frozen=True, slots=True)
class Settle:
    """The event is delivered."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The event is delivered, and this one is to be stored before that counts."""

    event: Event


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at `when`, a Unix time."""

    when: float


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Give up."""


Decision = Settle | Reply | RetryAt | DeadLetter


def policy_of(
    delivery: Mapping[str, Any] | None, *, max_age_s: float | None = None, waits: bool = False
) -> Policy:
    """Policy of a DELIVERY record, and of a trigger's flow; no record means no retries."""
    given = delivery or {}
    return Policy(
        retry=given.get("retry") or 0,
        exponential=given.get("backoff_policy") != "linear",
        backoff_s=given.get("backoff_s") or 0.0,
        timeout_s=given.get("timeout_s") or DEFAULT_TIMEOUT_S,
        dead_letter_url=given.get("dead_letter_url"),
        structured=given.get("format") == "json",
        retry_after_max_s=given.get("retry_after_max_s"),
        max_age_s=max_age_s,
        waits=waits,
    )


def decide(
    policy: Policy, answer: Answer, attempt: int, now: float, *, jitter: float = 0.0, age_s: float = 0.0
) -> Decision:
    """
    Decide after *attempt* (the first is 1), at *now*, a Unix time; *jitter* is a number from 0 to 1.

    *age_s* is how long ago the event was accepted; it counts where the policy has a `max_age_s`.
    """
    if 200 <= answer.status < 300:  # noqa: PLR2004  HTTP's own classes
        if answer.event is not None:
            return Reply(answer.event) if answer.status == 200 else Settle()  # noqa: PLR2004  as above
        if not answer.body:
            return Settle()
        is_retryable = True
    else:
        is_retryable = answer.status == NO_ANSWER or answer.status in RETRYABLE or answer.status >= 500  # noqa: PLR2004
    wait_s = backoff_s(policy, attempt - 1) * (1.0 + JITTER * jitter)
    if answer.status in _ASKS_TO_WAIT and policy.retry_after_max_s and answer.retry_after is not None:
        wait_s = max(wait_s, min(_asked_s(answer.retry_after, now), policy.retry_after_max_s))
    is_too_old = policy.max_age_s is not None and age_s + wait_s > policy.max_age_s
    if is_retryable and attempt <= policy.retry and not is_too_old:
        return RetryAt(now + wait_s)
    return RetryAt(now + max(wait_s, WAIT_S)) if policy.waits else DeadLetter()


def decide_status(
    policy: Policy, answer: Answer, attempt: int, now: float, *, jitter: float = 0.0, age_s: float = 0.0
) -> Decision:
    """As `decide`, where nobody reads what an answer carries (dead letters, batches): there is no Reply."""
    seen = Answer(answer.status) if 200 <= answer.status < 300 else answer  # noqa: PLR2004  HTTP's classes
    return decide(policy, seen, attempt, now, jitter=jitter, age_s=age_s)


def backoff_s(policy: Policy, retry: int) -> float:
    """Seconds to wait before *retry* (the first is 0)."""
    # 2^64 is beyond any bound already; more only overflows.
    factor = 2.0 ** min(retry, 64) if policy.exponential else retry + 1
    return min(policy.backoff_s * factor, MAX_BACKOFF_S)


def _asked_s(retry_after: bytes, now: float) -> float:
    """Seconds that Retry-After asks for, a number or a date (RFC 9110, section 10.2.3); 0 if neither."""
    text = retry_after.decode("latin-1").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0
