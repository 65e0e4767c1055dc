import json

import pytest
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from eventing.errors import NotACloudEvent
from serving.functions.function import complaint, decode, encode, is_event

BINARY = [(b"ce-specversion", b"1.0"), (b"ce-id", b"1"), (b"ce-source", b"/s"), (b"ce-type", b"t")]


def event(data=None, **attributes):
    """A CloudEvent of the SDK."""
    return CloudEvent({"type": "t", "source": "/s", "id": "1", **attributes}, data)


@pytest.mark.parametrize(
    ("kind", "body", "data"),
    [
        ("application/json", b'{"a": [1, "\xc3\xa9"]}', {"a": [1, "é"]}),
        ("text/plain", b"hi", "hi"),
        ("application/json", b"{", "{"),
        ("image/png", b"\x89\xff", b"\x89\xff"),
        ("application/json", b"", None),
    ],
)
def test_data(kind, body, data):
    """Data by its content type: JSON is parsed, text is text, the rest bytes."""
    assert decode([*BINARY, (b"content-type", kind.encode())], body).get_data() == data


def test_attributes():
    """Attributes are decoded, extensions kept, and a time that was not sent is not invented."""
    got = decode(
        [*BINARY, (b"ce-subject", b"%C3%A9 x"), (b"ce-mine", b"7"), (b"accept", b"x")], b""
    ).get_attributes()
    assert got == {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": "t",
        "subject": "é x",
        "mine": "7",
    }
    body = b'{"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}'
    structured = decode([(b"content-type", b"application/cloudevents+json")], body)
    assert "time" not in structured.get_attributes()


def test_version_0_3():
    """An event of version 0.3 is taken as one."""
    headers = [(b"ce-specversion", b"0.3"), *BINARY[1:]]
    assert decode(headers, b"").get_specversion() == "0.3"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"ce-specversion", b"2.0"), *BINARY[1:]],
        BINARY[:2],
        [*BINARY, (b"ce-time", b"yesterday")],
        [*BINARY, (b"ce-a-b", b"1")],
        [(b"content-type", b"application/cloudevents-batch+json")],
        [],
    ],
)
def test_not_an_event(headers):
    """What is no event is refused, whatever the SDK raised."""
    with pytest.raises(NotACloudEvent):
        decode(headers, b"[]")


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"ce-id", b"ce-time", b"ce-type", b"ce-\xff", b"content-type", b"x"]),
            st.binary(max_size=20),
        )
    ),
    st.binary(max_size=50),
    st.booleans(),
)
def test_any_bytes(headers, body, structured):
    """Whatever bytes come, it is an event or NotACloudEvent."""
    mode = (b"content-type", b"application/cloudevents+json") if structured else (b"ce-specversion", b"1.0")
    try:
        decode([mode, *headers], body)
    except NotACloudEvent as error:
        complaints = str(error).splitlines()
        assert len(complaints) == 1


@pytest.mark.parametrize(
    ("data", "kind", "body"),
    [
        ({"a": "é"}, None, b'{"a": "\\u00e9"}'),
        ([1, "é"], None, '[1,"é"]'.encode()),
        (3, "application/json", b"3"),
        ("text", "text/plain", b"text"),
        (b"\xff", "image/png", b"\xff"),
        (None, None, b""),
        (False, None, b"false"),
    ],
)
def test_encoded_data(data, kind, body):
    """Data as it goes over the wire: what is neither text nor bytes is JSON and says so."""
    headers, written = encode(event(data, **({"datacontenttype": kind} if kind else {})), "/f")
    assert written == body
    is_json = data is not None and kind is None
    assert dict(headers).get(b"content-type") == (b"application/json" if is_json else kind and kind.encode())


def test_encoded_reply_gets_what_it_lacks():
    """A reply without id or source has them afterwards."""
    reply = event()
    del reply.get_attributes()["id"], reply.get_attributes()["source"]
    headers = dict(encode(reply, "/apis/v1/namespaces/a/services/b")[0])
    assert headers[b"ce-source"] == b"/apis/v1/namespaces/a/services/b"
    assert headers[b"ce-id"]


def test_structured():
    """Structured mode is one JSON object."""
    headers, body = encode(event({"a": 1}), "/f", structured=True)
    assert headers == [(b"content-type", b"application/cloudevents+json")]
    assert json.loads(body)["data"] == {"a": 1}


def test_no_header_is_smuggled():
    """A line break in an attribute is data, or refused, but never a second header."""
    headers = dict(encode(event(subject="a\r\nx-evil: 1"), "/f")[0])
    assert headers[b"ce-subject"] == b"a%0D%0Ax-evil:%201"
    with pytest.raises(ValueError, match="line break"):
        encode(event("x", datacontenttype="text/plain\r\nx-evil: 1"), "/f")


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ([(b"ce-specversion", b"1.0")], True),
        ([(b"content-type", b"application/cloudevents+json")], True),
        ([(b"content-type", b"application/json")], False),
        ([], False),
    ],
)
def test_is_event(headers, answer):
    """What claims to be an event."""
    assert is_event(headers) is answer


def test_complaint():
    """An error is one line of bounded length."""
    assert complaint(ValueError("a\n b" + "x" * 9999)) == "ValueError: a b" + "x" * 485
