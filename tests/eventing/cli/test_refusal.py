"""What apply prints for a refusal: an error a line, each with the place of its field in the file."""

from pathlib import Path

import pytest

from eventing import documents
from eventing.cli import refusal

TEXT = """
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: audit
  annotations: {clarion.dev/rate: fast}
spec:
  broker: b
  filters:
  - exact: {type: a}
  - exact: {type: b}
    glob: {type: c}
"""
HEAD = 'admission webhook "validation.webhook.eventing.knative.dev" denied the request: '


@pytest.fixture
def document():
    """The Trigger of TEXT."""
    return next(documents.parse(TEXT, Path("t.yaml")))


@pytest.mark.parametrize(("path", "place"), [
    ("spec.filters[1].glob", "12:5"),
    ("spec.filters[1].exact.type", "11:13"),
    ("spec.filters[7]", "9:3"),
    ("spec.subscriber.ref", "7:1"),
    ("metadata.annotations[clarion.dev/rate]", "6:17"),
    ("metadata.annotations.clarion.dev/rate", "6:17"),
    ("status", "2:1"),
])
def test_place_of(document, path, place):
    """A field's place, or that of the innermost part of its path that is there."""
    assert document.place_of(path) == f"t.yaml:{place}"


def test_one_error(document):
    """A single error stays one line, at its field."""
    told = refusal.told(document, HEAD + "validation failed: invalid value: 3: spec.broker")
    assert told == f"t.yaml:8:3: trigger/audit: {HEAD}validation failed: invalid value: 3: spec.broker\n"


def test_several_errors(document):
    """Several are told one a line, details below, each with its place."""
    told = refusal.told(document, (
        HEAD + "validation failed: Immutable fields changed (-old +new): broker, spec\n"
        '{string}:\n\t-: "a"\n\t+: "b"\n'
        "expected at least one, got none: spec.subscriber.ref, spec.subscriber.uri\n"
        "multiple dialects found, filters can have only one dialect set: spec.filters[1]"))
    assert told.splitlines() == [
        f"t.yaml:2:1: trigger/audit: {HEAD}validation failed:",
        "    Immutable fields changed (-old +new): broker, spec",
        "    {string}:",
        '    -: "a"',
        '    +: "b"',
        "  t.yaml:7:1: expected at least one, got none: spec.subscriber.ref, spec.subscriber.uri",
        "  t.yaml:11:5: multiple dialects found, filters can have only one dialect set: spec.filters[1]",
    ]


def test_unknown_fields(document):
    """Kubernetes joins unknown fields with commas; each gets its line all the same."""
    head = 'Trigger in version "v1" cannot be handled as a Trigger: strict decoding error: '
    one = refusal.told(document, f'{head}unknown field "spec.filters[1].glob"')
    two = refusal.told(document, f'{head}unknown field "spec.filters[1].glob", unknown field "spec.broker"')
    assert one.startswith("t.yaml:12:5: trigger/audit: Trigger in version")
    assert two.splitlines()[1:] == ['  t.yaml:12:5: unknown field "spec.filters[1].glob"',
                                    '  t.yaml:8:3: unknown field "spec.broker"']


@pytest.mark.parametrize("error", [
    'Trigger "audit" is invalid: spec.broker: Invalid value: "integer": spec.broker in body must be of type',
    f"{HEAD}cannot decode incoming new object: json: number into Go struct field spec.broker of type string",
])
def test_wrong_type(document, error):
    """A value of the wrong JSON type is told with the place of its field."""
    assert refusal.told(document, error).startswith("t.yaml:8:3: trigger/audit: ")
