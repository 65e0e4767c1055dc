"""The rules of the house that no linter knows."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("eventing", "sources", "serving")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LINES_LIMIT = 400


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module(path):
    """A module says what it is, and fits in the head."""
    text = path.read_text()

    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= LINES_LIMIT
