"""`$(NAME)` in commands and variables."""

import pytest

from serving.objects.expansion import expand


@pytest.mark.parametrize(("text", "expected"), [
    ("plain", "plain"),
    ("$(A)", "1"),
    ("-p=$(A):$(B)", "-p=1:two"),
    ("$(MISSING)-$(A)", "$(MISSING)-1"),
    ("$$(A)", "$(A)"),
    ("$$$(A)", "$1"),
    ("$$$$(A)", "$$(A)"),
    ("$A ${A} $", "$A ${A} $"),
    ("$(A", "$(A"),
    ("$()", "$()"),
    ("$(R)", "$(A)"),
])
def test_expand(text, expected):
    """Known names are replaced, once; two dollars are one; nothing else is touched."""
    assert expand(text, {"A": "1", "B": "two", "R": "$(A)"}) == expected
