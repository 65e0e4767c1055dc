"""Kubernetes quantities."""

from decimal import Decimal

import pytest

from serving.objects import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("128Mi", 128 * 2**20),
        ("1Gi", 2**30),
        ("100M", 100 * 10**6),
        ("250m", Decimal("0.25")),
        ("0.5", Decimal("0.5")),
        (".5", Decimal("0.5")),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("2Ei", 2**61),
        (1, 1),
        (0.5, Decimal("0.5")),
        ("-1k", -1000),
        ("10n", Decimal("1e-8")),
        ("100E", 2**63 - 1),
        ("1e999", 2**63 - 1),
        ("-1e999", 1 - 2**63),
    ],
)
def test_parses(text, value):
    """Every suffix, the decimal exponent, and what is too much mean what they mean in Kubernetes."""
    assert quantity.parse(text) == value


@pytest.mark.parametrize("text", ["", "Mi", "1 Mi", "1mi", "1KB", "a", "1.2.3", None, True, [], "1ee3"])
def test_refuses(text):
    """Everything else is refused."""
    with pytest.raises(ValueError, match="quantities"):
        quantity.parse(text)


@pytest.mark.parametrize(("text", "count"), [("64Mi", 67108864), ("1500m", 2), ("0.1", 1), (0, 0)])
def test_whole_bytes(text, count):
    """A limit that is no whole number of bytes is rounded up."""
    assert quantity.whole_bytes(text) == count
