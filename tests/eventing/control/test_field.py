"""Field errors in Knative's words."""

import pytest

from eventing.control import field
from eventing.control.field import render


@pytest.mark.parametrize(("errors", "text"), [
    pytest.param([field.missing_field("b", "a")], "missing field(s): a, b", id="paths are sorted"),
    pytest.param([field.missing_field("x"), field.missing_field("a")], "missing field(s): a, x",
                 id="equal messages are merged"),
    pytest.param([field.missing_field("x").via_index(0).via_field("spec", "steps")],
                 "missing field(s): spec.steps[0].x", id="paths are joined"),
    pytest.param([field.invalid_value("9", "spec.retry", "too many")],
                 "invalid value: 9: spec.retry\ntoo many", id="details have a line"),
    pytest.param([field.one_of_neither("a", "b"), field.at_least_one("c")],
                 "expected at least one, got none: c\nexpected exactly one, got neither: a, b",
                 id="messages are sorted"),
    pytest.param([field.out_of_bounds(-1, 0, 100, "p")], "expected 0 <= -1 <= 100: p", id="bounds"),
    pytest.param([field.invalid_key_name("x-y", "ext", "letters only")],
                 'invalid key name "x-y": ext\nletters only', id="a key"),
    pytest.param([field.invalid_value(True, "p")], "invalid value: true: p", id="as Go prints it"),
    pytest.param(field.immutable({"broker": "a"}, {"broker": "b"}, "v1.TriggerSpec", "spec", "broker"),
                 "Immutable fields changed (-old +new): broker, spec\n"
                 '{v1.TriggerSpec}.Broker:\n\t-: "a"\n\t+: "b"',
                 id="what may not change"),
    pytest.param(field.immutable({"a": 1}, {"a": 1}, "T", "spec"), "", id="nothing changed"),
    pytest.param(field.via_key([field.generic("no", "")], "k"), "no: [k]", id="an entry of a map"),
])
def test_render(errors, text):
    """Lists of errors as a person reads them."""
    assert render(errors) == text
