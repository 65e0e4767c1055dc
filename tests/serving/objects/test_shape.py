"""JSON types of a Service's fields."""

import pytest
import yaml

from serving.objects import shape


def nothing(text):
    """A spec with one container of *text*."""
    return yaml.safe_load(f"template: {{spec: {{containers: [{text}]}}}}")


@pytest.mark.parametrize(
    "text",
    [
        "{image: a, command: [b], args: null, env: [{name: A}], ports: [{containerPort: 1}]}",
        "{resources: {limits: {memory: 64Mi, cpu: 1}}, readinessProbe: {httpGet: {port: http}}}",
        "{livenessProbe: {tcpSocket: {port: 80}}, securityContext: {runAsNonRoot: true}, unknown: [1]}",
    ],
)
def test_right(text):
    """Fields of the right type pass; so do those that nobody knows."""
    shape.check(nothing(text), shape.SERVICE_SPEC, "spec")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{command: python app.py}",
            "cannot unmarshal string into Go struct field PATH.command of type []string",
        ),
        ("{args: [1]}", "cannot unmarshal number into Go struct field PATH.args[0] of type string"),
        (
            "{env: [{name: A, value: 1}]}",
            "cannot unmarshal number into Go struct field PATH.env[0].value of type string",
        ),
        (
            "{ports: [{containerPort: true}]}",
            "cannot unmarshal bool into Go struct field PATH.ports[0].containerPort of type int64",
        ),
        ("{env: {A: b}}", "cannot unmarshal object into Go struct field PATH.env of type list"),
        (
            "{readinessProbe: {httpGet: {port: []}}}",
            (
                "cannot unmarshal array into Go struct field PATH.readinessProbe.httpGet.port of type "
                "intstr.IntOrString"
            ),
        ),
        (
            "{resources: {limits: {memory: lots}}}",
            (
                "PATH.resources.limits.memory: quantities must match the regular expression "
                "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            ),
        ),
    ],
)
def test_wrong(text, expected):
    """A field of the wrong type is named with its path and both types, as Go's decoder does."""
    with pytest.raises(ValueError, match=r"spec") as refused:
        shape.check(nothing(text), shape.SERVICE_SPEC, "spec")

    assert str(refused.value) == expected.replace("PATH", "spec.template.spec.containers[0]")
