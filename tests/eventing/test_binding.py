"""HTTP messages and JSON to events, and back; clause by clause, at random, and against the SDK."""

import base64
import json
import re

import orjson
import pytest
from cloudevents.core.bindings.http import (
    HTTPMessage,
    from_binary_event,
    from_structured_event,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from eventing import binding
from eventing.errors import NotACloudEvent
from eventing.event import Event

MINIMAL = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.placed"}


def headers(**attributes):
    """MINIMAL as headers, with changes; None leaves an attribute out."""
    merged = {**MINIMAL, **attributes}
    return [(b"content-type" if name == "datacontenttype" else b"ce-" + name.encode(), value.encode())
            for name, value in merged.items() if value is not None]


def members(**attributes):
    """MINIMAL as a JSON body, with changes; None leaves an attribute out."""
    merged = {**MINIMAL, **attributes}
    return json.dumps({name: value for name, value in merged.items() if value is not None}).encode()


def test_binary_mode():
    """Attributes from ce- headers, datacontenttype from Content-Type, data as it came, nothing else."""
    change = {"datacontenttype": "Application/JSON; charset=x", "myext": "z"}
    given_headers = [(b"host", b"x"), (b"user-agent", b"y"), *headers(**change)]

    assert binding.from_http(given_headers, b"{not json") == Event({**MINIMAL, **change}, b"{not json")
    assert binding.from_http(headers(), b"") == Event(MINIMAL, None)


@pytest.mark.parametrize("media_type", [
    b"application/cloudevents+json", b"Application/CloudEvents+JSON; charset=utf-8",
    b"application/cloudevents+json;x=y"])
def test_structured_mode(media_type):
    """Its Content-Type decides, whatever ce- headers say."""
    event = binding.from_http([(b"content-type", media_type), (b"ce-id", b"2")], members(data={"a": [1]}))

    assert event == Event(MINIMAL, b'{"a":[1]}')


INVALID = [
    ({"specversion": None}, "specversion: is missing"),
    ({"specversion": "1.1"}, "specversion: is '1.1'; it must be 1.0 or 0.3"),
    ({"specversion": "0.2"}, "specversion: is '0.2'"),
    ({"id": None}, "id: is missing"),
    ({"id": ""}, "id: is empty"),
    ({"id": " \t"}, "id: is empty"),
    ({"source": None}, "source: is missing"),
    ({"source": " "}, "source: is empty"),
    ({"source": "1:2"}, "source: is not a URI reference"),
    ({"source": "http://a:b/"}, "source: is not a URI reference"),
    ({"source": "http://[::1/"}, "source: is not a URI reference"),
    ({"type": None}, "type: is missing"),
    ({"type": ""}, "type: is empty"),
    ({"subject": ""}, "subject: is empty; leave it out"),
    ({"datacontenttype": "application/"}, "datacontenttype: is not a media type"),
    ({"datacontenttype": "a/b; c"}, "datacontenttype: is not a media type"),
    ({"datacontenttype": "a b"}, "datacontenttype: is not a media type"),
    ({"datacontenttype": "a/b\r\n\r\n"}, "datacontenttype: is not a media type"),
    ({"datacontenttype": "a/b\n"}, "datacontenttype: is not a media type"),
    ({"datacontenttype": 'a/b;\r\nc="d: e"'}, "datacontenttype: is not a media type"),
    ({"datacontenttype": "\u2003a/b"}, "datacontenttype: is not a media type"),
    ({"datacontenttype": 'a/b;c="\x00"'}, "datacontenttype: is not a media type"),
    ({"dataschema": "/relative"}, "dataschema: is not an absolute URI"),
    ({"dataschema": ""}, "dataschema: is not an absolute URI"),
    ({"time": "yesterday"}, "time: is not a time"),
    ({"time": "2026-01-02"}, "time: is not a time"),
    ({"time": "2026-01-02T03:04:05"}, "time: is not a time"),
    ({"time": "2026-02-30T03:04:05Z"}, "time: is not a time"),
    ({"time": "2026-01-02T25:04:05Z"}, "time: is not a time"),
    ({"time": "20260102T030405Z"}, "time: is not a time"),
    ({"my-ext": "x"}, "my-ext: is not an attribute's name"),
    ({"my_ext": "x"}, "my_ext: is not an attribute's name"),
    ({"specversion": "0.3", "datacontentencoding": "gzip"}, "datacontentencoding: is not base64"),
    ({"specversion": "0.3", "schemaurl": "1:2"}, "schemaurl: is not a URI reference"),
]


@pytest.mark.parametrize(("change", "complaint"), INVALID)
@pytest.mark.parametrize("structured", [False, True])
def test_what_is_not_valid_is_refused_naming_the_attribute(change, complaint, structured):
    """Every clause, in both modes."""
    message = ([(b"content-type", b"application/cloudevents+json")], members(**change)) if structured else (
        headers(**change), b"")
    with pytest.raises(NotACloudEvent, match=r"^" + re.escape(complaint)):
        binding.from_http(*message)


@pytest.mark.parametrize("change", [
    {"source": "urn:uuid:1"}, {"source": "a b"}, {"source": "#f"}, {"source": "//host/x"},
    {"source": "/\u00e9"}, {"source": "https://a:1/b?c#d"}, {"source": "/" + "x" * 5000}, {"subject": "x"},
    {"datacontenttype": "text"}, {"datacontenttype": " a/b\t; c=d "},
    {"datacontenttype": 'a/b;c="d e";f=g'}, {"datacontenttype": "a/b;"}, {"dataschema": "urn:x"},
    {"time": "2026-01-02T03:04:05Z"}, {"time": "2026-01-02t03:04:05.123456789z"},
    {"time": "2026-01-02T03:04:05-07:00"}, {"id": "\u2603"}, {"x1": ""},
    {"specversion": "0.3", "schemaurl": "/x"},
    {"specversion": "0.3", "dataschema": "/x"}, {"schemaurl": "1:2"},
])
def test_what_is_valid_is_taken_as_it_is(change):
    """In both modes alike."""
    expected = Event({**MINIMAL, **change})

    assert binding.from_http(headers(**change), b"") == expected
    assert binding.from_json(members(**change)) == expected


def test_json_that_is_nested_too_deep_to_be_written_again():
    """It is refused with its limit, alone and in a batch; up to there it is taken."""
    def nested(levels):
        return members(data=0).replace(b'"data": 0', b'"data":%b%b' % (b"[" * levels, b"]" * levels))

    assert binding.from_json(nested(254)).data == b"[" * 254 + b"]" * 254
    for levels in (255, 1000):
        with pytest.raises(NotACloudEvent, match=r"^data: is nested more than 254 levels deep"):
            binding.from_json(nested(levels))
        with pytest.raises(NotACloudEvent, match=r"^event 1: data: is nested"):
            binding.from_batch(b"[%b,%b]" % (members(), nested(levels)))
    with pytest.raises(NotACloudEvent, match=r"^x: must be a string"):
        binding.from_json(nested(255).replace(b'"data"', b'"x"'))


def test_the_deepest_binary_event_is_written_as_json():
    """What binary mode took goes on in structured mode: as JSON where that is read, else as base64."""
    event = Event({**MINIMAL, "datacontenttype": "application/json"}, b"[" * 1000 + b"]" * 1000)
    deeper = event._replace(data=b"[" * 2000 + b"]" * 2000)

    assert b'"data":[[[[' in binding.to_json(event)
    assert b'"data_base64":' in binding.to_json(deeper)


@pytest.mark.parametrize(("content_type", "complaint"), [
    (b"application/cloudevents-batch+json", "content-type: a batch"),
    (b"application/cloudevents+xml", "content-type: application/cloudevents+xml is not a format"),
    (b"application/cloudevents", "content-type: application/cloudevents is not a format"),
])
def test_other_formats_and_batches_are_refused(content_type, complaint):
    """By name."""
    with pytest.raises(NotACloudEvent, match=r"^" + re.escape(complaint)):
        binding.from_http([*headers(), (b"content-type", content_type)], b"[]")


@pytest.mark.parametrize(("raw", "value"), [
    (b"a%20b", "a b"), (b"%e2%98%83", "\u2603"), (b"\xe2\x98\x83", "\u2603"), (b'"a \\"b\\""', 'a "b"'),
    (b"100%", "100%"), (b"%zz", "%zz"), (b"%2520", "%20"), (b"a+b", "a+b"), (b'a"b', 'a"b'),
])
def test_header_values_are_decoded_once(raw, value):
    """Percents, older senders' quotes, plain UTF-8; what is no escape stays."""
    assert binding.from_http([*headers(), (b"ce-x", raw)], b"").attributes["x"] == value


@pytest.mark.parametrize("raw", [b"%ff", b"\xff"])
def test_a_header_value_that_is_not_utf8_is_refused(raw):
    """Nobody could write it into JSON."""
    with pytest.raises(NotACloudEvent, match=r"^x: is not UTF-8"):
        binding.from_http([*headers(), (b"ce-x", raw)], b"")


def test_an_attribute_given_twice_is_refused():
    """As header, and in JSON when two names differ by case only."""
    with pytest.raises(NotACloudEvent, match=r"^id: is given more than once"):
        binding.from_http([*headers(), (b"ce-id", b"1")], b"")
    with pytest.raises(NotACloudEvent, match=r"^myext: is given more than once"):
        binding.from_json(members(myext="1", MyExt="2"))


def test_ce_datacontenttype_is_not_an_attribute():
    """Content-Type is."""
    assert binding.from_http([*headers(), (b"ce-datacontenttype", b"x/y")], b"") == Event(MINIMAL)


@pytest.mark.parametrize(("value", "text"), [
    (True, "true"), (False, "false"), (-5, "-5"), (7.0, "7"), ("x", "x")])
def test_typed_extensions_become_strings(value, text):
    """In their canonical form."""
    assert binding.from_json(members(x=value)).attributes["x"] == text


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 1.5, [], {}])
def test_extensions_of_other_types_are_refused(value):
    """And attributes that are not strings."""
    with pytest.raises(NotACloudEvent, match=r"^x: must be a string, a boolean, or a whole number"):
        binding.from_json(members(x=value))
    with pytest.raises(NotACloudEvent, match=r"^id: must be a string"):
        binding.from_json(members(id=value))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"null", b"\xff", b"[" * 100_000, b'"\\ud800"'])
