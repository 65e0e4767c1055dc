"""Protobuf of kubectl and client-go: what they send so is read, all else is refused in words."""

import pytest

from eventing.control.api import protobuf


def message(**fields):
    """A protobuf message of `f1=..`: bytes, texts, lists of them, or small numbers."""
    return b"".join(field(int(name[1:]), value) for name, values in fields.items()
                    for value in (values if isinstance(values, list) else [values]))


def field(number, value):
    """One field of a message; a length of more than 127 takes two bytes."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    raw = value.encode() if isinstance(value, str) else value
    size = [len(raw)] if len(raw) < 128 else [len(raw) & 127 | 128, len(raw) >> 7]
    return bytes([number << 3 | 2, *size]) + raw


def body(kind, **fields):
    """A whole body, as client-go sends it."""
    return b"k8s\0" + message(f1=message(f1="v1", f2=kind), f2=message(**fields), f3="", f4="")


META = message(f1="a", f2="", f3="default", f4="", f5="", f6="", f7=0, f8=b"",
               f11=[message(f1="app", f2="shop"), message(f1="tier", f2="")])
NAMED = {"name": "a", "namespace": "default", "labels": {"app": "shop", "tier": ""}}


@pytest.mark.parametrize(("sent", "read"), [
    pytest.param(body("Namespace", f1=META, f2=b"", f3=message(f1="")),
                 {"kind": "Namespace", "metadata": NAMED, "spec": {}}, id="namespace"),
    pytest.param(body("ConfigMap", f1=META, f2=message(f1="k", f2="ü" * 100), f3=message(f1="b", f2=b"\xff"),
                      f4=1),
                 {"kind": "ConfigMap", "metadata": NAMED, "data": {"k": "ü" * 100},
                  "binaryData": {"b": "/w=="}, "immutable": True}, id="configmap"),
    pytest.param(body("Secret", f1=META, f2=[message(f1="k", f2="word")], f3="Opaque"),
                 {"kind": "Secret", "metadata": NAMED, "data": {"k": "d29yZA=="}, "type": "Opaque"},
                 id="secret"),
])
def test_read(sent, read):
    """The object is what JSON would have said of it."""
    assert protobuf.decode(sent) == {"apiVersion": "v1", **read}


async def test_delete_options(api):
    """What client-go sends with a DELETE (`kn secret delete`): preconditions, dry runs, propagation."""
    secrets = "/api/v1/namespaces/default/secrets"
    _, made, _ = await api("POST", secrets, {"metadata": {"name": "a"}})
    sent = {"content_type": protobuf.TYPE}

    def options(**fields):
        return body("DeleteOptions", f1=0, f3=0, **fields)

    stale = await api("DELETE", f"{secrets}/a", options(f2=message(f1="another", f2="")), **sent)
    assert (stale[0], "Precondition failed: UID" in stale[1]["message"]) == (409, True)
    assert (await api("DELETE", f"{secrets}/a", options(f5="All"), **sent))[0] == 200
    wrong = await api("DELETE", f"{secrets}/a", options(f4="Sideways"), **sent)
    assert (wrong[0], "Sideways" in wrong[1]["message"]) == (400, True)
    right = options(f2=message(f1=made["metadata"]["uid"]), f4="Background")
    assert (await api("DELETE", f"{secrets}/a", right, **sent))[0] == 200
    assert (await api("GET", f"{secrets}/a"))[0] == 404


@pytest.mark.parametrize("raw", [b"{}", b"k8s\0\x0a\xff\x01", b"k8s\0\x0a", b"k8s\0\x08\x01",
                                 b"k8s\0" + b"\xff" * 12, body("Secret", f1=META)[:-9],
                                 body("Secret", f1=1)])
def test_no_protobuf(raw):
    """What is cut off, or none at all, is an error and no object."""
    with pytest.raises(ValueError, match=r"byte|number"):
        protobuf.decode(raw)


def test_what_is_not_read():
    """Another kind, and a field that nobody knows, are refused and not halved."""
    with pytest.raises(protobuf.Unread, match=r"^ServiceAccount$"):
        protobuf.decode(body("ServiceAccount", f1=META))
    with pytest.raises(protobuf.Unread, match=r"^field 13 of Secret.metadata$"):
        protobuf.decode(body("Secret", f1=message(f13=b"")))
