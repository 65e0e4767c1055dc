"""Image names that stand for bundles."""

import pytest

from serving.objects.images import mapped

A, B, C = (f"func://{letter}@sha256:{letter * 64}" for letter in "abc")
DATA = {"price": f"ghcr.io/shop/price = {A}", "old": f"ghcr.io/shop/price:1.0={B}", "x": f"host:5000/x={C}",
        "note": "no line", "empty": "= func://x"}


@pytest.mark.parametrize(("image", "expected"), [
    ("ghcr.io/shop/price", A),
    ("ghcr.io/shop/price:2.0", A),
    ("ghcr.io/shop/price@sha256:" + "0" * 64, A),
    ("ghcr.io/shop/price:1.0", B),
    ("ghcr.io/shop/price:1.0@sha256:" + "0" * 64, B),
    ("host:5000/x:latest", C),
    ("host:5000/x", C),
    ("host", None),
    ("ghcr.io/shop/prices", None),
    ("no line", None),
    ("", None),
])
def test_mapped(image, expected):
    """A name with its tag goes before the repository; what is not named stands for nothing."""
    assert mapped(image, DATA) == expected