def test_a_body_that_is_no_object_is_refused(body):
    """Whatever it is instead."""
    with pytest.raises(NotACloudEvent, match=r"^body: "):
        binding.from_json(body)


@pytest.mark.parametrize(("change", "data"), [
    ({"data": "text", "datacontenttype": "text/plain"}, b"text"),
    ({"data": "text"}, b'"text"'),
    ({"data": "text", "datacontenttype": "application/json"}, b'"text"'),
    ({"data": {"a": 1}, "datacontenttype": "text/plain"}, b'{"a":1}'),
    ({"data": 1, "datacontenttype": "application/vnd.x+json; a=b"}, b"1"),
    ({"data": ""}, b'""'),
    ({"data_base64": "/wA="}, b"\xff\0"),
    ({"data_base64": ""}, b""),
    ({"specversion": "0.3", "data": "/wA=", "datacontentencoding": "Base64"}, b"\xff\0"),
])
def test_data_in_json(change, data):
    """JSON, text or base64, as the event says."""
    assert binding.from_json(members(**change)).data == data


@pytest.mark.parametrize(("change", "data"), [
    ({"data": None}, b"null"),
    ({"data": None, "datacontenttype": "application/x+json"}, b"null"),
    ({"data": None, "datacontenttype": "text/plain"}, None),
    ({"data": None, "data_base64": "/wA="}, b"\xff\0"),
    ({"data": None, "data_base64": None}, b"null"),
    ({"data_base64": None}, None),
    ({"specversion": "0.3", "data": None, "datacontentencoding": "base64"}, None),
    ({"specversion": "0.3", "data": None}, b"null"),
])
def test_null_in_json(change, data):
    """Null is data where data is JSON (JSON format, 3.1.1), and says nothing in place of text or base64."""
    assert binding.from_json(json.dumps({**MINIMAL, **change}).encode()) == Event(
        {**MINIMAL, **{name: value for name, value in change.items()
                       if not name.startswith("data") or name == "datacontenttype"}}, data)


