"""ConfigMap config-observability: which template is understood, and what a line is made of."""

import json

import pytest

from serving.activator.requestlog import _FIELDS
from serving.objects import observability

ON = {observability.ENABLE: "true"}


def line(template, **values):
    """The line of a request with these values; fields that are not named are their own names."""
    found = observability.read({**ON, observability.TEMPLATE: template})
    return found.line(lambda name: values.get(name.rpartition(".")[2], name))


def test_off():
    """Without being asked for there is none."""
    assert observability.read({}) is None
    assert observability.read({observability.ENABLE: "false", observability.TEMPLATE: "{{.TraceID}}"}) is None


def test_default_template():
    """Knative's own line is JSON, whatever a client sends."""
    values = {"Code": "200", "RequestURI": '/a?b=c"d', "UserAgent": "O'Ne\\il <x>"}
    said = json.loads(observability.read(ON).line(lambda name: values.get(name.rpartition(".")[2], "")))
    request = said["httpRequest"]
    assert (request["status"], request["requestUrl"], request["userAgent"]) == (
        200, '/a?b=c"d', "O'Ne\\il <x>")


def test_template():
    """Fields, headers, escapes before and behind; a line break makes no second line."""
    assert line("{{.Response.Code}} {{- .TraceID }}", Code="404", TraceID="t\nu") == "404t u"
    assert line("{{js .Request.Host}}|{{.Request.Host | js}}", Host="<") == "\\u003C|\\u003C"
    assert line('{{.Request.Header.Get "X-A"}}') == ".Request.Header.x-a"


@pytest.mark.parametrize(("data", "message"), [
    ({observability.ENABLE: "yes"}, "logging.enable-request-log = yes, must be true or false"),
    ({observability.TEMPLATE: "{{.Nothing}}"}, "request-log-template: {{.Nothing}} is not understood"),
    ({observability.TEMPLATE: '{{.TraceID}} {{.Nope"'},
     '{{.Nope" is not understood: the action has no end, }}'),
    ({observability.TEMPLATE: "{{if .TraceID}}"}, "is not understood: there are .Request.Method"),
    ({**ON, observability.TEMPLATE: ""}, "is true, and logging.request-log-template is empty"),
])
def test_refused(data, message):
    """What cannot be read is said by its key."""
    with pytest.raises(ValueError, match="logging") as error:
        observability.check(data)
    assert message in str(error.value)


def test_fields_are_known():
    """Whoever fills the template in knows every field that it may have."""
    assert set(_FIELDS) == set(observability.FIELDS)
