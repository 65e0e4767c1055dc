"""What a regular expression costs to compile, as CEL's filters count it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.broker import patterns
from eventing.broker.filters import cel
from eventing.broker.subject import Subject

SUBJECT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


@pytest.mark.parametrize(("pattern", "least", "most"), [
    ("", 50, 50),
    ("^order", 50, 60),
    ("a{1000}", 1000, 1100),
    ("(a{30}){30}", 900, 1000),
    ("(?:ab|c){2,5}x", 60, 80),
    ("a{3,}", 50, 60),
    (".{100}", 2000, 2100),
    ("[^a]{100}", 2000, 2100),
    ("[a-z{}]{100}", 100, 200),
    (r"\d{4}-\d{2}", 900, 1000),
    (r"\\d{4}", 50, 60),
    (r"\w", 2000, 2100),
    (r"[\w.]{64}", 128_000, 129_000),
    (r"\p{Greek}{2}", 4000, 4100),
    (")(", 50, 52),
])
def test_steps(pattern, least, most):
    """Repeats multiply, also those of groups; what stands for a great part of Unicode is dear."""
    assert least <= patterns.steps_of(pattern) <= most


@given(st.text(alphabet="ab.\\wd(){}[]^,123?", max_size=40))
def test_any_text_is_read(pattern):
    """Whether it is a pattern or not."""
    assert patterns.steps_of(pattern) >= 50


def test_order_of_what_is_measured():
    """What is reckoned to take a hundred times as long takes longer."""
    cheap, dear = (cel.Expression(f"type.matches(r'{pattern}')", "p")
                   for pattern in ("^[a-z]{3}$", r"^\w{3}$"))

    def processor_s(expression):
        began = time.process_time()
        for _ in range(50):
            expression.verdict(Subject(SUBJECT, None))
        return time.process_time() - began
    assert processor_s(cheap) < processor_s(dear)