@pytest.mark.parametrize(("change", "complaint"), [
    ({"data": 1, "data_base64": "AA=="}, "data: is given twice"),
    ({"data_base64": "?"}, "data_base64: is not base64"),
    ({"data_base64": 1}, "data_base64: is not base64"),
    ({"data_base64": "\u00e9"}, "data_base64: is not base64"),
    ({"specversion": "0.3", "data": {}, "datacontentencoding": "base64"}, "data_base64: is not base64"),
])
def test_bad_data_in_json_is_refused(change, complaint):
    """Naming the member."""
    with pytest.raises(NotACloudEvent, match=r"^" + re.escape(complaint)):
        binding.from_json(members(**change))


@pytest.mark.parametrize(("media_type", "data", "written"), [
    (None, b'{"a": 1}', {"data": {"a": 1}}),
    (None, b"{", {"data_base64": "ew=="}),
    ("application/json", b"{", {"data_base64": "ew=="}),
    ("application/x+json", b"1", {"data": 1}),
    ("text/plain", b"1", {"data": "1"}),
    ("text/plain", b"\xff", {"data_base64": "/w=="}),
    (None, None, {}),
    (None, b"null", {"data": None}),
])
def test_data_to_json(media_type, data, written):
    """JSON where it is, text where it can be, base64 otherwise."""
    attributes = MINIMAL | ({"datacontenttype": media_type} if media_type else {})

    assert json.loads(binding.to_json(Event(attributes, data))) == {**attributes, **written}


