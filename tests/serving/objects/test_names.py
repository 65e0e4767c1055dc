"""Names of children."""

import hashlib

import pytest

from serving.objects import names


def test_short_names_are_joined():
    """A name that fits is parent and suffix."""
    assert names.revision_name("hello", 3) == "hello-00003"
    assert names.revision_name("hello", 123456) == "hello-123456"


def test_long_names_are_digested():
    """A name that does not fit keeps its beginning, and ends in its digest and the suffix: 63 characters."""
    parent = "a" * 60
    name = names.revision_name(parent, 1)

    assert len(name) == 63
    assert name == "a" * 25 + hashlib.md5(parent.encode()).hexdigest() + "-00001"


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("hello", 0),
        ("a-1", 0),
        ("1a", 1),
        ("-a", 1),
        ("a-", 1),
        ("A", 1),
        ("a.b", 1),
        ("", 1),
        ("a" * 63, 0),
        ("a" * 64, 1),
        ("A" * 64, 2),
    ],
)
def test_dns_1035(name, count):
    """A label of a host name has 63 of a-z, 0-9 and -, and begins with a letter."""
    assert len(names.not_dns_1035(name)) == count


@pytest.mark.parametrize(
    ("name", "count"), [("hello-00001", 0), ("My.name_1", 0), ("-a", 1), ("a b", 1), ("", 1)]
)
def test_qualified(name, count):
    """A qualified name may have dots and underscores, too."""
    assert len(names.not_qualified(name)) == count
