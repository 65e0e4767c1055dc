"""Where a Destination leads, row by row."""

import pytest

from eventing.control import kind as kinds
from eventing.control.address import Unresolved, resolve
from eventing.control.kind import Kind

BIN = kinds.register(Kind(group="bins.knative.dev", version="v1", kind="Bin", plural="bins", singular="bin"))
REF = {"apiVersion": "bins.knative.dev/v1", "kind": "Bin", "name": "b"}
SHOWN = ("&ObjectReference{Kind:Bin,Namespace:here,Name:b,UID:,APIVersion:bins.knative.dev/v1,"
         "ResourceVersion:,FieldPath:,}")
STATUS = {"address": {"url": "http://b.x/in?q"}, "addresses": [{"name": "two", "url": "https://two.x"}]}


def get(status):
    """A lookup that knows one Bin, here/b."""
    return lambda kind, namespace, name: {"status": status} if (namespace, name) == ("here", "b") else None


@pytest.mark.parametrize(("destination", "url"), [
    ({"uri": "http://a.b/c"}, "http://a.b/c"),
    ({"ref": REF}, "http://b.x/in?q"),
    ({"ref": REF | {"namespace": "here"}, "uri": "/out"}, "http://b.x/out"),
    ({"ref": REF, "uri": "more"}, "http://b.x/more"),
    ({"ref": REF | {"address": "two"}}, "https://two.x"),
    ({"ref": {"apiVersion": "v1", "kind": "Service", "name": "s"}}, "http://s.here.svc.cluster.local"),
    ({"ref": {"group": "bins.knative.dev", "kind": "Bin", "name": "b"}}, "http://b.x/in?q"),
])
def test_resolved(destination, url):
    """By reference, by URI, by both."""
    assert resolve(destination, "here", get(STATUS)) == url


@pytest.mark.parametrize(("destination", "status", "reason", "message"), [
    ({}, STATUS, "InvalidDestination", "destination missing Ref and URI, expected at least one"),
    ({"uri": "/x"}, STATUS, "InvalidDestination",
     'URI is not absolute (both scheme and host should be non-empty): "/x"'),
    ({"ref": REF | {"name": "c"}}, STATUS, "NotFound",
     'failed to get object here/c: bins.bins.knative.dev "c" not found'),
    ({"ref": REF | {"kind": "Box"}}, STATUS, "NotFound",
     'failed to get object here/b: no matches for kind "Box" in version "bins.knative.dev/v1"'),
    ({"ref": REF}, {}, "AddressNotSet", f"address not set for {SHOWN}"),
    ({"ref": REF},
     {"conditions": [{"type": "Ready", "status": "False", "reason": "Broken", "message": "no lid"}]},
     "AddressNotSet", f"address not set for {SHOWN}: Bin here/b is not Ready: Broken: no lid"),
    ({"ref": REF}, {"conditions": [{"type": "Ready", "status": "True"}]},
     "AddressNotSet", f"address not set for {SHOWN}"),
    ({"ref": REF}, {"address": {"url": "/x"}}, "AddressNotSet", f"hostname missing in address of {SHOWN}"),
])
def test_unresolved(destination, status, reason, message):
    """What leads nowhere says why, for a condition."""
    with pytest.raises(Unresolved) as caught:
        resolve(destination, "here", get(status))
    assert (caught.value.reason, caught.value.message) == (reason, message)