def test_version_0_3_stays_0_3():
    """With its own way to write base64."""
    attributes = {**MINIMAL, "specversion": "0.3", "datacontenttype": "image/png"}
    written = binding.to_json(Event(attributes, b"\xff"))

    assert json.loads(written) == {**attributes, "data": "/w==", "datacontentencoding": "base64"}
    assert binding.from_json(written) == Event(attributes, b"\xff")
    assert binding.from_http([*headers(specversion="0.3", datacontentencoding="base64")], b"x") == Event(
        {**MINIMAL, "specversion": "0.3"}, b"x")


def test_batches():
    """Many events in an array; the message about a bad one says which."""
    events = [Event(MINIMAL, b"1"), Event({**MINIMAL, "datacontenttype": "text/plain"}, b"x"), Event(MINIMAL)]

    assert binding.from_batch(binding.to_batch(events)) == events
    assert binding.from_batch(b"[]") == []
    with pytest.raises(NotACloudEvent, match=r"^event 1: id: is missing"):
        binding.from_batch(b"[%b,%b]" % (members(), members(id=None)))
    with pytest.raises(NotACloudEvent, match=r"^body: a batch is"):
        binding.from_batch(members())


# -- at random ---------------------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: not text.isspace())
names = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(
    lambda name: name not in {"data", "id", "source", "type", "specversion", "subject", "time", "dataschema",
                              "schemaurl", "datacontenttype", "datacontentencoding"})


@st.composite
def events(draw):
    """Valid events with odd characters wherever they may be."""
    attributes = {
        "specversion": draw(st.sampled_from(["1.0", "0.3"])),
        "id": draw(texts),
        "source": draw(st.sampled_from(["/", "urn:x:y", "https://a.b/c%20d?e", "\u2603", "a b"])),
        "type": draw(texts),
        **draw(st.fixed_dictionaries({}, optional={
            "subject": texts,
            "time": st.datetimes().map(lambda when: f"{when:%Y-%m-%dT%H:%M:%S}Z".zfill(20)),
            "datacontenttype": st.sampled_from(["text/plain", "application/json", "image/png", 'a/b;c="d"']),
        })),
        **draw(st.dictionaries(names, st.text(st.characters(codec="utf-8")), max_size=5)),
    }
    return Event(attributes, draw(st.none() | st.binary(min_size=1) | st.just(b'{"a":[1,2.5,"x"]}')))


