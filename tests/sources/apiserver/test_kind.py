"""ApiServerSource, the kind: admission in Knative's words, annotations of ours, status and conditions."""

import asyncio
import base64

import pytest

from eventing import projection
from eventing.control import resource
from eventing.control.core import SECRET
from sources.apiserver.kind import KIND, KUBECONFIG, KUBECONFIG_SECRET

EVENTS = {"apiVersion": "v1", "kind": "Event"}
SPEC = {"resources": [EVENTS], "sink": {"uri": "http://sink.example/"}}
NAME = "ApiServerSource/default/watch"
FEATURES = {"config-features": {"new-apiserversource-filters": "Enabled"}}
BOTH = (f"expected exactly one, got both: metadata.annotations[{KUBECONFIG_SECRET}], "
        f"metadata.annotations[{KUBECONFIG}]")


def source(annotations=None, **spec):
    """An ApiServerSource with these fields of its spec; None leaves one out."""
    made = {key: value for key, value in {**SPEC, **spec}.items() if value is not None}
    return {"apiVersion": "sources.knative.dev/v1", "kind": "ApiServerSource",
            "metadata": {"name": "watch", "namespace": "default", "annotations": annotations or {}},
            "spec": made}


@pytest.mark.parametrize(("spec", "message"), [
    ({}, ""),
    ({"mode": "Resource", "owner": {"apiVersion": "apps/v1", "kind": "D"}, "namespaceSelector": {}}, ""),
    ({"mode": "Test"}, "invalid value: Test: spec.mode"),
    ({"resources": None}, "missing field(s): spec.resources"),
    ({"resources": []}, "missing field(s): spec.resources"),
    ({"resources": [{"apiVersion": "v1"}]}, "missing field(s): spec.resources[0].kind"),
    ({"resources": [EVENTS, {"kind": "Pod"}]}, "missing field(s): spec.resources[1].apiVersion"),
    ({"resources": [{"apiVersion": "a/b/c", "kind": "Pod"}]},
     "invalid value: a/b/c: spec.resources[0].apiVersion"),
    ({"resources": [{**EVENTS, "selector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}]},
     'invalid value: "Like" is not a valid label selector operator: spec.resources[0].selector'),
    ({"owner": {"apiVersion": "apps/v1"}}, "missing field(s): spec.owner.kind"),
    ({"owner": {"apiVersion": "a/b/c", "kind": "D"}}, "invalid value: a/b/c: spec.owner.apiVersion"),
    ({"sink": None}, "expected at least one, got none: spec.sink.ref, spec.sink.uri"),
    ({"filters": [{"exact": {"type": "a"}}]},
     "Filters is not empty but the NewAPIServerFilters feature is disabled.: spec.filters"),
])
def test_admission(admit, spec, message):
    """An ApiServerSource is refused in the words that Knative uses, and not where Knative takes it."""
    assert admit(source(**spec))[1] == message


@pytest.mark.parametrize(("filters", "message"), [
    ([{"exact": {"type": "a"}}, {"not": {"cesql": "name = 'x'"}}], ""),
    ([{"exact": {"type": "a"}, "cesql": "TRUE"}],
     "multiple dialects found, filters can have only one dialect set: spec.filters[0]"),
    ([{"any": [{"cesql": "("}]}], "invalid value: (: spec.filters[0].any[0].cesql"),
])
def test_filters(admit, filters, message):
    """With Knative's flag on, filters are those of a Trigger."""
    assert admit(source(filters=filters), configs=FEATURES)[1].partition("\n")[0] == message


@pytest.mark.parametrize(("annotations", "message"), [
    ({KUBECONFIG: "~/.kube/config"}, ""),
    ({KUBECONFIG: "in-cluster"}, ""),
    ({KUBECONFIG_SECRET: "cluster/value"}, ""),
    ({KUBECONFIG: "config"}, f"invalid value: config: metadata.annotations[{KUBECONFIG}]"),
    ({KUBECONFIG_SECRET: "A b"}, f"invalid value: A b: metadata.annotations[{KUBECONFIG_SECRET}]"),
    ({KUBECONFIG: "/a", KUBECONFIG_SECRET: "b"}, BOTH),
])
def test_annotations(admit, annotations, message):
    """Where the API server is, an annotation says; what makes no sense is refused."""
    _, errors, warnings = admit(source(annotations))
    assert (errors.partition("\n")[0], warnings) == (message, [])


def test_defaults(admit):
    """Knative's defaults are filled in."""
    made, _, _ = admit(source())
    assert (made["spec"]["mode"], made["spec"]["serviceAccountName"]) == ("Reference", "default")


async def reconciled(plane, condition):
    """The object, once *condition* holds of it."""
    async with asyncio.timeout(20):
        while not condition(found := plane.store.get(KIND, "default", "watch")):
            await asyncio.sleep(0.01)
    return found


def conditions(found):
    """Status and reason of each condition."""
    return {each["type"]: (each["status"], each.get("reason", "")) for each in found["status"]["conditions"]}


def status(found, type_):
    """Status of one condition."""
    return (resource.condition(found.get("status") or {}, type_) or {}).get("status")


async def test_conditions(plane, store):
    """What the sources role reports becomes Knative's conditions and status; a Secret stays in its table."""
    await plane.objects.create(KIND, "default", source({KUBECONFIG_SECRET: "cluster"}))
    found = await reconciled(plane, lambda found: status(found, "Deployed") == "False")
    assert conditions(found)["Deployed"] == ("False", "SecretNotFound")

    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cluster", "namespace": "default"},
              "data": {"kubeconfig": base64.b64encode(b"s3cret").decode()}}
    await plane.objects.create(SECRET, "default", secret)
    await reconciled(plane, lambda found: status(found, "Deployed") == "Unknown")
    record = await projection.read_one(store, "sources", NAME)
    assert "s3cret" not in str(record)
    assert await projection.read_one(store, "source-secrets", NAME) == {"kubeconfig": "s3cret"}

    state = {"uid": record["uid"], "generation": record["generation"], "ready": False,
             "reason": "InsufficientPermissions", "message": "User u cannot"}
    await projection.write(store, "source-states", NAME, state)
    found = await reconciled(plane, lambda found: status(found, "SufficientPermissions") == "False")
    assert conditions(found)["Ready"] == ("False", "InsufficientPermissions")

    told = {"namespaces": ["default"], "ceAttributes": [{"type": "t", "source": "https://api"}]}
    await projection.write(store, "source-states", NAME,
                           {**state, "ready": True, "reason": "", "message": "", "status": told})
    found = await reconciled(plane, lambda found: status(found, "Ready") == "True")
    assert {name: state for name, (state, _) in conditions(found).items()} == dict.fromkeys(
        ("SinkProvided", "SufficientPermissions", "Deployed", "OIDCIdentityCreated", "Ready"), "True")
    assert {key: found["status"][key] for key in told} == told
    assert await projection.read_one(store, "sources", NAME) == record


async def test_deleted(plane, store):
    """With the object goes everything that was kept about it."""
    await plane.objects.create(KIND, "default", source())
    found = await reconciled(plane, lambda found: status(found, "Deployed") == "Unknown")
    pages = f"{{clarion:source:{resource.uid(found)}}}:pages"
    await store.hset(pages, "page", "7")

    await plane.objects.delete(KIND, "default", "watch")
    async with asyncio.timeout(20):
        while plane.store.get(KIND, "default", "watch") is not None:
            await asyncio.sleep(0.01)

    assert not await store.exists(pages)
    assert await projection.read_one(store, "sources", NAME) is None
