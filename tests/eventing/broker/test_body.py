"""eventing/broker/body.py: bodies that were compressed on the way, in one member or in many."""

import gzip

import pytest

from eventing.broker import body as bodies
from eventing.errors import Rejected, TooLarge

LIMIT_BYTES = 1 << 20
DATA = bytes(range(256)) * 100


def inflated(*members):
    """What a gzip file of *members* becomes."""
    return bodies.plain(b"".join(members), b"gzip", LIMIT_BYTES)


@pytest.mark.parametrize("size_bytes", [0, 1, 255, 4097, 25600])
def test_members_of_any_length_follow_each_other(size_bytes):
    """However they lie in the body, what was compressed comes out (RFC 1952, section 2.2)."""
    parts = [DATA[:size_bytes], b"", DATA[::-1], DATA[:size_bytes]]
    for level in (0, 9):
        assert inflated(*(gzip.compress(part, level) for part in parts)) == b"".join(parts)


@pytest.mark.parametrize("lost_bytes", [1, 8, 20])
def test_a_member_that_is_cut_off(lost_bytes):
    """The last of several is missed as a single one is."""
    members = gzip.compress(DATA) * 30
    with pytest.raises(Rejected, match="cut off"):
        inflated(members[:-lost_bytes])


def test_what_follows_a_member_and_is_none():
    """It is no gzip, and nothing is thrown away in silence."""
    with pytest.raises(Rejected, match="is not gzip"):
        inflated(gzip.compress(DATA), b"more")


def test_the_limit_is_that_of_all_members_together():
    """The last byte that is allowed is taken, one more is not."""
    half = gzip.compress(bytes(LIMIT_BYTES // 2))
    assert len(inflated(half, half)) == LIMIT_BYTES
    with pytest.raises(TooLarge):
        inflated(half, half, gzip.compress(b"x"))


@pytest.mark.timeout(20)
def test_a_body_of_tiny_members_costs_what_its_length_does():
    """Hundreds of thousands are inflated in less than a second, not in minutes."""
    part, members = b"x" * 30, 200_000
    assert bodies.plain(gzip.compress(part) * members, b"gzip", 8 << 20) == part * members