@given(events())
def test_binary_mode_keeps_every_event(event):
    """There and back, headers being printable ASCII without line breaks on the way."""
    written, body = binding.to_http(event)

    assert all(re.fullmatch(rb"[!-~ ]*", value) for _, value in written)
    assert binding.from_http(written, body) == event


@given(events())
def test_structured_mode_keeps_every_event(event):
    """There and back, JSON data up to white space."""
    back = binding.from_http(*binding.to_http(event, structured=True))

    assert back.attributes == event.attributes
    if back.data != event.data:
        assert orjson.loads(back.data) == orjson.loads(event.data)


@given(st.lists(st.tuples(st.sampled_from([header for header, _ in headers(subject="x", time="y", x="z")])
                          | st.binary().map(lambda raw: b"ce-" + raw), st.binary())), st.binary())
def test_random_headers_never_do_harm(random_headers, body):
    """An event, or NotACloudEvent; nothing else."""
    try:
        event = binding.from_http([*headers(), *random_headers], body)
    except NotACloudEvent:
        return
    assert binding.from_http(*binding.to_http(event)).attributes == event.attributes


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda children: st.lists(children)
    | st.dictionaries(st.text() | st.sampled_from([*MINIMAL, "data", "data_base64", "time"]), children)))
def test_random_json_never_does_harm(value):
    """An event, or NotACloudEvent; nothing else."""
    body = json.dumps({**MINIMAL, **value} if isinstance(value, dict) else value).encode()
    try:
        binding.to_json(binding.from_json(body))
    except NotACloudEvent:
        return


# -- against the SDK ---------------------------------------------------------------------------------------

FULL = {**MINIMAL, "id": 'a "b" %\u2603', "subject": "s \u00e9", "time": "2026-01-02T03:04:05.678Z",
        "dataschema": "https://a/b", "datacontenttype": "application/json", "myext": "x y"}


def test_the_sdk_reads_what_we_write():
    """Both modes."""
    event = Event(FULL, b'{"a":1}')
    written, body = binding.to_http(event)
    binary = from_binary_event(HTTPMessage(
        headers={name.decode(): value.decode() for name, value in written}, body=body))
    structured = from_structured_event(HTTPMessage(
        headers={"content-type": binding.STRUCTURED}, body=binding.to_json(event)))
    for theirs in (binary, structured):
        assert theirs.get_id() == FULL["id"]
        assert theirs.get_subject() == FULL["subject"]
        assert theirs.get_extension("myext") == FULL["myext"]
        assert theirs.get_time().isoformat() == "2026-01-02T03:04:05.678000+00:00"
        assert theirs.get_data() == {"a": 1}


def test_we_read_what_the_sdk_writes():
    """Both modes."""
    theirs = from_structured_event(HTTPMessage(
        headers={"content-type": binding.STRUCTURED}, body=orjson.dumps({**FULL, "data": {"a": 1}})))
    assert isinstance(theirs, CloudEvent)
    for message in (to_binary_event(theirs), to_structured_event(theirs)):
        lower = [(name.lower().encode(), value.encode()) for name, value in message.headers.items()]
        body = message.body if isinstance(message.body, bytes) else message.body.encode()
        event = binding.from_http(lower, body)

        assert {**event.attributes, "time": ""} == {**FULL, "time": ""}
        assert orjson.loads(event.data) == {"a": 1}


def test_base64_both_ways_with_the_sdk():
    """Bytes stay bytes."""
    event = Event({**MINIMAL, "datacontenttype": "image/png"}, b"\xff\0")
    theirs = from_structured_event(HTTPMessage(
        headers={"content-type": binding.STRUCTURED}, body=binding.to_json(event)))

    assert theirs.get_data() == b"\xff\0"
    assert binding.from_json(to_structured_event(theirs).body).data == b"\xff\0"
    assert base64.b64encode(b"\xff\0") == b"/wA="
