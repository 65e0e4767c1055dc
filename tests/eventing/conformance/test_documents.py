"""What is written is there: every test that docs/choices.md and clauses.md name, and every trap."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = HERE.parent.parent
CHOICES = TESTS.parent / "docs" / "choices.md"
CLAUSES = HERE / "clauses.md"
DOCUMENTS = [pytest.param(CHOICES, id="choices"), pytest.param(CLAUSES, id="eventing"),
             pytest.param(TESTS / "serving" / "conformance" / "clauses.md", id="serving")]


def named(document):
    """(file, test) of every test that *document* names."""
    for path, test in re.findall(r"`([\w/]+\.py)::(\w+)`", document.read_text()):
        if path.startswith("conformance/"):
            yield HERE / path.removeprefix("conformance/"), test
        else:
            here = document.parent / path
            yield (here if here.exists() else TESTS / path), test


@pytest.mark.parametrize("document", DOCUMENTS)
def test_tests_exist(document):
    """A test that was renamed is renamed there, too."""
    missing = []
    for path, test in named(document):
        found = ast.walk(ast.parse(path.read_text())) if path.exists() else ()
        functions = {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        if test not in functions:
            missing.append(f"{path.name}::{test}")

    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_row_has_a_test(document):
    """Nothing is claimed that nothing shows."""
    rows = [line for line in document.read_text().splitlines()
            if line.startswith("| ") and "---" not in line and not line.endswith("| test |")]

    assert len(rows) > 30
    assert [row for row in rows if "::" not in row.rsplit("|", 2)[1]] == []


def test_every_trap_is_decided():
    """The numbers go from 1 to 22."""
    numbers = re.findall(r"^\| (\d+) \|", CHOICES.read_text(), re.MULTILINE)

    assert numbers == [str(number) for number in range(1, 23)]
